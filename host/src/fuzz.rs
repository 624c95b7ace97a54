//! Fuzzing of input from outside: a few hundred inputs with each run of the tests. Where `BATON_FUZZ_SECONDS` is set,
//! each target runs for so many seconds.
//!
//! ```sh
//! BATON_FUZZ_SECONDS=600 cargo nextest run --profile fuzz --lib -p baton -p js-runtime -p js-runtime-api -p connect-wire -E 'test(fuzz)' --no-capture
//! ```
//!
//! An input that fails is made smaller, and shown.

#![allow(clippy::print_stdout, reason = "a target that runs for long says how far it came")]

use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

/// The number of inputs in a usual run.
const FEW: u32 = 256;

/// Checks inputs until there is no time left.
#[track_caller]
pub(crate) fn fuzz<S: Strategy>(name: &str, inputs: &S, check: impl Fn(S::Value) -> Result<(), TestCaseError>) {
    let seconds = std::env::var("BATON_FUZZ_SECONDS")
        .ok()
        .and_then(|text| text.parse().ok());
    let until = Instant::now() + Duration::from_secs(seconds.unwrap_or(0));
    let mut checked = 0_u64;
    loop {
        let config = Config {
            cases: FEW,
            failure_persistence: None,
            ..Config::default()
        };
        if let Err(failure) = TestRunner::new(config).run(inputs, &check) {
            panic!("{name}: {failure}");
        }
        checked += u64::from(FEW);
        if Instant::now() >= until {
            break;
        }
    }
    if seconds.is_some() {
        println!("{name}: {checked} inputs");
    }
}

/// Makes bytes from parts of a language and from other bytes.
pub(crate) fn bytes_of(parts: &'static [&'static [u8]], most: usize) -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        6 => prop::sample::select(parts).prop_map(<[u8]>::to_vec),
        1 => prop::collection::vec(any::<u8>(), 0..12),
        1 => (any::<u8>(), 0_usize..3000).prop_map(|(byte, count)| vec![byte; count]),
    ];
    prop::collection::vec(part, 0..most).prop_map(|parts| parts.concat())
}
