//! The promises about generations, against an engine without V8.

mod canary_memory;
mod ends_of_code;
mod handover;
mod newer_edits;
mod older_code;
mod stand_ins;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use js_runtime_api::{
    Body, CallError, DEFAULT_SERVE_PATH, Entry, EnvironmentSource, LoadErrorKind, MemoryLimits, Project, Request,
    Response,
};
use tokio::task::JoinHandle;

use super::fake_engine::{Code, FakeEngine, block, burn, compute, die, fill, linger, quick, slow, spin};
use super::{
    CallInfo, FunctionChanges, GenerationId, Keeper, LeaseRefusal, Limits, Outcome, Pin, ProjectPlace, Projects,
    Reason, Report, Role, State, Table, WantedCode,
};
use crate::canary::{CanaryOptions, CanaryUse};
use crate::release::artefact::ReleaseConfig;
use crate::release::{Digest, UnpackedRelease};

const HOLD: Duration = Duration::from_secs(600);
const DRAIN: Duration = Duration::from_secs(7200);
const HURRIED: Duration = Duration::from_secs(600);
const LINGER: Duration = Duration::from_secs(600);
const CPU: Duration = Duration::from_secs(90);
const CALL: Duration = Duration::from_secs(24 * 3600);
const RELOAD: WantedCode = WantedCode::reload(false);
const NOTICED: WantedCode = WantedCode::reload(false);

fn project() -> Project {
    Project {
        root: "/project".into(),
        entry: Entry::Folder("/project/functions".into()),
        environment: EnvironmentSource::default(),
        serve_path: DEFAULT_SERVE_PATH.to_owned(),
        default_retries: None,
        conditions: Vec::new(),
        includes: Vec::new(),
    }
}

struct Host {
    engine: Arc<FakeEngine>,
    table: Arc<Table>,
    keeper: Keeper,
    /// The folder in which the host keeps sources.
    folder: Arc<tempfile::TempDir>,
}

fn limits() -> Limits {
    Limits {
        max_generations: 3,
        drain: DRAIN,
        linger: LINGER,
        hurried_drain: HURRIED,
        load: Duration::from_secs(60),
        call: CALL,
        isolates: 2,
        cores: 2,
        spare: true,
        cpu: Some(CPU),
        deny: Vec::new(),
        canary: (CanaryUse::OnRequest, CanaryOptions::default()),
        memory: MemoryLimits {
            heap: 1 << 30,
            buffers: 1 << 30,
        },
    }
}

impl Host {
    fn new(code: Code) -> Self {
        Self::after(Arc::new(tempfile::tempdir().unwrap()), code, Pin::Nothing)
    }

    /// A host that starts where another one has kept something.
    fn after(folder: Arc<tempfile::TempDir>, code: Code, pin: Pin) -> Self {
        Self::with_limits(folder, code, pin, limits())
    }

    fn with_limits(folder: Arc<tempfile::TempDir>, code: Code, pin: Pin, limits: Limits) -> Self {
        let engine = FakeEngine::new(code);
        let table = Arc::new(Table::new(pin));
        let project = project();
        let kept = folder.path().to_owned();
        let keeper = Keeper::start(
            engine.clone(),
            Projects::of_folder(project),
            limits,
            table.clone(),
            kept,
            None,
        );
        Self {
            engine,
            table,
            keeper,
            folder,
        }
    }

    async fn serving(code: &'static str) -> Self {
        let host = Self::new(Code::Good(code));
        host.reload().await;
        host
    }

    async fn reload(&self) -> Outcome {
        self.keeper.request(RELOAD, Reason::Api).await.outcome.clone()
    }

    async fn edit(&self, code: &'static str) -> Outcome {
        self.engine.write(Code::Good(code));
        self.reload().await
    }

    /// Calls as the server does: with a lease that lasts until the answer.
    async fn call(&self, request: Request) -> Result<Response, CallError> {
        call(self.table.clone(), request).await
    }

    /// A call that runs until `engine.answers_allowed` lets it be answered.
    async fn begin_slow_call(&self) -> JoinHandle<Result<Response, CallError>> {
        self.begin_call(slow()).await
    }

    /// A call that is queued when this returns.
    async fn begin_call(&self, request: Request) -> JoinHandle<Result<Response, CallError>> {
        let lease = self.table.lease(CallInfo::default(), HOLD).await.unwrap();
        let answer = lease.call(request);
        tokio::spawn(async move {
            let answer = answer.await;
            drop(lease);
            answer.0
        })
    }

