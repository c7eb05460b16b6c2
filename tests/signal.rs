//! `signal`: every delivery is seen, by every listener, wherever it waits. Signals are shared by
//! all tests of a process, so each of these has a process of its own.

#![expect(
    unsafe_code,
    reason = "handlers and real-time signals have no safe wrapper"
)]

use std::cell::RefCell;
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Barrier, mpsc};

use crate::alone::alone;
use greenlit::net::{TcpListener, TcpStream};
use greenlit::signal::{Signal, Signals};
use greenlit::time::{Duration, Instant};
use greenlit::{run, thread};
use nix::sys::pthread::{pthread_kill, pthread_self};
use nix::sys::signal::{self, SaFlags, SigAction, SigHandler, SigSet, raise};
use nix::unistd::Pid;

fn listen(signals: &[Signal]) -> Signals {
    Signals::new(signals.iter().copied()).unwrap()
}

#[test]
fn smoke() {
    alone("smoke", || {
        run(|| {
            let signals = listen(&[Signal::USR1, Signal::TERM]);
            let waiter = thread::spawn(move || {
                let first = signals.recv().unwrap();
                [first, signals.recv().unwrap()]
            });
            thread::yield_now();
            raise(signal::SIGUSR1).unwrap();
            thread::yield_now();
            raise(signal::SIGTERM).unwrap();
            assert_eq!(waiter.join().unwrap(), [Signal::USR1, Signal::TERM]);
        });
    });
}

/// A server that is told to end waits for that among other things.
#[test]
fn signals_are_an_arm_of_select() {
    alone("signals_are_an_arm_of_select", || {
        run(|| {
            let signals = listen(&[Signal::USR1, Signal::TERM]);
            let (sender, receiver) = greenlit::sync::mpsc::channel::<String>();
            let (tell, told) = greenlit::sync::mpsc::channel();
            let server = thread::spawn(move || {
                loop {
                    greenlit::select! {
                        readable(signals) => match signals.try_recv().unwrap() {
                            Signal::TERM => return,
                            signal => tell.send(signal.to_string()).unwrap(),
                        },
                        recv(receiver) -> job => tell.send(job.unwrap()).unwrap(),
                    }
                }
            });
            for job in ["one", "two", "three"] {
                sender.send(job.to_owned()).unwrap();
                assert_eq!(told.recv().unwrap(), job);
                raise(signal::SIGUSR1).unwrap();
                assert_eq!(told.recv().unwrap(), "SIGUSR1");
            }
            raise(signal::SIGTERM).unwrap();
            server.join().unwrap();
        });
    });
}

/// Behaviour 41: a signal to the calling OS thread is delivered before `raise` returns, so that
/// none can merge with the next, and none of a thousand is missed.
#[test]
fn a_thousand_signals_in_a_row_are_all_seen() {
    alone("a_thousand_signals_in_a_row_are_all_seen", || {
        run(|| {
            let signals = listen(&[Signal::USR1]);
            for _ in 0..1000 {
                raise(signal::SIGUSR1).unwrap();
            }
            for received in (&signals).into_iter().take(1000) {
                assert_eq!(received.unwrap(), Signal::USR1);
            }
            assert_eq!(signals.try_recv(), None);
        });
    });
}

/// Behaviour 41: the receiver parks for each, and each wakes it.
#[test]
fn a_thousand_signals_from_outside_wake_a_receiver_one_by_one() {
    alone(
        "a_thousand_signals_from_outside_wake_a_receiver_one_by_one",
        || {
            run(|| {
                let signals = listen(&[Signal::USR1]);
                let target = pthread_self();
                let (seen, was_seen) = mpsc::channel();
                let sender = std::thread::spawn(move || {
                    for () in was_seen {
                        pthread_kill(target, signal::SIGUSR1).unwrap();
                    }
                });
                for _ in 0..1000 {
                    seen.send(()).unwrap();
                    assert_eq!(signals.recv().unwrap(), Signal::USR1);
                }
                drop(seen);
                sender.join().unwrap();
                assert_eq!(signals.try_recv(), None);
            });
        },
    );
}

