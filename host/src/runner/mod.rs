//! Plays Inngest's executor for the runs of one `baton invoke`, or of a project's tests. The runner is a tool: its
//! state is in memory, and gone with the process.
//!
//! ```text
//!  session ── run ──┬─ machine   pure: answers in, effects out
//!     ▲             ├─ sdk       calls of the project's functions
//!     │             └─ wait      sleeps, events, signals, invocations, requests
//!   inbox           what functions send while they run
//! ```
//!
//! # Files
//!
//! - the executor of one run: `machine.rs` decides (pure), `run.rs` and `wait.rs` act, `session.rs` has the common
//!   parts of runs, `sdk.rs` the trait behind which the project is, `op.rs`, `answer.rs` and `sdk_request.rs` the wire,
//!   `inbox.rs` the requests of functions, `post.rs` the waits for their events
//! - `stack_frame.rs` the place where user code threw, with its lines
//! - the parts for tests: `mocks.rs` answers for steps, `session_clock.rs` is the time, which can be advanced

mod activity;
pub mod answer;
pub mod catalogue;
mod expression;
mod id;
pub mod inbox;
mod machine;
pub mod mocks;
mod moment;
pub mod op;
mod post;
mod run;
pub mod run_report;
pub mod sdk;
pub mod sdk_request;
pub mod session;
mod session_clock;
pub mod stack_frame;
mod wait;

#[cfg(test)]
mod tests;
