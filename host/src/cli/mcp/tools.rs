//! The tools: their names, what they tell a model of themselves, and what they take. A model reads these texts and
//! nothing else before it chooses one.

use std::sync::Arc;

use rmcp::model::{JsonObject, Tool, ToolAnnotations};
use serde::Deserialize;
use serde_json::{Value, json};

/// The text that a client gives its model about all tools together.
pub(super) const INSTRUCTIONS: &str = "\
Baton hosts Inngest functions (TypeScript) and changes their code while they run. A generation is the code as one load \
found it; exactly one generation is current and takes new calls, older ones finish theirs. \
To change a function: edit its file, call `reload` (or `check`, which changes nothing), read the error with its code \
frame if the code is rejected (the old code then still serves), mend it, and `invoke` the function to see each step. \
`baton dev` swaps files in as they are saved, so `reload` may say `unchanged`. \
Start with `status`; use `errors` when something failed, and `doctor` when nothing answers.";

/// A tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Status,
    Functions,
    Check,
    Reload,
    Invoke,
    Errors,
    Logs,
    Rollback,
    Doctor,
}

pub(super) const ALL: [Kind; 9] = [
    Kind::Status,
    Kind::Functions,
    Kind::Check,
    Kind::Reload,
    Kind::Invoke,
    Kind::Errors,
    Kind::Logs,
    Kind::Rollback,
    Kind::Doctor,
];

impl Kind {
    pub(super) fn named(name: &str) -> Option<Self> {
        ALL.into_iter().find(|kind| kind.name() == name)
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Functions => "functions",
            Self::Check => "check",
            Self::Reload => "reload",
            Self::Invoke => "invoke",
            Self::Errors => "errors",
            Self::Logs => "logs",
            Self::Rollback => "rollback",
            Self::Doctor => "doctor",
        }
    }

    /// Tells whether the tool changes what a host serves, or has functions do their work.
    pub(super) const fn changes(self) -> bool {
        matches!(self, Self::Reload | Self::Invoke | Self::Rollback)
    }

    const fn title(self) -> &'static str {
        match self {
            Self::Status => "What is live",
            Self::Functions => "The functions that are served",
            Self::Check => "Would the code on disk load?",
            Self::Reload => "Serve the code on disk",
            Self::Invoke => "Run a function to its end",
            Self::Errors => "What went wrong lately",
            Self::Logs => "The newest lines of the log",
            Self::Rollback => "Serve an earlier generation again",
            Self::Doctor => "Why does it not work?",
        }
    }

    const fn description(self) -> &'static str {
        match self {
            Self::Status => {
                "Shows what is live: the current generation of the code, calls in flight, older generations that \
                 finish theirs, the registration at Inngest, warnings about the code, and whether the files on disk \
                 are newer than the code that serves or were rejected. Changes nothing. Call it first."
            }
            Self::Functions => {
                "Lists the functions that are served, with their triggers (events, crons) and retries. With `function` \
                 it shows one with its whole configuration (concurrency, throttling, cancelOn and so on). Changes \
                 nothing."
            }
            Self::Check => {
                "Loads the code on disk beside the code that serves, and throws it away: says which functions would be \
                 added, changed or removed, or the error with file, line, column and code frame. What serves does not \
                 change. Use it after an edit, before `reload`."
            }
            Self::Reload => {
                "Serves the code on disk from the next call on; calls in flight finish on the code that they began \
                 with. `status` of the answer: `activated`; `unchanged` (these files serve already, for example since \
                 `baton dev` swapped them in when they were saved); `rejected` (the old code still serves: `error` has \
                 message, file, line, column and code frame; mend the file and call this again)."
            }
            Self::Invoke => {
                "Runs one function to its end on the running host, and returns `status` (completed, failed, unfinished), \
                 `output` or `error`, and each step with its output or error and the generation that ran it. The steps \
                 really run, with their side effects. Sleeps and waits for events are over at once unless \
                 `skip_sleep` is false."
            }
            Self::Errors => {
                "Returns what went wrong lately: the code that the last load rejected, with its code frame, and the \
                 newest warnings and errors of the log, with stack traces, the newest last. Changes nothing."
            }
            Self::Logs => {
                "Returns the newest lines of the host's log, the newest last: what the host did, and what functions \
                 print (`console.log`; `target` is `user`). Filter by level, function and text. For failures alone use \
                 `errors`. Changes nothing."
            }
            Self::Rollback => {
                "Serves at once the code of an earlier generation, as a new generation, without reading the disk. \
                 `status` lists generations. The files on disk stay as they are: the next save or `reload` serves them \
                 again, so mend them afterwards."
            }
            Self::Doctor => {
                "Looks for the reason why something does not work: project, port, environment file, keys, code, \
                 Inngest and the way from it to the host. Each check that failed has a `fix`. Works without a running \
                 host, takes some seconds. Use it when nothing answers, or when Inngest does not call."
            }
        }
    }

    fn input(self) -> Value {
        let function = json!({"type": "string", "description": "The id of a function, with or without its app's: `hello` or `my-app-hello`."});
        let lines =
            json!({"type": "integer", "minimum": 1, "maximum": 200, "description": "The most lines. [default: 30]"});
        match self {
            Self::Status | Self::Check | Self::Doctor => object(&json!({}), &[]),
            Self::Functions => object(&json!({"function": function}), &[]),
            Self::Reload => object(
                &json!({"force": {"type": "boolean", "description": "Load a new generation also when no file has changed. [default: false]"}}),
                &[],
            ),
            Self::Invoke => object(
                &json!({
                    "function": function,
                    "data": {"type": "object", "description": "The `data` of the event that begins the run. [default: {}]"},
                    "skip_sleep": {"type": "boolean", "description": "End sleeps, and waits for events, at once. [default: true]"},
                    "timeout_s": {"type": "integer", "minimum": 1, "maximum": 600, "description": "Stop after so many seconds, and return what has happened. [default: 60]"},
                }),
                &["function"],
            ),
            Self::Errors => object(&json!({"function": function, "lines": lines}), &[]),
            Self::Logs => object(
                &json!({
                    "level": {"type": "string", "enum": ["error", "warn", "info", "debug"], "description": "The least level. [default: info]"},
                    "function": function,
                    "text": {"type": "string", "description": "Only lines that have this text in them."},
                    "lines": lines,
                }),
                &[],
            ),
            Self::Rollback => object(
                &json!({"generation": {"type": "integer", "minimum": 1, "description": "The generation whose code is to be served. [default: the one before the current one]"}}),
                &[],
            ),
        }
    }

    pub(super) fn declaration(self) -> Tool {
        let annotations = ToolAnnotations::with_title(self.title())
            .read_only(!self.changes())
            // A function does what it does.
            .destructive(matches!(self, Self::Invoke | Self::Rollback))
            .idempotent(!matches!(self, Self::Invoke | Self::Rollback))
            .open_world(matches!(self, Self::Invoke | Self::Doctor));
        let input: JsonObject = match self.input() {
            Value::Object(fields) => fields,
            _ => JsonObject::new(),
        };
        Tool::new(self.name(), self.description(), Arc::new(input)).annotate(annotations)
    }
}

