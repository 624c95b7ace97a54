//! What the host holds of an isolate: sendable, and good from any thread.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use futures::FutureExt;
use futures::future::BoxFuture;
use js_runtime_api::{DebugSession, Ended, Isolate, LoadError, Loaded, Manifest, Vitals};
use tokio::sync::{oneshot, watch};

use super::control::{Control, Stop};
use super::fatal::{End, Told, guard_this_thread};
use super::thread::{self, Spec};
use crate::compat::stdio;

/// A running isolate. Dropping the last handle closes it.
pub(crate) struct Handle {
    name: String,
    control: Arc<Control>,
    /// Says why, when the thread has given everything back.
    ended: watch::Receiver<Option<End>>,
    running: Mutex<Option<Running>>,
}

/// What is to be waited for at the end.
struct Running {
    thread: JoinHandle<()>,
    /// Reads what the isolate writes.
    output: tokio::task::JoinHandle<()>,
}

/// Starts a thread, loads the project on it, and resolves when it takes calls.
///
/// # Errors
/// When the project cannot be loaded, in time or at all.
pub(crate) async fn start(spec: Spec) -> Result<Loaded, LoadError> {
    let (ready, mut loaded) = oneshot::channel();
    let (ended_sender, mut ended) = watch::channel(None);
    let control = Arc::new(Control::default());
    let abandoned = StopOnDrop(Some(control.clone()));

    let (pipes, output) = stdio::pipes().map_err(|error| LoadError {
        message: format!("cannot open pipes for what the isolate writes: {error}"),
        ..LoadError::default()
    })?;
    let end = {
        let mut ended = ended.clone();
        async move { drop(ended.wait_for(Option::is_some).await) }.shared()
    };
    let output = tokio::spawn(output.log(spec.name.clone(), end));

    let name = spec.name.clone();
    let timeout = spec.timeout;
    let thread = std::thread::Builder::new()
        .name(name.clone())
        // V8 takes about 1 MB for JavaScript; native code below it needs its own room.
        .stack_size(8 << 20)
        .spawn({
            let control = control.clone();
            move || {
                guard_this_thread(Told {
                    control: control.clone(),
                    ended: Some(ended_sender.clone()),
                });
                let why = thread::run(spec, pipes, &control, ready);
                ended_sender.send_replace(Some(End { why, lost: false }));
            }
        })
        .map_err(|error| LoadError {
            message: format!("cannot start a thread for the isolate: {error}"),
            ..LoadError::default()
        })?;

    let outcome = match tokio::time::timeout(timeout, outcome_of(&mut loaded, &mut ended)).await {
        Ok(outcome) => outcome,
        Err(_) => {
            control.stop(Stop::TimedOut);
            outcome_of(&mut loaded, &mut ended).await
        }
    };
    match outcome {
        Ok(manifest) => {
            abandoned.disarm();
            let isolate = Arc::new(Handle {
                name,
                control,
                ended,
                running: Mutex::new(Some(Running { thread, output })),
            });
            Ok(Loaded { isolate, manifest })
        }
        Err(error) => {
            // Whoever is told that a load failed may rely on its thread being gone.
            let _ = ended.wait_for(Option::is_some).await;
            let _ = output.await;
            Err(error)
        }
    }
}

/// What the thread says of its load; of one that panicked, that it did.
async fn outcome_of(
    loaded: &mut oneshot::Receiver<Result<Manifest, LoadError>>,
    ended: &mut watch::Receiver<Option<End>>,
) -> Result<Manifest, LoadError> {
    tokio::select! {
        biased;
        Ok(outcome) = loaded => outcome,
        _ = ended.wait_for(Option::is_some) => Err(LoadError {
            message: "the isolate's thread panicked while it loaded the project".to_owned(),
            help: Some("This is a fault of Baton: please report it with the log above.".to_owned()),
            ..LoadError::default()
        }),
    }
}

impl Isolate for Handle {
    fn drain(&self) {
        self.control.drain();
    }

    fn close(&self) {
        self.control.close();
    }

    fn terminate(&self) {
        self.control.stop(Stop::Terminated);
    }

    fn ended(&self) -> BoxFuture<'static, Ended> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut ended = self.ended.clone();
        async move {
            // An error would mean that the sender went without telling, which it never does.
            let end = ended.wait_for(Option::is_some).await.ok().and_then(|end| end.clone());
            if let Some(Running { thread, output }) = running {
                // Its end was told above: this waits for the last instructions of the thread.
                if end.as_ref().is_some_and(|end| !end.lost) {
                    let _ = tokio::task::spawn_blocking(move || thread.join()).await;
                }
                let _ = output.await;
            }
            end.map_or(Ended::Panicked, |end| end.why)
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
            .field("name", &self.name)
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
            control.stop(Stop::Terminated);
        }
    }
}
