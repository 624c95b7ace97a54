//! Reloads one after another, as many as the test wants: each generation serves a call, the generation
//! before retires, and the resources of the process are counted.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::baton::Baton;
use crate::deadline;
use crate::process::{Held, Memory};

/// The number of reloads that pass before anything is compared: caches fill, the allocator settles.
pub const WARM_UP: u64 = 100;

/// A Baton that is reloaded again and again.
#[derive(Debug)]
pub struct Soak<'a> {
    pub baton: &'a Baton,
    /// The number of reloads, more than [`WARM_UP`].
    pub reloads: u64,
}

/// The progress of a soak.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    pub reloads: u64,
    pub elapsed: Duration,
    /// Resident memory in KiB.
    pub resident: f64,
}

/// Resident memory in KiB, with one generation alive, after each reload from [`WARM_UP`] on.
#[derive(Debug, Clone)]
pub struct Course(pub Vec<f64>);

impl Soak<'_> {
    /// Runs all reloads. Each one calls `edit` with its number, reloads, calls `call`, which fails
    /// when the answer is not the new code's, and waits until the generation before has retired.
    /// `report` hears of each reload.
    ///
    /// Panics when there are in the end more threads, sockets or children than after the warm-up.
    pub async fn run(&self, edit: impl Fn(u64), call: impl AsyncFn(u64), mut report: impl FnMut(Progress)) -> Course {
        let Self { baton, reloads } = *self;
        assert!(reloads > WARM_UP, "{reloads} reloads are not more than {WARM_UP}");
        let mut lines = baton.stderr().from_the_beginning();
        let mut memory = Vec::new();
        let mut before = None;
        let start = Instant::now();
        for generation in 1..=reloads {
            edit(generation);
            let _ = baton.reload_with("?force=1").await.activated();
            call(generation).await;
            lines
                .wait_for("generation retired", &json!({ "generation": generation }))
                .await;
            let resident = Memory::of(baton.pid()).resident;
            if generation >= WARM_UP {
                memory.push(resident);
                if before.is_none() {
                    baton.rested().await;
                    before = Some(Held::by(baton.pid()));
                }
            }
            report(Progress {
                reloads: generation,
                elapsed: start.elapsed(),
                resident,
            });
        }
        let before = before.expect("the warm-up has passed");
        let found = || async { Held::by(baton.pid()).no_more_than(before).then_some(()) };
        let context = || format!("{:?} instead of {before:?}", Held::by(baton.pid()));
        deadline::until("threads, sockets and children are as many as before", context, found).await;
        Course(memory)
    }
}

impl Course {
    /// Returns the growth of memory in KiB a reload: the slope of a line through the course, by least
    /// squares.
    #[must_use]
    pub fn growth(&self) -> f64 {
        let n = self.0.len() as f64;
        let mean_x = (n - 1.0) / 2.0;
        let mean_y = self.0.iter().sum::<f64>() / n;
        let (mut above, mut below) = (0.0, 0.0);
        for (x, y) in self.0.iter().enumerate() {
            let dx = x as f64 - mean_x;
            above += dx * (y - mean_y);
            below += dx * dx;
        }
        above / below
    }

    /// Returns the memory after the warm-up.
    #[must_use]
    pub fn first(&self) -> f64 {
        self.0[0]
    }

    /// Returns the memory at the end.
    #[must_use]
    pub fn last(&self) -> f64 {
        self.0[self.0.len() - 1]
    }
}

impl std::fmt::Display for Course {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (first, last, growth) = (self.first(), self.last(), self.growth());
        write!(
            f,
            "{first:.0} KiB at reload {WARM_UP}, {last:.0} KiB at the end, {growth:.1} KiB a reload"
        )
    }
}
