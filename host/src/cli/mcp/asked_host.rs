//! The running host, as the tools ask it: found anew for each question, since it may start, end or start again in
//! between. Nothing waits without a limit.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Method, Request};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;

use super::agent_run::AgentRun;
use crate::cli::client::{self, ClientError, HostAnswer};
use crate::config::find_running;
use crate::net::{HttpAnswer, HttpError, http};
use crate::status::Status;

/// The limit for an answer that takes no load.
const ANSWERS_WITHIN: Duration = Duration::from_secs(30);
/// The limit for a load; a host itself gives one up after `load_timeout`, a minute by default.
const LOADS_WITHIN: Duration = Duration::from_mins(10);
/// The limit for `baton doctor`.
const DOCTOR_WITHIN: Duration = Duration::from_mins(3);
/// The most bytes of what is read of a run, and of doctor's answer.
const MOST_READ: usize = 16 << 20;

/// The reason why a tool has no answer.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub(super) enum AskError {
    #[error(transparent)]
    #[diagnostic(transparent)]
    Client(#[from] ClientError),
    #[error("the host did not answer within {0:?}")]
    #[diagnostic(help("Ask `doctor`, or start the host again."))]
    TooSlow(Duration),
    #[error("{message}")]
    #[diagnostic(help("{help}"))]
    Refused { message: String, help: String },
    #[error("cannot run doctor: {0}")]
    #[diagnostic(help("Run `baton doctor` in a terminal: it says the same there."))]
    Doctor(#[source] std::io::Error),
}

/// The place of the host.
#[derive(Debug, Clone)]
pub(super) struct HostPlace {
    /// The folder of the project, or one in it.
    pub(super) folder: PathBuf,
    pub(super) state_dir: Option<PathBuf>,
}

impl HostPlace {
    pub(super) async fn status(&self) -> Result<Status, AskError> {
        let answer = self
            .ask(Method::GET, "/-/status", String::new(), ANSWERS_WITHIN)
            .await?;
        Ok(answer.read()?)
    }

    /// Returns the newest lines of the log, for a query as `GET /-/log` takes it.
    pub(super) async fn lines(&self, query: &str) -> Result<Value, AskError> {
        let path = format!("/-/log?{query}");
        let answer = self.ask(Method::GET, &path, String::new(), ANSWERS_WITHIN).await?;
        match answer.status.is_success() {
            true => Ok(answer.body),
            false => Err(refused(&answer.body)),
        }
    }

    /// Asks for another generation, or for a look at one, and returns the report and whether it is a good one.
    pub(super) async fn load(&self, method: Method, path: &str, body: String) -> Result<(bool, Value), AskError> {
        let answer = self.ask(method, path, body, LOADS_WITHIN).await?;
        if answer.body.get("status").is_none() {
            return Err(refused(&answer.body));
        }
        Ok((answer.status.is_success(), answer.body))
    }

    /// Runs a function, and returns its course, within a limit.
    pub(super) async fn invoke(&self, invocation: &Value, within: Duration) -> Result<AgentRun, AskError> {
        let socket = self.socket()?;
        let silent = |error: HttpError| ClientError::Silent {
            socket: socket.clone(),
            error,
        };
        let request = Request::builder()
            .method(Method::POST)
            .uri("/-/invoke")
            .header(hyper::header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(invocation.to_string())));
        let request = request.map_err(|error| silent(error.into()))?;
        let response = tokio::time::timeout(ANSWERS_WITHIN, http::send_to_socket(&socket, request)).await;
        let response = response
            .map_err(|_| AskError::TooSlow(ANSWERS_WITHIN))?
            .map_err(silent)?;
        if !response.status().is_success() {
            let answer = HttpAnswer::read(response).await.map_err(silent)?;
            return Err(refused(&serde_json::from_slice(&answer.body).unwrap_or_default()));
        }
        let (mut body, mut course, mut read) = (response.into_body(), AgentRun::default(), 0);
        let mut unread = Vec::new();
        // Where the body goes before its end, the host stops the run.
        let reading = async {
            while let Some(Ok(frame)) = body.frame().await {
                let data = frame.into_data().unwrap_or_default();
                read += data.len();
                unread.extend_from_slice(&data);
                while let Some(end) = unread.iter().position(|byte| *byte == b'\n') {
                    let line: Vec<u8> = unread.drain(..=end).collect();
                    // A host of another version may report what this one does not know.
                    if let Ok(report) = serde_json::from_slice(&line) {
                        course.add(report);
                    }
                }
                if course.is_over() || read > MOST_READ {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout(within, reading).await;
        Ok(course)
    }

    /// Runs `baton doctor` in a process of its own, which may need V8.
    pub(super) async fn doctor(&self) -> Result<Value, AskError> {
        let binary = std::env::current_exe().map_err(AskError::Doctor)?;
        let mut command = tokio::process::Command::new(binary);
        command
            .args(["doctor", "--json"])
            .current_dir(&self.folder)
            .kill_on_drop(true);
        if let Some(state) = &self.state_dir {
            command.arg("--state-dir").arg(state);
        }
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = command.spawn().map_err(AskError::Doctor)?;
        let mut said = Vec::new();
        let read = async {
            if let Some(output) = child.stdout.take() {
                output.take(MOST_READ as u64).read_to_end(&mut said).await?;
            }
            child.wait().await
        };
        let ended = tokio::time::timeout(DOCTOR_WITHIN, read).await;
        ended
            .map_err(|_| AskError::TooSlow(DOCTOR_WITHIN))?
            .map_err(AskError::Doctor)?;
        serde_json::from_slice(&said).map_err(|error| AskError::Client(ClientError::Foreign(error)))
    }

    async fn ask(&self, method: Method, path: &str, body: String, within: Duration) -> Result<HostAnswer, AskError> {
        let socket = self.socket()?;
        let answer = tokio::time::timeout(within, client::exchange(&socket, method, path, body)).await;
        let answer = answer.map_err(|_| AskError::TooSlow(within))?;
        Ok(answer.map_err(|error| ClientError::Silent { socket, error })?)
    }

    fn socket(&self) -> Result<PathBuf, ClientError> {
        let found = find_running(&self.folder, self.state_dir.clone());
        found.ok_or_else(|| ClientError::NotRunning(self.folder.clone()))
    }
}

/// Reads an answer of `{"error": {"message": …, "help": …}}`.
fn refused(body: &Value) -> AskError {
    let text = |name: &str| body["error"][name].as_str().unwrap_or_default().to_owned();
    let message = match text("message") {
        none if none.is_empty() => format!("the host's answer is malformed: {}", json!(body)),
        message => message,
    };
    AskError::Refused {
        message,
        help: text("help"),
    }
}
