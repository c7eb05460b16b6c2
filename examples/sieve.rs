//! The sieve of Eratosthenes as a chain of generators: each takes numbers from the one before it
//! and passes on those that its prime does not divide.
//!
//! ```text
//! cargo run --example sieve
//! ```

use greenlit::coroutine::Generator;

/// How many primes are printed, and so how many generators stand in the chain at the end.
const PRIMES: usize = 100;

fn main() {
    let mut numbers = Generator::new(|g| {
        for number in 2_u32.. {
            g.yield_(number);
        }
    });
    for place in 1..=PRIMES {
        let prime = numbers.next().expect("there is no last prime");
        print!("{prime:>4}{}", if place % 10 == 0 { "\n" } else { "" });

        // From here on numbers come through a filter.
        numbers = Generator::new(move |g| {
            for number in numbers {
                if number % prime != 0 {
                    g.yield_(number);
                }
            }
        });
    }
}
