//! The errors that a canary throws, counted, so that its end names the most frequent one.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The most different errors of a function that are counted. More are most likely one with a number in it.
const MOST_ERRORS: usize = 20;

/// The errors of a function by their texts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct ErrorCounts(BTreeMap<String, u32>);

impl ErrorCounts {
    pub(super) fn note(&mut self, error: String) {
        if self.0.len() < MOST_ERRORS || self.0.contains_key(&error) {
            let count = self.0.entry(error).or_default();
            *count = count.saturating_add(1);
        }
    }

    pub(super) fn most_frequent(&self) -> Option<&str> {
        let most = self.0.iter().max_by_key(|(_, count)| **count)?;
        Some(most.0)
    }
}

#[cfg(test)]
mod tests {
    use super::{ErrorCounts, MOST_ERRORS};

    #[test]
    fn the_most_frequent_error_is_known_and_only_so_many_are_kept() {
        let mut errors = ErrorCounts::default();
        assert_eq!(errors.most_frequent(), None);
        for number in 0..100 {
            errors.note(format!("Error: order {number}"));
            errors.note("TypeError: not a function".to_owned());
        }
        assert_eq!(errors.0.len(), MOST_ERRORS);
        assert_eq!(errors.most_frequent(), Some("TypeError: not a function"));
    }
}
