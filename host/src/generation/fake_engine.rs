//! An engine without V8: its disk is a value, its loads wait until they are let go, and its calls
//! answer with the version that they run on.

use std::any::Any;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use js_runtime_api::{
    App, Body, CallQueue, CallSubject, Caller, Certificates, Engine, EnvironmentDigest, Function, Isolate, IsolateEnd,
    KeptSources, LoadError, LoadErrorKind, LoadRequest, LoadedIsolate, Manifest, Project, Request, Response,
    RunningCall, Sources, Target, Vitals, WatchedPaths,
};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The code on the fake disk: it loads and answers with its text, or it does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Code {
    Good(&'static str),
    Broken(&'static str),
    /// Code that throws while it is evaluated.
    Throwing(&'static str),
    /// Code at which the engine panics.
    PanicsEngine,
    /// Code that loads, and at which the keeper panics.
    PanicsKeeper,
}

/// The behaviour of an isolate's code once it is closed and has answered its calls.
#[derive(Debug, Clone, Copy)]
enum EndBehaviour {
    Ends,
    Lingers,
    Spins,
}

/// The time that [`compute`] holds the thread.
pub(crate) const COMPUTING: std::time::Duration = std::time::Duration::from_millis(15);

#[derive(Debug)]
pub(crate) struct FakeEngine {
    disk: Arc<Mutex<Code>>,
    /// A permit for each load that may go on.
    pub(crate) loads_allowed: Arc<Semaphore>,
    /// A permit for each generation that the disk may take.
    pub(crate) writes_allowed: Arc<Semaphore>,
    /// The number of loads that have begun, with the disk read.
    pub(crate) loads: watch::Sender<usize>,
    /// A permit for each slow call that may be answered.
    pub(crate) answers_allowed: Arc<Semaphore>,
    /// Isolates that exist.
    pub(crate) alive: Arc<AtomicUsize>,
}

impl FakeEngine {
    pub(crate) fn new(code: Code) -> Arc<Self> {
        Arc::new(Self {
            disk: Arc::new(Mutex::new(code)),
            loads_allowed: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)),
            writes_allowed: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)),
            loads: watch::Sender::default(),
            answers_allowed: Arc::new(Semaphore::new(0)),
            alive: Arc::default(),
        })
    }

    pub(crate) fn write(&self, code: Code) {
        *self.disk.lock().unwrap() = code;
    }

    pub(crate) fn loads(&self) -> usize {
        *self.loads.borrow()
    }

    /// Waits until so many loads have read the disk.
    pub(crate) async fn loads_are(&self, count: usize) {
        let _ = self.loads.subscribe().wait_for(|loads| *loads == count).await;
    }

    /// From now on loads wait for a permit each.
    pub(crate) fn hold_loads(&self) {
        self.loads_allowed.forget_permits(Semaphore::MAX_PERMITS);
    }

    /// From now on the disk waits for a permit for each generation.
    pub(crate) fn hold_writes(&self) {
        self.writes_allowed.forget_permits(Semaphore::MAX_PERMITS);
    }
}

impl Engine for FakeEngine {
    fn read(&self, _: Project) -> Result<Arc<dyn Sources>, LoadError> {
        Ok(Arc::new(FakeSources {
            read: self.disk.lock().unwrap().clone(),
            disk: self.disk.clone(),
            writes_allowed: self.writes_allowed.clone(),
        }))
    }

    fn restore(&self, _: Project, kept: &KeptSources) -> Result<Arc<dyn Sources>, String> {
        Ok(Arc::new(FakeSources {
            read: Code::Good(kept.description.clone().leak()),
            disk: self.disk.clone(),
            writes_allowed: self.writes_allowed.clone(),
        }))
    }

    fn load(&self, request: LoadRequest) -> BoxFuture<'static, Result<LoadedIsolate, LoadError>> {
        self.loads.send_modify(|loads| *loads += 1);
        let allowed = self.loads_allowed.clone();
        let (answers_allowed, alive) = (self.answers_allowed.clone(), self.alive.clone());
        async move {
            let read = request.sources.as_any().downcast::<FakeSources>().unwrap().read.clone();
            allowed.acquire().await.unwrap().forget();
            let version = match read {
                Code::Good(version) => version,
                Code::PanicsKeeper => "never",
                Code::PanicsEngine => panic!("in the test"),
                Code::Broken(message) | Code::Throwing(message) => {
                    return Err(LoadError {
                        kind: match read {
                            Code::Throwing(_) => LoadErrorKind::Evaluate,
                            _ => LoadErrorKind::Syntax,
                        },
                        message: message.to_owned(),
                        ..LoadError::default()
                    });
                }
            };
            Ok(LoadedIsolate {
                isolate: FakeIsolate::start(version, request.queue, answers_allowed, alive),
                manifest: manifest(version),
            })
        }
        .boxed()
    }
}

