//! Ten jobs, three at a time: a scope whose threads borrow, a semaphore, and a condition on which
//! the main thread waits for a half of them.
//!
//! ```text
//! $ cargo run --release --example pool
//! half of the jobs are done
//! all 10 are done, and never were more than 3 under way
//! ```

use greenlit::sync::{Condvar, Mutex, Semaphore};
use greenlit::thread;
use greenlit::time::Duration;

/// How the jobs stand.
#[derive(Default)]
struct Jobs {
    done: usize,
    under_way: usize,
    most: usize,
}

fn main() {
    greenlit::run(|| {
        let (jobs, changed) = (Mutex::new(Jobs::default()), Condvar::new());
        let places = Semaphore::new(3);
        thread::scope(|scope| {
            for _ in 0..10 {
                scope.spawn(|| {
                    let _place = places.acquire();
                    let mut now = jobs.lock().unwrap();
                    now.under_way += 1;
                    now.most = now.most.max(now.under_way);
                    drop(now);
                    thread::sleep(Duration::from_millis(10));
                    let mut now = jobs.lock().unwrap();
                    now.under_way -= 1;
                    now.done += 1;
                    changed.notify_all();
                });
            }
            let half = changed.wait_while(jobs.lock().unwrap(), |jobs| jobs.done < 5);
            drop(half.unwrap());
            println!("half of the jobs are done");
        });
        let jobs = jobs.into_inner().unwrap();
        let (done, most) = (jobs.done, jobs.most);
        println!("all {done} are done, and never were more than {most} under way");
    });
}
