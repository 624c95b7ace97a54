//! Asks the running host, over the control socket of its project.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use clap::Args;
use http_body_util::Full;
use hyper::{Method, Request, StatusCode};
use miette::Diagnostic;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::config::{find_running, find_running_state, working_folder};
use crate::net::{HttpAnswer, HttpError, http};
use crate::service::Owner;

/// The running host that a command means.
#[derive(Debug, Args)]
pub struct HostArgs {
    /// The state folder of the host. [default: that of the project around the working folder]
    #[arg(long, env = "BATON_STATE_DIR")]
    pub(super) state_dir: Option<PathBuf>,
    /// Print JSON instead of text.
    #[arg(long)]
    pub(super) json: bool,
}

/// The reason why there is no answer.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub(super) enum ClientError {
    #[error("no host is running for the project around {}", .0.display())]
    #[diagnostic(help("Start one with `baton dev`, or name its state folder with --state-dir."))]
    NotRunning(PathBuf),
    #[error("this user has no host for the project around {}, which belongs to {owner}", .folder.display())]
    #[diagnostic(help("Run the command as that user: `sudo -u {owner} {command}`."))]
    NotOwn {
        folder: PathBuf,
        owner: String,
        command: String,
    },
    #[error("the host at {socket} does not answer: {error}", socket = .socket.display())]
    #[diagnostic(help("Read the host's log; if the host hangs, end it and start it again."))]
    Silent { socket: PathBuf, error: HttpError },
    #[error("cannot determine the working folder: {0}")]
    #[diagnostic(help("Go to a folder that exists."))]
    WorkingFolder(#[source] std::io::Error),
    #[error("cannot read the host's answer: {0}")]
    #[diagnostic(help("Run this command with the host's version of Baton, or pass --json."))]
    Foreign(#[source] serde_json::Error),
}

impl ClientError {
    /// The error for a project without a host, as far as this user sees.
    fn not_running(folder: PathBuf) -> Self {
        match (Owner::this_user(), Owner::of(&folder)) {
            (Ok(user), Ok(owner)) if user.uid != owner.uid => {
                let binary = std::env::current_exe().unwrap_or_else(|_| "baton".into());
                let words = std::env::args().skip(1);
                let command = std::iter::once(binary.display().to_string()).chain(words);
                Self::NotOwn {
                    folder,
                    owner: owner.name,
                    command: command.collect::<Vec<_>>().join(" "),
                }
            }
            _ => Self::NotRunning(folder),
        }
    }
}

/// A host's answer.
pub(super) struct HostAnswer {
    pub(super) status: StatusCode,
    pub(super) body: Value,
}

impl HostAnswer {
    /// Reads the body.
    pub(super) fn read<T: DeserializeOwned>(&self) -> Result<T, ClientError> {
        T::deserialize(&self.body).map_err(ClientError::Foreign)
    }
}

/// The lock of the host that a command means.
pub(super) fn lock_file(args: &HostArgs) -> Option<PathBuf> {
    let state = find_running_state(&working_folder().ok()?, args.state_dir.clone())?;
    Some(state.path().join("lock"))
}

/// Sends one request, with a body that may be empty, and waits for the answer.
pub(super) fn ask(args: &HostArgs, method: Method, path: &str, body: String) -> Result<HostAnswer, ClientError> {
    ask_with(args, method, path, body, async |_| std::future::pending().await)
}

/// Does the same as [`ask`]. `meanwhile` gets the host's socket and goes on until the answer is there.
pub(super) fn ask_with(
    args: &HostArgs,
    method: Method,
    path: &str,
    body: String,
    meanwhile: impl AsyncFnOnce(&Path),
) -> Result<HostAnswer, ClientError> {
    let folder = working_folder().map_err(ClientError::WorkingFolder)?;
    let socket = find_running(&folder, args.state_dir.clone()).ok_or_else(|| ClientError::not_running(folder))?;
    let no_answer = |error| ClientError::Silent {
        socket: socket.clone(),
        error,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| no_answer(error.into()))?;
    let answer = runtime.block_on(async {
        let meanwhile = async {
            meanwhile(&socket).await;
            std::future::pending().await
        };
        tokio::select! {
            answer = exchange(&socket, method, path, body) => answer,
            never = meanwhile => never,
        }
    });
    answer.map_err(no_answer)
}

/// Sends one request over a connection of its own. The texts of the answer are fit for a terminal, and its size is
/// bounded.
pub(super) async fn exchange(socket: &Path, method: Method, path: &str, body: String) -> Result<HostAnswer, HttpError> {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .body(Full::new(Bytes::from(body)))?;
    let response = http::send_to_socket(socket, request).await?;
    let status = response.status();
    let mut body = serde_json::from_slice(&HttpAnswer::read(response).await?.body)?;
    make_printable(&mut body);
    Ok(HostAnswer { status, body })
}

/// Takes the characters that command a terminal from every text: names come from the project, or from the process
/// that answers.
fn make_printable(value: &mut Value) {
    match value {
        Value::String(text) => {
            if text.chars().any(is_command) {
                *text = text.replace(is_command, "\u{fffd}");
            }
        }
        // (serde_json reads no deeper than 128 levels.)
        Value::Array(values) => values.iter_mut().for_each(make_printable),
        Value::Object(fields) => fields.values_mut().for_each(make_printable),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn is_command(character: char) -> bool {
    character.is_control() && !matches!(character, '\n' | '\t')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::make_printable;

    #[test]
    fn what_a_host_says_commands_no_terminal() {
        let mut said = json!({"state": "\u{1b}]0;owned\u{7}", "list": [{"name": "a\u{9b}31m\n\tb"}], "count": 1});
        make_printable(&mut said);
        assert_eq!(
            said,
            json!({"state": "\u{fffd}]0;owned\u{fffd}", "list": [{"name": "a\u{fffd}31m\n\tb"}], "count": 1})
        );
    }
}
