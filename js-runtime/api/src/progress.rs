//! The progress of a load, for its waiters.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// The stage of one load: the engine writes it, everybody else reads.
#[derive(Debug, Clone, Default)]
pub struct LoadProgress(Arc<Mutex<LoadStage>>);

/// The stage of a load. Its text is a verb phrase for people: "evaluates functions/a.ts".
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum LoadStage {
    /// The project's folder is read.
    #[default]
    Reading,
    /// The command that prints variables runs.
    Secrets,
    /// An isolate is started.
    Starting,
    /// The module that is evaluated, relative to the project's root where it lies below it; its imports are evaluated
    /// with it.
    Evaluating(String),
    /// The functions are collected.
    Collecting,
}

impl LoadProgress {
    /// Notes that the load has come to this stage.
    pub fn reached(&self, stage: LoadStage) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = stage;
    }

    /// Returns the stage that the load has come to.
    #[must_use]
    pub fn stage(&self) -> LoadStage {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl fmt::Display for LoadStage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reading => formatter.write_str("reading the project's folder"),
            Self::Secrets => formatter.write_str("waiting for secret_command"),
            Self::Starting => formatter.write_str("starting an isolate"),
            Self::Evaluating(module) => write!(formatter, "evaluating {module} and its imports"),
            Self::Collecting => formatter.write_str("collecting the functions"),
        }
    }
}