fn manifest(version: &str) -> Manifest {
    let function = Function {
        id: "app-hello".to_owned(),
        source_hash: Some(version.to_owned()),
        ..Function::default()
    };
    let app = App {
        id: "app".to_owned(),
        functions: vec![function],
        ..App::default()
    };
    Manifest {
        apps: vec![app],
        ..Manifest::default()
    }
}

#[derive(Debug)]
struct FakeSources {
    read: Code,
    disk: Arc<Mutex<Code>>,
    writes_allowed: Arc<Semaphore>,
}

impl Sources for FakeSources {
    fn hash(&self) -> String {
        assert_ne!(self.read, Code::PanicsKeeper, "in the test");
        format!("{:?}", self.read)
    }

    fn changed_on_disk(&self) -> Vec<PathBuf> {
        let same = *self.disk.lock().unwrap() == self.read;
        if same { Vec::new() } else { vec!["hello.ts".into()] }
    }

    fn environment(&self) -> EnvironmentDigest {
        EnvironmentDigest::default()
    }

    fn certificates(&self) -> Certificates {
        Certificates::of(|_| None, Path::new("/"))
    }

    fn variable(&self, _: &str) -> Option<String> {
        None
    }

    fn revision(&self) -> usize {
        1
    }

    fn watched(&self) -> WatchedPaths {
        WatchedPaths {
            files: ["hello.ts".into()].into(),
            ..WatchedPaths::default()
        }
    }

    /// Called on a thread that may wait.
    fn keep(&self) -> Result<KeptSources, String> {
        let allowed = tokio::runtime::Handle::current().block_on(self.writes_allowed.acquire());
        allowed.unwrap().forget();
        match self.read {
            Code::Good(version) => Ok(KeptSources {
                description: version.to_owned(),
                files: BTreeMap::new(),
            }),
            _ => Err("it never served".to_owned()),
        }
    }

