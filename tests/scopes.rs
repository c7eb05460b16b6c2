//! Scopes: cancels, limits, and threads that end before their scope does.

mod alone;
mod scoped;

mod cancel_scope;
mod scope;
mod scope_ends;
mod scope_panics;
mod scope_places;
mod scope_policies;
mod scope_race;
mod scope_soft;
mod scope_try;
