//! In every order that loom finds: what wakers of tasks and of `block_on` do on other OS threads. The
//! protocols of `park/task.rs`, `scheduler/task.rs` and `park/signal.rs`, step by step, with the same
//! orderings: no wake-up is lost, each reference is given up once, and nothing is used that was freed.

use std::sync::Arc;

use loom::cell::UnsafeCell;
use loom::sync::Mutex;
use loom::sync::Notify;
use loom::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicUsize, Ordering, fence};
use loom::thread;

/// A task: `Task::references`, `Task::has_letter`, and what its runtime alone uses.
struct Task {
    references: AtomicU32,
    has_letter: AtomicBool,
    /// What the future is polled with, and freed at the end: loom finds a use that is not ordered.
    body: UnsafeCell<u32>,
    freed: AtomicU32,
}

/// A runtime's mailbox, and the bell that ends its sleep.
struct Mailbox {
    letters: Mutex<Vec<Arc<Task>>>,
    bell: Notify,
}

// SAFETY: loom watches the cell.
unsafe impl Send for Task {}
// SAFETY: as above.
unsafe impl Sync for Task {}

impl Task {
    /// Counted for the runtime, its handle, and so many wakers.
    fn new(wakers: u32) -> Arc<Self> {
        Arc::new(Self {
            references: AtomicU32::new(2 + wakers),
            has_letter: AtomicBool::new(false),
            body: UnsafeCell::new(0),
            freed: AtomicU32::new(0),
        })
    }

    fn retain(&self) {
        let before = self.references.fetch_add(1, Ordering::Relaxed);
        assert!(before > 0, "a reference to what was given up");
    }

    /// `Task::release`.
    fn release(&self) {
        if self.references.fetch_sub(1, Ordering::Release) == 1 {
            self.references.load(Ordering::Acquire);
            // SAFETY: nobody uses it any more, which is what the model shows.
            self.body.with_mut(|body| unsafe { *body = u32::MAX });
            assert_eq!(self.freed.fetch_add(1, Ordering::Relaxed), 0);
        }
    }

    /// `send_word`.
    fn wake_by_ref(self: &Arc<Self>, mailbox: &Mailbox) {
        if !self.has_letter.swap(true, Ordering::AcqRel) {
            self.retain();
            let mut letters = mailbox.letters.lock().unwrap();
            letters.push(self.clone());
            let first = letters.len() == 1;
            drop(letters);
            if first {
                mailbox.bell.notify();
            }
        }
    }
}

impl Mailbox {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            letters: Mutex::new(Vec::new()),
            bell: Notify::new(),
        })
    }

    /// A turn: `read_letters` and `read_word`. Says whether there were any.
    fn read(&self) -> bool {
        let letters = std::mem::take(&mut *self.letters.lock().unwrap());
        let any = !letters.is_empty();
        for task in letters {
            task.has_letter.swap(false, Ordering::AcqRel);
            task.release();
        }
        any
    }
}

/// Two OS threads make two conditions true and wake the task, which ends when it has seen both. Its
/// wakers and its handle go in any order with that; the last frees it.
#[test]
fn no_wake_up_of_a_task_is_lost_and_it_is_freed_once() {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(|| {
        let (task, mailbox) = (Task::new(2), Mailbox::new());
        let done = Arc::new(AtomicUsize::new(0));
        let wakers: Vec<_> = (0..2)
            .map(|_| {
                let (task, mailbox, done) = (task.clone(), mailbox.clone(), done.clone());
                thread::spawn(move || {
                    done.fetch_add(1, Ordering::Relaxed);
                    // `Waker::wake`: the same, and then its own reference goes.
                    task.wake_by_ref(&mailbox);
                    task.release();
                })
            })
            .collect();
        loop {
            // A poll.
            // SAFETY: the runtime's OS thread alone uses it.
            task.body.with_mut(|body| unsafe { *body += 1 });
            if done.load(Ordering::Relaxed) == 2 {
                break;
            }
            // Nothing is queued: it sleeps until there is a letter.
            while !mailbox.read() {
                mailbox.bell.wait();
            }
        }
        // It has ended: its handle goes, and the runtime's own reference.
        task.release();
        task.release();
        wakers.into_iter().for_each(|waker| waker.join().unwrap());
        // The mailbox goes, with what nobody has read.
        mailbox.read();
        assert_eq!(task.freed.load(Ordering::Relaxed), 1);
    });
}

/// A `Signal`, counted as by an `Arc`.
struct Signal {
    is_set: AtomicBool,
    count: AtomicUsize,
    /// Where it was made: whoever uses it has to see that.
    made: UnsafeCell<u32>,
    bell: Arc<Notify>,
}

