//! Stacks as a user meets them: alignment, depth, reuse, sizes, backtraces.

use std::backtrace::Backtrace;
use std::hint::black_box;
use std::io::ErrorKind;

use greenlit::{Runtime, run, thread};

/// Uses `depth` frames of at least a kibibyte each.
fn recurse(depth: usize) -> usize {
    let frame = black_box([depth as u8; 1024]);
    match depth {
        0 => usize::from(frame[0]),
        _ => recurse(depth - 1) + usize::from(black_box(frame)[1023] == depth as u8),
    }
}

/// Behaviour 43.
#[test]
fn floating_point_formatting_and_values_survive() {
    run(|| {
        let threads: Vec<_> = (0..10)
            .map(|n| {
                thread::spawn(move || {
                    let value = f64::from(n) / 3.0;
                    let before = format!("{value:.17e}");
                    let mut lanes = [value; 8];
                    for _ in 0..5 {
                        lanes = black_box(lanes.map(|lane| lane * 1.5));
                        thread::yield_now();
                        lanes = black_box(lanes.map(|lane| lane / 1.5));
                    }
                    assert!(lanes.iter().all(|lane| (lane - value).abs() < 1e-12));
                    assert_eq!(format!("{value:.17e}"), before);
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

/// Behaviour 45.
#[test]
fn a_backtrace_ends_at_the_root_of_its_green_thread() {
    #[inline(never)]
    fn capture() -> String {
        black_box(Backtrace::force_capture()).to_string()
    }
    let trace = run(|| thread::spawn(capture).join().unwrap());
    assert!(trace.contains("capture"), "{trace}");
    if cfg!(greenlit_portable) {
        // corosensei shows whoever resumed the coroutine below it, down to the OS thread's own
        // root.
        return assert!(trace.lines().count() < 200, "{trace}");
    }
    // Neither the frames of the OS thread's own stack nor a loop.
    assert!(
        !trace.contains("std::sys::backtrace::__rust_begin_short_backtrace"),
        "{trace}"
    );
    assert!(trace.lines().count() < 80, "{trace}");
}

/// Behaviour 46.
#[test]
fn a_stack_is_reused_and_its_deep_pages_go_back() {
    Runtime::builder()
        .stack_size(8 << 20)
        .build()
        .unwrap()
        .run(|| {
            let shallow = || {
                thread::spawn(|| (&raw const *black_box(&0_u8)).addr() >> 20)
                    .join()
                    .unwrap()
            };
            assert_eq!(
                shallow(),
                shallow(),
                "the pool hands out the stack that came back last"
            );

            let used = |depth| {
                let thread = thread::spawn(move || {
                    assert_eq!(recurse(depth), depth);
                    thread::stack_high_water().unwrap()
                });
                thread.join().unwrap()
            };
            assert!(used(0) < 64 << 10);
            assert!(used(1000) > 1000 << 10);
            // What is resident is what the kernel says (mincore(2)): the deep pages have gone back.
            assert!(used(0) < 64 << 10);
        });
}

#[test]
fn parked_threads_give_back_what_they_have_left() {
    Runtime::builder()
        .stack_size(8 << 20)
        .build()
        .unwrap()
        .run(|| {
            let idle = thread::spawn(|| {
                recurse(1000);
                let before = thread::stack_high_water().unwrap();
                thread::park();
                (before, thread::stack_high_water().unwrap(), recurse(1000))
            });
            thread::yield_now();
            assert_eq!(thread::trim_stacks(), 1);
            idle.thread().unpark();
            let (before, after, _) = idle.join().unwrap();
            assert!(before > 1000 * 1024, "{before} bytes");
            assert!(after < before / 4, "{after} bytes");
        });
    assert_eq!(thread::stack_high_water(), None);
    assert_eq!(thread::trim_stacks(), 0);
}

#[test]
fn stack_sizes_from_16_kib_to_a_gibibyte() {
    for bytes in [16 << 10, 17 << 10, 48 << 10, 240 << 10, 1 << 20, 1 << 30] {
        let ran = Runtime::builder()
            .stack_size(bytes)
            .build()
            .unwrap()
            .run(|| {
                // Frames are several times larger in debug builds and under sanitizers.
                thread::spawn(move || recurse((bytes >> 10).min(100_000) / 16))
                    .join()
                    .unwrap()
            });
        assert!(ran > 0);
    }
    run(|| {
        let large = thread::Builder::new()
            .stack_size(64 << 20)
            .spawn(|| recurse(20_000))
            .unwrap();
        large.join().unwrap();
    });
}

#[test]
fn stack_sizes_that_cannot_be_served_are_errors() {
    for bytes in [0, 1, (16 << 10) - 1, usize::MAX, usize::MAX / 2] {
        let error = Runtime::builder().stack_size(bytes).build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{bytes}: {error}");
        run(|| {
            let error = thread::Builder::new()
                .stack_size(bytes)
                .spawn(|| ())
                .unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{bytes}: {error}");
            assert_eq!(thread::spawn(|| 1).join().unwrap(), 1);
        });
    }
}