/// Behaviour 41: the kernel merges no real-time signals, however fast they are sent.
#[test]
#[cfg_attr(
    greenlit_sanitize = "thread",
    ignore = "the sanitizer holds signals back until the next call it knows, and merges them"
)]
fn real_time_signals_are_not_merged() {
    alone("real_time_signals_are_not_merged", || {
        run(|| {
            let signal = Signal::real_time(5).unwrap();
            let signals = listen(&[signal]);
            let sender = std::thread::spawn(move || {
                for _ in 0..1000 {
                    // SAFETY: a system call that takes two numbers.
                    let sent = unsafe { libc::kill(Pid::this().as_raw(), signal.as_raw()) };
                    assert_eq!(sent, 0);
                }
            });
            for _ in 0..1000 {
                assert_eq!(signals.recv().unwrap(), signal);
            }
            sender.join().unwrap();
            assert_eq!(signals.try_recv(), None);
        });
    });
}

#[test]
fn every_listener_sees_every_signal_wherever_it_waits() {
    alone("every_listener_sees_every_signal_wherever_it_waits", || {
        let made = Barrier::new(4);
        let receive = || {
            let signals = listen(&[Signal::USR1]);
            made.wait();
            (0..100).all(|_| signals.recv().unwrap() == Signal::USR1)
        };
        let receive_twice = || {
            let other = listen(&[Signal::USR1, Signal::USR2]);
            let other = thread::spawn(move || (0..100).filter_map(|_| other.recv().ok()).count());
            receive() && other.join().unwrap() == 100
        };
        std::thread::scope(|scope| {
            let outside = scope.spawn(receive);
            let runtimes = [(); 2].map(|()| scope.spawn(|| run(receive_twice)));
            made.wait();
            for _ in 0..100 {
                raise(signal::SIGUSR1).unwrap();
            }
            assert!(outside.join().unwrap());
            for runtime in runtimes {
                assert!(runtime.join().unwrap());
            }
        });
    });
}

/// One listener, shared by green threads of two runtimes and an OS thread, which all sleep: none
/// takes what another has, and none is left asleep.
#[test]
fn a_shared_listener_gives_each_signal_once() {
    alone("a_shared_listener_gives_each_signal_once", || {
        for _ in 0..20 {
            let signals = &listen(&[Signal::USR1, Signal::USR2]);
            let count = &AtomicUsize::new(0);
            let receive = || {
                while signals.recv().unwrap() == Signal::USR1 {
                    count.fetch_add(1, Ordering::Relaxed);
                }
            };
            std::thread::scope(|scope| {
                scope.spawn(receive);
                scope.spawn(|| run(receive));
                scope.spawn(|| run(receive));
                for _ in 0..200 {
                    raise(signal::SIGUSR1).unwrap();
                }
                // One for each of the three.
                for _ in 0..3 {
                    raise(signal::SIGUSR2).unwrap();
                }
            });
            while let Some(left) = signals.try_recv() {
                assert_eq!(left, Signal::USR1);
                count.fetch_add(1, Ordering::Relaxed);
            }
            assert_eq!(count.load(Ordering::Relaxed), 200);
        }
    });
}

/// Several green threads of one runtime that wait on one listener are served in order.
#[test]
fn waiters_of_one_listener_take_their_turns() {
    alone("waiters_of_one_listener_take_their_turns", || {
        run(|| {
            let signals = Rc::new(listen(&[Signal::USR1]));
            let log = Rc::new(RefCell::new(Vec::new()));
            let waiters: Vec<_> = (0..3)
                .map(|number| {
                    let (signals, log) = (signals.clone(), log.clone());
                    thread::spawn(move || {
                        signals.recv().unwrap();
                        log.borrow_mut().push(number);
                    })
                })
                .collect();
            thread::yield_now();
            for _ in 0..3 {
                raise(signal::SIGUSR1).unwrap();
            }
            for waiter in waiters {
                waiter.join().unwrap();
            }
            assert_eq!(*log.borrow(), [0, 1, 2]);
        });
    });
}

