//! An Inngest server with Connect: the API that gives out connections, gateways that workers dial, a router, leases, and
//! an executor that drives whole runs through the workers that are connected. Everything else of the server (events,
//! checkpoints, registrations) is a [`FakeInngest`] behind the same address.
//!
//! ```text
//!  worker ── POST /v0/connect/start ──▶ api ── a connection's id, a gateway's URL, tokens
//!         ══ WebSocket ═══════════════▶ session ── hello, connect, sync, ready ─▶ book
//!         ◀═ executor request ═════════ forward ◀─ route ◀─ lease ◀─ queue ◀─ a run's course
//!         ══ ack, extensions, reply ══▶ book ───────────────────────────────▶ the run's next call
//!         ── POST /v0/connect/flush ──▶ api ── a reply, when there is no socket
//! ```
//!
//! The behaviour is that of inngest/inngest (`pkg/connect`); that the SDK's own `connect()` works against it is tested in
//! `tests/black_box/connect_stand_in.rs`. Time is [`Timing`], which a test may make faster. [`Faults`] are made on
//! demand, and everything that came and went is in the [`record`].

mod api;
mod book;
mod executor;
mod faults;
mod leases;
mod presentation;
mod queue;
pub mod record;
mod router;
mod server;
mod session;
mod timing;

pub use executor::{Attempt, AttemptEnd, RunEnd, RunReport};
pub use faults::Faults;
pub use queue::Ticket;
pub use record::{ConnectionReport, Ending, Extension, FrameReport, Party, Phase};
pub use server::{FakeConnect, Options};
pub use timing::Timing;
