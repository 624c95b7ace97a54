//! The handle on the keeper: everybody else asks it this way.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use js_runtime_api::{Engine, MemoryLimits};
use tokio::sync::{mpsc, oneshot};

use super::KeeperTask;
use super::canary_course::TrialRecord;
use super::frozen::FrozenHost;
use crate::canary::{CanaryOptions, CanaryUse};
use crate::generation::history::{History, KEPT};
use crate::generation::project_place::{ProjectPlace, Projects};
use crate::generation::reload_queue::{Reason, WantedCode};
use crate::generation::report::{Outcome, Report};
use crate::generation::state::GenerationId;
use crate::generation::store::Store;
use crate::generation::table::Table;
use crate::generation::trial::{CanaryCommand, CanaryRefusal, CanarySummary};
use crate::lint::WarningCode;

/// Bounds on generations.
#[derive(Debug, Clone)]
pub struct Limits {
    /// The number of generations that may be live before the oldest is hurried.
    pub max_generations: usize,
    /// The limit for a superseded generation to finish its calls, and the work of its code after them.
    pub drain: Duration,
    /// The time for which a superseded generation lingers where other hosts share the address of this one.
    pub linger: Duration,
    /// The same limit as `drain` for a generation that is hurried.
    pub hurried_drain: Duration,
    /// The limit for a load.
    pub load: Duration,
    /// The time that a call may take before its isolate is ended.
    pub call: Duration,
    /// The number of isolates that a generation may have, whatever user code does with their threads.
    pub isolates: usize,
    /// The number of isolates that can be of use to calls that merely are many.
    pub cores: usize,
    /// Tells whether an isolate is kept ready for the next load.
    pub spare: bool,
    /// The processor time that a call may use before its isolate is ended.
    pub cpu: Option<Duration>,
    /// The memory that an isolate may hold.
    pub memory: MemoryLimits,
    /// Warnings that reject the code they are about.
    pub deny: Vec<WarningCode>,
    /// The reloads that are canaries, and their terms.
    pub canary: (CanaryUse, CanaryOptions),
}

/// The name of the file with the state of a canary, beside the kept sources.
const RECORD: &str = "canary.json";

/// Sends requests to the task.
#[derive(Debug, Clone)]
pub struct Keeper(pub(super) mpsc::UnboundedSender<KeeperRequest>);

#[derive(Debug)]
pub(super) enum KeeperRequest {
    Load {
        want: WantedCode,
        reason: Reason,
        answer: oneshot::Sender<Arc<Report>>,
    },
    /// Asks the keeper to read from another place from the next load on.
    Move(Box<ProjectPlace>),
    /// Asks the keeper to load nothing more, and to tell its state.
    Freeze {
        answer: oneshot::Sender<FrozenHost>,
    },
    /// Asks the keeper to go on after a freeze; another host has given that number.
    Resume {
        given: Option<GenerationId>,
    },
    /// Asks for an answer, which shows that the task goes on.
    Ping {
        answer: oneshot::Sender<()>,
    },
    /// Decides on the canary that is on.
    Canary {
        command: CanaryCommand,
        answer: oneshot::Sender<Result<CanarySummary, CanaryRefusal>>,
    },
    /// Tells that another host goes on from here.
    HandOver,
    Stop {
        done: oneshot::Sender<()>,
    },
}

impl Keeper {
    /// Starts the task. It runs until [`Self::stop`] or until every `Keeper` is dropped. `kept`: the folder for the
    /// sources of the generations that served last. `given`: the newest number that another host has given.
    pub fn start(
        engine: Arc<dyn Engine>,
        projects: Projects,
        limits: Limits,
        table: Arc<Table>,
        kept: PathBuf,
        given: Option<GenerationId>,
    ) -> Self {
        let (sender, requests) = mpsc::unbounded_channel();
        let tasks = table.tasks().clone();
        tasks.keep("keeper", async move {
            let record = TrialRecord::new(kept.join(RECORD), limits.canary.0);
            let history = History::open(Store::new(kept, KEPT), engine.clone(), projects.clone()).await;
            let task = KeeperTask::new(engine, projects.next, limits, table, history, given, record);
            task.run(requests).await;
        });
        Self(sender)
    }

    /// Asks for a load and waits for the report on it.
    pub async fn request(&self, want: WantedCode, reason: Reason) -> Arc<Report> {
        let (answer, report) = oneshot::channel();
        // A task that has ended drops the answer, which reads the same below.
        let _ = self.0.send(KeeperRequest::Load { want, reason, answer });
        report.await.unwrap_or_else(|_| {
            Arc::new(Report {
                outcome: Outcome::ShuttingDown,
                took_ms: 0.0,
            })
        })
    }

    /// Decides on the canary that is on, and waits until that is done.
    ///
    /// # Errors
    /// When no canary is on, or the host ends.
    pub async fn decide(&self, command: CanaryCommand) -> Result<CanarySummary, CanaryRefusal> {
        let (answer, answered) = oneshot::channel();
        let _ = self.0.send(KeeperRequest::Canary { command, answer });
        answered.await.unwrap_or(Err(CanaryRefusal::Ending))
    }

    /// Has loads that begin from now on read the project of another release.
    pub fn move_to(&self, place: ProjectPlace) {
        let _ = self.0.send(KeeperRequest::Move(Box::new(place)));
    }

    /// Waits until the task has had a turn; false when it has ended instead.
    pub fn goes_on(&self) -> impl Future<Output = bool> + Send + use<> {
        let (answer, answered) = oneshot::channel();
        let _ = self.0.send(KeeperRequest::Ping { answer });
        async move { answered.await.is_ok() }
    }

    /// Ends every isolate, then the task.
    pub async fn stop(&self) {
        let (done, stopped) = oneshot::channel();
        let _ = self.0.send(KeeperRequest::Stop { done });
        let _ = stopped.await;
    }
}
