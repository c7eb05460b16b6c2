//! The contract's tests: every CPU inherits them.

use std::backtrace::Backtrace;
use std::cell::{Cell, RefCell};
use std::fmt::Write as _;
use std::hint::black_box;
use std::panic::{self, AssertUnwindSafe};
use std::ptr;
use std::rc::Rc;

use corosensei::stack::valgrind::ValgrindStackRegistration;
use corosensei::stack::{Stack, StackPointer};
use corosensei::{Coroutine, CoroutineResult};

use super::{Context, Nested, prepare, release, stack_pointer, switch, switch_last};

/// What a test's stack can hold: a panic with a backtrace in a debug build needs most of it.
const STACK_BYTES: usize = 256 * 1024;
/// The guard below it.
const GUARD_BYTES: usize = 64 * 1024;

/// A guarded stack.
struct TestStack {
    mapping: *mut u8,
    _registration: ValgrindStackRegistration,
}

impl TestStack {
    fn new() -> Self {
        // SAFETY: a new anonymous mapping touches nothing that exists.
        let mapping = unsafe {
            libc::mmap(
                ptr::null_mut(),
                GUARD_BYTES + STACK_BYTES,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        assert_ne!(mapping, libc::MAP_FAILED);
        // SAFETY: the range is the lower part of the mapping made above.
        let result = unsafe { libc::mprotect(mapping, GUARD_BYTES, libc::PROT_NONE) };
        assert_eq!(result, 0);
        let mapping = mapping.cast::<u8>();
        let limit = mapping.wrapping_add(GUARD_BYTES);
        Self {
            mapping,
            _registration: ValgrindStackRegistration::new(limit, STACK_BYTES),
        }
    }

    fn top(&self) -> *mut u8 {
        self.mapping.wrapping_add(GUARD_BYTES + STACK_BYTES)
    }

    fn bottom(&self) -> *mut u8 {
        self.mapping.wrapping_add(GUARD_BYTES)
    }

    fn holds(&self, address: *mut u8) -> bool {
        (self.bottom()..self.top()).contains(&address)
    }
}

impl Drop for TestStack {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and whoever ran on it has been released.
        let result = unsafe { libc::munmap(self.mapping.cast(), GUARD_BYTES + STACK_BYTES) };
        assert_eq!(result, 0);
    }
}

// SAFETY: the mapping is guarded, large enough, and page-aligned.
unsafe impl Stack for TestStack {
    fn base(&self) -> StackPointer {
        StackPointer::new(self.top().addr()).unwrap()
    }

    fn limit(&self) -> StackPointer {
        StackPointer::new(self.mapping.addr()).unwrap()
    }
}

/// An execution that runs a closure; each test builds its own scheduler of them.
struct Fiber {
    context: Context,
    stack: TestStack,
    /// The body, until it starts.
    body: RefCell<Option<Body>>,
}

type Body = Box<dyn FnOnce(*mut ()) -> Leave>;

/// What a fiber's body ends with: whom to continue last, and with what.
struct Leave(*const Context, usize);

impl Fiber {
    fn new(body: impl FnOnce(*mut ()) -> Leave + 'static) -> Rc<Self> {
        let fiber = Rc::new(Self {
            context: Context::new(),
            stack: TestStack::new(),
            body: RefCell::new(Some(Box::new(body))),
        });
        fiber.prepare();
        fiber
    }

    /// Starts it anew with another body, after its end.
    fn reuse(&self, body: impl FnOnce(*mut ()) -> Leave + 'static) {
        // SAFETY: it has made its last switch, or never started.
        unsafe { release(&self.context) };
        *self.body.borrow_mut() = Some(Box::new(body));
        self.prepare();
    }

    fn prepare(&self) {
        let (top, bottom) = (self.stack.top(), self.stack.bottom());
        let data = ptr::from_ref(self).cast_mut().cast();
        // SAFETY: the stack is the fiber's own and unused; the fiber is in an `Rc`, so in place,
        // and its owner keeps it while its body runs.
        unsafe { prepare(&self.context, top, bottom, Self::enter, data) };
    }

