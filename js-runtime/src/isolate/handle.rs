//! The host's side of an isolate: sendable, and good from any thread.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use js_runtime_api::{
    CallQueue, DebugSession, Isolate, IsolateEnd, LoadError, LoadErrorKind, LoadProgress, LoadStage, LoadedIsolate,
    Manifest, Vitals,
};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;

use super::assignment::{AheadMismatch, Assignment, AssignmentInbox, LoadFailure, Spec};
use super::custody::{Custody, ENDS_WITHIN, EndingIsolates, end};
use super::fatal::{FatalReceivers, ThreadEnd, guard_this_thread};
use super::thread;
use crate::compat::stdio;
use crate::control::{Control, DrainProgress, Name, StopReason};

/// The limit for an isolate to tell user code that its generation drains.
const TOLD_WITHIN: Duration = Duration::from_secs(5);

/// A running isolate. Dropping the last handle closes it.
pub(crate) struct Handle {
    name: Name,
    control: Arc<Control>,
    /// The reason of the end, once the thread has given everything back.
    ended: watch::Receiver<Option<ThreadEnd>>,
    /// The custody, until somebody waits for its end.
    custody: Mutex<Option<Custody>>,
}

/// Makes the error of a load whose thread does not listen.
fn kept_by_native_code(stage: &LoadStage) -> LoadError {
    LoadError {
        kind: LoadErrorKind::Timeout,
        message: "the module did not finish in time: it was still waiting in a synchronous call".to_owned(),
        file: match stage {
            LoadStage::Evaluating(module) => Some(module.clone()),
            _ => None,
        },
        help: Some(
            "Look for a synchronous call that waits for a program (execSync) or reads a pipe (readFileSync)."
                .to_owned(),
        ),
        ..LoadError::default()
    }
}

/// An isolate that has begun, and loads its project once it gets its assignment. Dropping it ends the isolate.
pub(crate) struct BootedIsolate {
    name: Name,
    assign: oneshot::Sender<Assignment>,
    control: Arc<Control>,
    waits: watch::Receiver<bool>,
    acts: Arc<OnceLock<PathBuf>>,
    abandoned: StopOnDrop,
    custody: Custody,
}

/// Starts a thread, and boots on it as far as the isolate needs no assignment.
///
/// # Errors
/// When the system has no thread or no descriptors left.
pub(crate) fn begin(spec: Spec, name: &str, engine: Arc<EndingIsolates>) -> Result<BootedIsolate, LoadError> {
    let (assign, assigned) = oneshot::channel();
    let (waits_sender, waits) = watch::channel(false);
    let (ended_sender, ended) = watch::channel(None);
    let acts = Arc::<OnceLock<_>>::default();
    let control = Arc::new(Control::default());
    let working_folder = spec.sources.asked().environment.working_folder.clone();
    let abandoned = StopOnDrop(Some(control.clone()));
    let known_as = Name::new(name);

    let (pipes, output) = stdio::pipes().map_err(|error| LoadError {
        kind: LoadErrorKind::System,
        message: format!("cannot open pipes for the isolate's output: {error}"),
        ..LoadError::default()
    })?;
    let end = {
        let mut ended = ended.clone();
        async move { drop(ended.wait_for(Option::is_some).await) }.shared()
    };
    let reading = output.log(known_as.clone(), end);
    let mut output = JoinSet::new();
    output.spawn(reading);

    let thread = std::thread::Builder::new()
        .name(name.to_owned())
        // V8 takes about 1 MB for JavaScript; native code below it needs its own room.
        .stack_size(8 << 20)
        .spawn({
            let (control, known_as) = (control.clone(), known_as.clone());
            let acts = acts.clone();
            move || {
                // This comes before a panic would cost the thread.
                let event_loop = thread::event_loop(working_folder.as_deref());
                guard_this_thread(FatalReceivers {
                    control: control.clone(),
                    ended: Some(ended_sender.clone()),
                    out_of_memory: None,
                });
                let coming = AssignmentInbox {
                    assigned,
                    waits: waits_sender,
                    acts,
                };
                let why = thread::run(spec, pipes, &control, known_as, coming, event_loop);
                ended_sender.send_replace(Some(ThreadEnd { why, lost: false }));
            }
        })
        .map_err(|error| LoadError {
            kind: LoadErrorKind::System,
            message: format!("cannot start a thread for the isolate: {error}"),
            ..LoadError::default()
        })?;
    Ok(BootedIsolate {
        assign,
        control,
        waits,
        acts,
        abandoned,
        custody: Custody::new(known_as.clone(), thread, output, ended, engine),
        name: known_as,
    })
}

impl BootedIsolate {
    /// Tells whether the isolate waits for its assignment, or will.
    pub(crate) fn is_alive(&self) -> bool {
        // The thread drops the other end when its work before the assignment ends.
        self.control.stopped().is_none() && self.waits.has_changed().is_ok()
    }

    /// Returns a handle to wait until the isolate has done all that it can before its assignment.
    pub(crate) fn readiness(&self) -> BootReadiness {
        BootReadiness {
            control: self.control.clone(),
            waits: self.waits.clone(),
        }
    }

    /// Returns the module that the isolate was not to evaluate ahead; the isolate has ended, or will.
    pub(crate) fn acts(&self) -> Option<&PathBuf> {
        self.acts.get()
    }

    /// Tells whether the isolate has done all that it can before its assignment.
    pub(crate) fn is_ready(&self) -> bool {
        *self.waits.borrow() && self.is_alive()
    }

