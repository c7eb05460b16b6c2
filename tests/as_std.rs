//! What is like std: names, signatures and results, side by side with std's own. Nothing of it depends on
//! how the code was optimised.

mod scene;

mod asyncio_guide;
mod mirror_fs;
mod mirror_io;
mod mirror_net;
mod mirror_process;
mod mirror_sync;
mod mirror_thread;
mod ported;
mod udp_as_std;
mod unix_as_std;
