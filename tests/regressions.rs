//! Bugs that a hostile reading once found, each in the smallest program that showed it. Those of
//! tracing subscribers and of forks have files of their own.

#![expect(unsafe_code, reason = "a seccomp filter")]

use std::cell::{Cell, RefCell};
use std::env;
use std::io::{self, ErrorKind, Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::sync::mpsc;

use crate::alone::{again, alone, alone_as, is_alone};
use greenlit::io::Source;
use greenlit::net::TcpListener;
use greenlit::park::{Reason, WaitQueue};
use greenlit::thread::{self, JoinHandle, Thread, YieldError};
use greenlit::time::Duration;
use greenlit::{Runtime, run};
use nix::sys::socket::{MsgFlags, send};

/// Calls its function when it is dropped.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// Panics without a message on stderr.
fn fail() -> ! {
    resume_unwind(Box::new("failed on purpose"));
}

/// Starts `test` again where it leaks green threads, which LeakSanitizer would report.
fn leaking(test: &str) -> Command {
    let options = env::var("ASAN_OPTIONS").unwrap_or_default();
    let mut command = again(test);
    command.env("ASAN_OPTIONS", format!("{options}:detect_leaks=0"));
    command
}

/// Invariant 42: `yield_to` looked at its target, let others run, and switched to it though it had
/// ended meanwhile.
#[test]
fn yield_to_sees_that_its_target_has_ended_in_between() {
    let said = Rc::new(Cell::new(None));
    run(|| {
        let target: Rc<RefCell<Option<Thread>>> = Rc::default();
        // At the end of the run a cancelled thread's call lets the others unwind first.
        drop(thread::spawn({
            let (target, said) = (target.clone(), said.clone());
            move || {
                let _guard = OnDrop(|| {
                    let target = target.take().unwrap();
                    said.set(Some(thread::yield_to(&target)));
                });
                thread::park();
            }
        }));
        let ends = thread::spawn(thread::park);
        *target.borrow_mut() = Some(ends.thread().clone());
        thread::yield_now();
    });
    assert_eq!(said.get(), Some(Err(YieldError::Finished)));
}

/// Invariant 41: a handle that was made inside another runtime took its thread's record for one of
/// that runtime's, and followed its address when the record was gone.
#[test]
fn a_handle_made_in_another_runtime_reaches_nobody() {
    let mut first = Runtime::builder().build().unwrap();
    let joined = first.run(|| {
        let child = thread::spawn(|| ());
        thread::yield_now();
        child
    });
    run(|| {
        let stale = joined.thread().clone();
        drop((joined, first));
        stale.unpark();
        assert_eq!(thread::yield_to(&stale), Err(YieldError::Finished));
    });
}

#[repr(align(32768))]
struct Align32K(u8);

/// Invariant 35: a closure that asked for more alignment than its stack had bytes was put on a
/// neighbour's stack. Now such a closure is boxed (a constant in `thread::spawn` says so of any that
/// could reach so far), and runs where a stack has room for frames that are aligned so.
#[test]
fn a_closure_of_large_alignment_runs_on_a_stack_that_has_room() {
    run(|| {
        let roomy = || thread::Builder::new().stack_size(1 << 20);
        let threads = [1, 2, 3].map(|n| {
            let aligned = Align32K(n);
            let aligned = move || (aligned.0, (&raw const aligned).addr() % 32_768);
            roomy().spawn(aligned).unwrap()
        });
        assert_eq!(
            threads.map(|thread| thread.join().unwrap()),
            [(1, 0), (2, 0), (3, 0)]
        );
    });
}

/// Behaviour 54: where the last handle was gone and its unpark not yet read, the run was said to be
/// in a deadlock.
#[test]
fn an_unread_unpark_is_no_deadlock() {
    run(|| {
        let (sender, receiver) = mpsc::channel();
        let child = thread::spawn(move || {
            sender.send(thread::current()).unwrap();
            thread::park();
            7
        });
        thread::yield_now();
        let handle = receiver.recv().unwrap();
        std::thread::spawn(move || handle.unpark()).join().unwrap();
        assert_eq!(child.join().unwrap(), 7);
    });
}

/// Rule 16: poll(2) says that a page fits into a pipe, and the write of a megabyte that followed
/// blocked the OS thread, the pipe's reader with it.
#[test]
fn a_large_write_to_a_blocking_pipe_lets_its_reader_run() {
    run(|| {
        let (reader, writer) = io::pipe().unwrap();
        let reader = thread::spawn(move || {
            let mut all = Vec::new();
            Source::new(reader).unwrap().read_to_end(&mut all).unwrap();
            all
        });
        let sent = vec![1; 1 << 20];
        Source::new(writer).unwrap().write_all(&sent).unwrap();
        assert_eq!(reader.join().unwrap(), sent);
    });
}

/// Rule 16: urgent data counted as readable, and the read that followed blocked the OS thread.
#[test]
fn urgent_data_does_not_make_a_blocking_source_block() {
    run(|| {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut peer = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (near, _) = listener.accept().unwrap();
        let urgent = std::os::fd::AsRawFd::as_raw_fd(&peer);
        send(urgent, b"!", MsgFlags::MSG_OOB).unwrap();
        let reader = thread::spawn(move || {
            let mut buffer = [0; 4];
            let count = Source::new(near).unwrap().read(&mut buffer).unwrap();
            buffer[..count].to_vec()
        });
        thread::yield_now();
        assert!(!reader.is_finished());
        peer.write_all(b"x").unwrap();
        assert_eq!(reader.join().unwrap(), b"x");
    });
}

/// Behaviour 39: on a file that epoll refuses, an operation that says it would block was tried
/// again for ever.
#[test]
fn would_block_on_an_always_ready_file_is_an_error() {
    run(|| {
        let file = std::fs::File::open("/dev/null").unwrap();
        let source = Source::new(file).unwrap();
        let tries = Cell::new(0);
        let refused = source.when_readable(|_| -> io::Result<()> {
            tries.set(tries.get() + 1);
            Err(ErrorKind::WouldBlock.into())
        });
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::WouldBlock);
        assert!(tries.get() > 0);
    });
}

