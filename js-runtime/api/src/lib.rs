//! The seam between the host and the JavaScript runtime: types, and the queue that calls pass
//! through.
//!
//! The host decides about generations against these types and is tested against a fake that
//! implements them; the `js-runtime` crate implements them with V8. Nothing here knows about
//! reloading, and nothing here needs V8 to be linked.

mod body;
mod certificates;
mod latin1;
pub mod ownership;
mod progress;
mod queue;
pub mod regular_file;
mod subject;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::channel::mpsc;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use serde::{Deserialize, Serialize};

pub use body::{Body, BodyError, BodyStream, Caller, Duplex, Keeping, Over, RunRecord};
pub use certificates::{Certificates, REJECT_UNAUTHORIZED};
pub use latin1::{header_bytes, header_text};
pub use progress::{LoadProgress, LoadStage};
pub use queue::{Answer, Call, CallQueue};
pub use subject::CallSubject;

/// Where a project lives and which of its modules are loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    /// The folder that holds `package.json`: packages are resolved from here.
    pub root: PathBuf,
    /// What the user asked to be served.
    pub entry: Entry,
    pub environment: EnvironmentSource,
    /// Where an app serves Inngest.
    pub serve_path: String,
    /// What a function has that says nothing about its retries.
    pub default_retries: Option<u32>,
    /// Conditions of `exports` and `imports` in a `package.json` that hold beside those of Node and of `tsconfig.json`.
    pub conditions: Vec<String>,
    /// Globs of files that belong to the code though no module reads them, relative to the root.
    pub includes: Vec<String>,
}

/// Where an app serves Inngest, unless the project says otherwise.
pub const DEFAULT_SERVE_PATH: &str = "/api/inngest";

/// Where the variables come from that the project's code sees beside the host's own, which come
/// first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EnvironmentSource {
    /// Lines of `NAME=value`; read for each generation anew.
    pub file: Option<PathBuf>,
    /// Prints such lines, or a JSON object; run for each generation anew. Comes before the file.
    pub secret_command: Option<Vec<String>>,
    /// For what neither the host nor these say.
    pub defaults: BTreeMap<String, String>,
}

/// The variables that a generation's file and command gave it: what may be shown of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EnvironmentDigest {
    pub names: Vec<String>,
    /// Hex digest over names and values; `None` without a file and a command.
    pub hash: Option<String>,
}

/// The two shapes a project may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// Every module below this folder is imported and its Inngest functions are collected.
    Folder(PathBuf),
    /// One module: either it exports an app or has one listen, which then answers everything, or it
    /// exports Inngest functions, which are served as those of a folder are.
    File(PathBuf),
}

impl Entry {
    /// The folder or file itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::Folder(path) | Self::File(path) => path,
        }
    }
}

/// The release of what runs JavaScript.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EngineRelease {
    pub name: &'static str,
    pub version: &'static str,
    /// The package that it comes in, with its version.
    pub package: &'static str,
    /// The day on which that was published: `2026-07-26`.
    pub released: &'static str,
}

/// Starts isolates. One per process.
pub trait Engine: Send + Sync + 'static {
    /// Tells what runs JavaScript, where something does.
    fn release(&self) -> Option<EngineRelease> {
        None
    }
    /// Begins the sources of a project as it is on the disk: lists its modules and reads its settings.
    /// The files are read when a load asks for them. Reads the disk.
    ///
    /// # Errors
    /// When the folder or entry file cannot be read.
    fn read(&self, project: Project) -> Result<Arc<dyn Sources>, LoadError>;
    /// Makes sources again that were kept.
    ///
    /// # Errors
    /// With the reason, when they are not this project's or something is missing.
    fn restore(&self, project: Project, kept: &KeptSources) -> Result<Arc<dyn Sources>, String>;
    /// Loads a project into a new isolate: reads, transpiles, evaluates, and collects its
    /// functions. Dropping the future abandons the load and gives its thread and memory back.
    fn load(&self, request: LoadRequest) -> BoxFuture<'static, Result<Loaded, LoadError>>;
    /// Prepares what it can for the next load of a project from the disk, in the place of what was prepared
    /// before; resolves when that is done. Reads the disk.
    fn prepare(&self, preparation: Preparation) -> BoxFuture<'static, ()> {
        drop(preparation);
        Box::pin(std::future::ready(()))
    }
    /// Gives up what was prepared; resolves when its thread and memory are given back.
    fn give_up_prepared(&self) -> BoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }
    /// Tells what the process has lost for good.
    fn losses(&self) -> Losses {
        Losses::default()
    }
}

