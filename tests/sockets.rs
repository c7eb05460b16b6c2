//! Sockets, and what waits for a file descriptor.

mod alone;
mod polling;
mod scene;

mod addrs;
mod datagrams;
mod io;
mod net;
mod polled;
mod polled_calls;
mod polled_ends;
mod readiness;
mod split;
mod tcp_connect;
mod tcp_ends;
mod tcp_options;
mod udp;
mod unix_stream;