    /// Ends the isolate; resolves when its thread is gone, or is left behind.
    pub(crate) async fn end(self) {
        let Self {
            assign,
            abandoned,
            custody,
            ..
        } = self;
        // An isolate that could not boot waits for a caller to tell.
        drop(assign);
        drop(abandoned);
        custody.gone_or_left_behind().await;
    }

    /// Loads the project, and resolves when the isolate takes calls from the queue.
    ///
    /// # Errors
    /// When the project cannot be loaded, in time or at all.
    pub(crate) async fn load(
        self,
        name: String,
        queue: Arc<CallQueue>,
        timeout: Duration,
        progress: &LoadProgress,
    ) -> Result<LoadedIsolate, LoadFailure> {
        let Self {
            name: known_as,
            assign,
            control,
            waits: _,
            acts: _,
            custody,
            abandoned,
        } = self;
        let mut ended = custody.ended();
        let (ready, mut loaded) = oneshot::channel();
        // A thread that has ended says so below.
        let _ = assign.send(Assignment {
            name,
            queue,
            ready,
            progress: progress.clone(),
        });
        let outcome = match tokio::time::timeout(timeout, outcome_of(&mut loaded, &mut ended)).await {
            Ok(outcome) => outcome,
            Err(_) => {
                control.stop(StopReason::TimedOut);
                let outcome = tokio::time::timeout(ENDS_WITHIN, outcome_of(&mut loaded, &mut ended)).await;
                outcome.unwrap_or_else(|_| Err(LoadFailure::Failed(kept_by_native_code(&progress.stage()))))
            }
        };
        match outcome {
            Ok(manifest) => {
                abandoned.disarm();
                let isolate = Arc::new(Handle {
                    name: known_as,
                    control,
                    ended,
                    custody: Mutex::new(Some(custody)),
                });
                Ok(LoadedIsolate { isolate, manifest })
            }
            Err(error) => {
                // A caller that is told of a failed load may rely on the thread being gone, or on a line of the log.
                custody.gone_or_left_behind().await;
                Err(error)
            }
        }
    }
}

/// The handle that [`BootedIsolate::readiness`] returns.
pub(crate) struct BootReadiness {
    control: Arc<Control>,
    waits: watch::Receiver<bool>,
}

impl BootReadiness {
    /// Waits until the isolate is ready, or ends; ends it when that takes too long. Tells whether it became ready.
    pub(crate) async fn wait_or_stop(mut self, timeout: Duration) -> bool {
        let waits = self.waits.wait_for(|waits| *waits);
        match tokio::time::timeout(timeout, waits).await {
            Ok(waits) => waits.is_ok(),
            Err(_) => {
                self.control.stop(StopReason::TimedOut);
                false
            }
        }
    }
}

/// Returns the outcome of the thread's load; for a thread that panicked, an error that says so.
async fn outcome_of(
    loaded: &mut oneshot::Receiver<Result<Manifest, LoadFailure>>,
    ended: &mut watch::Receiver<Option<ThreadEnd>>,
) -> Result<Manifest, LoadFailure> {
    tokio::select! {
        biased;
        Ok(outcome) = loaded => outcome,
        end = ended.wait_for(Option::is_some) => Err(match end.ok().and_then(|end| end.clone()) {
            // The isolate ended before its assignment.
            Some(ThreadEnd { why, .. }) if why != IsolateEnd::Panicked => LoadFailure::Unsuited(AheadMismatch::Failed),
            _ => LoadFailure::Failed(LoadError::bug(
                "the isolate's thread panicked while it loaded the project",
            )),
        }),
    }
}

impl Isolate for Handle {
    fn drain(&self) {
        self.control.drain();
    }

    fn drained(&self) -> BoxFuture<'static, ()> {
        let (mut finishing, mut ended) = (self.control.finishing(), self.ended.clone());
        let drained = async move {
            let told = finishing.wait_for(|finishing| *finishing != DrainProgress::NotTold);
            // User code that holds its thread for so long finishes nothing. An error would mean that the isolate is
            // gone, which is as good.
            if matches!(tokio::time::timeout(TOLD_WITHIN, told).await, Ok(Ok(_))) {
                let is_over = |finishing: &DrainProgress| *finishing != DrainProgress::Draining;
                let _ = finishing.wait_for(is_over).await;
            }
        };
        async move {
            tokio::select! {
                () = drained => {}
                _ = ended.wait_for(Option::is_some) => {}
            }
        }
        .boxed()
    }

    fn close(&self) {
        self.control.close();
    }

    fn terminate(&self) {
        self.control.stop(StopReason::Terminated);
    }

    fn ended(&self) -> BoxFuture<'static, IsolateEnd> {
        let custody = self.custody.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut ended = self.ended.clone();
        async move {
            match custody {
                Some(mut custody) => custody.gone().await,
                None => end(&mut ended).await.why,
            }
        }
        .boxed()
    }

    fn vitals(&self) -> Vitals {
        self.control.vitals()
    }

    fn debug(&self) -> Option<DebugSession> {
        self.control.debug.open()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.control.close();
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Isolate")
            .field("name", &self.name.get())
            .finish_non_exhaustive()
    }
}

/// Ends the thread of a load that nobody waits for any more.
struct StopOnDrop(Option<Arc<Control>>);

impl StopOnDrop {
    fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        if let Some(control) = self.0.take() {
            control.stop(StopReason::Terminated);
        }
    }
}
