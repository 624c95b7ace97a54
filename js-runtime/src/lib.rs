//! Loads a project of TypeScript modules into V8 isolates and answers fetch requests with it.
//!
//! The only crate that names Deno or V8. It knows nothing of generations, reloading or HTTP
//! servers; the host sees it through `js-runtime-api`. Only the prelude has heard of Inngest.

#![cfg_attr(
    test,
    allow(clippy::disallowed_methods, reason = "a test's tasks and threads end with it")
)]

mod built_in;
mod compat;
mod contained;
mod diagnostics;
mod engine;
#[cfg(test)]
#[path = "../../host/src/fuzz.rs"]
mod fuzz;
mod isolate;
mod loader;
mod prelude;
mod resolve;
mod source;
mod spare;
pub mod startup_snapshot;
mod v8_release;

pub use built_in::{BuiltIn, Data, Meaning, ParseData};
pub use engine::{SnapshotSource, V8Engine};
pub use source::nesting::run_with_room_for;