    fn as_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

/// A task instead of a thread.
#[derive(Debug)]
struct FakeIsolate {
    closed: CancellationToken,
    terminated: CancellationToken,
    ended: watch::Receiver<Option<IsolateEnd>>,
    signs: Arc<Mutex<Signs>>,
}

#[derive(Debug, Default)]
struct Signs {
    calls: Vec<u64>,
    blocked_since: Option<Instant>,
    /// The call that uses processor time, and the time since which it does.
    burns: Option<(u64, Instant)>,
    condemned: bool,
    heap_used: u64,
}

impl Signs {
    fn running(&self, id: u64) -> RunningCall {
        let since = self.burns.filter(|(burns, _)| *burns == id).map(|(_, since)| since);
        RunningCall {
            id,
            cpu: since.map(|since| since.elapsed()).unwrap_or_default(),
        }
    }
}

impl FakeIsolate {
    fn start(
        version: &'static str,
        queue: Arc<CallQueue>,
        answers_allowed: Arc<Semaphore>,
        alive: Arc<AtomicUsize>,
    ) -> Arc<Self> {
        alive.fetch_add(1, Ordering::SeqCst);
        let (ended_sender, ended) = watch::channel(None);
        let isolate = Arc::new(Self {
            closed: CancellationToken::new(),
            terminated: CancellationToken::new(),
            ended,
            signs: Arc::default(),
        });
        let (closed, terminated) = (isolate.closed.clone(), isolate.terminated.clone());
        let signs = isolate.signs.clone();
        tokio::spawn(async move {
            let mut calls = JoinSet::new();
            let mut at_its_end = EndBehaviour::Ends;
            let why = loop {
                let take = std::future::poll_fn(|context| queue.poll_take(context));
                let call = tokio::select! {
                    biased;
                    () = terminated.cancelled() => break IsolateEnd::Terminated,
                    () = closed.cancelled() => {
                        while calls.join_next().await.is_some() {}
                        match at_its_end {
                            EndBehaviour::Ends => break IsolateEnd::Closed,
                            EndBehaviour::Lingers => {}
                            EndBehaviour::Spins => signs.lock().unwrap().blocked_since = Some(Instant::now()),
                        }
                        terminated.cancelled().await;
                        break IsolateEnd::Terminated;
                    }
                    call = take => call,
                };
                signs.lock().unwrap().calls.push(call.id);
                match call.request.url.rsplit('/').next() {
                    Some("slow") => {
                        let (allowed, signs) = (answers_allowed.clone(), signs.clone());
                        calls.spawn(async move {
                            allowed.acquire().await.unwrap().forget();
                            signs.lock().unwrap().calls.retain(|id| *id != call.id);
                            call.answer.give(Ok(response(version)));
                        });
                    }
                    Some("block") => {
                        signs.lock().unwrap().blocked_since = Some(Instant::now());
                        tokio::select! {
                            permit = answers_allowed.acquire() => permit.unwrap().forget(),
                            () = terminated.cancelled() => break IsolateEnd::Terminated,
                        }
                        *signs.lock().unwrap() = Signs::default();
                        call.answer.give(Ok(response(version)));
                    }
                    Some("compute") => {
                        tokio::time::sleep(COMPUTING).await;
                        signs.lock().unwrap().calls.retain(|id| *id != call.id);
                        call.answer.give(Ok(response(version)));
                    }
                    Some(how @ ("burn" | "fill")) => {
                        match how {
                            "burn" => signs.lock().unwrap().burns = Some((call.id, Instant::now())),
                            _ => {
                                let mut signs = signs.lock().unwrap();
                                signs.condemned = true;
                                // No machine has so much.
                                signs.heap_used = 1 << 50;
                            }
                        }
                        let allowed = answers_allowed.clone();
                        calls.spawn(async move {
                            allowed.acquire().await.unwrap().forget();
                            call.answer.give(Ok(response(version)));
                        });
                        if how == "fill" {
                            while calls.join_next().await.is_some() {}
                            break IsolateEnd::Condemned;
                        }
                    }
                    Some("die") => break IsolateEnd::OutOfMemory,
                    other => {
                        at_its_end = match other {
                            Some("linger") => EndBehaviour::Lingers,
                            Some("spin") => EndBehaviour::Spins,
                            _ => at_its_end,
                        };
                        signs.lock().unwrap().calls.retain(|id| *id != call.id);
                        call.answer.give(Ok(response(version)));
                    }
                }
            };
            drop(calls);
            alive.fetch_sub(1, Ordering::SeqCst);
            ended_sender.send_replace(Some(why));
        });
        isolate
    }
}

fn response(version: &'static str) -> Response {
    Response {
        status: 200,
        headers: Vec::new(),
        body: Body::Full(Bytes::from_static(version.as_bytes())),
        over: None,
    }
}

/// A request that holds the isolate's thread until its answer is permitted.
pub(crate) fn block() -> Request {
    request("http://localhost/block")
}

/// A request that holds the isolate's thread for [`COMPUTING`].
pub(crate) fn compute() -> Request {
    request("http://localhost/compute")
}

/// A request that uses processor time until its answer is permitted.
pub(crate) fn burn() -> Request {
    request("http://localhost/burn")
}

/// A request that leaves its isolate nearly out of memory; its answer waits for a permit.
pub(crate) fn fill() -> Request {
    request("http://localhost/fill")
}

/// A request that kills its isolate.
pub(crate) fn die() -> Request {
    request("http://localhost/die")
}

/// A request whose isolate works on, when it is closed, until it is ended.
pub(super) fn linger() -> Request {
    request("http://localhost/linger")
}

/// A request whose isolate spins, when it is closed, until it is ended.
pub(super) fn spin() -> Request {
    request("http://localhost/spin")
}

/// A request whose answer waits for a permit.
pub(crate) fn slow() -> Request {
    request("http://localhost/slow")
}

/// A request that is answered at once.
pub(crate) fn quick() -> Request {
    request("http://localhost/quick")
}

fn request(url: &str) -> Request {
    Request {
        method: "POST".to_owned(),
        url: url.to_owned(),
        headers: Vec::new(),
        body: Body::Full(Bytes::new()),
        subject: CallSubject::default(),
        target: Target::App("app".to_owned()),
        caller: Caller::default(),
    }
}

impl Isolate for FakeIsolate {
    fn drain(&self) {}

    fn close(&self) {
        self.closed.cancel();
    }

    fn terminate(&self) {
        self.terminated.cancel();
    }

    fn ended(&self) -> BoxFuture<'static, IsolateEnd> {
        let mut ended = self.ended.clone();
        async move { ended.wait_for(Option::is_some).await.unwrap().clone().unwrap() }.boxed()
    }

    fn vitals(&self) -> Vitals {
        let signs = self.signs.lock().unwrap();
        Vitals {
            calls: signs.calls.iter().map(|call| signs.running(*call)).collect(),
            blocked_for: signs.blocked_since.map(|since| since.elapsed()).unwrap_or_default(),
            condemned: signs.condemned,
            heap_used: signs.heap_used,
            ..Vitals::default()
        }
    }
}

impl Drop for FakeIsolate {
    fn drop(&mut self) {
        self.closed.cancel();
    }
}
