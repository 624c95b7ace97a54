//! The host: everything of Baton that is not JavaScript.
//!
//! The host decides which generation serves a call and when one retires, and knows nothing of V8: it is given an
//! engine that loads projects (see `js-runtime-api`), so that its decisions are tested against a fake engine.
//!
//! Each module is on a floor, and uses those of lower floors alone (a test reads this picture):
//!
//! ```text
//! 11  cli                                      commands
//! 10  life                                     a host from its start to its end
//! 9  server service                            ways in; units of systemd and launchd
//! 8  connect                                   the connection to Inngest
//! 7  calls canary_gate                         the way of a call; functions before a canary
//! 6  supervisor registration runner pull       what goes on beside calls
//! 5  status telemetry                          what a host says of itself
//! 4  generation config                         what serves; what it is told
//! 3  replay                                    live runs in new code
//! 2  lint git canary release
//! 1  net watch wire expressions
//! 0  posix descriptors blocking tasks duration exit_code
//! ```

#![warn(missing_docs)]
#![cfg_attr(
    test,
    allow(clippy::disallowed_methods, reason = "a test's tasks and threads end with it")
)]

pub mod blocking;
mod calls;
mod canary;
mod canary_gate;
pub mod cli;
mod config;
mod connect;
#[cfg(test)]
mod crate_imports;
pub mod descriptors;
mod duration;
mod exit_code;
mod expressions;
#[cfg(test)]
mod floors;
#[cfg(test)]
mod fuzz;
mod generation;
mod git;
pub mod life;
mod lint;
mod net;
pub mod posix;
mod pull;
mod registration;
mod release;
mod replay;
mod runner;
mod server;
mod service;
mod status;
pub mod supervisor;
mod tasks;
pub mod telemetry;
mod watch;
mod wire;
