//! Generators: an iterator is written as a function that yields, and may park while it does.
//!
//! ```text
//! cargo run --example generator
//! ```

use greenlit::coroutine::{Generator, Yielder};
use greenlit::thread;
use greenlit::time::Duration;

fn main() {
    // Each `next` runs the function to its next `yield_`, and no further.
    let mut hello = Generator::new(|g| {
        println!("Hello,");
        g.yield_(());
        println!("World!");
        g.yield_(());
    });
    hello.next();
    hello.next();
    assert_eq!(hello.next(), None);

    // The recursion that a hand-written iterator would have to unroll.
    let tree = Tree::of(&[4, 2, 6, 1, 3, 5, 7]);
    let in_order: Vec<_> = Generator::new(move |g| walk(&tree, g)).collect();
    println!("in order: {in_order:?}");

    // Inside a green thread a generator may park: its siblings run while it waits for the next
    // value.
    greenlit::run(|| {
        let sibling = thread::spawn(|| println!("a sibling runs while the generator sleeps"));
        let slow = Generator::new(|g| {
            for n in 1..=3 {
                thread::sleep(Duration::from_millis(10));
                g.yield_(n);
            }
        });
        println!("slowly: {:?}", slow.collect::<Vec<_>>());
        sibling.join().expect("the sibling does not panic");
    });
}

/// A binary tree: smaller numbers are on the left.
struct Tree {
    number: u32,
    left: Option<Box<Tree>>,
    right: Option<Box<Tree>>,
}

impl Tree {
    /// The tree of some numbers, the first of which is at its root.
    fn of(numbers: &[u32]) -> Option<Box<Tree>> {
        let (&number, rest) = numbers.split_first()?;
        let (smaller, larger): (Vec<_>, Vec<_>) = rest.iter().partition(|n| **n < number);
        Some(Box::new(Tree {
            number,
            left: Tree::of(&smaller),
            right: Tree::of(&larger),
        }))
    }
}

/// Yields a tree's numbers from left to right.
fn walk(tree: &Option<Box<Tree>>, g: &Yielder<u32>) {
    if let Some(tree) = tree {
        walk(&tree.left, g);
        g.yield_(tree.number);
        walk(&tree.right, g);
    }
}
