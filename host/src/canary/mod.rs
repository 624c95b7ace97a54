//! A canary: new code that gets a share of the new runs beside the code that serves, until the evidence, the time or a
//! person decides which of the two goes on.
//!
//! Everything here is pure: no clock, no task, no generation. `generation/trial.rs` holds a canary that is on, and the
//! keeper acts on its verdict.
//!
//! - `options.rs` the terms of a canary
//! - `share.rs` the runs that the canary gets
//! - `stages.rs` the shares that it gets one after the other
//! - `call_effect.rs` the outcome of one call, read from its answer
//! - `counts.rs` the outcomes of runs, by function and signal, in both lanes
//! - `error_counts.rs` the errors that the canary throws
//! - `evidence.rs` the test: how much the outcomes say that the canary is worse
//! - `step_times.rs` the times that steps take, and which of them are slow
//! - `known_steps.rs` the steps that runs have, for those that move
//! - `verdict.rs` the decision
//! - `memory_room.rs` the memory that a canary needs
//! - `record.rs` the state of a canary that the next host goes on with

mod call_effect;
mod counts;
mod error_counts;
mod evidence;
mod known_steps;
mod memory_room;
mod options;
mod record;
mod share;
#[cfg(test)]
mod simulation;
mod stages;
mod step_times;
mod verdict;

pub use call_effect::{CallEffect, CallReport, is_first_call};
pub use counts::{CanarySignal, MovingRuns, RunCounts};
pub use evidence::{Evidence, Lane, Tally};
pub use memory_room::lack_of_memory;
pub use options::{Alpha, CanaryOptions, CanaryUse, CanaryWish, OnFail, OnTime};
pub use record::CanaryRecord;
pub use share::{Share, Split};
pub use stages::{Stage, Stages};
pub use step_times::SlowStep;
pub use verdict::{CanaryVerdict, Doubt, Grounds, Terms, decide};
