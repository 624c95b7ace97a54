//! Generations: each is the whole project as it was loaded once, with its own isolates.
//!
//! `state` decides, `keeper` acts and is the only one that does, `table` is what everybody else
//! reads, `lease` keeps a generation alive while it has calls, `reload` is the queue of what is to
//! be loaded, `report` what became of it.
//!
//! # Files
//!
//! - `state.rs` pure state machine
//! - `keeper/` the one task that acts, and looks after isolates (`request.rs` is what others ask it)
//! - `pool.rs` a generation's isolates
//! - `lease.rs` one atomic word
//! - `live.rs` a generation that has isolates
//! - `table.rs` what everybody reads
//! - `timeline.rs` the last minutes, bounded
//! - `reload.rs` the queue
//! - `load.rs` a request while it is worked on
//! - `losses.rs` what isolates that V8 could not end have cost
//! - `deadlines.rs`
//! - `retry.rs`
//! - `role.rs` whether this host is the one that accepts
//! - `history.rs` what served last, `store.rs` the same on the disk
//! - `holds.rs` which calls belong to an older generation
//! - `report.rs` the answer

mod deadlines;
mod history;
mod holds;
mod keeper;
pub mod lease;
mod live;
mod load;
mod losses;
mod pool;
mod reload;
mod report;
mod retry;
mod role;
mod state;
mod store;
mod table;
mod timeline;

#[cfg(test)]
pub(crate) mod fake_engine;
#[cfg(test)]
mod tests;

pub use holds::{Expected, Holds, Pin};
pub use keeper::{Frozen, Keeper, Limits};
pub use live::{CallInfo, Generation, Lease};
pub use pool::{IsolateId, Observed};
pub use reload::{Reason, Want};
pub use report::{FunctionChanges, Outcome, Report};
pub use role::Role;
pub use state::{GenerationId, PublicState, State};
pub use table::{Entry, Gone, HostEvent, Table, View};
pub use timeline::{Answered, Begun, Last, Mark, News, Reloaded};
