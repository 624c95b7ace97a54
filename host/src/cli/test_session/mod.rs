//! `baton test-session`: the real engine for a project's tests. The JavaScript library of the npm package starts it,
//! and speaks with it in lines of JSON (`session_lines.rs`) over its standard input and output; the log is on standard
//! error.
//!
//! ```text
//!  lines in ──▶ Desk ── a session for each run ──▶ runner ──▶ a host of its own
//!                 ◀── reports, questions, endings ──┘
//! ```
//!
//! The process ends once its standard input does, so that it never outlives the tests.

mod oracle;
mod session_lines;

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use clap::Args;
use js_runtime_api::Engine;
use miette::Diagnostic as _;
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use self::oracle::{Questions, TestOracle};
use self::session_lines::{Line, MockLine, ReplyLine, RunLine, SessionLine};
use super::invoke;
use super::invoke::home::{self, FunctionHost, Home, HomeError};
use super::invoke::hosted_sdk::HostedSdk;
use crate::runner::catalogue::Catalogue;
use crate::runner::inbox::{self, InboxSessions};
use crate::runner::mocks::{Mock, Mocks};
use crate::runner::run_report::RunReport;
use crate::runner::session::{Options, Script, Session};
use crate::tasks::{OwnedTask, TaskSet};

/// The longest line that is read, in bytes.
const LONGEST_LINE: u64 = 64 << 20;

#[derive(Debug, Args)]
#[allow(missing_docs, reason = "clap would take it for a help text")]
pub struct TestSessionArgs {
    /// A folder of functions or an entry file, as for `baton dev`.
    path: Option<PathBuf>,
    /// A file of NAME=value lines for the functions' process.env.
    #[arg(long, value_name = "FILE")]
    env_file: Option<PathBuf>,
}

/// The settings that are known before anything is opened.
pub struct TestSessionPlan {
    found: FunctionHost,
    /// The standard input, of which V8 leaves nothing.
    input: File,
}

/// Prepares a host, and takes the standard input.
///
/// # Errors
/// When there is no project.
pub fn prepare(args: &TestSessionArgs) -> Result<TestSessionPlan, HomeError> {
    let input = io::stdin().as_fd().try_clone_to_owned().map_err(HomeError::Prepare)?;
    let own = home::prepare_own(args.path.as_deref(), args.env_file.as_deref(), false)?;
    Ok(TestSessionPlan {
        found: FunctionHost::Own(Box::new(own)),
        input: input.into(),
    })
}

impl TestSessionPlan {
    /// Returns the variables by which functions find the process that plays Inngest.
    #[must_use]
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        self.found.environment()
    }
}

/// Serves the tests until the standard input ends.
///
/// # Errors
/// When there is no host for the tests. They are told the reason, too.
pub async fn run(prepared: TestSessionPlan, engine: Arc<dyn Engine>) -> Result<ExitCode, HomeError> {
    let TestSessionPlan { found, input } = prepared;
    let mut home = Home::begin(found, Some(engine)).await?;
    let catalogue = match home.catalogue().await {
        Ok(catalogue) => catalogue,
        Err(HomeError::Rejected(message)) => {
            super::output::say(SessionLine::Rejected { message }.line());
            home.end().await;
            return Ok(ExitCode::FAILURE);
        }
        Err(error) => return Err(error),
    };
    let (said, to_say) = mpsc::unbounded_channel();
    let stop = CancellationToken::new();
    let speaking = OwnedTask::spawn("lines to tests", speak(to_say, stop.clone()));
    let sessions = Arc::new(InboxSessions::default());
    let inbox = home.inbox().map(|listener| {
        let router = inbox::router(sessions.clone());
        OwnedTask::spawn("inbox", async move {
            if let Ok(listener) = TcpListener::from_std(listener) {
                // The server ends with the task; accepting never fails for good.
                let _ = axum::serve(listener, router).await;
            }
        })
    });
    let desk = Arc::new(Desk {
        sdk: Arc::new(home.sdk()),
        catalogue,
        sessions,
        questions: Arc::new(Questions::new(said)),
        runs: Mutex::default(),
        stop,
    });
    desk.say(SessionLine::Ready {
        functions: desk.catalogue.ids(),
    });
    let tasks = TaskSet::new("runs of tests");
    let mut input = BufReader::new(tokio::fs::File::from_std(input));
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = async { (&mut input).take(LONGEST_LINE).read_until(b'\n', &mut line).await };
        tokio::select! {
            biased;
            () = desk.stop.cancelled() => break,
            read = read => if !matches!(read, Ok(1..)) { break },
        }
        desk.clone().take(&line, &tasks);
    }
    desk.stop.cancel();
    tasks.end().await;
    if let Some(inbox) = inbox {
        inbox.end().await;
    }
    speaking.end().await;
    home.end().await;
    Ok(ExitCode::SUCCESS)
}