    unsafe extern "C" fn enter(arg: *mut (), data: *mut ()) -> ! {
        // SAFETY: `prepare` passed the fiber.
        let fiber = unsafe { &*data.cast::<Fiber>() };
        let body = fiber.body.borrow_mut().take().unwrap();
        let Leave(to, arg) = body(arg);
        // SAFETY: the body has ended and `to` is suspended.
        unsafe { switch_last(&fiber.context, to, ptr::without_provenance_mut(arg)) }
    }
}

impl Drop for Fiber {
    fn drop(&mut self) {
        // SAFETY: tests end with each fiber over or never started.
        unsafe { release(&self.context) };
    }
}

/// `switch` with a number for an argument.
#[inline(always)]
fn go(from: *const Context, to: *const Context, arg: usize) -> usize {
    // SAFETY: each test switches between suspended executions of its own, which it keeps.
    unsafe { switch(from, to, ptr::without_provenance_mut(arg)) }.addr()
}

/// Resumes a corosensei coroutine.
fn resume<I, Y, R>(
    coroutine: &mut Coroutine<I, Y, R, TestStack>,
    nested: &Nested,
    input: I,
) -> CoroutineResult<Y, R> {
    let outer = nested.enter();
    let result = coroutine.resume(input);
    // SAFETY: `outer` comes from just above.
    unsafe { nested.leave(outer) };
    result
}

/// A place for the context of a test's own execution, which fibers can share.
fn home() -> Rc<Context> {
    Rc::new(Context::new())
}

#[test]
fn smoke_values_pass_both_ways() {
    let main = home();
    let other = Rc::new(Cell::new(ptr::null::<Context>()));
    let fiber = Fiber::new({
        let (main, own) = (main.clone(), other.clone());
        move |first| {
            assert_eq!(first.addr(), 1);
            assert_eq!(go(own.get(), &*main, 2), 3);
            assert_eq!(go(own.get(), &*main, 4), 5);
            Leave(&*main, 6)
        }
    });
    other.set(&fiber.context);
    assert_eq!(go(&*main, &fiber.context, 1), 2);
    assert!(fiber.stack.holds(fiber.context.stack_pointer()));
    assert_eq!(go(&*main, &fiber.context, 3), 4);
    assert_eq!(go(&*main, &fiber.context, 5), 6);
}

/// Behaviour 43.
#[test]
fn a_fresh_stack_is_aligned_for_vector_spills_and_float_formatting() {
    #[repr(C, align(16))]
    struct Vector([f32; 4]);
    let main = home();
    let fiber = Fiber::new({
        let main = main.clone();
        move |arg| {
            let vector = black_box(Vector([1.0, 2.0, 3.0, 4.0]));
            assert_eq!((&raw const vector).addr() % 16, 0);
            let sum: f32 = vector.0.iter().sum();
            assert_eq!(
                format!("{sum:.3} {:e}", black_box(0.1_f64) + 0.2),
                "10.000 3.0000000000000004e-1"
            );
            // Many live values of either kind are spilled around a call.
            let floats: [f64; 24] = std::array::from_fn(|i| black_box(i as f64 * 1.5));
            let mut text = String::new();
            for float in floats {
                write!(text, "{float} ").unwrap();
            }
            assert!(text.ends_with("34.5 "), "{text}");
            Leave(&*main, arg.addr())
        }
    });
    assert_eq!(go(&*main, &fiber.context, 7), 7);
}

/// Keeps more integers and floats alive across ten switches than there are registers.
#[inline(never)]
fn churn(seed: u32, mut switch_away: impl FnMut()) -> (u64, f64) {
    let mut integers: [u64; 12] = std::array::from_fn(|i| black_box(u64::from(seed) + i as u64));
    let mut floats: [f64; 12] =
        std::array::from_fn(|i| black_box(f64::from(seed) / (i as f64 + 1.0)));
    for round in 0..10_u32 {
        switch_away();
        for value in &mut integers {
            *value = value.rotate_left(5) ^ u64::from(round);
        }
        for value in &mut floats {
            *value = *value * 1.25 + f64::from(round);
        }
    }
    (
        integers.iter().fold(0, |sum, value| sum ^ value),
        floats.iter().sum(),
    )
}

/// Behaviour 43.
#[test]
fn integer_and_float_registers_survive_switches() {
    let main = home();
    let own = Rc::new(Cell::new(ptr::null::<Context>()));
    let fiber = Fiber::new({
        let (main, own) = (main.clone(), own.clone());
        move |_| {
            let got = churn(77, || assert_eq!(go(own.get(), &*main, 0), 0));
            assert_eq!(got, churn(77, || ()));
            Leave(&*main, 99)
        }
    });
    own.set(&fiber.context);
    // Each switch of one lands in the middle of the other's computation.
    let mut last = 0;
    let got = churn(12345, || last = go(&*main, &fiber.context, 0));
    assert_eq!(got, churn(12345, || ()));
    assert_eq!(last, 0);
    assert_eq!(go(&*main, &fiber.context, 0), 99);
}

/// Behaviour 45.
#[test]
fn a_backtrace_ends_at_the_root() {
    let main = home();
    let text = Rc::new(RefCell::new(String::new()));
    let fiber = Fiber::new({
        let (main, text) = (main.clone(), text.clone());
        move |_| {
            *text.borrow_mut() = Backtrace::force_capture().to_string();
            Leave(&*main, 0)
        }
    });
    go(&*main, &fiber.context, 0);
    let text = text.borrow();
    let frames = text.lines().filter(|line| line.contains(": "));
    let frames = frames
        .skip_while(|line| !line.ends_with("::enter"))
        .collect::<Vec<_>>();
    let last = frames
        .last()
        .unwrap_or_else(|| panic!("the entry is a frame: {text}"));
    if text.contains("::drive\n") {
        // corosensei's frames go on into whoever resumed the coroutine, here the driver.
        assert!(frames.len() < 50, "{text}");
    } else {
        assert!(
            last.ends_with("::first_frame") && frames.len() <= 3,
            "{text}"
        );
    }
}

#[test]
fn a_chain_of_contexts_hands_a_value_on() {
    const LENGTH: usize = 100;
    let main = home();
    let chain = Rc::new(RefCell::new(Vec::<Rc<Fiber>>::new()));
    for place in 0..LENGTH {
        let (main, links) = (main.clone(), chain.clone());
        let next = move || match links.borrow().get(place + 1) {
            Some(fiber) => &raw const fiber.context,
            None => &raw const *main,
        };
        let links = chain.clone();
        chain.borrow_mut().push(Fiber::new(move |arg| {
            let own = ptr::from_ref(&links.borrow()[place].context);
            let arg = go(own, next(), arg.addr() + 1);
            Leave(next(), arg + 1000)
        }));
    }
    let first = ptr::from_ref(&chain.borrow()[0].context);
    assert_eq!(go(&*main, first, 0), LENGTH);
    assert_eq!(go(&*main, first, 0), LENGTH * 1000);
    // The bodies held the chain; they are over, and so is the cycle.
    drop(chain.take());
}

#[test]
fn a_stack_is_reused_after_the_last_switch() {
    let main = home();
    let fiber = Fiber::new({
        let main = main.clone();
        move |arg| Leave(&*main, arg.addr() + 1)
    });
    let mut sum = go(&*main, &fiber.context, 0);
    for _ in 0..1000 {
        let main_again = main.clone();
        fiber.reuse(move |arg| {
            // Dirties the stack, and has the sanitizer poison some of it.
            let mut bytes = black_box([0_u8; 300]);
            bytes[black_box(7)] = 1;
            Leave(&*main_again, arg.addr() + usize::from(bytes[7]))
        });
        sum = go(&*main, &fiber.context, sum);
    }
    assert_eq!(sum, 1001);
    // One that was prepared and never started can be released too.
    fiber.reuse(|_| unreachable!("it is never switched to"));
}

/// Behaviour 44.
#[test]
fn a_panic_is_caught_inside_the_entry() {
    struct CountsDrop(Rc<Cell<u32>>);
    impl Drop for CountsDrop {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
        }
    }
    let main = home();
    let own = Rc::new(Cell::new(ptr::null::<Context>()));
    let drops = Rc::new(Cell::new(0));
    let fiber = Fiber::new({
        let (main, own, drops) = (main.clone(), own.clone(), drops.clone());
        move |_| {
            let caught = panic::catch_unwind(AssertUnwindSafe(|| {
                let _guard = CountsDrop(drops.clone());
                go(own.get(), &*main, 1);
                panic::resume_unwind(Box::new(42_u32));
            }));
            Leave(
                &*main,
                *caught.unwrap_err().downcast::<u32>().unwrap() as usize,
            )
        }
    });
    own.set(&fiber.context);
    assert_eq!((go(&*main, &fiber.context, 0), drops.get()), (1, 0));
    assert_eq!((go(&*main, &fiber.context, 0), drops.get()), (42, 1));
}

