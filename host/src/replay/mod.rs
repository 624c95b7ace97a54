//! Replays of live runs: they tell, without traffic, which runs new code would disturb.
//!
//! The host keeps the newest call of each live run. At a reload each such call is replayed in the code that serves and
//! in the new code, with the steps that its run has memoised and with `disable_immediate_execution`, so that the SDK
//! plans the next steps and runs none. Where the two plans differ, the new code would go on otherwise.
//!
//! A replay has no side effect: it happens in confined isolates, whose code reads and reaches nothing else
//! ([`js_runtime_api::Reach`]), and which are thrown away. A replay that was denied something is not compared.
//!
//! # Files
//!
//! - `kept_calls.rs` the newest call of each live run, bounded
//! - `replayed_plan.rs` the plan that an answer tells
//! - `comparison.rs` two plans compared (pure)
//! - `replay_report.rs` the outcome, typed and in words
//! - `replay_course.rs` the act

mod comparison;
mod kept_calls;
mod replay_course;
mod replay_report;
mod replayed_plan;

pub use kept_calls::KeptCalls;
pub use replay_course::{ReplayLimits, ReplayedCode, replay};
pub use replay_report::ReplayReport;
