//! Simulations of canaries for the tests: numbers of chance that are the same in each run, and runs with steps that take
//! their time.

use std::time::Duration;

use super::{CallEffect, CallReport, CanaryOptions, CanarySignal, CanaryVerdict, Lane, RunCounts, Terms, decide};
use crate::wire::StepTime;

/// A generator of numbers that is the same in each run of the tests (xorshift64*).
pub(super) struct Chance(pub(super) u64);

impl Chance {
    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// A number from 0 to 1.
    fn part(&mut self) -> f64 {
        let high = u32::try_from(self.next() >> 32).unwrap();
        f64::from(high) / f64::from(u32::MAX)
    }

    /// A time around a median, as steps take theirs: half of the times are shorter, and a few are much longer. `spread`
    /// is the standard deviation of its logarithm.
    fn time(&mut self, median: f64, spread: f64) -> Duration {
        // Twelve numbers from 0 to 1 have a sum that is nearly normal, of the standard deviation 1.
        let normal = (0..12).map(|_| self.part()).sum::<f64>() - 6.0;
        Duration::from_secs_f64(median * (spread * normal).exp() / 1000.0)
    }
}

/// Has nine runs of the current generation end for each of the canary, each with one step, and returns the number of the
/// canary's runs until the canary fails; `None` when it does not in so many.
fn runs_until_slow(chance: &mut Chance, median: f64, of_canary: f64, spread: f64, most: usize) -> Option<usize> {
    let terms = Terms {
        options: CanaryOptions::default(),
        functions: 1,
        changed: Vec::new(),
    };
    let mut counts = RunCounts::default();
    let mut end = |lane, time| {
        let time = StepTime {
            step: "charge".to_owned(),
            name: "charge".to_owned(),
            took: time,
        };
        assert!(counts.begin("run", "f", lane));
        let report = CallReport {
            times: vec![time],
            ..CallEffect::Done { ends_run: true }.into()
        };
        counts.note("run", report);
        match decide(&counts, &terms, 0, Duration::ZERO) {
            CanaryVerdict::Fail(grounds) => {
                assert_eq!(grounds.signal, CanarySignal::Slow);
                assert_eq!(grounds.slow_step.map(|slow| slow.name).as_deref(), Some("charge"));
                true
            }
            _ => false,
        }
    };
    (1..=most).find(|_| {
        (0..9).any(|_| end(Lane::Current, chance.time(median, spread)))
            || end(Lane::Canary, chance.time(median * of_canary, spread))
    })
}

#[test]
fn a_step_that_is_twice_as_slow_is_found_as_soon_as_the_documentation_says() {
    for (spread, median) in [(0.1, 5), (0.3, 10), (0.6, 36)] {
        let mut chance = Chance(3);
        let runs = (0..201).map(|_| runs_until_slow(&mut chance, 100.0, 2.0, spread, 2000));
        let mut runs: Vec<usize> = runs.map(|runs| runs.expect("a slow step is found")).collect();
        runs.sort_unstable();
        let found = runs[100];
        assert!(
            found.abs_diff(median) * 5 <= median,
            "{spread}: half of the simulations end within {found} runs, {median} are wanted"
        );
    }
}

/// The verdict is looked for after each outcome.
#[test]
fn steps_that_are_as_fast_fail_no_canary() {
    for (median, spread) in [(100.0, 0.3), (2.0, 1.0), (1000.0, 0.8)] {
        let mut chance = Chance(5);
        let wrong = (0..200).filter(|_| runs_until_slow(&mut chance, median, 1.0, spread, 40).is_some());
        let wrong = wrong.count();
        assert!(wrong <= 2, "{median} ms: {wrong} wrong verdicts in 200");
    }
}
