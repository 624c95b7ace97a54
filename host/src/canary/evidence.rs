//! The test for "the canary is worse": an e-process for two streams of outcomes that are good or bad, as of Turner, Ly
//! and Grünwald (<https://arxiv.org/abs/2106.02693>), one-sided.
//!
//! The outcomes of the current generation since the last outcome of the canary are, together with the canary's next
//! one, a block. Before each block both rates are estimated from what came earlier. The block multiplies the e-value by
//! the likelihood ratio of these two rates to the one rate that would explain both lanes, and by 1 where the estimate
//! does not say "worse". While the canary is not worse, the e-value exceeds 1/α at any time with a probability of at
//! most α. So it may be looked at after each outcome.

use serde::{Deserialize, Serialize};

/// The generation that a run belongs to, while a canary is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Lane {
    Current,
    Canary,
}

/// Outcomes of one kind, and how many of them were bad.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tally {
    pub bad: u32,
    pub total: u32,
}

/// The outcomes that an estimate begins with.
struct Prior {
    bad: f64,
    good: f64,
}

/// Code that serves fails rarely.
const OF_CURRENT: Prior = Prior { bad: 0.18, good: 1.0 };
/// Nothing is known of new code.
const OF_CANARY: Prior = Prior { bad: 0.18, good: 0.18 };

impl Tally {
    fn note(&mut self, is_bad: bool) {
        self.bad = self.bad.saturating_add(u32::from(is_bad));
        self.total = self.total.saturating_add(1);
    }

    fn good(self) -> u32 {
        self.total.saturating_sub(self.bad)
    }

    fn rate(self, prior: &Prior) -> f64 {
        (f64::from(self.bad) + prior.bad) / (f64::from(self.total) + prior.bad + prior.good)
    }

    /// Tells whether at least half of the outcomes were bad.
    #[must_use]
    pub const fn is_mostly_bad(self) -> bool {
        self.bad >= self.total.div_ceil(2)
    }
}

/// The evidence that the canary is worse, for one function and one signal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Evidence {
    current: Tally,
    canary: Tally,
    /// The outcomes of the current generation in the block that is not complete.
    pending: Tally,
    /// The natural logarithm of the e-value.
    log: f64,
}

impl Evidence {
    /// Adds an outcome.
    pub fn observe(&mut self, lane: Lane, is_bad: bool) {
        match lane {
            Lane::Current => self.pending.note(is_bad),
            Lane::Canary => {
                self.log += self.log_factor(is_bad);
                self.current.bad = self.current.bad.saturating_add(self.pending.bad);
                self.current.total = self.current.total.saturating_add(self.pending.total);
                self.pending = Tally::default();
                self.canary.note(is_bad);
            }
        }
    }

    /// The logarithm of the factor of a block that this outcome of the canary completes.
    fn log_factor(&self, is_bad: bool) -> f64 {
        let (current, canary) = (self.current.rate(&OF_CURRENT), self.canary.rate(&OF_CANARY));
        if canary <= current {
            return 0.0;
        }
        let pending = f64::from(self.pending.total);
        let both = (pending * current + canary) / (pending + 1.0);
        let of_canary = match is_bad {
            true => canary / both,
            false => (1.0 - canary) / (1.0 - both),
        };
        f64::from(self.pending.bad) * (current / both).ln()
            + f64::from(self.pending.good()) * ((1.0 - current) / (1.0 - both)).ln()
            + of_canary.ln()
    }

    /// The e-value: how many times the outcomes would pay back a bet that the canary is worse.
    #[must_use]
    pub fn e_value(&self) -> f64 {
        // A number of JSON in any case.
        self.log.min(690.0).exp()
    }

    /// The outcomes of a lane.
    #[must_use]
    pub const fn of(&self, lane: Lane) -> Tally {
        match lane {
            Lane::Current => Tally {
                bad: self.current.bad.saturating_add(self.pending.bad),
                total: self.current.total.saturating_add(self.pending.total),
            },
            Lane::Canary => self.canary,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Evidence, Lane, Tally};
    use crate::canary::simulation::Chance;

    /// The number of bad outcomes among several, by the inverse of their distribution: one number of chance suffices
    /// for a whole block.
    struct Bad(Vec<u64>);

    impl Bad {
        fn of(total: i32, rate: f64) -> Self {
            let (mut sum, mut choose) = (0.0, 1.0);
            let limits = (0..total).map(|bad| {
                sum += choose * rate.powi(bad) * (1.0 - rate).powi(total - bad);
                choose *= f64::from(total - bad) / f64::from(bad + 1);
                #[allow(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "a part of all values"
                )]
                let limit = (sum * 18_446_744_073_709_551_615.0) as u64;
                limit
            });
            Self(limits.collect())
        }