/// Has a run end while a thread is parked in a destructor of its panic, joining a worker that does
/// nothing but `wait`.
fn end_while_joined_in_a_destructor(wait: fn()) {
    let joining = Rc::new(Cell::new(false));
    run(|| {
        let waits = Rc::new(Cell::new(0));
        let mut worker = Some(thread::spawn({
            let waits = waits.clone();
            move || {
                loop {
                    waits.set(waits.get() + 1);
                    wait();
                }
            }
        }));
        let joining = joining.clone();
        drop(thread::spawn(move || {
            let _join = OnDrop(move || {
                joining.set(true);
                let _ = worker.take().unwrap().join();
            });
            fail();
        }));
        // The wait that the cancel ends was entered while the joiner unwound.
        while waits.get() < 3 {
            thread::yield_now();
        }
    });
    assert!(joining.get());
}

/// Rule 20: a cancel was put off while anybody unwound, so a worker that yields for ever was never
/// cancelled.
#[test]
fn a_loop_of_yields_is_cancelled_while_its_joiner_unwinds() {
    end_while_joined_in_a_destructor(thread::yield_now);
}

/// Rule 20: as above, where the worker waits in between.
#[test]
fn a_loop_of_sleeps_is_cancelled_while_its_joiner_unwinds() {
    end_while_joined_in_a_destructor(|| thread::sleep(Duration::from_millis(1)));
}

/// Behaviour 53: a worker that catches the panics of its jobs, and so every cancel, kept the run
/// from ending. It is leaked, and reported.
#[test]
fn the_run_ends_though_a_worker_catches_every_cancel() {
    let child = alone_as(
        &mut leaking("the_run_ends_though_a_worker_catches_every_cancel"),
        || {
            run(|| {
                drop(thread::spawn(|| {
                    loop {
                        let _ = catch_unwind(thread::park);
                    }
                }));
                thread::yield_now();
            });
        },
    );
    if let Some(child) = child {
        let report = String::from_utf8_lossy(&child.stderr);
        assert!(
            report.contains("1 of its green threads would not stop"),
            "{report}"
        );
    }
}

/// Rule 20: a thread that was leaked in the middle of an unwinding made its OS thread look as if it
/// unwound for ever, and no later run could cancel anybody.
#[test]
fn a_run_ends_after_one_that_leaked_an_unwinding_thread() {
    alone_as(
        &mut leaking("a_run_ends_after_one_that_leaked_an_unwinding_thread"),
        || {
            // Two threads join each other while they unwind: neither can be stopped.
            run(|| {
                let handles: Rc<RefCell<[Option<JoinHandle<()>>; 2]>> = Rc::default();
                for n in 0..2 {
                    let other = handles.clone();
                    let spawned = thread::spawn(move || {
                        let _join = OnDrop(|| {
                            let other = other.borrow_mut()[1 - n].take();
                            let _ = other.map(JoinHandle::join);
                        });
                        thread::park();
                    });
                    handles.borrow_mut()[n] = Some(spawned);
                }
                thread::yield_now();
            });
            let unwound = Rc::new(Cell::new(false));
            run(|| {
                let unwound = unwound.clone();
                drop(thread::spawn(move || {
                    let _guard = OnDrop(|| unwound.set(true));
                    loop {
                        thread::park();
                    }
                }));
                thread::yield_now();
            });
            assert!(unwound.get());
        },
    );
}