/// A signal that comes all the time does not hide another.
#[test]
fn signals_of_several_kinds_come_in_turn() {
    alone("signals_of_several_kinds_come_in_turn", || {
        let signals = listen(&[Signal::USR1, Signal::TERM]);
        for _ in 0..10 {
            raise(signal::SIGUSR1).unwrap();
        }
        raise(signal::SIGTERM).unwrap();
        let first_two = [signals.recv().unwrap(), signals.recv().unwrap()];
        assert!(first_two.contains(&Signal::TERM), "{first_two:?}");
    });
}

#[test]
fn a_bounded_wait_ends_and_a_signal_that_is_there_wins() {
    alone(
        "a_bounded_wait_ends_and_a_signal_that_is_there_wins",
        || {
            let check = || {
                let signals = listen(&[Signal::USR1]);
                let start = Instant::now();
                let error = signals.recv_timeout(Duration::from_millis(2)).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::TimedOut);
                assert!(start.elapsed() >= Duration::from_millis(2));
                for _ in 0..4 {
                    raise(signal::SIGUSR1).unwrap();
                }
                assert!(signals.recv_timeout(Duration::ZERO).is_ok());
                assert!(signals.recv_deadline(start).is_ok());
                assert!(signals.recv_timeout(Duration::MAX).is_ok());
                assert_eq!(signals.try_recv(), Some(Signal::USR1));
                let error = signals.recv_deadline(start).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::TimedOut);
            };
            run(check);
            check();
        },
    );
}

/// After a signal has come and was received, the next wait sleeps.
#[test]
fn a_wait_outside_a_runtime_does_not_spin() {
    use nix::sys::resource::{UsageWho, getrusage};
    alone("a_wait_outside_a_runtime_does_not_spin", || {
        let sleeps = || {
            let usage = getrusage(UsageWho::RUSAGE_THREAD).unwrap();
            usage.voluntary_context_switches()
        };
        let signals = listen(&[Signal::USR1]);
        raise(signal::SIGUSR1).unwrap();
        signals.recv().unwrap();
        let before = sleeps();
        let timeout = Duration::from_millis(20);
        assert!(signals.recv_timeout(timeout).is_err());
        assert!(sleeps() > before);
    });
}

/// Rule 18: the wait unwinds, and what comes later is received by others.
#[test]
fn a_cancelled_wait_loses_no_signal() {
    alone("a_cancelled_wait_loses_no_signal", || {
        let signals = Rc::new(listen(&[Signal::USR1]));
        run(|| {
            let signals = signals.clone();
            thread::spawn(move || {
                let _ = signals.recv();
                unreachable!("no signal has come");
            });
            thread::yield_now();
        });
        raise(signal::SIGUSR1).unwrap();
        assert_eq!(run(|| signals.recv().unwrap()), Signal::USR1);
    });
}