/// Writes lines until nobody reads them.
async fn speak(mut lines: mpsc::UnboundedReceiver<SessionLine>, stop: CancellationToken) {
    while let Some(line) = lines.recv().await {
        if !super::output::say(line.line()) {
            return stop.cancel();
        }
    }
}

/// The place to which lines come, with the runs that go on.
struct Desk {
    sdk: Arc<HostedSdk>,
    catalogue: Catalogue,
    sessions: Arc<InboxSessions>,
    questions: Arc<Questions>,
    runs: Mutex<BTreeMap<u64, (Arc<Session>, CancellationToken)>>,
    stop: CancellationToken,
}

impl Desk {
    fn say(&self, said: SessionLine) {
        self.questions.say(said);
    }

    fn runs(&self) -> MutexGuard<'_, BTreeMap<u64, (Arc<Session>, CancellationToken)>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn session(&self, run: u64) -> Option<Arc<Session>> {
        self.runs().get(&run).map(|(session, _)| session.clone())
    }

    /// Does as a line says.
    fn take(self: Arc<Self>, line: &[u8], tasks: &TaskSet) {
        match serde_json::from_slice(line) {
            Ok(Line::Run(order)) => tasks.spawn(self.run(order)),
            Ok(Line::Answer { question, reply }) => self.questions.answered(question, reply.into()),
            Ok(Line::Send { run, event }) => {
                if let Some(session) = self.session(run) {
                    session.sent(vec![event]);
                }
            }
            Ok(Line::Cancel { run }) => {
                if let Some((_, stop)) = self.runs().get(&run) {
                    stop.cancel();
                }
            }
            Ok(Line::Advance { run, ms, id }) => {
                let session = self.session(run);
                tasks.spawn(async move {
                    if let Some(session) = session {
                        session.advance(std::time::Duration::from_millis(ms)).await;
                    }
                    self.say(SessionLine::Advanced { id });
                });
            }
            Err(error) => self.say(SessionLine::Malformed {
                message: error.to_string(),
            }),
        }
    }

    /// Conducts a run to its end.
    async fn run(self: Arc<Self>, order: RunLine) {
        let RunLine {
            run,
            function,
            event,
            data,
            events,
            steps,
            skip_sleep,
            deliver,
            retry_delay_ms,
        } = order;
        let data = data.unwrap_or_else(|| json!({}));
        let orders = match invoke::orders(&self.catalogue, function.as_deref(), event.as_deref(), &data) {
            Ok(orders) => orders,
            Err(error) => {
                let help = error.help().map(|help| format!("\nhelp: {help}")).unwrap_or_default();
                return self.say(SessionLine::Refused {
                    run,
                    message: format!("{error}{help}"),
                });
            }
        };
        let oracle = TestOracle::new(run, self.questions.clone());
        let mocks = steps.into_iter().map(|(step, mock)| (step, Mock::from(mock)));
        let script = Script {
            unsent: events,
            mocks: Mocks::new(mocks.collect(), Some(Arc::new(oracle))),
        };
        let options = Options {
            skip_sleep,
            retry_delay: std::time::Duration::from_millis(retry_delay_ms),
            deliver,
            reached: true,
        };
        let (sender, mut reports) = mpsc::unbounded_channel();
        let stop = self.stop.child_token();
        let (session, deliveries) = Session::new(
            self.sdk.clone(),
            self.catalogue.clone(),
            options,
            script,
            sender,
            stop.clone(),
        );
        self.sessions.enter(session.clone());
        self.runs().insert(run, (session.clone(), stop));
        let telling = async {
            while let Some(report) = reports.recv().await {
                let is_last = matches!(report, RunReport::Result { .. });
                if is_last {
                    // The lines of functions come before this one: whoever reads the log waits for it.
                    tracing::info!(target: "test_session", ended = run, "a run of a test ended");
                }
                self.say(SessionLine::Report { run, report });
                if is_last {
                    break;
                }
            }
        };
        tokio::join!(session.clone().conduct(orders, deliveries), telling);
        self.runs().remove(&run);
        self.sessions.leave(&session);
    }
}

impl From<MockLine> for Mock {
    fn from(line: MockLine) -> Self {
        match line {
            MockLine::Output(output) => Self::Output(output),
            MockLine::Error(error) => Self::Error(error),
            MockLine::Asked(()) => Self::Asked,
        }
    }
}

impl From<ReplyLine> for crate::runner::mocks::Reply {
    fn from(reply: ReplyLine) -> Self {
        match reply {
            ReplyLine::Output(output) => Ok(output),
            ReplyLine::Error(error) => Err(error),
        }
    }
}