/// A green thread parks while a coroutine runs on it: what is left is the coroutine's stack.
#[test]
fn an_execution_is_left_and_continued_inside_a_nested_coroutine() {
    let main = home();
    let own = Rc::new(Cell::new(ptr::null::<Context>()));
    let where_left = Rc::new(Cell::new(ptr::null_mut::<u8>()));
    let fiber = Fiber::new({
        let (main, own, where_left) = (main.clone(), own.clone(), where_left.clone());
        move |_| {
            let stack = TestStack::new();
            let bounds = stack.bottom()..stack.top();
            let (inner_main, inner_own) = (main.clone(), own.clone());
            let announced = Nested::new();
            let mut nested = Coroutine::with_stack(stack, move |yielder, first: u32| {
                assert!(bounds.contains(&stack_pointer()));
                let text = format!("{first} and {}", go(inner_own.get(), &*inner_main, 10));
                let second: u32 = yielder.suspend(text);
                let text = format!("{second} and {}", go(inner_own.get(), &*inner_main, 20));
                assert!(bounds.contains(&stack_pointer()));
                text
            });
            assert_eq!(
                resume(&mut nested, &announced, 1),
                CoroutineResult::Yield("1 and 11".to_owned())
            );
            // Between the two it is left on its own stack as well.
            where_left.set(stack_pointer());
            assert_eq!(go(own.get(), &*main, 15), 16);
            assert_eq!(
                resume(&mut nested, &announced, 2),
                CoroutineResult::Return("2 and 21".to_owned())
            );
            Leave(&*main, 30)
        }
    });
    own.set(&fiber.context);
    assert_eq!(go(&*main, &fiber.context, 0), 10);
    assert!(
        !fiber.stack.holds(fiber.context.stack_pointer()),
        "it was left on the nested stack"
    );
    // Another execution comes in between, on its own stack.
    let between = Fiber::new({
        let (main, own) = (main.clone(), own.clone());
        move |arg| {
            let _ = (black_box([1_u8; 2000]), own);
            Leave(&*main, arg.addr())
        }
    });
    assert_eq!(go(&*main, &between.context, 5), 5);
    assert_eq!(go(&*main, &fiber.context, 11), 15);
    assert!(
        fiber.stack.holds(where_left.get()) && fiber.stack.holds(fiber.context.stack_pointer())
    );
    assert_eq!(go(&*main, &fiber.context, 16), 20);
    assert_eq!(go(&*main, &fiber.context, 21), 30);
}

