//! Runs a project of TypeScript modules, with the npm packages that it has, in V8 isolates: each has a thread of its
//! own, a limit of memory, can be stopped at any time, and answers fetch requests.
//!
//! The semantics are Node's, by Deno's crates: `node:*` modules, `require`, `node_modules`, `tsconfig.json`. What
//! user code does to its process (exit, signals, variables, standard streams, child processes) stays within its
//! isolate.
//!
//! [`V8Engine`] is made by [`V8Engine::builder`], which has a method for each change that it makes to the process.
//! The engine's loads and answers have the types of `js-runtime-api`, which names neither Deno nor V8:
//! [`Engine`](js_runtime_api::Engine) reads a project, then loads it as read. Modules of other runtimes are a
//! [`BuiltIn`].
//!
//! ```no_run
//! use std::path::PathBuf;
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use js_runtime::{SnapshotSource, V8Engine, startup_snapshot};
//! use js_runtime_api::{
//!     Body, CallQueue, CallSubject, Caller, Engine as _, Entry, EnvironmentSource, LoadProgress, LoadRequest, MemoryLimits,
//!     Project, Reach, Request, Target,
//! };
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     // The engine starts this program anew to make V8's startup snapshot: a process either makes one or runs isolates.
//!     let arguments: Vec<_> = std::env::args().collect();
//!     if let [_, command, path] = &arguments[..]
//!         && command == "make-snapshot"
//!     {
//!         return Ok(startup_snapshot::make(path.as_ref())?);
//!     }
//!     let maker = ["make-snapshot".as_ref()];
//!     let engine = V8Engine::builder(PathBuf::from("/var/cache/example"), SnapshotSource::Made(&maker))
//!         .install_tls_provider()
//!         .contain_failures()
//!         .start()?;
//!
//!     // `export default { fetch: () => new Response("hello") };`
//!     let sources = engine.read(Project {
//!         root: PathBuf::from("/srv/example"),
//!         entry: Entry::File(PathBuf::from("/srv/example/main.ts")),
//!         environment: EnvironmentSource::default(),
//!         serve_path: js_runtime_api::DEFAULT_SERVE_PATH.to_owned(),
//!         default_retries: None,
//!         conditions: Vec::new(),
//!         includes: Vec::new(),
//!     })?;
//!     let queue = Arc::new(CallQueue::default());
//!     let answer = tokio::runtime::Runtime::new()?.block_on(async {
//!         let loaded = engine.load(LoadRequest {
//!             name: "example".to_owned(),
//!             sources,
//!             timeout: Duration::from_secs(10),
//!             queue: queue.clone(),
//!             memory: MemoryLimits { heap: 256 << 20, buffers: 256 << 20 },
//!             progress: LoadProgress::default(),
//!             reach: Reach::World,
//!         });
//!         let loaded = loaded.await?;
//!         let request = Request {
//!             method: "GET".to_owned(),
//!             url: "http://localhost/".to_owned(),
//!             headers: Vec::new(),
//!             body: Body::Full(Default::default()),
//!             subject: CallSubject::default(),
//!             target: Target::Fetch,
//!             caller: Caller::default(),
//!         };
//!         let answer = queue.push(1, None, request).await?;
//!         loaded.isolate.close();
//!         loaded.isolate.ended().await;
//!         Ok::<_, Box<dyn std::error::Error>>(answer)
//!     })?;
//!     assert_eq!(answer.status, 200);
//!     engine.close();
//!     Ok(())
//! }
//! ```
#![warn(missing_docs)]
#![cfg_attr(
    test,
    allow(clippy::disallowed_methods, reason = "a test's tasks and threads end with it")
)]

mod ahead;
mod builder;
mod built_in;
mod compat;
mod control;
#[cfg(test)]
#[path = "../../host/src/crate_imports.rs"]
mod crate_imports;
mod diagnostics;
#[cfg(test)]
#[path = "../../host/src/fuzz.rs"]
mod fuzz;
mod isolate;
mod isolate_maker;
#[cfg(test)]
mod layers;
mod loader;
mod own_files;
mod own_modules;
mod position;
mod prelude;
mod resolve;
mod source;
mod spare;
pub mod startup_snapshot;
mod system;
mod v8_engine;
mod v8_release;

pub use builder::Builder;
pub use built_in::{BuiltIn, BuiltInMeaning, Data, ParseData};
pub use source::nesting::run_with_room_for;
pub use v8_engine::{SnapshotSource, V8Engine};
