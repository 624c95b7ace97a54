//! What the host holds of an isolate: sendable, and good for calls from any thread.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use futures::FutureExt;
use futures::future::BoxFuture;
use js_runtime_api::{CallError, Isolate, LoadError, Loaded, Request, Response, Sources};
use tokio::sync::{mpsc, oneshot, watch};

use super::Pending;
use super::control::{Control, Stop};
use super::thread::{self, Spec};

/// Calls a running isolate. Dropping the last one closes the isolate.
pub(crate) struct Handle {
    name: String,
    calls: Mutex<Option<mpsc::UnboundedSender<Pending>>>,
    control: Arc<Control>,
    /// Turns true when the thread has given everything back.
    ended: watch::Receiver<bool>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// Starts a thread, loads the project on it, and resolves when it is ready for calls.
///
/// # Errors
/// When the project cannot be loaded, in time or at all.
pub(crate) async fn start(spec: Spec) -> Result<Loaded, LoadError> {
    let (calls, pending) = mpsc::unbounded_channel();
    let (ready, loaded) = oneshot::channel();
    let (ended_sender, mut ended) = watch::channel(false);
    let control = Arc::new(Control::default());
    let abandoned = StopOnDrop(Some(control.clone()));

    let name = spec.name.clone();
    let timeout = spec.timeout;
    let sources = spec.sources.clone();
    let thread = std::thread::Builder::new()
        .name(name.clone())
        // V8 takes about 1 MB for JavaScript; native code below it needs its own room.
        .stack_size(8 << 20)
        .spawn({
            let control = control.clone();
            move || {
                // Sent by the guard also when the thread panics.
                let _ended = EndedOnDrop(ended_sender);
                thread::run(spec, &control, pending, ready);
            }
        })
        .map_err(|error| LoadError {
            message: format!("cannot start a thread for the isolate: {error}"),
            ..LoadError::default()
        })?;

    let mut loaded = loaded;
    let outcome = match tokio::time::timeout(timeout, &mut loaded).await {
        Ok(outcome) => outcome,
        Err(_) => {
            control.stop(Stop::TimedOut);
            loaded.await
        }
    };
    let outcome = outcome.unwrap_or_else(|_| {
        Err(LoadError {
            message: "the isolate's thread panicked while it loaded the project".to_owned(),
            help: Some("This is a fault of Baton: please report it with the log above.".to_owned()),
            ..LoadError::default()
        })
    });
    match outcome {
        Ok(manifest) => {
            abandoned.disarm();
            let isolate = Arc::new(Handle {
                name,
                calls: Mutex::new(Some(calls)),
                control,
                ended,
                thread: Mutex::new(Some(thread)),
            });
            Ok(Loaded {
                isolate,
                manifest,
                sources: sources as Arc<dyn Sources>,
            })
        }
        Err(error) => {
            // Whoever is told that a load failed may rely on its thread being gone.
            let _ = ended.wait_for(|ended| *ended).await;
            Err(error)
        }
    }
}

impl Isolate for Handle {
    fn call(&self, request: Request) -> BoxFuture<'static, Result<Response, CallError>> {
        let (answer, answered) = oneshot::channel();
        // A closed or dead isolate drops the sender, which reads as `IsolateDied` below.
        if let Some(calls) = self.calls.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
            let _ = calls.send(Pending { request, answer });
        }
        async move { answered.await.unwrap_or(Err(CallError::IsolateDied)) }.boxed()
    }

    fn close(&self) -> BoxFuture<'static, ()> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).take();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut ended = self.ended.clone();
        async move {
            // An error means that the sender is gone, and with it the thread.
            let _ = ended.wait_for(|ended| *ended).await;
            if let Some(thread) = thread {
                let joined = tokio::task::spawn_blocking(move || thread.join()).await;
                if !matches!(joined, Ok(Ok(()))) {
                    tracing::error!("an isolate's thread panicked");
                }
            }
        }
        .boxed()
    }

    fn terminate(&self) {
        self.control.stop(Stop::Terminated);
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

struct EndedOnDrop(watch::Sender<bool>);

impl Drop for EndedOnDrop {
    fn drop(&mut self) {
        self.0.send_replace(true);
    }
}
