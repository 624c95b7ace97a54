//! `baton mcp`: a server of the Model Context Protocol on standard input and output, for agents that edit functions.
//!
//! It asks the running host as the other commands do, over the control socket. It changes nothing in production unless
//! it may: `baton start` is production, `baton dev` is not, and a host that does not say which it is counts as
//! production.
//!
//! `tools` has what a model reads, `asked_host` asks, `agent_run` folds a run into one result, `fitting` keeps results
//! small.

#![allow(clippy::print_stderr, reason = "a command answers on its terminal")]

mod agent_run;
mod asked_host;
mod fitting;
mod tools;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use hyper::Method;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, Implementation, JsonObject, ListToolsResult,
    PaginatedRequestParams, ServerCapabilities, ServerConfig, Tool,
};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer, ServerHandler, ServiceExt as _};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use self::asked_host::{AskError, HostPlace};
use self::fitting::fitted;
use self::tools::{FunctionsInput, InvokeInput, Kind, LinesInput, NoInput, ReloadInput, RollbackInput};
use crate::config::working_folder;
use crate::status::{GenerationStatus, HostMode, Status};

pub(super) const HELP: &str = "Example, in the settings of an agent:
  {\"mcpServers\": {\"baton\": {\"command\": \"baton\", \"args\": [\"mcp\"]}}}
  claude mcp add baton -- baton mcp

It speaks the Model Context Protocol on its standard input and output. The tools: status, functions, check, reload,
invoke, errors, logs, rollback, doctor. In production (`baton start`) reload, invoke and rollback are refused without
--allow-changes.";

/// The lines of the log where nothing is said, and the most.
const USUAL_LINES: usize = 30;
const MOST_LINES: usize = 200;
/// The seconds for a run where nothing is said, and the most.
const USUAL_SECONDS: u64 = 60;
const MOST_SECONDS: u64 = 600;
/// The calls in flight that are named of each generation.
const CALLS_SHOWN: usize = 10;

#[derive(Debug, Args)]
#[allow(missing_docs, reason = "clap would take it for a help text")]
pub struct McpArgs {
    /// The folder of the project, or one in it. [default: the working folder]
    dir: Option<PathBuf>,
    /// The state folder of the host. [default: that of the project]
    #[arg(long, env = "BATON_STATE_DIR")]
    state_dir: Option<PathBuf>,
    /// Let the agent reload, invoke and roll back in production, too.
    #[arg(long)]
    allow_changes: bool,
}

pub(super) fn run(args: &McpArgs) -> ExitCode {
    match serve(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("{:?}", miette::Report::new(McpEnd(reason.to_string())));
            ExitCode::FAILURE
        }
    }
}

/// The error with which the server of an agent ends.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("the MCP server ended: {0}")]
#[diagnostic(help("Let an agent start it: `baton mcp` goes into the agent's settings."))]
struct McpEnd(String);

fn serve(args: &McpArgs) -> Result<(), Box<dyn std::error::Error>> {
    let working = working_folder()?;
    let server = McpServer {
        host: HostPlace {
            folder: args
                .dir
                .as_ref()
                .map_or_else(|| working.clone(), |folder| working.join(folder)),
            state_dir: args.state_dir.as_ref().map(|folder| working.join(folder)),
        },
        allow_changes: args.allow_changes,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let served = runtime.block_on(async {
        let running = server.serve(rmcp::transport::stdio()).await?;
        running.waiting().await?;
        Ok(())
    });
    // A thread may still wait for the standard input.
    runtime.shutdown_background();
    served
}

/// The server of one agent.
#[derive(Debug)]
struct McpServer {
    host: HostPlace,
    allow_changes: bool,
}

/// The reason why a tool was not run. The model reads it.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
enum AgentError {
    #[error("the arguments of {tool} are wrong: {error}")]
    #[diagnostic(help("Look at the tool's input schema."))]
    Arguments {
        tool: &'static str,
        error: serde_json::Error,
    },
    #[error("{tool} is refused: the host is in production (`baton start`), and this server may only look")]
    #[diagnostic(help(
        "`check` says whether the code would load. The person may allow changes: `baton mcp --allow-changes`."
    ))]
    Production { tool: &'static str },
    #[error("there is no function {0:?}")]
    #[diagnostic(help("Call `functions` without arguments: it lists them."))]
    NoFunction(String),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Ask(#[from] AskError),
}

/// A result: good news, or bad news of a tool that did what it was asked.
struct Told {
    good: bool,
    value: Value,
    /// The way to ask for less.
    less: &'static str,
}

impl Told {
    const fn good(value: Value, less: &'static str) -> Self {
        Self {
            good: true,
            value,
            less,
        }
    }
}

impl ServerHandler for McpServer {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(Implementation::new("baton", env!("CARGO_PKG_VERSION")))
            .with_instructions(tools::INSTRUCTIONS)
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(
            tools::ALL.into_iter().map(Kind::declaration).collect(),
        ))
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        Kind::named(name).map(Kind::declaration)
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let Some(kind) = Kind::named(&request.name) else {
            let message = format!("there is no tool {:?}", request.name);
            return Err(ErrorData::invalid_params(message, None));
        };
        let answered = tokio::select! {
            answered = self.call(kind, request.arguments.unwrap_or_default()) => answered,
            // Nobody waits for the answer any more.
            () = context.ct.cancelled() => return Err(ErrorData::internal_error("cancelled", None)),
        };
        let result = match answered {
            Ok(Told { good, value, less }) => {
                let content = vec![ContentBlock::text(fitted(&value, less))];
                match good {
                    true => CallToolResult::success(content),
                    false => CallToolResult::error(content),
                }
            }
            Err(error) => CallToolResult::error(vec![ContentBlock::text(in_words(&error))]),
        };
        Ok(result.into())
    }
}