/// Behaviour 54: the report of a deadlock aborted the process where another thread was parked in a
/// destructor of its panic.
#[test]
fn a_deadlock_is_a_panic_though_another_unwinds() {
    alone("a_deadlock_is_a_panic_though_another_unwinds", || {
        run(|| {
            let queue = WaitQueue::new();
            let child = thread::spawn(move || {
                let _guard = OnDrop(|| queue.park(Reason::new("waiting in a destructor")));
                fail();
            });
            let joined = catch_unwind(AssertUnwindSafe(|| child.join()));
            let payload = joined.expect_err("a deadlock");
            let report = payload.downcast_ref::<String>().unwrap();
            assert!(
                report.starts_with("deadlock: all 2 green threads"),
                "{report}"
            );
            assert!(report.contains("waiting in a destructor"), "{report}");
        });
    });
}

/// Rule 3: each runtime that had used a source left its epoll instance and its notifier open, as
/// long as the source lived.
#[test]
fn a_source_used_by_many_runtimes_keeps_no_files() {
    alone("a_source_used_by_many_runtimes_keeps_no_files", || {
        let files = || std::fs::read_dir("/proc/self/fd").unwrap().count();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let use_it = || {
            run(|| {
                let client = thread::spawn(move || std::net::TcpStream::connect(address).is_ok());
                listener.accept().unwrap();
                assert!(client.join().unwrap());
            });
        };
        use_it();
        let after_one = files();
        for _ in 0..20 {
            use_it();
        }
        assert_eq!(files(), after_one);
    });
}

/// Behaviour 44: the report of a panic that nobody joins aborted the process when it could not be
/// written.
#[test]
fn a_report_to_a_broken_stderr_is_given_up() {
    if is_alone() {
        return run(|| {
            drop(thread::spawn(|| fail()));
            thread::yield_now();
        });
    }
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    let mut child = again("a_report_to_a_broken_stderr_is_given_up");
    let child = child.stdout(Stdio::null()).stderr(writer);
    let status = child.status().unwrap();
    assert!(status.success(), "{status}");
}

/// Behaviour 14: a cancelled thread stood in the queue already when its call let the others run
/// first, and took a wake that was meant for somebody who waits.
#[test]
fn a_thread_that_is_cancelled_at_entry_takes_no_wake() {
    let woken = Rc::new(Cell::new(None));
    let said = Rc::new(Cell::new(None));
    run(|| {
        let queue = Rc::new(WaitQueue::new());
        drop(thread::spawn({
            let (queue, woken) = (queue.clone(), woken.clone());
            move || {
                // The run comes to its end meanwhile, and cancels what is left.
                thread::yield_now();
                let wait = || queue.park(Reason::new("waiting, though cancelled"));
                woken.set(Some(catch_unwind(AssertUnwindSafe(wait)).is_ok()));
            }
        }));
        drop(thread::spawn({
            let said = said.clone();
            move || {
                let _guard = OnDrop(|| said.set(Some(queue.unpark_one())));
                thread::park();
            }
        }));
        thread::yield_now();
    });
    assert_eq!((said.get(), woken.get()), (Some(false), Some(false)));
}

/// Behaviour 47: a sandbox that answers epoll_pwait2(2) with EPERM, as older container profiles do,
/// made the first sleep abort the process.
#[test]
fn a_sleep_works_where_a_sandbox_refuses_epoll_pwait2() {
    alone("a_sleep_works_where_a_sandbox_refuses_epoll_pwait2", || {
        // An emulator may know no filters: then there is nothing to see.
        if refuse_epoll_pwait2() {
            run(|| thread::sleep(Duration::from_micros(100)));
        }
    });
}

/// Has the kernel refuse that one system call to this OS thread; whether it will.
fn refuse_epoll_pwait2() -> bool {
    let step = |code: u32, jt, jf, k| libc::sock_filter {
        code: code.try_into().expect("a code of 16 bits"),
        jt,
        jf,
        k,
    };
    let number = u32::try_from(libc::SYS_epoll_pwait2).expect("a small number");
    let refused = libc::SECCOMP_RET_ERRNO | libc::EPERM.unsigned_abs();
    let mut filter = [
        // The number of the call is the first word of what the filter sees.
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, number),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, refused),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog {
        len: 4,
        filter: filter.as_mut_ptr(),
    };
    let [zero, one]: [libc::c_ulong; 2] = [0, 1];
    // SAFETY: it takes numbers alone, and forbids this thread to gain privileges.
    let prepared = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, one, zero, zero, zero) };
    let mode = libc::c_ulong::from(libc::SECCOMP_MODE_FILTER);
    // SAFETY: the program and its four steps live until the kernel has copied them.
    let filtered = unsafe { libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const program) };
    prepared == 0 && filtered == 0
}
