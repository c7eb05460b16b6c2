//! A fork in the middle of a run. It is the one test of its process: another that holds a lock of
//! the allocator or of the panic's output while this one forks would hang the child.

#![expect(unsafe_code, reason = "fork")]

use greenlit::{run, thread};

/// Rule 28 and behaviour 55: the child's runtime has ended; its first park says so.
#[test]
fn a_forked_child_does_not_run_its_parents_runtime() {
    use nix::sys::wait::{WaitStatus, waitpid};
    use nix::unistd::{ForkResult, fork};
    run(|| {
        thread::spawn(thread::park);
        thread::yield_now();
        // SAFETY: the child calls nothing that another thread of its parent could have locked, but
        // the allocator, which glibc makes usable in a child.
        match unsafe { fork() }.unwrap() {
            ForkResult::Child => {
                std::panic::set_hook(Box::new(|_| ()));
                let parked = std::panic::catch_unwind(thread::park);
                let runs = std::panic::catch_unwind(|| run(|| thread::spawn(|| 3).join().unwrap()));
                // SAFETY: ends the child at once, without running the test harness's exit.
                unsafe {
                    libc::_exit(i32::from(parked.is_ok()) + 2 * i32::from(runs.ok() != Some(3)))
                }
            }
            ForkResult::Parent { child } => {
                assert_eq!(waitpid(child, None).unwrap(), WaitStatus::Exited(child, 0));
            }
        }
    });
}
