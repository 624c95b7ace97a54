//! `baton invoke`: runs a function to its end and shows its course. [`prepare`] settles the arguments while the
//! process has one thread; then [`invoke`] runs the function.

#![allow(clippy::print_stderr, reason = "a command answers on its terminal")]

mod args;
pub(super) mod home;
pub(super) mod hosted_sdk;
mod input;
mod reloads;
mod screen;
mod text;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;

use js_runtime_api::Engine;
use miette::Diagnostic;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub use args::{HELP, InvokeArgs};

use self::home::{FunctionHost, Home, HomeError};
use self::input::InputError;
use self::reloads::{ReloadResult, ReloadStream};
use crate::runner::catalogue::{Catalogue, FunctionNotFound};
use crate::runner::inbox::{self, InboxSessions};
use crate::runner::mocks::{Mock, Mocks};
use crate::runner::run_report::{RunEnding, RunOrigin};
use crate::runner::session::{Options, Order, Script, Session};
use crate::tasks::OwnedTask;

/// The reason why nothing was run.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum InvokeError {
    /// An argument is not understood.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Input(#[from] InputError),
    /// The project has no such function, or none for the event.
    #[error(transparent)]
    #[diagnostic(transparent)]
    NotFound(#[from] FunctionNotFound),
    /// There is no host that could run it.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Home(#[from] HomeError),
    /// A signal came first.
    #[error("cancelled: interrupted before a run began")]
    Interrupted,
}

impl InvokeError {
    /// Returns 2 for a wrong argument; else 1, or the code with which a host ends that cannot start.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Input(_) | Self::NotFound(_) => 2,
            Self::Home(error) => error.exit_code(),
            Self::Interrupted => 1,
        }
    }
}

/// The settings that are known before anything is opened.
pub struct InvokePlan {
    function: Option<String>,
    event: Option<String>,
    data: Value,
    unsent: Vec<Value>,
    mocks: BTreeMap<String, Mock>,
    options: Options,
    watch: bool,
    json: bool,
    found: FunctionHost,
}

/// Reads the arguments and looks for a host.
///
/// # Errors
/// When they are not understood, or there is no project.
pub fn prepare(args: &InvokeArgs) -> Result<InvokePlan, InvokeError> {
    let data = args
        .data
        .as_deref()
        .map(|text| input::data("--data", text))
        .transpose()?;
    let unsent = args.send_event.iter().map(|text| input::event(text));
    let unsent = unsent.collect::<Result<Vec<Value>, InputError>>()?;
    let mocks = args.mock.iter().map(|text| input::mock(text));
    let mocks = mocks.collect::<Result<_, InputError>>()?;
    let mut function = args.function.clone();
    let mut path = args.path.clone();
    // With --event the first name may be the folder already.
    if args.event.is_some() && path.is_none() {
        let folder = function.take_if(|name| name.contains('/') || std::path::Path::new(&*name).is_dir());
        path = folder.map(Into::into);
    }
    let found = home::find(args, path.as_deref())?;
    Ok(InvokePlan {
        function,
        event: args.event.clone(),
        data: data.unwrap_or_else(|| json!({})),
        unsent,
        mocks,
        options: Options {
            skip_sleep: args.skip_sleep,
            retry_delay: args.retry_delay,
            deliver: args.deliver,
            reached: found.is_own(),
        },
        watch: args.watch,
        json: args.json,
        found,
    })
}

impl InvokePlan {
    /// Tells whether a host has to be started.
    #[must_use]
    pub const fn needs_engine(&self) -> bool {
        self.found.is_own()
    }

    /// Returns the variables by which functions find the process that plays Inngest.
    #[must_use]
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        self.found.environment()
    }
}

