//! The shares that a canary gets, one after the other, and the stage that it is in.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Share;

/// The most shares of one canary.
const MOST_STAGES: usize = 10;

/// The shares of a canary, which rise; at least one. Only a single share may be 0.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Share>", into = "Vec<Share>")]
pub struct Stages {
    first: Share,
    later: Vec<Share>,
}

impl Stages {
    /// One share, to the end.
    #[must_use]
    pub const fn one(share: Share) -> Self {
        Self {
            first: share,
            later: Vec::new(),
        }
    }

    /// Returns the share of a stage, the first of which is 0; `None` after the last one.
    #[must_use]
    pub fn share(&self, stage: usize) -> Option<Share> {
        match stage.checked_sub(1) {
            None => Some(self.first),
            Some(later) => self.later.get(later).copied(),
        }
    }

    /// Tells whether the canary gets no run by itself, and so waits for a person.
    #[must_use]
    pub fn gets_no_runs(&self) -> bool {
        self.first == Share::NONE
    }
}

impl TryFrom<Vec<Share>> for Stages {
    type Error = String;

    fn try_from(shares: Vec<Share>) -> Result<Self, Self::Error> {
        let Some((first, later)) = shares.split_first() else {
            return Err("expected at least one share".to_owned());
        };
        if shares.len() > MOST_STAGES {
            return Err(format!("expected at most {MOST_STAGES} shares, got {}", shares.len()));
        }
        let rises = shares.windows(2).all(|pair| pair[0] < pair[1]);
        if !rises || (*first == Share::NONE && !later.is_empty()) {
            let shares = shares.iter().map(|share| u8::from(*share).to_string());
            let shares = shares.collect::<Vec<_>>().join(", ");
            return Err(format!(
                "expected shares from 1 to 99 percent that rise, got [{shares}]"
            ));
        }
        Ok(Self {
            first: *first,
            later: later.to_vec(),
        })
    }
}

impl From<Stages> for Vec<Share> {
    fn from(Stages { first, later }: Stages) -> Self {
        [first].into_iter().chain(later).collect()
    }
}

impl fmt::Display for Stages {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.first)?;
        self.later
            .iter()
            .try_for_each(|share| write!(formatter, ", then {share}"))
    }
}

/// The stage that a canary is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stage {
    /// Counts from 0.
    pub number: usize,
    pub began: Timestamp,
    /// The number of the canary's runs that had ended before.
    pub ended_before: u32,
}

impl Stage {
    /// The first stage, from now on.
    #[must_use]
    pub const fn first(began: Timestamp) -> Self {
        Self {
            number: 0,
            began,
            ended_before: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{MOST_STAGES, Share, Stages};

    fn stages(percents: &[u8]) -> Result<Stages, String> {
        let shares: Vec<_> = percents.iter().map(|one| Share::try_from(*one).unwrap()).collect();
        Stages::try_from(shares)
    }

    #[test]
    fn shares_rise_one_after_the_other_and_only_a_single_one_may_be_none() {
        let two = stages(&[10, 50]).unwrap();
        assert_eq!(two.to_string(), "10 %, then 50 %");
        assert_eq!(
            [0, 1, 2].map(|stage| two.share(stage).map(u8::from)),
            [Some(10), Some(50), None]
        );
        assert!(stages(&[0]).unwrap().gets_no_runs());
        let many: Vec<u8> = (1..=11).collect();
        assert!(stages(&many[..MOST_STAGES]).is_ok());
        for wrong in [&[][..], &[0, 10], &[10, 10], &[50, 10], &many] {
            stages(wrong).unwrap_err();
        }
    }

    #[test]
    fn shares_are_read_as_they_are_written() {
        let two = stages(&[10, 50]).unwrap();
        let text = serde_json::to_string(&two).unwrap();
        assert_eq!(text, "[10,50]");
        assert_eq!(serde_json::from_str::<Stages>(&text).unwrap(), two);
    }
}
