//! The promises about generations, against an engine without V8.

mod canary_memory;
mod handover;

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

#[tokio::test]
async fn reloads_during_a_load_share_the_next_one() {
    let host = Host::serving("one").await;
    host.engine.hold_loads();
    host.engine.write(Code::Good("two"));
    let first = tokio::spawn({
        let keeper = host.keeper.clone();
        async move { keeper.request(RELOAD, Reason::Api).await }
    });
    host.engine.loads_are(2).await;
    // The disk has nothing newer than the code that is being loaded, so that load goes on.
    let later: Vec<_> = (0..10)
        .map(|_| {
            let keeper = host.keeper.clone();
            tokio::spawn(async move { keeper.request(WantedCode::reload(true), Reason::Api).await })
        })
        .collect();
    // They are queued in order, so once this one is answered for, so are they.
    tokio::task::yield_now().await;
    host.engine.loads_allowed.add_permits(2);
    assert_eq!(first.await.unwrap().outcome.serving(), Some(GenerationId(2)));
    for report in later {
        let report = report.await.unwrap();
        assert_eq!(report.outcome.serving(), Some(GenerationId(3)), "{report:?}");
    }
    assert_eq!(host.engine.loads(), 3);
    assert_eq!(text(host.call(quick()).await), "two");
}

