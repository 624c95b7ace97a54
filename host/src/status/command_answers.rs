//! The answers to commands that change a host.

use serde::{Deserialize, Serialize};

use crate::generation::PublicState;

/// The answer of a route that changes something, or the reason why nothing was changed.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum RouteAnswer<T> {
    Done(T),
    Refused { error: ErrorText },
}

/// The error of an answer, for people.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ErrorText {
    pub message: String,
    pub help: String,
}

/// The answer of `POST /-/drain`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrainStatus {
    /// Always `draining`.
    pub status: PublicState,
    pub in_flight: usize,
}
