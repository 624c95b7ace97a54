//! The custody of an isolate: somebody waits for the end of its thread, and for the task that reads its output.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use js_runtime_api::IsolateEnd;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::fatal::ThreadEnd;
use crate::control::Name;

/// The limit for a thread to end once it was stopped. JavaScript ends at once. Native code that waits for something
/// does not, and is left behind: nothing may wait for it.
pub(super) const ENDS_WITHIN: Duration = Duration::from_secs(3);

/// The parts of a running isolate, in the custody of the caller that is to wait for them. Where that caller goes
/// before, the engine waits.
pub(super) struct Custody {
    isolate: Name,
    /// The parts, until somebody has waited for them.
    parts: Option<CustodyParts>,
    /// The reason of the end, once the thread has given everything back.
    ended: watch::Receiver<Option<ThreadEnd>>,
    engine: Arc<EndingIsolates>,
    runtime: Handle,
    is_left_behind: bool,
}

struct CustodyParts {
    thread: JoinHandle<()>,
    output: JoinSet<()>,
}

impl Custody {
    /// Takes a thread, and the task that reads its output. To be called within a runtime.
    pub(super) fn new(
        isolate: Name,
        thread: JoinHandle<()>,
        output: JoinSet<()>,
        ended: watch::Receiver<Option<ThreadEnd>>,
        engine: Arc<EndingIsolates>,
    ) -> Self {
        Self {
            isolate,
            parts: Some(CustodyParts { thread, output }),
            ended,
            engine,
            runtime: Handle::current(),
            is_left_behind: false,
        }
    }

    /// Follows the end of the thread.
    pub(super) fn ended(&self) -> watch::Receiver<Option<ThreadEnd>> {
        self.ended.clone()
    }

    /// Waits until all of the isolate is gone, and tells why it ended.
    pub(super) async fn gone(&mut self) -> IsolateEnd {
        let end = end(&mut self.ended).await;
        if let Some(parts) = self.parts.take() {
            parts.join(&end).await;
        }
        end.why
    }

    /// Waits for the end of an isolate that was stopped, but not for longer than it may take.
    pub(super) async fn gone_or_left_behind(mut self) {
        if tokio::time::timeout(ENDS_WITHIN, self.gone()).await.is_err() {
            tracing::warn!(
                isolate = &*self.isolate.get(),
                reason = "native code holds its thread, which ends when the native code returns",
                "isolate left behind"
            );
            self.is_left_behind = true;
        }
    }
}

impl Drop for Custody {
    fn drop(&mut self) {
        let Some(parts) = self.parts.take() else {
            return;
        };
        let mut ended = self.ended.clone();
        let isolate = self.is_left_behind.then(|| self.isolate.get());
        let gone = async move {
            let end = end(&mut ended).await;
            parts.join(&end).await;
            if let Some(isolate) = isolate {
                tracing::info!(isolate = &*isolate, "isolate that was left behind has ended");
            }
        };
        self.engine.add(gone, &self.runtime);
    }
}

impl CustodyParts {
    /// Waits for the last instructions of a thread that has told its end, and for its last lines.
    async fn join(mut self, end: &ThreadEnd) {
        if !end.lost {
            let _ = tokio::task::spawn_blocking(move || self.thread.join()).await;
        }
        self.output.join_next().await;
    }
}

/// Waits until the thread tells its end.
pub(super) async fn end(ended: &mut watch::Receiver<Option<ThreadEnd>>) -> ThreadEnd {
    // An error would mean that the sender went without telling, which it never does.
    let end = ended.wait_for(Option::is_some).await.ok().and_then(|end| end.clone());
    end.unwrap_or(ThreadEnd {
        why: IsolateEnd::Panicked,
        lost: true,
    })
}

/// The isolates that the engine waits for. Dropping this gives them up.
#[derive(Debug, Default)]
pub(crate) struct EndingIsolates(Mutex<JoinSet<()>>);

impl EndingIsolates {
    fn add(&self, gone: impl Future<Output = ()> + Send + 'static, runtime: &Handle) {
        // Nothing panics while it holds the lock.
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while all.try_join_next().is_some() {}
        all.spawn_on(gone, runtime);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, mpsc};

    use js_runtime_api::IsolateEnd;
    use tokio::sync::{oneshot, watch};
    use tokio::task::JoinSet;

    use super::{Custody, EndingIsolates, ThreadEnd};
    use crate::control::Name;

    /// Makes an isolate that ends when the sender goes; the receiver hears that its output was read to the end.
    fn isolate(engine: &Arc<EndingIsolates>) -> (Custody, mpsc::Sender<()>, oneshot::Receiver<()>) {
        let (ends, told) = mpsc::channel();
        let (sender, ended) = watch::channel(None);
        let thread = std::thread::spawn(move || {
            let _ = told.recv();
            sender.send_replace(Some(ThreadEnd {
                why: IsolateEnd::Closed,
                lost: false,
            }));
        });
        let (read, is_read) = oneshot::channel();
        let mut end = ended.clone();
        let mut output = JoinSet::new();
        output.spawn(async move {
            let _ = end.wait_for(Option::is_some).await;
            let _ = read.send(());
        });
        let custody = Custody::new(Name::new("isolate"), thread, output, ended, engine.clone());
        (custody, ends, is_read)
    }

    #[tokio::test]
    async fn an_isolate_is_waited_for_by_its_owner_and_after_that_by_the_engine() {
        let engine = Arc::default();
        let (mut custody, ends, is_read) = isolate(&engine);
        drop(ends);
        assert_eq!(custody.gone().await, IsolateEnd::Closed);
        assert_eq!(is_read.await, Ok(()));
        let (custody, ends, is_read) = isolate(&engine);
        drop(custody);
        drop(ends);
        assert_eq!(is_read.await, Ok(()), "its output is read to the end");
    }

    #[tokio::test]
    async fn an_engine_that_goes_gives_up_what_was_left_behind() {
        let engine = Arc::default();
        let (custody, ends, is_read) = isolate(&engine);
        drop(custody);
        drop(engine);
        assert!(is_read.await.is_err());
        drop(ends);
    }
}