        fn draw(&self, chance: &mut Chance) -> usize {
            let value = chance.next();
            self.0.iter().take_while(|limit| **limit <= value).count()
        }
    }

    const ALPHA: f64 = 0.01;

    /// Has nine runs of the current generation end for each of the canary, and returns the number of the canary's runs
    /// until the verdict; `None` when there is none in so many.
    fn runs_until_fail(chance: &mut Chance, current: &Bad, canary: &Bad, tests: f64, most: usize) -> Option<usize> {
        let mut evidence = Evidence::default();
        let wanted = (tests / ALPHA).ln();
        (1..=most).find(|_| {
            let bad = u32::try_from(current.draw(chance)).unwrap();
            evidence.pending = Tally { bad, total: 9 };
            evidence.observe(Lane::Canary, canary.draw(chance) == 1);
            evidence.log >= wanted
        })
    }

    #[test]
    fn worse_code_is_found_as_soon_as_the_documentation_says() {
        // One test alone, and the four signals of ten functions.
        for (tests, current, canary, median) in [
            (1.0, 0.02, 1.0, 3),
            (1.0, 0.02, 0.5, 8),
            (1.0, 0.02, 0.2, 29),
            (1.0, 0.02, 0.1, 88),
            (1.0, 0.1, 0.3, 50),
            (40.0, 0.02, 1.0, 4),
            (40.0, 0.02, 0.5, 12),
            (40.0, 0.02, 0.2, 45),
            (40.0, 0.1, 0.3, 81),
            (40.0, 0.02, 0.1, 149),
        ] {
            let mut chance = Chance(0x9E37_79B9_7F4A_7C15);
            let (current_bad, canary_bad) = (Bad::of(9, current), Bad::of(1, canary));
            let runs = (0..1001).map(|_| runs_until_fail(&mut chance, &current_bad, &canary_bad, tests, 2000));
            let mut runs: Vec<usize> = runs.map(|runs| runs.expect("worse code is found")).collect();
            runs.sort_unstable();
            let found = runs[500];
            assert!(
                found.abs_diff(median) * 5 <= median,
                "{current} to {canary}: half of the simulations end within {found} runs, {median} are wanted"
            );
        }
    }

    /// The verdict is looked for after each outcome.
    #[test]
    fn code_that_is_the_same_is_failed_no_oftener_than_alpha_says() {
        for rate in [0.02, 0.1] {
            let mut chance = Chance(7);
            let (current, canary) = (Bad::of(9, rate), Bad::of(1, rate));
            let all = 0..10_000;
            let wrong = all.filter(|_| runs_until_fail(&mut chance, &current, &canary, 1.0, 150).is_some());
            let wrong = wrong.count();
            assert!(wrong <= 100, "{rate}: {wrong} wrong verdicts in 10,000");
        }
    }

    /// Outcomes come in any order in a host: how many of the current generation are in a block is chance, too.
    #[test]
    fn wrong_verdicts_are_as_rare_when_the_lanes_are_drawn_by_lot() {
        let mut chance = Chance(11);
        let (bad, in_canary) = (Bad::of(1, 0.1), Bad::of(1, 0.1));
        let wanted = (1.0 / ALPHA).ln();
        let wrong = (0..10_000).filter(|_| {
            let mut evidence = Evidence::default();
            (0..300).any(|_| {
                let lane = match in_canary.draw(&mut chance) {
                    0 => Lane::Current,
                    _ => Lane::Canary,
                };
                evidence.observe(lane, bad.draw(&mut chance) == 1);
                evidence.log >= wanted
            })
        });
        let wrong = wrong.count();
        assert!(wrong <= 100, "{wrong} wrong verdicts in 10,000");
    }

    proptest! {
        #[test]
        fn better_code_is_no_evidence_and_the_e_value_stays_a_number(
            outcomes in proptest::collection::vec((any::<bool>(), any::<bool>()), 0..300),
        ) {
            let mut evidence = Evidence::default();
            for (in_canary, is_bad) in outcomes {
                let lane = if in_canary { Lane::Canary } else { Lane::Current };
                evidence.observe(lane, is_bad);
                prop_assert!(evidence.log.is_finite());
            }
            let mut better = Evidence::default();
            for _ in 0..100 {
                better.observe(Lane::Current, true);
                better.observe(Lane::Canary, false);
            }
            prop_assert!(better.e_value() < 2.0);
        }
    }

    #[test]
    fn lanes_that_fail_alike_are_no_evidence() {
        let mut evidence = Evidence::default();
        for _ in 0..50 {
            for _ in 0..9 {
                evidence.observe(Lane::Current, true);
            }
            evidence.observe(Lane::Canary, true);
        }
        assert!(evidence.e_value() < 100.0, "{}", evidence.e_value());
        assert_eq!(evidence.of(Lane::Current), Tally { bad: 450, total: 450 });
        assert!(evidence.of(Lane::Canary).is_mostly_bad());
        assert!(!Tally { bad: 1, total: 3 }.is_mostly_bad());
    }
}