impl McpServer {
    async fn call(&self, kind: Kind, arguments: JsonObject) -> Result<Told, AgentError> {
        if kind.changes() && !self.allow_changes && !is_free(self.host.status().await?.mode) {
            return Err(AgentError::Production { tool: kind.name() });
        }
        match kind {
            Kind::Status => {
                let NoInput {} = read(kind, arguments)?;
                Ok(Told::good(
                    summary(&self.host.status().await?),
                    "ask `functions` or `errors`.",
                ))
            }
            Kind::Functions => self.functions(read(kind, arguments)?).await,
            Kind::Check => {
                let NoInput {} = read(kind, arguments)?;
                self.load(Method::PUT, "/api/reload?dry_run=1", String::new()).await
            }
            Kind::Reload => {
                let ReloadInput { force } = read(kind, arguments)?;
                let path = if force { "/api/reload?force=1" } else { "/api/reload" };
                self.load(Method::PUT, path, String::new()).await
            }
            Kind::Rollback => {
                let RollbackInput { generation } = read(kind, arguments)?;
                let body = generation.map(|generation| json!({ "generation": generation }).to_string());
                self.load(Method::POST, "/-/rollback", body.unwrap_or_default()).await
            }
            Kind::Invoke => self.invoke(read(kind, arguments)?).await,
            Kind::Errors => self.errors(read(kind, arguments)?).await,
            Kind::Logs => {
                let input: LinesInput = read(kind, arguments)?;
                let lines = self.host.lines(&query(&input, "info")).await?;
                Ok(Told::good(lines, "give `lines`, `function` or `text`."))
            }
            Kind::Doctor => {
                let NoInput {} = read(kind, arguments)?;
                let checks = self.host.doctor().await?;
                Ok(Told {
                    good: checks["ok"] != false,
                    value: checks,
                    less: "mend what failed, and ask again.",
                })
            }
        }
    }

    async fn functions(&self, input: FunctionsInput) -> Result<Told, AgentError> {
        let status = self.host.status().await?;
        let Some(wanted) = input.function else {
            let of = |function: &crate::status::FunctionStatus| json!({"id": function.id, "triggers": function.triggers, "retries": function.retries});
            let functions: Vec<Value> = status.functions.iter().map(of).collect();
            return Ok(Told::good(json!({ "functions": functions }), "give `function`."));
        };
        let is_wanted = |function: &&crate::status::FunctionStatus| {
            function.id == wanted || function.id.strip_prefix(&format!("{}-", function.app)) == Some(&wanted)
        };
        let function = status.functions.iter().find(is_wanted);
        let function = function.ok_or(AgentError::NoFunction(wanted))?;
        Ok(Told::good(json!(function), "look at its source."))
    }

    async fn load(&self, method: Method, path: &str, body: String) -> Result<Told, AgentError> {
        let (good, value) = self.host.load(method, path, body).await?;
        Ok(Told {
            good,
            value,
            less: "ask `functions` and `status` for the rest.",
        })
    }

    async fn invoke(&self, input: InvokeInput) -> Result<Told, AgentError> {
        let seconds = input.timeout_s.unwrap_or(USUAL_SECONDS).clamp(1, MOST_SECONDS);
        let invocation = json!({
            "function": input.function,
            "data": input.data,
            "skip_sleep": input.skip_sleep.unwrap_or(true),
        });
        let course = self.host.invoke(&invocation, Duration::from_secs(seconds)).await?;
        Ok(Told {
            good: course.is_completed(),
            value: course.told(),
            less: "ask `logs` with `function` for the rest.",
        })
    }

    async fn errors(&self, input: LinesInput) -> Result<Told, AgentError> {
        let rejected = self.host.status().await?.source.last_rejected;
        let input = LinesInput {
            level: None,
            text: None,
            ..input
        };
        let mut value = self.host.lines(&query(&input, "warn")).await?;
        value["rejected"] = json!(rejected);
        Ok(Told::good(value, "give `lines` or `function`."))
    }
}

