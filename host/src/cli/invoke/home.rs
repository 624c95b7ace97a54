//! The host in which a function runs: the project's running host, or one that is started for the function.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use hyper::Method;
use js_runtime_api::Engine;
use miette::Diagnostic;
use tempfile::TempDir;

use super::super::{client, reload};
use super::args::InvokeArgs;
use super::hosted_sdk::HostedSdk;
use super::reloads::ReloadStream;
use crate::config::{StateFolder, discover, find_running, working_folder};
use crate::generation::{GenerationChoice, Outcome, Reason, WantedCode, report_words};
use crate::life::{Host, Mode, Plan, ServeArgs, ServeError, plan};
use crate::runner::catalogue::Catalogue;
use crate::status::Status;

/// The time for the remaining work once the result is shown.
const END: Duration = Duration::from_secs(3);

/// The pause between two requests to a host that still loads its first generation.
const LOADING_PAUSE: Duration = Duration::from_millis(100);

/// The reason why nothing can run.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum HomeError {
    #[error(transparent)]
    #[diagnostic(transparent)]
    Serve(#[from] ServeError),
    #[error("{0}")]
    Rejected(String),
    #[error("the host at {socket} does not answer: {error}", socket = .socket.display())]
    #[diagnostic(help("Start it again with `baton dev`, or give --own to have one started for this run."))]
    Silent {
        socket: PathBuf,
        error: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("no host of this project runs, so that it has no generation {0}")]
    #[diagnostic(help("Start one with `baton start`, or leave --generation out to have one started for this run."))]
    NoHost(GenerationChoice),
    #[error("cannot prepare a host for this run: {0}")]
    #[diagnostic(help("Make the folder for temporary files writable, or name another one with TMPDIR."))]
    Prepare(#[source] std::io::Error),
    #[error("cannot start a host for this run: V8 did not start")]
    #[diagnostic(help("Read the message above."))]
    NoEngine,
    #[error("{0}")]
    #[diagnostic(help("Check the settings of `baton dev`, its variables BATON_* too: they apply here."))]
    Settings(clap::Error),
}

impl HomeError {
    pub(in crate::cli) fn exit_code(&self) -> u8 {
        match self {
            Self::Serve(error) => error.exit_code(),
            Self::Settings(_) => 2,
            _ => 1,
        }
    }
}

/// The host that is found for a function; one of its own is not begun yet.
pub(in crate::cli) enum FunctionHost {
    Running {
        socket: PathBuf,
        /// The generation that a person named.
        generation: Option<GenerationChoice>,
    },
    Own(Box<OwnHostPlan>),
}

/// A host that is to be started.
pub(in crate::cli) struct OwnHostPlan {
    plan: Plan,
    folder: TempDir,
    /// The socket to which the host's functions send events.
    inbox: TcpListener,
    url: String,
}

impl FunctionHost {
    pub(in crate::cli) const fn is_own(&self) -> bool {
        matches!(self, Self::Own(_))
    }

    pub(in crate::cli) fn environment(&self) -> Vec<(&'static str, String)> {
        let Self::Own(own) = self else {
            return Vec::new();
        };
        let names = [
            "INNGEST_DEV",
            "INNGEST_BASE_URL",
            "INNGEST_API_BASE_URL",
            "INNGEST_EVENT_API_BASE_URL",
        ];
        names.map(|name| (name, own.url.clone())).into()
    }
}

/// `ServeArgs` on a command line of their own.
#[derive(Parser)]
struct ServeCommand {
    #[command(flatten)]
    serve: ServeArgs,
}

/// Finds the project's running host, else prepares one that is to be started.
pub(in crate::cli) fn find(args: &InvokeArgs, path: Option<&Path>) -> Result<FunctionHost, HomeError> {
    let folder = working_folder().map_err(ServeError::from)?;
    // Only a host of its own shows its events, and takes another environment.
    if !needs_own(args) {
        let project = match path {
            Some(path) => discover(Some(path), &folder).map_err(ServeError::from)?.0.root,
            None => folder,
        };
        if let Some(socket) = find_running(&project, args.state_dir.clone()) {
            let generation = args.generation;
            return Ok(FunctionHost::Running { socket, generation });
        }
        if let Some(generation) = args.generation {
            return Err(HomeError::NoHost(generation));
        }
    }
    let own = prepare_own(path, args.env_file.as_deref(), args.watch)?;
    tell_of_a_dead_host(args, &own.plan);
    Ok(FunctionHost::Own(Box::new(own)))
}

/// Prepares a host that is to be started for functions, with its own state and its own inbox.
pub(in crate::cli) fn prepare_own(
    path: Option<&Path>,
    env_file: Option<&Path>,
    watch: bool,
) -> Result<OwnHostPlan, HomeError> {
    let state = tempfile::Builder::new()
        .prefix("baton-invoke-")
        .tempdir()
        .map_err(HomeError::Prepare)?;
    let words = [
        "baton",
        "--port",
        "0",
        "--watch",
        if watch { "files" } else { "off" },
        "--register",
        "off",
        "--state-dir",
    ];
    let words = words.iter().map(Into::into).chain([state.path().into()]);
    let words = words.chain(env_file.iter().flat_map(|file| ["--env-file".into(), file.into()]));
    let words = words.chain(path.map(Into::into));
    let ServeCommand { serve } =
        ServeCommand::try_parse_from(words.collect::<Vec<std::ffi::OsString>>()).map_err(HomeError::Settings)?;
    let plan = plan(&serve, Mode::Dev)?;
    let inbox = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(HomeError::Prepare)?;
    inbox.set_nonblocking(true).map_err(HomeError::Prepare)?;
    let address = inbox.local_addr().map_err(HomeError::Prepare)?;
    Ok(OwnHostPlan {
        plan,
        folder: state,
        inbox,
        url: format!("http://{address}"),
    })
}

const fn needs_own(args: &InvokeArgs) -> bool {
    args.own || args.deliver || args.env_file.is_some()
}

/// Tells of a socket that nobody answers: a host that was killed leaves such a socket.
#[allow(clippy::print_stderr, reason = "a command answers on its terminal")]
fn tell_of_a_dead_host(args: &InvokeArgs, plan: &Plan) {
    let socket = StateFolder::of(&plan.project.root, args.state_dir.clone()).map(|state| state.control_socket());
    let Ok(socket) = socket else {
        return;
    };
    if !needs_own(args) && socket.exists() {
        eprintln!(
            "the host of this project is down (nothing answers at {}): starting one for this run",
            socket.display()
        );
    }
}

/// A host that answers.
pub(in crate::cli) struct Home {
    socket: PathBuf,
    generation: Option<GenerationChoice>,
    own: Option<OwnHost>,
}

struct OwnHost {
    host: Host,
    inbox: TcpListener,
    /// Tells whether the host has loaded once; a later load is a reload.
    loaded: bool,
    _folder: TempDir,
}

impl Home {
    pub(in crate::cli) async fn begin(found: FunctionHost, engine: Option<Arc<dyn Engine>>) -> Result<Self, HomeError> {
        match (found, engine) {
            (FunctionHost::Running { socket, generation }, _) => Ok(Self {
                socket,
                generation,
                own: None,
            }),
            (FunctionHost::Own(own), Some(engine)) => {
                let OwnHostPlan {
                    plan, folder, inbox, ..
                } = *own;
                let socket = plan.state.control_socket();
                let host = Host::begin(plan, engine).await?;
                Ok(Self {
                    socket,
                    generation: None,
                    own: Some(OwnHost {
                        host,
                        inbox,
                        loaded: false,
                        _folder: folder,
                    }),
                })
            }
            (FunctionHost::Own(_), None) => Err(HomeError::NoEngine),
        }
    }

    pub(super) const fn is_own(&self) -> bool {
        self.own.is_some()
    }

    /// Returns the SDK of the project, in the generation that a person named if one did.
    pub(in crate::cli) fn sdk(&self) -> HostedSdk {
        HostedSdk {
            socket: self.socket.clone(),
            generation: self.generation,
        }
    }

    /// Returns the socket to which the host's functions send events, if they send them here.
    pub(in crate::cli) fn inbox(&self) -> Option<TcpListener> {
        self.own.as_ref().and_then(|own| own.inbox.try_clone().ok())
    }

    /// Returns the functions that the host serves now, or those of the generation that a person named.
    pub(in crate::cli) async fn catalogue(&mut self) -> Result<Catalogue, HomeError> {
        if let Some(own) = self.own.as_mut().filter(|own| !own.loaded) {
            own.loaded = true;
            let report = own.host.keeper.request(WantedCode::reload(false), Reason::Start).await;
            if let Outcome::Rejected { .. } = &report.outcome {
                return Err(HomeError::Rejected(reload::refusal(&report).trim_end().to_owned()));
            }
        }
        let path = match self.generation {
            Some(generation) => format!("/-/status?functions_of={generation}"),
            None => "/-/status".to_owned(),
        };
        let status = loop {
            let answer = client::exchange(&self.socket, Method::GET, &path, String::new())
                .await
                .map_err(|error| self.silent(error))?;
            let status: Status = answer.read().map_err(|error| self.silent(error.into()))?;
            match (status.current, &status.source.last_rejected) {
                (None, None) => tokio::time::sleep(LOADING_PAUSE).await,
                (None, Some(rejected)) => {
                    let text = report_words::rejection(&rejected.error);
                    return Err(HomeError::Rejected(text.trim_end().to_owned()));
                }
                (Some(_), _) => break status,
            }
        };
        Ok(Catalogue::of(status.functions))
    }

    pub(super) async fn reloads(&self) -> Result<ReloadStream, HomeError> {
        ReloadStream::open(&self.socket)
            .await
            .map_err(|error| self.silent(error))
    }

    /// Ends a host that was started for the function.
    pub(in crate::cli) async fn end(self) {
        if let Some(own) = self.own {
            own.host.table.drain();
            // Steps that still run are cut, and everything that they started ends with them.
            for live in own
                .host
                .table
                .view()
                .entries
                .iter()
                .filter_map(|entry| entry.live.as_ref())
            {
                if !live.in_flight().is_empty() {
                    live.pool.terminate();
                }
            }
            let _ = tokio::time::timeout(END, own.host.keeper.stop()).await;
        }
    }

    fn silent(&self, error: Box<dyn std::error::Error + Send + Sync>) -> HomeError {
        HomeError::Silent {
            socket: self.socket.clone(),
            error,
        }
    }
}
