//! The gates before a generation gets runs: each is asked whether a generation that was loaded may get them.

use std::fmt::Debug;
use std::path::Path;
use std::sync::Arc;

use futures::future::BoxFuture;
use js_runtime_api::{CallQueue, Isolate, LoadError, Manifest, Sources};

use super::state::GenerationId;

/// The runs that a generation is to get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunsWanted {
    /// All new runs.
    All,
    /// Those of a canary.
    Canary,
}

/// A generation that was loaded and that gets no run yet.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    pub id: GenerationId,
    pub runs: RunsWanted,
    /// The isolate, which nobody else calls.
    pub isolate: &'a Arc<dyn Isolate>,
    /// The queue from which the isolate takes its calls.
    pub queue: &'a Arc<CallQueue>,
    pub manifest: &'a Manifest,
    pub sources: &'a dyn Sources,
    /// The project's folder.
    pub root: &'a Path,
}

/// Somebody who may refuse a generation that was loaded, before it gets a run.
pub trait Gate: Debug + Send + Sync {
    /// Resolves with the refusal, or once the generation may get runs. The answer is there within a limit: whoever
    /// cannot tell lets the generation pass.
    fn admit(&self, candidate: Candidate<'_>) -> BoxFuture<'static, Result<(), LoadError>>;
}