/// Tells whether everybody may change the host.
const fn is_free(mode: Option<HostMode>) -> bool {
    matches!(mode, Some(HostMode::Dev))
}

fn read<T: DeserializeOwned>(kind: Kind, arguments: JsonObject) -> Result<T, AgentError> {
    let tool = kind.name();
    serde_json::from_value(Value::Object(arguments)).map_err(|error| AgentError::Arguments { tool, error })
}

/// Writes the query of `GET /-/log`.
fn query(input: &LinesInput, level: &str) -> String {
    let lines = input.lines.unwrap_or(USUAL_LINES).clamp(1, MOST_LINES).to_string();
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("level", input.level.as_deref().unwrap_or(level));
    query.append_pair("lines", &lines);
    for (name, value) in [("function", &input.function), ("text", &input.text)] {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    query.finish()
}

/// Writes an error with its help, as the other commands do.
fn in_words(error: &AgentError) -> String {
    match miette::Diagnostic::help(error).map(|help| help.to_string()) {
        Some(help) if !help.is_empty() => format!("{error}\nhelp: {help}"),
        _ => error.to_string(),
    }
}

/// Returns what matters of a status, without what is over.
fn summary(status: &Status) -> Value {
    let live = status
        .generations
        .iter()
        .filter(|generation| !generation.state.is_final());
    let words = status.registration.words();
    json!({
        "serves": status.current,
        "mode": status.mode,
        "url": status.address.map(|address| format!("http://{address}")),
        "version": status.version,
        "uptime_s": status.uptime_s,
        "functions": status.functions.len(),
        "generations": live.map(generation).collect::<Vec<Value>>(),
        "registration": words.as_ref().map(|words| &words.headline),
        "registration_differs": words.as_ref().map(|words| &words.differences),
        "reloads_by_itself": status.watch,
        "disk_is_newer": status.source.newer_than_loaded,
        "changed_files": status.source.changed,
        "rejected": status.source.last_rejected,
        "warnings": status.warnings,
    })
}

fn generation(generation: &GenerationStatus) -> Value {
    let calls = generation.in_flight.iter().take(CALLS_SHOWN);
    let blocked = generation
        .isolates
        .iter()
        .filter(|isolate| isolate.blocked_ms > 0)
        .count();
    json!({
        "generation": generation.id,
        "state": generation.state,
        "loaded_at": generation.loaded_at,
        "reason": generation.reason,
        "with_the_code_of": generation.restored_from,
        "git": generation.git,
        "in_flight": generation.in_flight.len(),
        "calls": calls.collect::<Vec<_>>(),
        "blocked_isolates": blocked,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::tools::{InvokeInput, Kind, LinesInput, NoInput};
    use super::{in_words, is_free, query, read, summary};
    use crate::status::{HostMode, Status};

    fn arguments(value: Value) -> rmcp::model::JsonObject {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn only_a_development_host_may_be_changed_by_everybody() {
        assert!(is_free(Some(HostMode::Dev)));
        assert!(!is_free(Some(HostMode::Start)) && !is_free(None));
        // Of another version's word nothing is known.
        let status: Status = serde_json::from_value(json!({"mode": "staging"})).unwrap();
        assert!(!is_free(status.mode));
    }

    #[test]
    fn wrong_arguments_are_told_with_the_tool() {
        let error = read::<InvokeInput>(Kind::Invoke, arguments(json!({"name": "hello"}))).unwrap_err();
        let text = in_words(&error);
        assert!(
            text.contains("invoke") && text.contains("unknown field `name`") && text.contains("help: "),
            "{text}"
        );
        assert!(read::<NoInput>(Kind::Status, arguments(json!({}))).is_ok());
        assert!(read::<NoInput>(Kind::Status, arguments(json!({"x": 1}))).is_err());
    }

    #[test]
    fn a_query_is_bounded_and_escaped() {
        let input = LinesInput {
            lines: Some(100_000),
            function: Some("a&level=debug".to_owned()),
            ..LinesInput::default()
        };
        assert_eq!(query(&input, "warn"), "level=warn&lines=200&function=a%26level%3Ddebug");
    }

    #[test]
    fn a_summary_has_no_generation_that_is_over() {
        let status = json!({"current": 2, "mode": "dev", "generations": [
            {"id": 1, "state": "retired"}, {"id": 2, "state": "current", "in_flight": [{"function": "a-b"}]}]});
        let told = summary(&serde_json::from_value(status).unwrap());
        assert_eq!((&told["serves"], &told["mode"]), (&json!(2), &json!("dev")));
        assert_eq!(told["generations"].as_array().unwrap().len(), 1);
        assert_eq!(told["generations"][0]["in_flight"], 1);
    }
}
