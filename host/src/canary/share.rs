//! The share of new runs that a canary gets, and the choice of the runs.
//!
//! The choice depends on the canary's code and on the run's id alone: each host that has the code chooses alike without
//! asking another one, and a larger share keeps every run that a smaller one had.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A part of the new runs, in percent: 0 to 99. With 0 the canary answers only to its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Share(u8);

impl Share {
    pub const NONE: Self = Self(0);
    /// A tenth of the new runs.
    pub const DEFAULT: Self = Self(10);

    /// The first values of a hash, below this one, are the share's.
    const fn limit(self) -> u64 {
        u64::MAX / 100 * self.0 as u64
    }
}

impl TryFrom<u8> for Share {
    type Error = String;

    fn try_from(percent: u8) -> Result<Self, Self::Error> {
        match percent {
            0..=99 => Ok(Self(percent)),
            _ => Err(format!("expected a share from 0 to 99 percent, got {percent}")),
        }
    }
}

impl From<Share> for u8 {
    fn from(Share(percent): Share) -> Self {
        percent
    }
}

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = text.trim().trim_end_matches('%').parse::<u8>();
        let number = number.map_err(|_| format!("expected a share from 0 to 99 percent, got {text:?}"))?;
        Self::try_from(number)
    }
}

impl fmt::Display for Share {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} %", self.0)
    }
}

/// The choice of the runs of a canary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    key: [u8; 32],
}

impl Split {
    /// The choice for a canary with these sources: the digest of its content is the salt.
    #[must_use]
    pub fn new(digest: &str) -> Self {
        Self {
            key: *blake3::hash(digest.as_bytes()).as_bytes(),
        }
    }

    /// Tells whether a run is one of the canary's, where that has this share.
    #[must_use]
    pub fn takes(&self, run: &str, share: Share) -> bool {
        let hash = blake3::keyed_hash(&self.key, run.as_bytes());
        let [a, b, c, d, e, f, g, h, ..] = *hash.as_bytes();
        u64::from_le_bytes([a, b, c, d, e, f, g, h]) < share.limit()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Share, Split};

    proptest! {
        #[test]
        fn a_larger_share_keeps_every_run_that_a_smaller_one_had(
            digest in "[0-9a-f]{8}", run in "[0-9A-Z]{26}", one in 1_u8..100, other in 1_u8..100,
        ) {
            let (smaller, larger) = (Share(one.min(other)), Share(one.max(other)));
            let split = Split::new(&digest);
            prop_assert!(!split.takes(&run, smaller) || split.takes(&run, larger));
            prop_assert!(!split.takes(&run, Share::NONE));
        }

        #[test]
        fn hosts_with_the_same_code_choose_alike(digest in "[0-9a-f]{8}", run in "[0-9A-Z]{26}", percent in 1_u8..100) {
            let hosts: Vec<bool> = (0..3).map(|_| Split::new(&digest).takes(&run, Share(percent))).collect();
            prop_assert!(hosts.iter().all(|takes| *takes == hosts[0]));
        }
    }

    #[test]
    fn a_tenth_of_many_runs_is_a_tenth() {
        for digest in ["one", "another"] {
            let split = Split::new(digest);
            let takes = |run: &i32| split.takes(&format!("01J{run:023}"), Share::DEFAULT);
            let taken = (0..10_000).filter(takes).count();
            assert!((900..=1100).contains(&taken), "{digest}: {taken}");
        }
    }

    #[test]
    fn two_canaries_choose_different_runs() {
        let [one, other] = ["one", "another"].map(Split::new);
        let takes = |split: &Split, run: i32| split.takes(&run.to_string(), Share(50));
        let alike = (0..1000).filter(|run| takes(&one, *run) == takes(&other, *run));
        let alike = alike.count();
        assert!((400..600).contains(&alike), "{alike}");
    }

    #[test]
    fn a_share_is_read_with_or_without_its_sign_and_within_its_bounds() {
        assert_eq!("10".parse(), Ok(Share(10)));
        assert_eq!(" 5% ".parse(), Ok(Share(5)));
        assert_eq!("0".parse(), Ok(Share::NONE));
        for wrong in ["100", "ten", "", "-1", "1.5", "256"] {
            assert!(wrong.parse::<Share>().unwrap_err().contains("from 0 to 99"), "{wrong}");
        }
        assert!(serde_json::from_str::<Share>("100").is_err());
        assert_eq!(Share(10).to_string(), "10 %");
    }
}
