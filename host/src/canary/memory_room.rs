//! The memory that a canary needs: while it is on, the host holds two generations.

use js_runtime_api::{LoadError, LoadErrorKind};

/// Refuses a canary beside a generation whose isolates hold `held` bytes, where only `free` bytes are left.
#[must_use]
pub fn lack_of_memory(held: u64, free: u64) -> Option<LoadError> {
    let mebibytes = |bytes: u64| bytes >> 20;
    (held > free).then(|| LoadError {
        kind: LoadErrorKind::System,
        message: format!(
            "a canary does not fit into the memory: the code that serves holds {} MiB, the canary may come to hold as \
             much, and {} MiB are free",
            mebibytes(held),
            mebibytes(free)
        ),
        help: Some("Give the host more memory, or reload without a canary: `baton reload --no-canary`.".to_owned()),
        ..LoadError::default()
    })
}

#[cfg(test)]
mod tests {
    use super::lack_of_memory;

    #[test]
    fn a_canary_needs_as_much_as_the_code_that_serves_and_the_refusal_says_how_much_that_is() {
        assert_eq!(lack_of_memory(100 << 20, 100 << 20), None);
        let refusal = lack_of_memory(800 << 20, 300 << 20).unwrap();
        for said in ["holds 800 MiB", "300 MiB are free"] {
            assert!(refusal.message.contains(said), "{}", refusal.message);
        }
    }
}