/// The OS thread's own execution parks while a coroutine runs on it, and the coroutine is continued
/// by somebody else than the one who began it.
#[test]
fn a_coroutine_moves_between_the_executions_that_resume_it() {
    let main = home();
    let own = Rc::new(Cell::new(ptr::null::<Context>()));
    let nested = Rc::new(RefCell::new(None));
    let fiber = Fiber::new({
        let (main, own, nested) = (main.clone(), own.clone(), nested.clone());
        move |arg| {
            assert_eq!(arg.addr(), 7);
            assert_eq!(go(own.get(), &*main, 8), 9);
            let (mut coroutine, announced): (_, Nested) = nested.borrow_mut().take().unwrap();
            assert_eq!(
                resume(&mut coroutine, &announced, &raw const *own),
                CoroutineResult::Yield(10)
            );
            assert_eq!(
                resume(&mut coroutine, &announced, &raw const *own),
                CoroutineResult::Return(12)
            );
            Leave(&*main, 13)
        }
    });
    own.set(&fiber.context);
    let announced = Nested::new();
    let mut coroutine = Coroutine::with_stack(TestStack::new(), {
        let (main, own) = (main.clone(), own.clone());
        move |yielder, _first: *const Cell<*const Context>| {
            // The OS thread's execution is left here, on the coroutine's stack.
            assert_eq!(go(&*main, own.get(), 7), 8);
            yielder.suspend(9);
            // From here on it is the fiber that runs the coroutine.
            yielder.suspend(10);
            go(own.get(), &*main, 11)
        }
    });
    assert_eq!(
        resume(&mut coroutine, &announced, &raw const *own),
        CoroutineResult::Yield(9)
    );
    *nested.borrow_mut() = Some((coroutine, announced));
    assert_eq!(go(&*main, &fiber.context, 9), 11);
    assert_eq!(go(&*main, &fiber.context, 12), 13);
}

/// A context may be left by another execution than the one it was prepared for: a green thread that
/// drives symmetric coroutines is left on a member's stack.
#[test]
fn a_context_remembers_whichever_execution_left_it() {
    let main = home();
    let green = home();
    let member = Fiber::new({
        let (main, green) = (main.clone(), green.clone());
        move |_| {
            assert_eq!(go(&*green, &*main, 1), 2);
            Leave(&*main, 3)
        }
    });
    assert_eq!(go(&*main, &member.context, 0), 1);
    assert!(member.stack.holds(green.stack_pointer()));
    assert_eq!(go(&*main, &*green, 2), 3);
}

#[test]
fn a_prefetch_of_any_address_does_nothing() {
    super::prefetch(ptr::null());
    super::prefetch(ptr::without_provenance(usize::MAX));
    super::prefetch(ptr::from_ref(&STACK_BYTES).cast());
}
