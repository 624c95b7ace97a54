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
    /// One thing to do about it. An engine gives every error a help.
    pub help: Option<String>,
}

impl LoadError {
    /// Makes the error of a load that failed through a fault of Baton, which no change of the project mends.
    #[must_use]
    pub fn bug(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            help: Some("This is a bug in Baton: please report it with the log above.".to_owned()),
            ..Self::default()
        }
    }

    /// Returns the error with a help: its own, else the usual one of its kind.
    #[must_use]
    pub fn with_help(mut self) -> Self {
        self.help.get_or_insert_with(|| self.kind.usual_help().to_owned());
        self
    }
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
    /// A function of a canary's gate did not complete.
    Gate,
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
            Self::Gate => "gate",
            Self::System => "system",
            Self::Release => "release",
        }
    }

    /// Returns one thing to do about an error of which no more is known than its kind.
    #[must_use]
    pub fn usual_help(self) -> &'static str {
        match self {
            Self::Syntax => "Correct the file at this place.",
            Self::Resolve => "Correct the import, or add the file or the export that it names.",
            Self::Evaluate => "Correct the code at this place, or remove the cause that the message names.",
            Self::Timeout => "Do less while the module loads, or give it more time with --load-timeout.",
            Self::NoFunctions => "Export a function that `inngest.createFunction(…)` returns.",
            Self::DuplicateId => "Give one of the two functions another id.",
            Self::Memory => "Do the work in a function, or give isolates more memory with --heap-limit.",
            Self::Environment => "Run the command of secret_command in the project's folder to see why.",
            Self::Lint => "Correct the code, or remove the warning from `deny` in baton.toml.",
            Self::Refused => "Correct the function that Inngest names: the current generation goes on serving.",
            Self::Gate => "Mend the function of the gate, or take it out of `gate` of [canary] in baton.toml.",
            Self::Release => "Push the release again, or see whether the registry answers.",
            Self::System => "Raise the limits of this process (`ulimit -a` shows them), or end other programs.",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{LoadError, LoadErrorKind};

    #[test]
    fn an_error_keeps_its_own_help_and_otherwise_has_that_of_its_kind() {
        let own = LoadError {
            help: Some("Look.".to_owned()),
            ..LoadError::default()
        };
        assert_eq!(own.with_help().help.as_deref(), Some("Look."));
        let other = LoadError {
            kind: LoadErrorKind::DuplicateId,
            ..LoadError::default()
        };
        assert_eq!(
            other.with_help().help.as_deref(),
            Some("Give one of the two functions another id.")
        );
    }
}
