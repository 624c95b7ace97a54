//! Generations: each is the whole project as it was loaded once, with its own isolates.
//!
//! `state` decides, `keeper` alone acts, everybody else reads `table`, `lease` keeps a generation alive while it has
//! calls, `reload_queue` is the queue of loads, `report` tells their outcomes.
//!
//! # Files
//!
//! - `state.rs` pure state machine
//! - `keeper/` the one task that acts, and looks after isolates (`keeper_handle.rs` the handle on it)
//! - `pool.rs` a generation's isolates
//! - `lease.rs` one atomic word
//! - `live.rs` a generation that has isolates
//! - `choice.rs` the generation that a person names for a run
//! - `table.rs` the state that everybody reads
//! - `trial.rs` a canary that is on
//! - `timeline.rs` the last minutes, bounded
//! - `reload_queue.rs` the queue
//! - `load.rs` a request while it is worked on
//! - `losses.rs` the cost of isolates that V8 could not end
//! - `deadlines.rs`
//! - `retry.rs`
//! - `role.rs` the role of this host: whether it is the one that accepts
//! - `history.rs` the sources that served last, `store.rs` the same on the disk
//! - `holds.rs` the calls that belong to an older generation
//! - `project_place.rs` the project that a generation's code is of
//! - `report.rs` the answer, `report_words.rs` the same for people
//! - `gate.rs` whoever may refuse a generation before it gets runs

mod choice;
mod deadlines;
mod gate;
mod history;
mod holds;
mod keeper;
pub mod lease;
mod live;
mod load;
mod losses;
mod pool;
mod project_place;
mod reload_queue;
mod report;
pub mod report_words;
mod retry;
mod role;
mod state;
mod store;
mod table;
mod timeline;
mod trial;

#[cfg(test)]
pub(crate) mod fake_engine;
#[cfg(test)]
mod tests;

pub use choice::GenerationChoice;
pub use gate::{Candidate, Gate, RunsWanted};
pub use holds::{ExpectedCalls, Holds, Pin};
pub use keeper::{FrozenHost, Keeper, Limits};
pub use live::{CallInfo, Generation, Lease};
pub use pool::{IsolateId, IsolateObservation};
pub use project_place::{FindRelease, ProjectPlace, Projects};
pub use reload_queue::{Reason, WantedCode};
pub use report::{FunctionChanges, Outcome, Report};
pub use role::Role;
pub use state::{GenerationId, PublicState, State};
pub use table::{GenerationEntry, HostEvent, LeaseRefusal, Table, View};
pub use timeline::{CallResult, CallStart, LastCall, Mark, ReloadRecord, TimelineNews};
pub use trial::{CanaryCommand, CanaryEnd, CanaryRefusal, CanaryState, CanarySummary, SignalEvidence};
