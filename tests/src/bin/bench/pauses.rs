//! The time that the machine takes from the programs on it. One thread for each core does nothing but look at the
//! clock, and measures how long it could not. On a virtual machine its neighbours take that time, and a p99 shows it.

use std::fmt;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// The time for which the threads look at the clock.
const LOOKS: Duration = Duration::from_secs(2);

/// The shortest pause that counts: a thread that runs undisturbed sees the clock again far sooner.
const NOTABLE: Duration = Duration::from_micros(100);

/// The shortest pause that a call notices.
const LONG: Duration = Duration::from_millis(1);

/// See the module's documentation.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Pauses {
    /// The share of all cores' time.
    share: f64,
    /// The number of pauses of more than a millisecond, a second, on all cores together.
    long: f64,
}

impl Pauses {
    /// Measures the pauses; this takes two seconds, and all cores.
    pub(crate) fn of_now() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let all: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..cores).map(|_| scope.spawn(of_one_core)).collect();
            threads
                .into_iter()
                .flat_map(|thread| thread.join().expect("it only looks at the clock"))
                .collect()
        });
        let long = all.iter().filter(|pause| **pause > LONG).count();
        Self {
            share: all.iter().sum::<Duration>().as_secs_f64() / (LOOKS.as_secs_f64() * cores as f64),
            long: long as f64 / LOOKS.as_secs_f64(),
        }
    }

    pub(crate) fn json(&self) -> Value {
        json!({ "share": self.share, "longer_than_1_ms_a_second": self.long })
    }
}

impl fmt::Display for Pauses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { share, long } = self;
        write!(
            f,
            "kept from running {:.1} % of the time, {long:.1} times a second for more than 1 ms",
            share * 100.0
        )
    }
}

fn of_one_core() -> Vec<Duration> {
    let start = Instant::now();
    let mut pauses = Vec::new();
    let mut before = start;
    while before - start < LOOKS {
        let now = Instant::now();
        if now - before > NOTABLE {
            pauses.push(now - before);
        }
        before = now;
    }
    pauses
}
