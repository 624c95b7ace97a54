//! A host's side of the socket to its supervisor, and the listening socket that the host was given at its start.

use std::collections::HashMap;
use std::io::{self, Write as _};
use std::net::TcpListener;
use std::os::fd::{AsFd as _, RawFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use miette::Diagnostic;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::sync::{mpsc, oneshot};
use tracing::error;

use super::message::{FromHost, ToHost, UpgradeError, UpgradeReport};
use crate::posix::take_inherited;
use crate::status::{HostLine, SupervisorLine};
use crate::tasks::OwnedTask;

/// The error of a host that has no supervisor.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("a host is started by its supervisor, and this one was not")]
#[diagnostic(help("Use `baton start`, or `baton dev`."))]
pub struct NoSupervisor(#[from] io::Error);

/// The link to the supervisor before the process has a second thread.
#[derive(Debug)]
pub struct Link {
    stream: UnixStream,
    /// The listening socket, which the supervisor has bound.
    pub listener: TcpListener,
}

impl Link {
    /// Takes standard input, which is the socket to the supervisor, and the listening socket.
    ///
    /// # Errors
    /// When this process was not started by a supervisor.
    pub fn take(listener: RawFd) -> Result<Self, NoSupervisor> {
        let stream = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
        // This fails for anything else that standard input may be.
        stream.peer_addr()?;
        let listener = TcpListener::from(take_inherited(listener)?);
        listener.local_addr()?;
        Ok(Self { stream, listener })
    }

    /// Sends a message at once. For use as long as nothing else runs.
    ///
    /// # Errors
    /// When the supervisor is gone.
    pub fn say(&self, message: &FromHost) -> io::Result<()> {
        let mut line = serde_json::to_vec(message)?;
        line.push(b'\n');
        (&self.stream).write_all(&line)
    }

    /// Starts the tasks that speak and listen from now on.
    ///
    /// # Errors
    /// When the socket cannot be used so.
    pub fn start(self) -> io::Result<(Arc<SupervisorHandle>, TcpListener, Orders)> {
        self.stream.set_nonblocking(true)?;
        let (reading, mut writing) = tokio::net::UnixStream::from_std(self.stream)?.into_split();
        let (say, mut to_say) = mpsc::unbounded_channel::<Option<FromHost>>();
        let speaking = OwnedTask::spawn("messages to the supervisor", async move {
            while let Some(Some(message)) = to_say.recv().await {
                let mut line = serde_json::to_vec(&message).unwrap_or_default();
                line.push(b'\n');
                if writing.write_all(&line).await.is_err() {
                    // The listening task notices that the supervisor is gone.
                    return;
                }
            }
        });
        let (order, orders) = mpsc::unbounded_channel();
        let listening = OwnedTask::spawn("messages of the supervisor", async move {
            let mut lines = BufReader::new(reading).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                match serde_json::from_str(&line) {
                    Ok(message) => {
                        if order.send(message).is_err() {
                            return;
                        }
                    }
                    Err(error) => error!(%error, line, "cannot read a message of the supervisor"),
                }
            }
        });
        let supervised = Arc::new(SupervisorHandle {
            say,
            tasks: Mutex::new(Some(LinkTasks { speaking, listening })),
            shown: Mutex::default(),
            asked: Mutex::default(),
        });
        Ok((supervised, self.listener, Orders(orders)))
    }
}

/// The messages of the supervisor.
#[derive(Debug)]
pub struct Orders(mpsc::UnboundedReceiver<ToHost>);

impl Orders {
    /// Returns the next message, or `None` when the supervisor is gone.
    pub async fn next(&mut self) -> Option<ToHost> {
        self.0.recv().await
    }
}

/// The link to the supervisor of a host that runs.
#[derive(Debug)]
pub struct SupervisorHandle {
    say: mpsc::UnboundedSender<Option<FromHost>>,
    /// The tasks, until the host has fallen silent.
    tasks: Mutex<Option<LinkTasks>>,
    shown: Mutex<SupervisorView>,
    asked: Mutex<AskedUpgrades>,
}

#[derive(Debug)]
struct LinkTasks {
    speaking: OwnedTask<()>,
    listening: OwnedTask<()>,
}

/// The supervisor and its hosts, as the supervisor has told of them.
#[derive(Debug, Clone, Default)]
pub struct SupervisorView {
    /// The hosts that live, this one among them.
    pub hosts: Vec<HostLine>,
    /// The supervisor; `None` until it has told of itself.
    pub supervisor: Option<SupervisorLine>,
}

#[derive(Debug, Default)]
struct AskedUpgrades {
    next: u64,
    waiting: HashMap<u64, oneshot::Sender<Result<UpgradeReport, UpgradeError>>>,
}

impl AskedUpgrades {
    fn enter(&mut self, answer: oneshot::Sender<Result<UpgradeReport, UpgradeError>>) -> u64 {
        let ticket = self.next;
        self.next += 1;
        self.waiting.insert(ticket, answer);
        ticket
    }
}

impl SupervisorHandle {
    /// Sends a message to the supervisor, without waiting until it is written.
    pub fn say(&self, message: FromHost) {
        // Without a supervisor there is nobody to tell.
        let _ = self.say.send(Some(message));
    }

    /// Asks for an upgrade, and waits for its result.
    ///
    /// # Errors
    /// When nothing was changed, with the reason.
    pub async fn upgrade(&self, binary: Option<PathBuf>) -> Result<UpgradeReport, UpgradeError> {
        let (answer, result) = oneshot::channel();
        let ticket = lock(&self.asked).enter(answer);
        self.say(FromHost::Upgrade { ticket, binary });
        result.await.unwrap_or(Err(UpgradeError::Ending))
    }

    /// Passes the result of an upgrade on to its asker.
    pub fn upgraded(&self, ticket: u64, result: Result<UpgradeReport, UpgradeError>) {
        if let Some(waiting) = lock(&self.asked).waiting.remove(&ticket) {
            // The asker may have gone.
            let _ = waiting.send(result);
        }
    }

    /// Ends the wait for the results of all upgrades: nobody will tell them any more.
    pub fn orphaned(&self) {
        lock(&self.asked).waiting.clear();
    }

    /// Asks that all hosts of the project finish their calls and end.
    pub fn drain(&self) {
        self.say(FromHost::Drain);
    }

    /// Notes the supervisor and its hosts, as the supervisor has told of them.
    pub fn show(&self, shown: SupervisorView) {
        *lock(&self.shown) = shown;
    }

    /// Returns the supervisor and its hosts, as the supervisor has told of them.
    #[must_use]
    pub fn shown(&self) -> SupervisorView {
        lock(&self.shown).clone()
    }

    /// Waits until all messages are sent, and listens no more.
    pub async fn fall_silent(&self) {
        let _ = self.say.send(None);
        let tasks = lock(&self.tasks).take();
        if let Some(LinkTasks { speaking, listening }) = tasks {
            speaking.ended().await;
            listening.end().await;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A holder that panicked leaves a value that is whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
