//! The host: everything of Baton that is not JavaScript.
//!
//! It decides which generation serves a call and when one retires, and knows nothing of V8: it is
//! given an engine that loads projects (see `js-runtime-api`), so that its decisions are tested
//! against a fake one.

#![warn(missing_docs)]
#![cfg_attr(
    test,
    allow(clippy::disallowed_methods, reason = "a test's tasks and threads end with it")
)]

pub mod blocking;
pub mod cli;
mod config;
pub mod descriptors;
mod exit_code;
mod expressions;
#[cfg(test)]
mod fuzz;
mod generation;
mod git;
mod http_connection;
pub mod life;
mod lint;
mod registration;
mod runner;
mod server;
mod service;
mod status;
pub mod supervisor;
mod tasks;
pub mod telemetry;
mod watch;
mod wire;