fn object(properties: &Value, required: &[&str]) -> Value {
    json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
}

/// The arguments of `functions`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FunctionsInput {
    pub(super) function: Option<String>,
}

/// The arguments of `reload`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReloadInput {
    #[serde(default)]
    pub(super) force: bool,
}

/// The arguments of `invoke`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct InvokeInput {
    pub(super) function: String,
    #[serde(default)]
    pub(super) data: JsonObject,
    pub(super) skip_sleep: Option<bool>,
    pub(super) timeout_s: Option<u64>,
}

/// The arguments of `errors` and of `logs`; `errors` has no level and no text.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LinesInput {
    pub(super) level: Option<String>,
    pub(super) function: Option<String>,
    pub(super) text: Option<String>,
    pub(super) lines: Option<usize>,
}

/// The arguments of `rollback`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RollbackInput {
    pub(super) generation: Option<u64>,
}

/// The arguments of tools that take none.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NoInput {}

#[cfg(test)]
mod tests {
    use super::{ALL, Kind};

    #[test]
    fn every_tool_says_what_it_does_and_what_it_takes() {
        for kind in ALL {
            let tool = kind.declaration();
            assert_eq!(Kind::named(&tool.name), Some(kind));
            assert!(
                tool.description.as_ref().is_some_and(|text| text.len() > 80),
                "{}",
                tool.name
            );
            assert_eq!(tool.input_schema["type"], "object", "{}", tool.name);
            assert_eq!(tool.input_schema["additionalProperties"], false, "{}", tool.name);
            let annotations = tool.annotations.unwrap();
            assert_eq!(annotations.read_only_hint, Some(!kind.changes()), "{}", tool.name);
        }
        assert_eq!(Kind::named("reboot"), None);
    }
}