    /// Waits until the current generation's isolates have so many calls each.
    async fn isolates_have(&self, calls: &[usize]) {
        loop {
            let observed = self.table.current().unwrap().pool.observed();
            if observed
                .iter()
                .map(|isolate| isolate.vitals.calls.len())
                .eq(calls.iter().copied())
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn until(&self, id: u64, state: State) {
        let id = GenerationId(id);
        let reached = self
            .table
            .wait_until(|view| view.entries.iter().any(|entry| entry.id == id && entry.state == state));
        reached.await;
    }
}

async fn call(table: Arc<Table>, request: Request) -> Result<Response, CallError> {
    let lease = table.lease(CallInfo::default(), HOLD).await.unwrap();
    let answer = lease.call(request).await;
    drop(lease);
    answer.0
}

fn asked(host: &Host, want: WantedCode, reason: Reason) -> JoinHandle<Arc<Report>> {
    let keeper = host.keeper.clone();
    tokio::spawn(async move { keeper.request(want, reason).await })
}

fn text(answer: Result<Response, CallError>) -> String {
    match answer.unwrap().body {
        Body::Full(body) => String::from_utf8(body.to_vec()).unwrap(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_call_during_start_is_held_until_the_first_generation_is_ready() {
    let host = Host::new(Code::Good("one"));
    host.engine.hold_loads();
    let held = tokio::spawn(call(host.table.clone(), quick()));
    let loading = tokio::spawn({
        let keeper = host.keeper.clone();
        async move { keeper.request(RELOAD, Reason::Start).await }
    });
    host.until(1, State::Loading).await;
    assert!(!held.is_finished());
    host.engine.loads_allowed.add_permits(1);
    assert_eq!(text(held.await.unwrap()), "one");
    loading.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_call_is_held_for_so_long_and_then_told() {
    let host = Host::new(Code::Broken("no"));
    host.reload().await;
    let gone = host.table.lease(CallInfo::default(), HOLD).await.unwrap_err();
    assert_eq!(gone, LeaseRefusal::HeldTooLong(HOLD));
}

#[tokio::test(start_paused = true)]
async fn a_look_is_given_up_soon_while_nothing_serves_and_waits_on_while_hosts_take_turns() {
    const SOON: Duration = Duration::from_secs(5);
    let host = Host::new(Code::Broken("no"));
    host.reload().await;
    let look = || host.table.lease_soon(CallInfo::default(), SOON, HOLD);
    assert_eq!(look().await.unwrap_err(), LeaseRefusal::HeldTooLong(SOON));
    host.edit("mended").await;
    assert!(look().await.is_ok());
    host.table.set_role(Role::Stopped);
    assert_eq!(look().await.unwrap_err(), LeaseRefusal::HeldTooLong(HOLD));
}

#[tokio::test]
async fn a_running_call_finishes_on_the_code_it_started_with() {
    let host = Host::serving("one").await;
    let running = host.begin_slow_call().await;
    let outcome = host.edit("two").await;
    let Outcome::Activated {
        generation,
        previous,
        draining,
        functions,
        ..
    } = outcome
    else {
        panic!("{outcome:?}");
    };
    assert_eq!((generation, previous), (GenerationId(2), Some(GenerationId(1))));
    assert_eq!(draining.iter().map(|one| one.in_flight).sum::<usize>(), 1);
    assert_eq!(functions.changed, ["app-hello"]);
    assert_eq!(text(host.call(quick()).await), "two");
    host.until(1, State::Draining).await;
    host.engine.answers_allowed.add_permits(1);
    assert_eq!(text(running.await.unwrap()), "one");
    host.until(1, State::Retired).await;
    assert_eq!(host.engine.alive.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_generation_without_calls_retires_at_once() {
    let host = Host::serving("one").await;
    host.edit("two").await;
    host.until(1, State::Retired).await;
}

#[tokio::test]
async fn broken_code_changes_nothing_but_the_report() {
    let host = Host::serving("one").await;
    host.engine.write(Code::Broken("Expected ident"));
    let outcome = host.reload().await;
    let Outcome::Rejected { generation, error } = outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!(generation, Some(GenerationId(1)));
    assert_eq!(error.message, "Expected ident");
    assert_eq!(text(host.call(quick()).await), "one");
    assert!(host.table.view().last_rejected.is_some());
    host.edit("two").await;
    assert!(host.table.view().last_rejected.is_none());
}

#[tokio::test]
async fn broken_code_at_the_start_holds_calls_until_it_is_mended() {
    let host = Host::new(Code::Broken("no"));
    host.reload().await;
    let held = tokio::spawn(call(host.table.clone(), quick()));
    host.edit("mended").await;
    assert_eq!(text(held.await.unwrap()), "mended");
}

#[tokio::test]
async fn what_did_not_change_is_not_loaded_again_unless_it_is_forced() {
    let host = Host::serving("one").await;
    assert!(matches!(
        host.reload().await,
        Outcome::Unchanged {
            generation: GenerationId(1),
            ..
        }
    ));
    assert_eq!(host.engine.loads(), 1);
    let forced = host.keeper.request(WantedCode::reload(true), Reason::Api).await;
    assert!(matches!(
        forced.outcome,
        Outcome::Activated {
            generation: GenerationId(2),
            ..
        }
    ));
}

#[tokio::test]
async fn a_check_changes_nothing() {
    let host = Host::serving("one").await;
    host.engine.write(Code::Good("two"));
    let report = host.keeper.request(WantedCode::Check, Reason::Check).await;
    let Outcome::Checked {
        generation, functions, ..
    } = &report.outcome
    else {
        panic!("{report:?}");
    };
    assert_eq!(*generation, Some(GenerationId(1)));
    let changes = FunctionChanges {
        count: 1,
        changed: vec!["app-hello".to_owned()],
        ..FunctionChanges::default()
    };
    assert_eq!(*functions, changes);
    assert_eq!(text(host.call(quick()).await), "one");
    host.until(2, State::Retired).await;
    assert_eq!(host.engine.alive.load(Ordering::SeqCst), 1);
}