#[tokio::test]
async fn rolling_back_serves_what_an_earlier_generation_was_made_of() {
    let host = Host::serving("one").await;
    host.edit("two").await;
    let report = host.keeper.request(WantedCode::Rollback(None), Reason::Rollback).await;
    assert_eq!(
        report.outcome.serving(),
        Some(GenerationId(3)),
        "under a number of its own"
    );
    assert_eq!(text(host.call(quick()).await), "one");
    let report = host
        .keeper
        .request(WantedCode::Rollback(Some(GenerationId(2))), Reason::Rollback)
        .await;
    assert_eq!(report.outcome.serving(), Some(GenerationId(4)));
    assert_eq!(text(host.call(quick()).await), "two");
    let report = host
        .keeper
        .request(WantedCode::Rollback(Some(GenerationId(99))), Reason::Rollback)
        .await;
    assert!(matches!(report.outcome, Outcome::NotKept { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_call_is_cut_only_when_its_generation_has_drained_for_too_long() {
    let host = Host::serving("one").await;
    let running = host.begin_slow_call().await;
    host.edit("two").await;
    tokio::time::advance(DRAIN - Duration::from_secs(1)).await;
    tokio::task::yield_now().await;
    assert!(!running.is_finished());
    assert_eq!(running.await.unwrap().err(), Some(CallError::IsolateDied));
    host.until(1, State::Retired).await;
}

#[tokio::test(start_paused = true)]
async fn what_code_does_after_its_calls_has_the_deadline_of_the_calls() {
    let host = Host::serving("one").await;
    host.call(linger()).await.unwrap();
    let began = tokio::time::Instant::now();
    host.edit("two").await;
    host.until(1, State::Closing).await;
    host.until(1, State::Retired).await;
    let elapsed = began.elapsed();
    assert!(elapsed >= DRAIN && elapsed < DRAIN + HURRIED, "{elapsed:?}");
}

#[tokio::test(start_paused = true)]
async fn code_that_spins_after_its_calls_is_ended_soon() {
    let host = Host::serving("one").await;
    host.call(spin()).await.unwrap();
    let began = tokio::time::Instant::now();
    host.edit("two").await;
    host.until(1, State::Closing).await;
    host.until(1, State::Retired).await;
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn of_too_many_generations_one_whose_code_does_not_end_has_less_time() {
    let host = Host::serving("v1").await;
    let began = tokio::time::Instant::now();
    for code in ["v2", "v3", "v4"] {
        host.call(linger()).await.unwrap();
        host.edit(code).await;
    }
    host.until(1, State::Retired).await;
    let elapsed = began.elapsed();
    assert!(elapsed >= HURRIED && elapsed < DRAIN, "{elapsed:?}");
}

#[tokio::test(start_paused = true)]
async fn a_host_that_ends_waits_for_its_code_but_not_for_code_that_spins() {
    for (request, at_least, at_most) in [
        (linger(), DRAIN, DRAIN + HURRIED),
        (spin(), Duration::ZERO, Duration::from_secs(60)),
    ] {
        let host = Host::serving("one").await;
        host.call(request).await.unwrap();
        let began = tokio::time::Instant::now();
        host.keeper.stop().await;
        let elapsed = began.elapsed();
        assert!(elapsed >= at_least && elapsed <= at_most, "{elapsed:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn of_too_many_generations_the_oldest_has_less_time() {
    let host = Host::serving("v1").await;
    let began = tokio::time::Instant::now();
    let oldest = host.begin_slow_call().await;
    host.edit("v2").await;
    let second = host.begin_slow_call().await;
    host.edit("v3").await;
    assert!(!oldest.is_finished());
    host.edit("v4").await;
    // `v3` is idle and retires; with `v1`, `v2` and `v4` there are three again.
    assert_eq!(oldest.await.unwrap().err(), Some(CallError::IsolateDied));
    let elapsed = began.elapsed();
    assert!(elapsed >= HURRIED && elapsed < DRAIN, "{elapsed:?}");
    assert!(!second.is_finished());
}

#[tokio::test]
async fn the_end_closes_every_isolate_and_answers_whoever_waits() {
    let host = Host::serving("one").await;
    host.engine.hold_loads();
    host.engine.write(Code::Good("two"));
    let reload = tokio::spawn({
        let keeper = host.keeper.clone();
        async move { keeper.request(RELOAD, Reason::Api).await }
    });
    host.until(2, State::Loading).await;
    host.keeper.stop().await;
    assert_eq!(reload.await.unwrap().outcome, Outcome::ShuttingDown);
    assert_eq!(host.engine.alive.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn an_isolate_that_dies_loses_its_own_calls_and_is_replaced() {
    let host = Host::serving("one").await;
    let beside = host.begin_slow_call().await;
    host.isolates_have(&[1]).await;
    assert_eq!(host.call(die()).await.err(), Some(CallError::IsolateDied));
    assert_eq!(beside.await.unwrap().err(), Some(CallError::IsolateDied));
    assert_eq!(
        text(host.call(quick()).await),
        "one",
        "by its replacement, in the same generation"
    );
    assert_eq!(host.table.current().unwrap().id, GenerationId(1));
    assert_eq!(host.engine.loads(), 2);
}

#[tokio::test(start_paused = true)]
async fn while_every_isolate_is_blocked_another_one_takes_the_calls_up_to_the_limit() {
    let host = Host::serving("one").await;
    let blocking = tokio::spawn(call(host.table.clone(), block()));
    // Nobody takes the call for as long as the only isolate is blocked.
    assert_eq!(text(host.call(quick()).await), "one", "by a second isolate");
    assert!(!blocking.is_finished());
    let second = tokio::spawn(call(host.table.clone(), block()));
    host.isolates_have(&[1, 1]).await;
    let waiting = tokio::spawn(call(host.table.clone(), quick()));
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(!waiting.is_finished(), "two are the limit");
    assert!(host.table.current().unwrap().pool.all_blocked());
    assert_eq!(host.table.current().unwrap().pool.queued(), 1);
    host.engine.answers_allowed.add_permits(2);
    assert_eq!(text(waiting.await.unwrap()), "one");
    assert_eq!(text(blocking.await.unwrap()), "one");
    assert_eq!(text(second.await.unwrap()), "one");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_for_a_held_thread_is_taken_by_another_isolate_before_any_counts_as_blocked() {
    let host = Host::serving("one").await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    let began = tokio::time::Instant::now();
    let blocking = host.begin_call(block()).await;
    // The isolate has begun it.
    tokio::task::yield_now().await;
    assert_eq!(text(host.call(quick()).await), "one", "by a second isolate");
    assert!(began.elapsed() < Duration::from_millis(100), "{:?}", began.elapsed());
    let observed = host.table.current().unwrap().pool.observed();
    assert!(
        observed.len() == 2 && observed.iter().all(|isolate| !isolate.blocked),
        "{observed:?}"
    );
    host.engine.answers_allowed.add_permits(1);
    assert_eq!(text(blocking.await.unwrap()), "one");
}

#[tokio::test(start_paused = true)]
async fn each_thread_that_is_held_gets_a_stand_in_up_to_the_limit() {
    let limits = Limits {
        isolates: 4,
        cores: 1,
        ..limits()
    };
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let host = Host::with_limits(folder, Code::Good("one"), Pin::Nothing, limits);
    host.reload().await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    let mut blocking = Vec::new();
    for held in 1..=3 {
        blocking.push(host.begin_call(block()).await);
        tokio::task::yield_now().await;
        let began = tokio::time::Instant::now();
        assert_eq!(text(host.call(quick()).await), "one", "beside {held}");
        assert!(began.elapsed() < Duration::from_millis(100), "{:?}", began.elapsed());
    }
    let observed = host.table.current().unwrap().pool.observed();
    assert!(
        observed.len() == 4 && observed.iter().all(|isolate| !isolate.blocked),
        "{observed:?}"
    );
    host.engine.answers_allowed.add_permits(blocking.len());
    for blocking in blocking {
        assert_eq!(text(blocking.await.unwrap()), "one");
    }
}

#[tokio::test(start_paused = true)]
async fn while_calls_wait_for_busy_isolates_another_one_is_made_up_to_the_limit() {
    let host = Host::serving("one").await;
    let callers: Vec<_> = (0..8)
        .map(|_| {
            let table = host.table.clone();
            tokio::spawn(async move {
                loop {
                    assert_eq!(text(call(table.clone(), compute()).await), "one");
                }
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(900)).await;
    assert_eq!(host.engine.alive.load(Ordering::SeqCst), 1, "a peak is none yet");
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(host.engine.alive.load(Ordering::SeqCst), 2);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(host.engine.alive.load(Ordering::SeqCst), 2, "two are the limit");
    assert!(callers.iter().all(|caller| !caller.is_finished()));
    callers.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test(start_paused = true)]
async fn calls_that_merely_are_many_get_no_more_isolates_than_there_are_cores() {
    let limits = Limits {
        isolates: 4,
        ..limits()
    };
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let host = Host::with_limits(folder, Code::Good("one"), Pin::Nothing, limits);
    host.reload().await;
    let callers: Vec<_> = (0..16)
        .map(|_| {
            let table = host.table.clone();
            tokio::spawn(async move {
                loop {
                    assert_eq!(text(call(table.clone(), compute()).await), "one");
                }
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(host.engine.alive.load(Ordering::SeqCst), 2);
    callers.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test(start_paused = true)]
async fn an_isolate_that_answers_as_calls_come_stays_alone() {
    let host = Host::serving("one").await;
    let until = tokio::time::Instant::now() + Duration::from_secs(60);
    while tokio::time::Instant::now() < until {
        assert_eq!(text(host.call(compute()).await), "one");
    }
    assert_eq!(host.engine.alive.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_blocked_generation_does_not_keep_the_next_one_from_serving() {
    let host = Host::serving("one").await;
    let blocking = tokio::spawn(call(host.table.clone(), block()));
    host.isolates_have(&[1]).await;
    host.edit("two").await;
    assert_eq!(text(host.call(quick()).await), "two");
    assert!(!blocking.is_finished());
    host.engine.answers_allowed.add_permits(1);
    assert_eq!(text(blocking.await.unwrap()), "one");
    host.until(1, State::Retired).await;
    assert_eq!(host.engine.alive.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_takes_too_long_costs_its_isolate_which_is_replaced() {
    let host = Host::serving("one").await;
    let began = tokio::time::Instant::now();
    let running = host.begin_slow_call().await;
    assert_eq!(running.await.unwrap().err(), Some(CallError::IsolateDied));
    assert!(began.elapsed() > CALL, "{:?}", began.elapsed());
    assert_eq!(text(host.call(quick()).await), "one");
    assert_eq!(host.engine.alive.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_uses_too_much_processor_time_costs_its_isolate_which_is_replaced() {
    let host = Host::serving("one").await;
    let began = tokio::time::Instant::now();
    assert_eq!(host.call(burn()).await.err(), Some(CallError::IsolateDied));
    assert!(began.elapsed() > CPU && began.elapsed() < CALL, "{:?}", began.elapsed());
    assert_eq!(text(host.call(quick()).await), "one");
    assert_eq!(host.engine.alive.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn an_isolate_that_is_nearly_out_of_memory_finishes_its_calls_while_another_one_serves() {
    let host = Host::serving("one").await;
    let filling = host.begin_call(fill()).await;
    assert_eq!(text(host.call(quick()).await), "one", "by its replacement");
    assert_eq!(host.engine.alive.load(Ordering::SeqCst), 2);
    assert!(!filling.is_finished());
    host.engine.answers_allowed.add_permits(1);
    assert_eq!(text(filling.await.unwrap()), "one");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(host.engine.alive.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_call_whose_generation_was_ended_before_it_was_queued_is_answered() {
    let host = Host::serving("one").await;
    let lease = host.table.lease(CallInfo::default(), HOLD).await.unwrap();
    host.table.current().unwrap().pool.terminate();
    assert_eq!(lease.call(quick()).await.0.err(), Some(CallError::IsolateDied));
}

const NOTICED: WantedCode = WantedCode::reload(false);

#[tokio::test]
async fn a_host_that_starts_on_broken_code_serves_what_the_last_one_served_and_says_so() {
    let first = Host::serving("one").await;
    first.edit("two").await;
    first.keeper.stop().await;

    let next = Host::after(first.folder.clone(), Code::Broken("of today"), Pin::Nothing);
    let report = next.keeper.request(RELOAD, Reason::Start).await;
    assert!(
        matches!(&report.outcome, Outcome::Rejected { generation: None, .. }),
        "{report:?}"
    );
    assert_eq!(text(next.call(quick()).await), "two");
    let current = next.table.current().unwrap().id;
    assert_eq!(current, GenerationId(4), "numbers go on: 3 was rejected");
    let view = next.table.view();
    let entry = view.entries.iter().find(|entry| entry.id == current).unwrap();
    assert_eq!(entry.reason, Reason::LastGood);
    assert_eq!(entry.restored_from, Some(GenerationId(2)));
    assert!(view.last_rejected.is_some(), "what is on the disk is still broken");

    next.edit("three").await;
    assert_eq!(text(next.call(quick()).await), "three");
    assert!(next.table.view().last_rejected.is_none());
}

#[tokio::test]
async fn a_rollback_reaches_what_an_earlier_host_served() {
    let first = Host::serving("one").await;
    first.edit("two").await;
    first.keeper.stop().await;
    let next = Host::after(first.folder.clone(), Code::Good("three"), Pin::Nothing);
    next.reload().await;
    let report = next.keeper.request(WantedCode::Rollback(None), Reason::Rollback).await;
    assert!(
        matches!(
            &report.outcome,
            Outcome::Activated {
                restored_from: Some(GenerationId(2)),
                ..
            }
        ),
        "{report:?}"
    );
    assert_eq!(text(next.call(quick()).await), "two");
}

#[tokio::test]
async fn after_a_rollback_only_a_change_brings_the_disk_back() {
    let host = Host::serving("one").await;
    host.edit("two").await;
    host.keeper.request(WantedCode::Rollback(None), Reason::Rollback).await;
    let noticed = host.keeper.request(NOTICED, Reason::File).await;
    assert!(matches!(noticed.outcome, Outcome::Unchanged { .. }), "{noticed:?}");
    assert_eq!(text(host.call(quick()).await), "one");
    host.engine.write(Code::Good("three"));
    host.keeper.request(NOTICED, Reason::File).await;
    assert_eq!(text(host.call(quick()).await), "three");
}

#[tokio::test]
async fn after_a_rollback_a_reload_that_is_asked_for_brings_the_disk_back() {
    let host = Host::serving("one").await;
    host.edit("two").await;
    host.keeper.request(WantedCode::Rollback(None), Reason::Rollback).await;
    host.reload().await;
    assert_eq!(text(host.call(quick()).await), "two");
}

#[tokio::test]
async fn broken_code_is_not_loaded_again_until_it_changes() {
    let host = Host::serving("one").await;
    host.engine.write(Code::Broken("no"));
    host.keeper.request(NOTICED, Reason::File).await;
    let loads = host.engine.loads();
    host.keeper.request(NOTICED, Reason::File).await;
    assert_eq!(host.engine.loads(), loads);
    assert!(host.table.view().last_rejected.is_some());
    host.engine.write(Code::Good("one"));
    let noticed = host.keeper.request(NOTICED, Reason::File).await;
    assert!(
        matches!(noticed.outcome, Outcome::Unchanged { .. }),
        "as it was: {noticed:?}"
    );
    assert!(host.table.view().last_rejected.is_none(), "the disk is as what serves");
}

#[tokio::test]
async fn a_newer_edit_supersedes_a_load_and_everybody_hears_of_the_newest() {
    let host = Host::serving("one").await;
    host.engine.hold_loads();
    host.engine.write(Code::Good("two"));
    let noticed = |reason| {
        let keeper = host.keeper.clone();
        tokio::spawn(async move { keeper.request(NOTICED, reason).await })
    };
    let first = noticed(Reason::Api);
    host.engine.loads_are(2).await;
    host.engine.write(Code::Good("three"));
    let second = noticed(Reason::File);
    host.until(2, State::Abandoned).await;
    host.engine.loads_allowed.add_permits(1);
    for report in [first.await.unwrap(), second.await.unwrap()] {
        assert_eq!(report.outcome.serving(), Some(GenerationId(3)), "{report:?}");
    }
    assert_eq!(text(host.call(quick()).await), "three");
}

#[tokio::test]
async fn a_load_that_failed_while_the_disk_changed_is_done_again_and_not_told() {
    let host = Host::serving("one").await;
    host.engine.hold_loads();
    host.engine.write(Code::Broken("half written"));
    let reload = tokio::spawn({
        let keeper = host.keeper.clone();
        async move { keeper.request(RELOAD, Reason::Api).await }
    });
    host.engine.loads_are(2).await;
    host.engine.write(Code::Good("whole"));
    host.engine.loads_allowed.add_permits(2);
    let report = reload.await.unwrap();
    assert_eq!(report.outcome.serving(), Some(GenerationId(3)), "{report:?}");
    assert_eq!(text(host.call(quick()).await), "whole");
    assert!(host.table.view().last_rejected.is_none());
}

#[tokio::test(start_paused = true)]
async fn code_that_throws_at_the_start_is_tried_again_until_it_loads() {
    let host = Host::new(Code::Throwing("the database is not up yet"));
    assert!(matches!(
        host.reload().await,
        Outcome::Rejected { generation: None, .. }
    ));
    let held = tokio::spawn(call(host.table.clone(), quick()));
    host.engine.loads_are(3).await;
    assert!(!held.is_finished());
    host.engine.write(Code::Good("up"));
    assert_eq!(text(held.await.unwrap()), "up");
}

#[tokio::test(start_paused = true)]
async fn a_load_at_which_the_engine_panics_is_rejected_and_tried_again_soon() {
    let host = Host::serving("one").await;
    host.engine.write(Code::PanicsEngine);
    let outcome = host.reload().await;
    let Outcome::Rejected { error, .. } = outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!(error.kind, LoadErrorKind::System);
    host.engine.write(Code::Good("two"));
    host.until(3, State::Current).await;
    assert_eq!(text(host.call(quick()).await), "two");
    assert_eq!(host.table.tasks().failed(), None);
}

#[tokio::test(start_paused = true)]
async fn while_older_code_of_the_disk_serves_nothing_is_tried_again() {
    let host = Host::serving("one").await;
    host.engine.write(Code::Throwing("no"));
    host.reload().await;
    let loads = host.engine.loads();
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(host.engine.loads(), loads);
    assert_eq!(text(host.call(quick()).await), "one");
}

/// Asks for a reload, as a saved file does or a person.
fn asked(host: &Host, want: WantedCode, reason: Reason) -> JoinHandle<Arc<Report>> {
    let keeper = host.keeper.clone();
    tokio::spawn(async move { keeper.request(want, reason).await })
}

#[tokio::test]
async fn edits_without_end_supersede_so_many_loads_and_the_next_one_serves() {
    const IN_A_ROW: usize = 10;
    let host = Host::serving("one").await;
    host.engine.hold_loads();
    let mut reports = Vec::new();
    for edit in 0..=IN_A_ROW {
        host.engine.write(Code::Good(edit.to_string().leak()));
        reports.push(asked(&host, NOTICED, Reason::File));
        host.engine.loads_are(2 + edit).await;
    }
    // The load of the last edit is not given up.
    host.engine.write(Code::Good("later"));
    let later = asked(&host, NOTICED, Reason::File);
    host.engine.loads_allowed.add_permits(1);
    for report in reports {
        let report = report.await.unwrap();
        let newest = GenerationId(2 + IN_A_ROW as u64);
        assert_eq!(report.outcome.serving(), Some(newest), "{report:?}");
    }
    host.engine.loads_allowed.add_permits(1);
    let report = later.await.unwrap();
    assert_eq!(
        report.outcome.serving(),
        Some(GenerationId(3 + IN_A_ROW as u64)),
        "{report:?}"
    );
    assert_eq!(text(host.call(quick()).await), "later");
}

#[tokio::test]
async fn a_check_that_hangs_is_done_again_when_the_disk_changes_and_keeps_no_reload_waiting() {
    let host = Host::serving("one").await;
    host.engine.hold_loads();
    host.engine.write(Code::Good("hangs"));
    let check = asked(&host, WantedCode::Check, Reason::Check);
    host.engine.loads_are(2).await;
    host.engine.write(Code::Good("mended"));
    let reload = asked(&host, RELOAD, Reason::Api);
    host.until(2, State::Abandoned).await;
    host.engine.loads_allowed.add_permits(2);
    let checked = check.await.unwrap();
    assert!(matches!(checked.outcome, Outcome::Checked { .. }), "{checked:?}");
    assert_eq!(reload.await.unwrap().outcome.serving(), Some(GenerationId(4)));
    assert_eq!(text(host.call(quick()).await), "mended");
}

#[tokio::test]
async fn last_good_code_that_hangs_keeps_no_edit_waiting() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let before = Host::after(folder.clone(), Code::Good("yesterday"), Pin::Nothing);
    before.reload().await;
    before.keeper.stop().await;
    let host = Host::after(folder, Code::Broken("no"), Pin::Nothing);
    host.engine.hold_loads();
    let rejected = asked(&host, RELOAD, Reason::Start);
    host.engine.loads_are(1).await;
    host.engine.loads_allowed.add_permits(1);
    assert!(matches!(rejected.await.unwrap().outcome, Outcome::Rejected { .. }));
    // The last good code waits for something, too. A request that tells of no edit does not make its load be given
    // up.
    host.engine.loads_are(2).await;
    let nothing_new = asked(&host, NOTICED, Reason::File);
    tokio::task::yield_now().await;
    host.engine.write(Code::Good("mended"));
    let edited = asked(&host, NOTICED, Reason::File);
    host.engine.loads_are(3).await;
    host.engine.loads_allowed.add_permits(1);
    assert!(edited.await.unwrap().outcome.serving().is_some());
    let _ = nothing_new.await;
    assert_eq!(text(host.call(quick()).await), "mended");
}

#[tokio::test]
async fn last_good_code_is_not_given_up_where_nothing_is_edited() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let before = Host::after(folder.clone(), Code::Good("yesterday"), Pin::Nothing);
    before.reload().await;
    before.keeper.stop().await;
    let host = Host::after(folder, Code::Broken("no"), Pin::Nothing);
    host.engine.hold_loads();
    let rejected = asked(&host, RELOAD, Reason::Start);
    host.engine.loads_are(1).await;
    host.engine.loads_allowed.add_permits(1);
    assert!(matches!(rejected.await.unwrap().outcome, Outcome::Rejected { .. }));
    host.engine.loads_are(2).await;
    // A watcher tells once of what it begins to watch.
    let noticed = asked(&host, NOTICED, Reason::File);
    tokio::task::yield_now().await;
    host.engine.loads_allowed.add_permits(1);
    let _ = noticed.await.unwrap();
    assert_eq!(text(host.call(quick()).await), "yesterday");
}

#[tokio::test(start_paused = true)]
async fn another_release_is_loaded_though_no_file_reads_otherwise_and_a_reload_comes_back_to_it() {
    let release = UnpackedRelease {
        digest: Digest::of(b"release"),
        reference: "ghcr.io/acme/jobs:1".to_owned(),
        config: ReleaseConfig {
            name: "jobs".to_owned(),
            entry: "functions".to_owned(),
            git: Some("46c2113".to_owned()),
            functions: Vec::new(),
            inngest: None,
            addons: Vec::new(),
            baton: "0.1.0".to_owned(),
            created: jiff::Timestamp::UNIX_EPOCH,
        },
        layers: Vec::new(),
        unpacked_at: jiff::Timestamp::UNIX_EPOCH,
    };
    let host = Host::serving("one").await;
    assert!(matches!(host.reload().await, Outcome::Unchanged { .. }));
    host.keeper.move_to(ProjectPlace {
        project: project(),
        release: Some(Arc::new(release.clone())),
    });
    let released = |outcome: Outcome| match outcome {
        Outcome::Activated { release, git, .. } => (release.map(|release| release.digest), git),
        other => panic!("{other:?}"),
    };
    let of_release = (Some(release.digest), Some("46c2113".to_owned()));
    assert_eq!(released(host.reload().await), of_release);
    assert!(matches!(host.reload().await, Outcome::Unchanged { .. }));
    let back = host.keeper.request(WantedCode::Rollback(None), Reason::Rollback).await;
    assert_eq!(released(back.outcome.clone()).0, None);
    assert_eq!(released(host.reload().await), of_release);
}