/// Runs the function, and shows its course.
///
/// # Errors
/// When nothing could be run.
pub async fn invoke(prepared: InvokePlan, engine: Option<Arc<dyn Engine>>) -> Result<ExitCode, InvokeError> {
    let InvokePlan {
        function,
        event,
        data,
        unsent,
        mocks,
        options,
        watch,
        json,
        found,
    } = prepared;
    let stop = CancellationToken::new();
    let interrupted = OwnedTask::spawn("signals", stop_at_a_signal(stop.clone()));
    let mut home = Home::begin(found, engine).await?;
    let code = loop {
        let catalogue = tokio::select! {
            biased;
            () = stop.cancelled() => Err(InvokeError::Interrupted),
            catalogue = home.catalogue() => catalogue.map_err(InvokeError::from),
        };
        // Reloads count from here on, so that the load itself is no reload.
        let mut reloads = if watch { Some(home.reloads().await?) } else { None };
        let orders = catalogue.and_then(|catalogue| {
            let orders = orders(&catalogue, function.as_deref(), event.as_deref(), &data)?;
            Ok((catalogue, orders))
        });
        let code = match orders {
            Ok((catalogue, orders)) => {
                let script = Script {
                    unsent: unsent.iter().map(as_sent).collect(),
                    mocks: Mocks::new(mocks.clone(), None),
                };
                let ending = run(&home, catalogue, orders, options, script, json, stop.clone()).await;
                ExitCode::from(u8::from(!ending.is_completed()))
            }
            Err(error @ InvokeError::Home(HomeError::Rejected(_))) if watch => {
                eprintln!("{:?}", miette::Report::new(error));
                ExitCode::FAILURE
            }
            Err(error) => {
                home.end().await;
                return Err(error);
            }
        };
        let Some(reloads) = reloads.as_mut().filter(|_| !stop.is_cancelled()) else {
            break code;
        };
        eprintln!("waiting for the next reload to run it again; Ctrl-C ends");
        tokio::select! {
            () = stop.cancelled() => break code,
            swapped = swapped(reloads) => if !swapped {
                eprintln!("the host has ended\nStart it again with `baton dev`, then run this again.");
                break ExitCode::FAILURE;
            },
        }
    };
    interrupted.end().await;
    home.end().await;
    Ok(code)
}

/// Waits until new code serves, and shows code that cannot be served. Returns false when the host has ended.
async fn swapped(reloads: &mut ReloadStream) -> bool {
    loop {
        match reloads.next().await {
            Some(ReloadResult::Swapped) => return true,
            Some(ReloadResult::Rejected(report)) => eprint!("{}", super::reload::refusal(&report)),
            None => return false,
        }
    }
}

/// Returns the runs that are to begin.
pub(super) fn orders(
    catalogue: &Catalogue,
    function: Option<&str>,
    event: Option<&str>,
    data: &Value,
) -> Result<Vec<Order>, FunctionNotFound> {
    let order = |function: &crate::runner::catalogue::CatalogueFunction, name: &str| Order {
        function: function.clone(),
        event: Session::event(name, data.clone()),
        origin: RunOrigin::Asked,
        depth: 0,
        busy: None,
    };
    if let Some(name) = function {
        let function = catalogue.named(name)?;
        let event = event.map_or_else(|| function.usual_event(), str::to_owned);
        return Ok(vec![order(function, &event)]);
    }
    let name = event.unwrap_or_default();
    let event = Session::event(name, data.clone());
    let orders: Vec<Order> = catalogue
        .triggered_by(&event)
        .map(|function| order(function, name))
        .collect();
    if orders.is_empty() {
        return Err(catalogue.nothing_for(name));
    }
    Ok(orders)
}

/// Returns an event as it is when it is sent.
fn as_sent(event: &Value) -> Value {
    Session::event(event["name"].as_str().unwrap_or_default(), event["data"].clone())
}

async fn run(
    home: &Home,
    catalogue: Catalogue,
    orders: Vec<Order>,
    options: Options,
    script: Script,
    json: bool,
    stop: CancellationToken,
) -> RunEnding {
    let (reports, shown) = mpsc::unbounded_channel();
    let sdk = Arc::new(home.sdk());
    let (session, deliveries) = Session::new(sdk, catalogue, options, script, reports, stop.clone());
    let inbox = home.inbox().map(|listener| {
        let sessions = Arc::new(InboxSessions::default());
        sessions.enter(session.clone());
        let router = inbox::router(sessions);
        OwnedTask::spawn("inbox", async move {
            if let Ok(listener) = TcpListener::from_std(listener) {
                // The server ends with the task; accepting never fails for good.
                let _ = axum::serve(listener, router).await;
            }
        })
    });
    let screen = OwnedTask::spawn("screen", screen::show(shown, json));
    let (_, ending) = session.conduct(orders, deliveries).await;
    // The session has ended: the result is shown last.
    screen.ended().await;
    if let Some(inbox) = inbox {
        inbox.end().await;
    }
    if stop.is_cancelled() && !home.is_own() {
        eprintln!("a step that has begun finishes in the running host");
    }
    ending
}

async fn stop_at_a_signal(stop: CancellationToken) {
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    stop.cancel();
}