// SAFETY: loom watches the cell.
unsafe impl Send for Signal {}
// SAFETY: as above.
unsafe impl Sync for Signal {}

impl Signal {
    fn new(bell: &Arc<Notify>) -> *mut Self {
        let signal = Self {
            is_set: AtomicBool::new(false),
            count: AtomicUsize::new(1),
            made: UnsafeCell::new(0),
            bell: bell.clone(),
        };
        // SAFETY: it is new.
        signal.made.with_mut(|made| unsafe { *made = 1 });
        Box::into_raw(Box::new(signal))
    }

    /// `Signal::set` on another OS thread.
    fn set(&self) {
        // SAFETY: nobody writes after it was made, which is what the model shows.
        self.made.with(|made| assert_eq!(unsafe { *made }, 1));
        if !self.is_set.swap(true, Ordering::AcqRel) {
            self.bell.notify();
        }
    }

    /// `Signal::take`.
    fn take(&self) -> bool {
        self.is_set.load(Ordering::Relaxed) && self.is_set.swap(false, Ordering::Acquire)
    }

    /// As `Arc` does it.
    unsafe fn release(signal: *mut Self) {
        // SAFETY: the caller's reference keeps it.
        if unsafe { &*signal }.count.fetch_sub(1, Ordering::Release) == 1 {
            fence(Ordering::Acquire);
            // SAFETY: that was the last one.
            drop(unsafe { Box::from_raw(signal) });
        }
    }
}

/// A `Wakeup`: its signal is made by whoever needs it first.
struct Wakeup {
    signal: AtomicPtr<Signal>,
    bell: Arc<Notify>,
}

impl Wakeup {
    /// `Wakeup::signal`.
    fn signal(&self) -> *mut Signal {
        let known = self.signal.load(Ordering::Acquire);
        if !known.is_null() {
            return known;
        }
        let made = Signal::new(&self.bell);
        let exchanged = self.signal.compare_exchange(
            std::ptr::null_mut(),
            made,
            Ordering::AcqRel,
            Ordering::Acquire,
        );
        match exchanged {
            Ok(_) => made,
            Err(known) => {
                // SAFETY: nobody else has seen it.
                unsafe { Signal::release(made) };
                known
            }
        }
    }

    /// `clone_borrowed`.
    fn clone_waker(&self) -> *mut Signal {
        let signal = self.signal();
        // SAFETY: it is counted for this value, which is borrowed.
        unsafe { &*signal }.count.fetch_add(1, Ordering::Relaxed);
        signal
    }
}

/// Two OS threads clone a `block_on`'s waker during one poll, as by `std::thread::scope`, and one of
/// them uses its clone later; the poll's own thread waits for what it tells.
#[test]
fn a_signal_is_made_once_whoever_clones_first_and_its_wake_up_is_not_lost() {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(|| {
        let bell = Arc::new(Notify::new());
        let wakeup = Arc::new(Wakeup {
            signal: AtomicPtr::new(std::ptr::null_mut()),
            bell,
        });
        let ready = Arc::new(AtomicBool::new(false));
        // The poll: both clone while it lasts.
        let cloning: Vec<_> = (0..2)
            .map(|_| {
                let wakeup = wakeup.clone();
                thread::spawn(move || wakeup.clone_waker() as usize)
            })
            .collect();
        let mut clones = cloning.into_iter().map(|clone| clone.join().unwrap());
        let (first, second) = (clones.next().unwrap(), clones.next().unwrap());
        assert_eq!(first, second, "two signals for one wait");
        let waking = thread::spawn({
            let ready = ready.clone();
            move || {
                ready.store(true, Ordering::Relaxed);
                let signal = first as *mut Signal;
                // SAFETY: the clone keeps it.
                unsafe { &*signal }.set();
                // SAFETY: the reference is the clone's.
                unsafe { Signal::release(signal) };
            }
        });
        let dropping = thread::spawn(move || {
            // SAFETY: the reference is the clone's.
            unsafe { Signal::release(second as *mut Signal) };
        });
        // The wait, and polls after it.
        let signal = wakeup.signal();
        while !ready.load(Ordering::Relaxed) {
            // SAFETY: the signal is counted for the wakeup.
            while !unsafe { &*signal }.take() {
                wakeup.bell.wait();
            }
        }
        // It is over, perhaps before the others have let go.
        // SAFETY: the reference is the wakeup's.
        unsafe { Signal::release(signal) };
        waking.join().unwrap();
        dropping.join().unwrap();
    });
}
