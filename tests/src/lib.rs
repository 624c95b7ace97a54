//! The harness of Baton's black-box tests: everything a test needs to play
//! the two parties that Baton stands between, Inngest and the person who edits
//! functions. It knows Baton only by its outside: a binary, its standard error,
//! its HTTP routes and its control socket (README).
//!
//! ```text
//!   Project ── edits ──▶ files ◀── reads ── Baton (child process)
//!                                            ▲  │
//!   Executor ── POST /api/inngest, one ──────┘  │  register, checkpoint, events
//!               connection a call               ▼
//!                                          FakeInngest
//! ```
//!
//! Tests wait for phases ([`deadline::until`], [`Baton::wait_for`],
//! [`Events`]), never for time. A failure says what was awaited and what Baton
//! last wrote to its standard error.

mod balancer;
mod baton;
mod binary;
mod browser;
mod cli;
mod collector;
mod course;
mod debugger;
mod document;
mod events;
mod executor;
mod fake_inngest;
pub mod gateway;
mod op;
mod pattern;
mod project;
mod registry;
mod registry_relay;
mod run;
mod shell;
mod started;
mod status;
mod stderr;

pub mod canonical;
mod chance;
pub mod deadline;
pub mod http;
pub mod signature;
// The module reads Linux's counts.
#[cfg(target_os = "linux")]
pub mod process;
#[cfg(target_os = "linux")]
mod shortage;
#[cfg(target_os = "linux")]
pub mod soak;
#[cfg(target_os = "linux")]
mod systemd;
mod websocket;

pub use balancer::Balancer;
pub use baton::{Baton, Launch, send_signal};
pub use binary::baton_binary;
pub use browser::Browser;
pub use chance::Chance;
pub use cli::{Cli, Finished, clean_environment};
pub use collector::{Collector, Span};
pub use course::Drive;
pub use debugger::Debugger;
pub use document::{Block, Document, Place};
pub use events::{Event, Events};
pub use executor::{Executor, Finish};
pub use fake_inngest::{FakeInngest, Kind, Mood, Received};
pub use http::{Answer, Door};
pub use op::{Op, step_id};
pub use pattern::{ANY, mismatch};
pub use project::{Gate, Project, Sdk};
pub use registry::{LOGIN, Registry, RegistryLaunch};
pub use registry_relay::{RegistryRelay, RelayMood, RelayedRequest};
pub use run::Run;
pub use shell::{Hosted, Shell};
#[cfg(target_os = "linux")]
pub use shortage::{Resource, Shortage};
pub use started::Started;
pub use status::{Report, Status};
pub use stderr::{Follower, Line, Stderr};
#[cfg(target_os = "linux")]
pub use systemd::Systemd;
pub use websocket::WebSocket;
