//! Sockets, and what waits for a file descriptor.

mod alone;
mod scene;

mod addrs;
mod datagrams;
mod io;
mod net;
mod readiness;
mod split;
mod tcp_connect;
mod tcp_ends;
mod tcp_options;
mod udp;
mod unix_stream;