/// The losses of a process with isolates and workers that V8 could not end: their threads sleep until it ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Losses {
    pub threads: u64,
    /// The most that their heaps may hold, in bytes.
    pub memory: u64,
}

/// What to load.
#[derive(Debug)]
pub struct LoadRequest {
    /// Names the isolate's thread and its log lines, for example `generation-3`.
    pub name: String,
    /// What the load sees; files that these sources never read come from the disk.
    pub sources: Arc<dyn Sources>,
    /// After this long a load that is not done is rejected with [`LoadErrorKind::Timeout`].
    pub timeout: Duration,
    /// Where the isolate takes its calls from, once it is loaded.
    pub queue: Arc<CallQueue>,
    pub memory: MemoryLimits,
    /// The stage of the load, which the engine writes.
    pub progress: LoadProgress,
}

/// What to prepare for.
#[derive(Debug)]
pub struct Preparation {
    /// What was loaded last: the next load will be much the same.
    pub like: Arc<dyn Sources>,
    /// After this long it is given up.
    pub timeout: Duration,
    pub memory: MemoryLimits,
}

/// How much an isolate may hold, in bytes. Near a limit it is condemned, at the limit terminated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryLimits {
    /// Its JavaScript heap.
    pub heap: usize,
    /// What its `ArrayBuffer`s and `Buffer`s hold, which is outside of the heap.
    pub buffers: usize,
}

/// An isolate that is ready for calls, and what its project consists of.
#[derive(Debug)]
pub struct Loaded {
    pub isolate: Arc<dyn Isolate>,
    pub manifest: Manifest,
}

/// The files that a load read, each read once and kept.
pub trait Sources: Send + Sync + fmt::Debug {
    /// Hex digest over the path and content of every file read so far, and over the environment.
    fn hash(&self) -> String;
    /// Files that read differently on the disk now, that are gone, or that are new and would be
    /// loaded; relative to the project's root where they lie below it. Reads the disk.
    fn changed_on_disk(&self) -> Vec<PathBuf>;
    /// Whether [`Self::changed_on_disk`] would tell anything.
    fn is_changed_on_disk(&self) -> bool {
        !self.changed_on_disk().is_empty()
    }
    /// Whether its command prints something else now, or fails. Runs it, if there is one.
    fn secrets_changed(&self) -> bool {
        false
    }
    /// Runs the command that prints variables, if there is one and that was not done. Blocks until it ends.
    ///
    /// # Errors
    /// When the command fails.
    fn obtain_secrets(&self) -> Result<(), LoadError> {
        Ok(())
    }
    /// What its environment file and command gave it.
    fn environment(&self) -> EnvironmentDigest;
    /// A variable as the generation's code finds it when it begins; of the command once it was run. Never shown.
    fn variable(&self, name: &str) -> Option<String>;
    /// The authorities that these variables trust.
    fn certificates(&self) -> Certificates;
    /// Grows whenever more is read, for example by a lazy `import()`.
    fn revision(&self) -> usize;
    /// Where a change on the disk would change them.
    fn watched(&self) -> Watched;
    /// The sources as data that outlives the process.
    ///
    /// # Errors
    /// With the reason, for example a path that is no text.
    fn keep(&self) -> Result<KeptSources, String>;
    /// The concrete type, for the engine that made it.
    fn as_any(self: Arc<Self>) -> Arc<dyn std::any::Any + Send + Sync>;
}

/// Where a change on the disk would change the sources that tell it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Watched {
    /// Files that were read, or looked for in vain.
    pub files: BTreeSet<PathBuf>,
    /// Folders in which each module matters, at any depth.
    pub trees: BTreeSet<PathBuf>,
    /// Paths that lead over a symbolic link.
    pub links: BTreeSet<PathBuf>,
}

/// Sources in a form that outlives the process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptSources {
    /// JSON that only the engine understands; names the files by their hashes.
    pub description: String,
    /// The files' bytes by hash, which is hex of BLAKE3.
    pub files: BTreeMap<String, Arc<[u8]>>,
}

/// A loaded project on its own thread: answers the calls that it takes from its queue, many at a
/// time.
pub trait Isolate: Send + Sync + fmt::Debug {
    /// Tells user code that another generation gets the new calls. Changes nothing else.
    fn drain(&self);
    /// Resolves once user code has finished what its listeners of [`Self::drain`] wait for, or the isolate has ended.
    fn drained(&self) -> BoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }
    /// Takes no more calls; ends once those that it has are answered, and user code has finished what it does then.
    fn close(&self);
    /// Ends now. Its calls fail with [`CallError::IsolateDied`].
    fn terminate(&self);
    /// Resolves when the thread is gone and its memory returned; says why.
    fn ended(&self) -> BoxFuture<'static, Ended>;
    /// How it is doing. Each call also asks it for a sign of life.
    fn vitals(&self) -> Vitals;
    /// Opens a debugger's session; `None` when it has ended, or knows no debuggers.
    fn debug(&self) -> Option<DebugSession> {
        None
    }
}

