//! The reasons why code does not pass the gate, written for the person who reloads.

use std::path::Path;
use std::time::Duration;

use js_runtime_api::{IsolateEnd, LoadError, LoadErrorKind};
use miette::Diagnostic;
use serde_json::Value;

use crate::runner::answer::title;
use crate::runner::catalogue::FunctionNotFound;
use crate::runner::stack_frame::StackFrame;

/// The reason why code does not pass the gate.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub(super) enum GateError {
    #[error("`gate` of [canary] names no function of the new code: {0}")]
    #[diagnostic(help(
        "Correct the name in baton.toml, then run `baton upgrade`, which has a host read it again. {}",
        .0.help().map(|help| help.to_string()).unwrap_or_default()
    ))]
    NotFound(#[from] FunctionNotFound),
    #[error("the function {function:?} of the gate failed: {}", title(.error))]
    #[diagnostic(help("Mend the code and reload: until then the old code serves all runs."))]
    Failed { function: String, error: Value },
    #[error("the function {function:?} of the gate was cancelled: {reason}")]
    #[diagnostic(help("Name a function that ends without an event."))]
    Cancelled { function: String, reason: String },
    #[error("the function {function:?} of the gate ended its isolate: {end}")]
    #[diagnostic(help("Mend the code and reload: until then the old code serves all runs."))]
    IsolateEnded { function: String, end: IsolateEnd },
    #[error("the gate is not passed within {limit:?}: the function {function:?} has not ended")]
    #[diagnostic(help("Do less in the functions of the gate, or give them more time with --load-timeout."))]
    TooSlow { function: String, limit: Duration },
}

impl GateError {
    /// Returns the error of the load, with the place in the project's code that threw.
    pub(super) fn into_load_error(self, root: &Path) -> LoadError {
        let stack = match &self {
            Self::Failed { error, .. } => error["stack"].as_str().map(str::to_owned),
            Self::IsolateEnded {
                end: IsolateEnd::Exited { stack, .. },
                ..
            } => Some(stack.clone()),
            _ => None,
        };
        let place = stack.as_deref().and_then(StackFrame::of);
        LoadError {
            kind: LoadErrorKind::Gate,
            message: self.to_string(),
            help: self.help().map(|help| help.to_string()),
            file: place.as_ref().map(|place| place.file_within(root)),
            line: place.as_ref().map(|place| place.line),
            column: place.as_ref().map(|place| place.column),
            frame: place.map(|place| place.lines.trim_end().to_owned()),
            stack,
        }
    }
}
