//! The seam between the host and the JavaScript runtime: types, and the queue that calls pass
//! through.
//!
//! The host decides about generations against these types and is tested against a fake that
//! implements them; the `js-runtime` crate implements them with V8. Nothing here knows about
//! reloading, and nothing here needs V8 to be linked.
//!
//! An [`Engine`] reads the [`Sources`] of a [`Project`] and loads them into an [`Isolate`], which comes with a
//! [`Manifest`] of what it serves. From then on the isolate takes calls from the [`CallQueue`] of its load. A call is
//! a [`Request`], and ends with a [`Response`] or a [`CallError`]:
//!
//! ```
//! use futures::executor::block_on;
//! use js_runtime_api::{Body, CallError, CallQueue, CallSubject, Caller, Request, Response, Target};
//!
//! # fn main() -> Result<(), CallError> {
//! // The host puts a call of a function into the queue, under a number that it has chosen.
//! let queue = CallQueue::default();
//! let answered = queue.push(1, Some("shop-greet"), Request {
//!     method: "POST".to_owned(),
//!     url: "http://127.0.0.1:3111/api/inngest?fnId=shop-greet".to_owned(),
//!     headers: Vec::new(),
//!     body: Body::Full("{}".into()),
//!     subject: CallSubject::default(),
//!     target: Target::App("shop".to_owned()),
//!     caller: Caller::default(),
//! });
//!
//! // An isolate takes it on its own thread, and answers.
//! let call = block_on(std::future::poll_fn(|context| queue.poll_take(context)));
//! assert_eq!((call.id, call.request.target), (1, Target::App("shop".to_owned())));
//! call.answer.give(Ok(Response {
//!     status: 200,
//!     headers: Vec::new(),
//!     body: Body::Full("\"hello\"".into()),
//!     over: None,
//! }));
//! assert_eq!(block_on(answered)?.status, 200);
//!
//! // A call whose answer is dropped is one whose isolate has died.
//! # let request = || Request {
//! #     method: "GET".to_owned(),
//! #     url: "http://127.0.0.1:3111/".to_owned(),
//! #     headers: Vec::new(),
//! #     body: Body::Full("".into()),
//! #     subject: CallSubject::default(),
//! #     target: Target::Fetch,
//! #     caller: Caller::default(),
//! # };
//! let lost = queue.push(2, None, request());
//! drop(block_on(std::future::poll_fn(|context| queue.poll_take(context))));
//! assert_eq!(block_on(lost).err(), Some(CallError::IsolateDied));
//! # Ok(())
//! # }
//! ```

#![warn(missing_docs)]

mod body;
mod call_subject;
mod certificates;
mod engine;
mod isolate;
mod latin1;
mod load_error;
mod manifest;
pub mod ownership;
mod progress;
mod project;
mod queue;
pub mod regular_file;
mod request;
mod sources;

pub use body::{Body, BodyError, BodyStream, CallEnd, Caller, Duplex, GuardedStream, NotWhole, RunRecord};
pub use call_subject::CallSubject;
pub use certificates::{Certificates, REJECT_UNAUTHORIZED};
pub use engine::{Engine, EngineRelease, LoadRequest, LoadedIsolate, Losses, MemoryLimits, Preparation, Reach};
pub use isolate::{DebugSession, DrainWork, Isolate, IsolateEnd, RunningCall, Vitals};
pub use latin1::{header_bytes, header_text};
pub use load_error::{LoadError, LoadErrorKind};
pub use manifest::{App, Client, ConnectionOptions, Definition, Function, Manifest, Secret, Warning};
pub use progress::{LoadProgress, LoadStage};
pub use project::{DEFAULT_SERVE_PATH, Entry, EnvironmentDigest, EnvironmentSource, Project};
pub use queue::{AnswerSlot, Call, CallQueue, TimedAnswer};
pub use request::{CallError, Request, Response, Target};
pub use sources::{KeptSources, Sources, WatchedPaths};