/// A debugger's session with an isolate: messages of Chrome's DevTools protocol, one a string. Dropping it
/// ends it, and what is paused goes on; so does the end of the isolate.
pub struct DebugSession {
    pub to_isolate: mpsc::UnboundedSender<String>,
    pub from_isolate: BoxStream<'static, String>,
}

/// Why an isolate ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Ended {
    #[error("it was closed")]
    Closed,
    #[error("it was terminated")]
    Terminated,
    #[error("user code called {call}")]
    Exited {
        /// What would have ended its process, such as `process.exit(1)`.
        call: String,
        /// What the process would have ended with.
        code: i32,
        /// The mapped stack of the call.
        stack: String,
    },
    #[error("it ran out of memory")]
    OutOfMemory,
    #[error("its memory was nearly used up: it finished its calls and ended")]
    Condemned,
    #[error("its thread panicked: a fault of Baton, please report it")]
    Panicked,
}

/// How an isolate is doing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Vitals {
    /// The calls that run in it, oldest first.
    pub calls: Vec<RunningCall>,
    /// How long it has owed a sign of life: user code holds its thread.
    pub blocked_for: Duration,
    /// The JavaScript heap in use at the last sign of life, in bytes.
    pub heap_used: u64,
    /// What array buffers held at the last sign of life, in bytes.
    pub buffers_used: u64,
    /// It is nearly out of memory: it takes no more calls, and ends once those that it has are
    /// answered.
    pub condemned: bool,
    /// How many debuggers have a session with it.
    pub debuggers: usize,
    /// A debugger has stopped it: it owes no sign of life.
    pub paused: bool,
    /// The work beside calls that user code finishes before its generation goes.
    pub finishing: Option<Finishing>,
}

/// Work beside calls that user code finishes before its generation goes, by what it hears then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finishing {
    /// Its listeners of the event that is dispatched when its generation drains.
    Draining,
    /// Its handlers of the signal that it hears once no calls are left.
    Signal,
}

impl Finishing {
    /// The name of the event or signal.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Draining => "baton:draining",
            Self::Signal => "SIGTERM",
        }
    }
}

/// A call that an isolate has begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunningCall {
    /// [`Call::id`].
    pub id: u64,
    /// Processor time of the isolate's thread while it ran; what passes while several calls run is
    /// charged to each in equal parts.
    pub cpu: Duration,
}

/// An HTTP request as the project's handler sees it.
#[derive(Debug)]
pub struct Request {
    pub method: String,
    /// Absolute: `http://127.0.0.1:3111/api/inngest?fnId=…`. Its path is that of the request line, its host a name or
    /// an address, with a port or without.
    pub url: String,
    /// Values are bytes, each of them a character ([`header_text`]).
    pub headers: Vec<(String, String)>,
    pub body: Body,
    pub subject: CallSubject,
    pub target: Target,
    pub caller: Caller,
}

/// Which of a project's handlers is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// The SDK's handler of this Inngest app (client id).
    App(String),
    /// The project's own app.
    Fetch,
    /// The same as for this app, or as the fetch export where there is none, for a request of the host's
    /// own that asks it to register: it is given up soon, and at once when its generation drains.
    Sync(Option<String>),
}

/// What the handler answered, byte for byte.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    /// Values are bytes, each of them a character ([`header_text`]).
    pub headers: Vec<(String, String)>,
    pub body: Body,
    /// `None`: the call is over with this.
    pub over: Option<Over>,
}

/// Why a call has no answer of the project's own.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The isolate ended before it answered: terminated, out of memory, or a panic.
    #[error("the isolate that ran this call ended before it answered")]
    IsolateDied,
    /// The handler threw instead of answering; the text is the mapped stack.
    #[error("the handler threw: {0}")]
    Threw(String),
    /// Nothing is left that could ever settle the handler's promise.
    #[error("the handler never answers: its promise waits for nothing that is still running")]
    NeverSettles,
    /// Nobody waits for the answer any more.
    #[error("the caller hung up")]
    HungUp,
    /// The app listens no more, or answered with something that is no HTTP.
    #[error("the app did not answer: {0}")]
    NoAnswer(String),
}

/// What a loaded project consists of.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Manifest {
    /// Inngest apps by client id, in alphabetical order.
    pub apps: Vec<App>,
    /// Whether the project has an app that answers everything.
    pub fetch: bool,
    /// What deserves attention but does not prevent serving.
    pub warnings: Vec<Warning>,
}

