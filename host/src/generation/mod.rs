//! Generations: each is the whole project as it was loaded once, with its own isolates.
//!
//! `state` decides, `keeper` acts and is the only one that does, `table` is what everybody else
//! reads, `lease` keeps a generation alive while it has calls, `reload` is the queue of what is to
//! be loaded, `report` what became of it.

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