#[test]
fn what_no_handler_can_receive_is_refused() {
    let refused = [
        libc::SIGKILL,
        libc::SIGSTOP,
        libc::SIGSEGV,
        libc::SIGBUS,
        libc::SIGFPE,
        libc::SIGILL,
        // The C library's own.
        32,
        0,
        -1,
        65,
        i32::MAX,
    ];
    for number in refused {
        let error = Signals::new([Signal::WINCH, Signal::from_raw(number)]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{number}");
    }
    assert_eq!(Signal::real_time(1000), None);
    assert_eq!(Signal::from_raw(65).to_string(), "signal 65");
}

/// The default action, here the end of the process, stays away; another listener begins anew.
#[test]
fn a_dropped_listener_leaves_the_signal_harmless() {
    alone("a_dropped_listener_leaves_the_signal_harmless", || {
        drop(listen(&[Signal::TERM]));
        raise(signal::SIGTERM).unwrap();
        let signals = listen(&[Signal::TERM]);
        assert_eq!(signals.try_recv(), None);
        raise(signal::SIGTERM).unwrap();
        assert_eq!(signals.try_recv(), Some(Signal::TERM));
    });
}

#[test]
fn listeners_that_come_and_go_leave_no_file_descriptors() {
    alone(
        "listeners_that_come_and_go_leave_no_file_descriptors",
        || {
            run(|| {
                let descriptors = || fs::read_dir("/proc/self/fd").unwrap().count();
                let round = || {
                    let signals = listen(&[Signal::USR1]);
                    assert!(signals.recv_timeout(Duration::ZERO).is_err());
                };
                round();
                let before = descriptors();
                for _ in 0..100 {
                    round();
                }
                assert_eq!(descriptors(), before);
            });
        },
    );
}

#[test]
fn the_handler_that_was_there_is_still_called() {
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    extern "C" fn count(_: libc::c_int) {
        CALLS.fetch_add(1, Ordering::Relaxed);
    }
    extern "C" fn count_with_info(
        signal: libc::c_int,
        info: *mut libc::siginfo_t,
        _: *mut libc::c_void,
    ) {
        // SAFETY: the kernel's, passed on.
        assert_eq!(unsafe { &*info }.si_signo, signal);
        CALLS.fetch_add(10, Ordering::Relaxed);
    }
    alone("the_handler_that_was_there_is_still_called", || {
        let handlers = [
            (signal::SIGUSR1, SigHandler::Handler(count)),
            (signal::SIGUSR2, SigHandler::SigAction(count_with_info)),
        ];
        for (number, handler) in handlers {
            let action = SigAction::new(handler, SaFlags::empty(), SigSet::empty());
            // SAFETY: the handlers touch an atomic only.
            unsafe { signal::sigaction(number, &action) }.unwrap();
        }
        let signals = listen(&[Signal::USR1, Signal::USR2]);
        raise(signal::SIGUSR1).unwrap();
        raise(signal::SIGUSR2).unwrap();
        assert_eq!(CALLS.load(Ordering::Relaxed), 11);
        assert!(signals.recv().is_ok() && signals.recv().is_ok());
    });
}

/// Rule 13: the handler runs on the alternate stack, and does not interrupt system calls for good.
#[test]
fn the_handler_is_installed_as_it_should() {
    alone("the_handler_is_installed_as_it_should", || {
        let _signals = listen(&[Signal::USR1]);
        // SAFETY: all-zero bytes are a valid sigaction.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        // SAFETY: the kernel writes the action and changes nothing.
        let result = unsafe { libc::sigaction(libc::SIGUSR1, std::ptr::null(), &raw mut action) };
        assert_eq!(result, 0);
        let wanted = libc::SA_ONSTACK | libc::SA_RESTART;
        assert_eq!(action.sa_flags & wanted, wanted);
        // It needs no room on the smallest of stacks.
        run(|| {
            let small = thread::Builder::new().stack_size(16 * 1024);
            let raising = small.spawn(|| (0..100).for_each(|_| raise(signal::SIGUSR1).unwrap()));
            raising.unwrap().join().unwrap();
        });
    });
}

/// Behaviour 41: reads, accepts and sleeps do not see the signals that interrupt them.
#[test]
fn interrupted_waits_go_on() {
    alone("interrupted_waits_go_on", || {
        let check = || {
            let signals = listen(&[Signal::USR1]);
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            let target = pthread_self();
            let bombard = move || {
                for _ in 0..200 {
                    pthread_kill(target, signal::SIGUSR1).unwrap();
                    std::thread::yield_now();
                }
            };
            let other = std::thread::spawn(move || {
                bombard();
                let mut stream = std::net::TcpStream::connect(address).unwrap();
                bombard();
                stream.write_all(b"x").unwrap();
                bombard();
            });
            let (mut stream, _): (TcpStream, _) = listener.accept().unwrap();
            stream.read_exact(&mut [0]).unwrap();
            let start = Instant::now();
            thread::sleep(Duration::from_millis(5));
            assert!(start.elapsed() >= Duration::from_millis(5));
            other.join().unwrap();
            // Some merge, as they come from another OS thread.
            assert!(signals.try_recv().is_some());
        };
        run(check);
        check();
    });
}