impl Manifest {
    /// All functions of all apps.
    pub fn functions(&self) -> impl Iterator<Item = (&App, &Function)> {
        self.apps
            .iter()
            .flat_map(|app| app.functions.iter().map(move |function| (app, function)))
    }
}

/// An Inngest app: the functions of one client.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct App {
    /// The client's id.
    pub id: String,
    pub functions: Vec<Function>,
    #[serde(skip)]
    pub client: Client,
}

/// What an app's client says about Inngest; unknown where it does not tell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Client {
    /// Whether it is in dev mode, where no signature is asked for.
    pub dev: Option<bool>,
    /// Where it registers: `https://api.inngest.com`, `http://localhost:8288`.
    pub api: Option<String>,
    /// Where it wants to be reached: what its code says, whatever the request's own URL.
    pub url: Option<String>,
    /// Whether its own code gives it a signing key.
    pub key: Option<bool>,
}

/// An Inngest function as the SDK would register it.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Function {
    /// The composite id that calls carry as `fnId`: `<app>-<function>`.
    pub id: String,
    pub name: String,
    /// The SDK's own trigger objects: `{event, expression?}` or `{cron}`.
    pub triggers: Vec<serde_json::Value>,
    /// `None`: the function says nothing, Inngest's default (4) applies.
    pub retries: Option<u32>,
    /// The function says nothing: these are [`Project::default_retries`].
    pub retries_defaulted: bool,
    /// The rest of the SDK's function configuration, without URLs.
    pub config: BTreeMap<String, serde_json::Value>,
    /// The module that exports it; unknown behind a fetch export.
    pub file: Option<PathBuf>,
    /// Hex digest of that module and everything that it imports, directly or not.
    pub source_hash: Option<String>,
    #[serde(skip)]
    pub definition: Option<Definition>,
}

/// Where a function's text is, and what it tells beside its configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Definition {
    /// Relative to the project's root where it lies below it.
    pub file: String,
    /// Of the call of `createFunction`, 1-based.
    pub line: u32,
    /// Of its `retries`, if they are written there.
    pub retries: Option<u32>,
    /// Of what is written as text in its options: crons, expressions.
    pub texts: BTreeMap<String, u32>,
    /// The first call of its handler that starts a program, such as `execSync`, and its line.
    pub starts_program: Option<(String, u32)>,
}

/// Something worth knowing about a loaded project.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Warning {
    /// Stable, for machines: `retries_zero`.
    pub code: Cow<'static, str>,
    /// The function concerned, if it is about one.
    pub function: Option<String>,
    pub message: String,
    /// Relative to the project's root where it lies below it.
    pub file: Option<String>,
    /// 1-based.
    pub line: Option<u32>,
    /// What to write instead.
    pub help: Option<String>,
}

/// Why a project could not be loaded, written for the person who edits it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(default)]
#[error("{message}")]
pub struct LoadError {
    pub kind: LoadErrorKind,
    pub message: String,
    /// Relative to the project's root where it lies below it.
    pub file: Option<String>,
    /// 1-based, in the original source.
    pub line: Option<u32>,
    /// 1-based, in the original source.
    pub column: Option<u32>,
    /// The lines around the position, with a caret.
    pub frame: Option<String>,
    /// The JavaScript stack, mapped to the original sources.
    pub stack: Option<String>,
    /// What to do about it.
    pub help: Option<String>,
}

/// What went wrong in a load.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoadErrorKind {
    /// A file does not parse, or is no text.
    Syntax,
    /// An import names something that does not exist.
    Resolve,
    /// A module threw while it was evaluated.
    #[default]
    Evaluate,
    /// A module did not finish: an endless loop, or a top-level await that never settles.
    Timeout,
    /// Nothing to serve.
    NoFunctions,
    /// Two functions of one app have the same id.
    DuplicateId,
    /// The isolate ran out of memory.
    Memory,
    /// The command that prints its variables failed.
    Environment,
    /// A warning that the project does not want to live with.
    Lint,
    /// The system had no thread, descriptor or memory for the load, which says nothing of the code.
    System,
}

impl LoadErrorKind {
    /// The word that answers, logs and metrics use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Syntax => "syntax",
            Self::Resolve => "resolve",
            Self::Evaluate => "evaluate",
            Self::Timeout => "timeout",
            Self::NoFunctions => "no_functions",
            Self::DuplicateId => "duplicate_id",
            Self::Memory => "memory",
            Self::Environment => "environment",
            Self::Lint => "lint",
            Self::System => "system",
        }
    }
}
