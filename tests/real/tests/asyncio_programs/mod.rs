//! The twins of ../asyncio/programs.py, in the same order and under the same names.

mod many;
mod sync;
mod tasks;

use std::pin::Pin;

use crate::Log;
use greenlit::{future, thread, time::Duration};

/// A program, which prints into a log.
pub(crate) type Program = fn(Log) -> Pin<Box<dyn Future<Output = ()>>>;

/// One tick of the programs that sleep.
const MS: Duration = Duration::from_millis(20);
const HOUR: Duration = Duration::from_secs(3600);

/// `print(a, b, c)`.
macro_rules! p {
    ($log:expr $(, $what:expr)+ $(,)?) => {
        $log.line([$($what.to_string()),+].join(" "))
    };
}
use p;

macro_rules! programs {
    ($($module:ident: $($name:ident),+;)+) => {
        pub(crate) const PROGRAMS: &[(&str, Program)] = &[
            $($((stringify!($name), |log| Box::pin($module::$name(log)))),+),+
        ];
    };
}

programs! {
    tasks: a_task_begins_after_its_creator_waits, tasks_take_turns,
        a_coroutine_that_is_awaited_is_no_task, awaiting_what_is_done_does_not_wait,
        callbacks_and_tasks_share_a_queue, a_callback_that_calls_soon_comes_a_round_later,
        timers_fire_by_deadline_and_in_the_order_they_were_set,
        done_callbacks_run_in_order_after_what_is_queued, waiters_and_callbacks_stand_in_one_line,
        a_future_is_set_once, a_failed_or_cancelled_future_tells_all_who_wait,
        a_task_that_is_cancelled_before_it_began_never_runs, a_cancel_comes_at_the_next_turn,
        cancels_come_in_the_order_of_the_asking, to_cancel_what_has_ended_changes_nothing;
    many: gather_starts_in_order_and_keeps_places, gather_keeps_errors_in_their_places,
        the_first_error_ends_a_gather_and_not_its_children,
        a_gather_that_is_cancelled_cancels_its_children, wait_returns_with_the_first,
        wait_returns_with_the_first_exception, as_completed_yields_by_the_end,
        a_timeout_cancels_and_waits_for_the_clean_up, only_the_timeout_that_passed_says_so,
        a_shield_lets_the_inner_go_on, a_group_waits_for_all,
        an_error_in_a_group_cancels_the_others;
    sync: a_lock_goes_to_who_has_waited_the_longest, a_waiter_that_is_cancelled_is_passed_over,
        a_semaphore_lets_two_in_and_in_order,
        an_event_that_is_cleared_at_once_lets_its_waiters_go,
        a_condition_wakes_the_longest_waiter_first, a_barrier_lets_all_go,
        a_queue_of_one_is_a_hand_over, getters_are_served_in_their_order,
        a_queue_is_joined_when_all_is_done, priorities_and_stacks,
        what_lies_in_a_priority_queue_when_the_getter_comes_counts,
        differs_a_task_may_swallow_its_cancel,
        differs_a_barging_getter_may_take_a_woken_getters_item,
        differs_to_cancel_a_waiting_task_cancels_the_future,
        differs_who_comes_again_to_a_barrier_waits_until_it_has_drained;
}

/// `asyncio.sleep(0)`.
async fn turn() {
    future::yield_now().await;
}

async fn say(log: Log, word: &'static str, times: u32) -> &'static str {
    for n in 0..times {
        p!(log, word, n);
        turn().await;
    }
    word
}

/// Prints when it goes, as `finally` does.
struct CleansUp(Log, &'static str);

impl Drop for CleansUp {
    fn drop(&mut self) {
        p!(self.0, self.1, "cleans up");
    }
}

async fn parked(log: Log, word: &'static str) {
    let _finally = CleansUp(log, word);
    future::sleep(HOUR).await;
}

/// Python's errors are `Err` values here.
async fn fails(log: Log, word: &'static str) -> Result<&'static str, &'static str> {
    turn().await;
    p!(log, word, "fails");
    Err(word)
}

/// Python's spelling.
fn say_bool(is_so: bool) -> &'static str {
    if is_so { "True" } else { "False" }
}

fn was_cancelled<T>(ended: &thread::Result<T>) -> bool {
    matches!(ended, Err(payload) if payload.is::<greenlit::cancel::Cancelled>())
}
