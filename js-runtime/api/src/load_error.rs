//! The error of a load.

use serde::{Deserialize, Serialize};

/// The reason why a project could not be loaded, written for the person who edits it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(default)]
#[error("{message}")]
pub struct LoadError {
    /// The kind of fault, for machines.
    pub kind: LoadErrorKind,
    /// The fault, in a sentence.
    pub message: String,
    /// The file, relative to the project's root where it lies below it.
    pub file: Option<String>,
    /// The line in the original source, 1-based.
    pub line: Option<u32>,
    /// The column in the original source, 1-based.
    pub column: Option<u32>,
    /// The lines around the position, with a caret.
    pub frame: Option<String>,
    /// The JavaScript stack, mapped to the original sources.
    pub stack: Option<String>,
    /// One thing to do about it.
    pub help: Option<String>,
}

/// The kinds of faults of a load.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoadErrorKind {
    /// A file does not parse, or is no text.
    Syntax,
    /// An import names something that does not exist.
    Resolve,
    /// A module threw while it was evaluated.
    #[default]
    Evaluate,
    /// A module did not finish: an endless loop, or a top-level await that never settles.
    Timeout,
    /// There is nothing to serve.
    NoFunctions,
    /// Two functions of one app have the same id.
    DuplicateId,
    /// The isolate ran out of memory.
    Memory,
    /// The command that prints its variables failed.
    Environment,
    /// A warning that the project does not want to live with.
    Lint,
    /// Inngest refuses the functions.
    Refused,
    /// The system had no thread, descriptor or memory for the load, which says nothing of the code.
    System,
    /// The release cannot be pulled from its registry.
    Release,
}

impl LoadErrorKind {
    /// Returns the word that answers, logs and metrics use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Syntax => "syntax",
            Self::Resolve => "resolve",
            Self::Evaluate => "evaluate",
            Self::Timeout => "timeout",
            Self::NoFunctions => "no_functions",
            Self::DuplicateId => "duplicate_id",
            Self::Memory => "memory",
            Self::Environment => "environment",
            Self::Lint => "lint",
            Self::Refused => "refused",
            Self::System => "system",
            Self::Release => "release",
        }
    }
}
