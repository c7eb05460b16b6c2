//! The macro `select!`. It is no part of `sync`, since its arms are those of `io` and `thread` too.

/// Does one of several things, whichever can be done first: exactly one, and where several can be
/// done at once a random one.
///
/// - `recv(receiver) -> result => …` receives from `mpsc`, `mpmc`, `oneshot`, `broadcast`; from a
///   `watch` receiver it waits for a change.
/// - `send(sender, item) -> result => …` sends to `mpsc` or `mpmc`. The item is made before the
///   wait, as in Go, and dropped where another arm is chosen; [`Select`](crate::sync::select::Select)
///   gives it back instead.
/// - `join(handle) -> result => …` waits for a green thread's end, and takes its result.
/// - `after(duration) => …` and `at(instant) => …` are timers.
/// - `readable(source) -> result => …` and `writable(source) -> result => …` wait until a call on
///   an [`io::Source`](crate::io::Source), a socket, a pipe or [`Signals`](crate::signal::Signals)
///   would not block.
/// - `default => …` is done at once where nothing else can be: then the call does not park. With a
///   time, `default(duration) => …`, it is a timer.
///
/// `-> result` may be left out. A closed channel counts as ready, and says so in its result. Guards
/// are ordinary code: an arm that is not wanted now takes a receiver that nobody sends to.
///
/// # Panics
///
/// In the main green thread, at a deadlock.
///
/// # Cancellation
///
/// As [`Select::wait`](crate::sync::select::Select::wait).
///
/// # Examples
///
/// ```
/// use greenlit::sync::mpsc;
/// use greenlit::{select, thread};
/// use std::time::Duration;
///
/// greenlit::run(|| {
///     let (numbers, receiver) = mpsc::channel();
///     let (stop, stopped) = mpsc::sync_channel::<()>(0);
///     let worker = thread::spawn(move || {
///         let mut sum = 0;
///         loop {
///             select! {
///                 recv(receiver) -> number => sum += number.unwrap(),
///                 recv(stopped) -> _ => return sum,
///                 after(Duration::from_secs(60)) => panic!("nobody asks"),
///             }
///         }
///     });
///     (1..=3).for_each(|number| numbers.send(number).unwrap());
///     thread::yield_now();
///     drop(stop);
///     assert!(worker.join().unwrap() <= 6);
/// });
/// ```
#[macro_export]
macro_rules! select {
    // All arms are read.
    (@read $default:tt $arms:tt $index:tt ;) => {
        $crate::select!(@run $default $arms)
    };
    // A comma behind a block.
    (@read $default:tt $arms:tt $index:tt ; , $($rest:tt)*) => {
        $crate::select!(@read $default $arms $index ; $($rest)*)
    };
    (@read () $arms:tt $index:tt ; default => $body:block $($rest:tt)*) => {
        $crate::select!(@read ($body) $arms $index ; $($rest)*)
    };
    (@read () $arms:tt $index:tt ; default => $body:expr $(, $($rest:tt)*)?) => {
        $crate::select!(@read ($body) $arms $index ; $($($rest)*)?)
    };
    (@read $default:tt $arms:tt $index:tt ; $kind:ident $args:tt => $body:block $($rest:tt)*) => {
        $crate::select!(@arm $default $arms $index $kind $args (_) ($body) $($rest)*)
    };
    (@read $default:tt $arms:tt $index:tt ;
        $kind:ident $args:tt => $body:expr $(, $($rest:tt)*)?) => {
        $crate::select!(@arm $default $arms $index $kind $args (_) ($body) $($($rest)*)?)
    };
    (@read $default:tt $arms:tt $index:tt ;
        $kind:ident $args:tt -> $result:pat => $body:block $($rest:tt)*) => {
        $crate::select!(@arm $default $arms $index $kind $args ($result) ($body) $($rest)*)
    };
    (@read $default:tt $arms:tt $index:tt ;
        $kind:ident $args:tt -> $result:pat => $body:expr $(, $($rest:tt)*)?) => {
        $crate::select!(@arm $default $arms $index $kind $args ($result) ($body) $($($rest)*)?)
    };
    // The names `arm` and `outcome` are new ones at each expansion.
    (@arm $default:tt ($($arms:tt)*) ($index:expr)
        $kind:ident $args:tt $result:tt $body:tt $($rest:tt)*) => {
        $crate::select!(@read $default
            ($($arms)* { arm outcome ($index) $kind $args $result $body })
            ($index + 1) ; $($rest)*)
    };

    (@run ($($default:expr)?) ($({
        $arm:ident $outcome:ident ($index:expr) $kind:ident $args:tt ($result:pat) ($body:expr)
    })*)) => {{
        $(let mut $outcome = ::core::option::Option::None;)*
        let chosen = $crate::select!(
            @make ($($default)?) () $({ $arm $outcome ($index) $kind $args })*);
        // The arms have gone: what they borrowed is free again.
        match chosen {
            $(::core::option::Option::Some(index) if index == $index => {
                let $result = $outcome.expect("the chosen arm has an outcome");
                $body
            })*
            _ => $crate::select!(@otherwise $($default)?),
        }
    }};
    (@otherwise) => { ::core::unreachable!("one of the arms was chosen") };
    (@otherwise $default:expr) => { $default };

    // Each arm in a match of its own, so that what its expressions borrow lives as long.
    (@make $default:tt ($($made:tt)*)
        { $arm:ident $outcome:ident $index:tt $kind:ident $args:tt } $($rest:tt)*) => {
        match $crate::select!(@$kind $args) {
            mut $arm => $crate::select!(
                @make $default ($($made)* { $arm $outcome $index }) $($rest)*),
        }
    };
    (@make $default:tt ($({ $arm:ident $outcome:ident ($index:expr) })*)) => {{
        let arms: &mut [&mut dyn $crate::sync::select::Arm] = &mut [$(&mut $arm),*];
        let chosen = $crate::select!(@wait $default $crate::sync::select::Select::new(arms));
        $(if chosen == ::core::option::Option::Some($index) {
            $outcome = ::core::option::Option::Some($arm.finish());
        })*
        chosen
    }};
    (@wait () $select:expr) => { ::core::option::Option::Some($select.wait()) };
    (@wait ($default:expr) $select:expr) => { $select.try_wait() };

    (@recv ($receiver:expr $(,)?)) => { $receiver.recv_arm() };
    (@send ($sender:expr, $item:expr $(,)?)) => { $sender.send_arm($item) };
    (@join ($handle:expr $(,)?)) => { $crate::sync::select::join(&$handle) };
    (@after ($timeout:expr $(,)?)) => { $crate::sync::select::after($timeout) };
    (@default ($timeout:expr $(,)?)) => { $crate::sync::select::after($timeout) };
    (@at ($deadline:expr $(,)?)) => { $crate::sync::select::at($deadline) };
    (@readable ($source:expr $(,)?)) => { $crate::io::readable(&$source) };
    (@writable ($source:expr $(,)?)) => { $crate::io::writable(&$source) };

    (@$($unknown:tt)*) => {
        ::core::compile_error!("select!: no such arm; see its documentation")
    };
    ($($arms:tt)+) => {
        $crate::select!(@read () () (0_usize) ; $($arms)+)
    };
}
