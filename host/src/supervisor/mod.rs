//! `baton start`: a small process that owns the listening socket and the project's lock. It runs no user code and no
//! V8; a host process under it does.
//!
//! ```text
//! systemd, launchd ──▶ supervisor: socket, lock, signals
//!                         ├── host A   finishes its calls
//!                         └── host B   accepts             (the same socket, inherited)
//! ```
//!
//! - `state` decides, this file acts; the hosts and the supervisor exchange `message`s.
//! - A host that dies is replaced at once (`backoff`); connections wait in the socket meanwhile. The `ledger` of the
//!   host names the calls that it took with it.
//! - After an upgrade the supervisor becomes the newer binary, too (`replace`). It tells that binary of its sockets,
//!   lock and hosts by a `handover_record`.
//! - There is one thread, beside those that write the log. So the descriptors that a child inherits are settled
//!   between two starts.
//!
//! # Files
//!
//! - `state.rs`: the decisions (pure; its documentation is the course of an upgrade, `state/upgrade.rs`); `event.rs`:
//!   the language of the decisions; `mod.rs`: the actions
//! - `message.rs`: the messages of supervisor and hosts
//! - `child.rs`: a host as the supervisor sees it; `link.rs`: the supervisor as a host sees it
//! - `socket.rs`: the listening socket, bound here or passed by systemd or launchd
//! - `replace.rs`: the change to a newer binary; `handover_record.rs`: the record for that binary
//!   (`unversioned_record.rs`: the record of older binaries)
//! - `ledger.rs`: the calls in flight and the threads that run them, for after a crash
//! - `notify.rs`: the messages to systemd
//! - `signals.rs`: the signals that the supervisor hears
//! - `outage.rs`: the note on the calls that are lost while nothing listens
//! - `backoff.rs`, `clock.rs`: the pause before a start, and the check of the clock (pure)

mod backoff;
mod child;
mod clock;
mod event;
mod handover_record;
mod ledger;
mod link;
mod message;
mod notify;
mod outage;
mod replace;
mod signals;
mod socket;
mod state;
#[cfg(test)]
mod state_tests;
mod unversioned_record;

use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsString;
use std::net::SocketAddr;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::time::{Duration, SystemTime};

use futures::FutureExt as _;
use futures::future::select_all;
use miette::Diagnostic;
use tokio::time::{Instant, MissedTickBehavior};
use tracing::{error, info, warn};

pub use child::{HOST_COMMAND, LISTENER_OPTION};
pub use handover_record::VERSION as HANDOVER_RECORD_VERSION;
pub use ledger::{Ledger, LedgerEntry, tell_all_lost};
pub use link::{Link, NoSupervisor, Orders, SupervisorHandle, SupervisorView};
pub use message::{FromHost, HostStart, Occasion, PROTOCOL, ToHost, UpgradeError, UpgradeReport};

use self::child::{Child, HostOutput};
use self::clock::Clock;
use self::event::{Action, Binary, Event, HostId, Notice, UpgradeAsker};
use self::handover_record::{HandoverRecord, RecordError};
use self::notify::Notify;
use self::signals::{SupervisorSignal, SupervisorSignals};
use self::socket::{ListeningSocket, SocketOrigin};
use self::state::Supervision;
use crate::config::{Lock, StateError, StateFolder};
use crate::exit_code;
use crate::net::{ListenError, own_control_socket};
use crate::posix;
use crate::status::SupervisorLine;

/// The interval in which the supervisor looks at the clock, and asks systemd for more time.
const TICK: Duration = Duration::from_secs(5);

/// The time between two pings of the host that accepts.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// The limit for a host whose supervisor was killed to give the port back.
const LEAVE_WITHIN: Duration = Duration::from_secs(15);
/// The same limit where the owner of the port is not known.
const UNKNOWN_WITHIN: Duration = Duration::from_secs(1);
const LEAVE_PAUSE: Duration = Duration::from_millis(50);

/// The settings that a supervisor is started with.
#[derive(Debug)]
pub struct Setup {
    /// The project's state folder.
    pub state: StateFolder,
    /// The address to listen on, unless the system passes a socket.
    pub address: SocketAddr,
    /// The limit for hosts to finish their calls.
    pub drain: Duration,
    /// Tells whether Inngest calls hosts at this address, as far as the settings say.
    pub is_called: bool,
    /// The arguments for hosts, after the name of the command.
    pub arguments: Vec<OsString>,
}

/// The reason why a supervisor did not start.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum StartError {
    /// The state folder cannot be used, or another host has it.
    #[error(transparent)]
    #[diagnostic(transparent)]
    State(#[from] StateError),
    /// The port cannot be listened on.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Listen(#[from] ListenError),
    /// This binary does not understand the record of the binary before it.
    #[error("cannot take over from the supervisor before this one: {0}")]
    #[diagnostic(help("Start the service again. Its hosts finish their calls without a supervisor."))]
    Record(#[from] RecordError),
    /// The system refused something else.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

impl StartError {
    /// Returns 78 (`EX_CONFIG`) for an error that no retry can mend, else 1.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::State(error) => exit_code::of_failed_start(error.is_lasting()),
            Self::Listen(error) => exit_code::of_failed_start(error.is_lasting()),
            Self::Record(_) | Self::Io(_) => exit_code::of_failed_start(false),
        }
    }
}

/// Runs a supervisor until its last host has ended, and returns the exit code.
///
/// # Errors
/// When it cannot start: another host of the project, a taken port, a foreign state folder.
pub fn start(setup: Setup) -> Result<u8, StartError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match replace::record()? {
            Some(record) => Supervisor::adopt(setup, record)?.run(false).await,
            None => Supervisor::begin(setup)?.run(true).await,
        }
    })
}

struct Supervisor {
    setup: Setup,
    lock: Lock,
    /// The listening socket, until no host will accept any more.
    socket: Option<ListeningSocket>,
    children: BTreeMap<HostId, Child>,
    deadlines: BTreeMap<HostId, Instant>,
    restart: Option<Instant>,
    supervision: Supervision,
    notify: Notify,
    clock: Clock,
    events: VecDeque<Event>,
    /// The binary to go on as, once nothing else is under way.
    replace: Option<Binary>,
    exit: Option<u8>,
}

impl Supervisor {
    fn begin(setup: Setup) -> Result<Self, StartError> {
        let lock = setup.state.lock()?;
        if let Some(by) = lock
            .last_seen()
            .and_then(|known| clock::set_back(known, SystemTime::now()))
        {
            tell_clock(by);
        }
        // Without the token no host could start either, again and again.
        setup.state.admin_token()?;
        let socket = obtain_socket(&setup)?;
        let address = socket.listener.local_addr()?;
        if socket.origin == SocketOrigin::Bound && setup.is_called {
            outage::log(address.port());
        } else if address != setup.address {
            info!(%address, "listening on the socket that was passed: --host and --port are ignored");
        }
        ledger::tell_all_lost(setup.state.path(), &[]);
        let supervision = Supervision::new(me(), setup.drain);
        Ok(Self::with(setup, lock, socket, supervision))
    }

    /// Goes on in this very process where an older binary has left off.
    fn adopt(setup: Setup, mut record: HandoverRecord) -> Result<Self, StartError> {
        let lock = Lock::adopt(posix::take_inherited(record.lock)?);
        let socket = record.socket()?;
        let mut children = BTreeMap::new();
        record.hosts.retain(|host| match Child::adopt(host) {
            Ok(child) => children.insert(host.id, child).is_none(),
            // A host whose socket to the supervisor is closed finishes its calls and ends.
            Err(error) => {
                error!(%error, host = host.pid, "cannot take over a host: it has no supervisor any more");
                false
            }
        });
        let (supervision, actions) = Supervision::adopt(me(), setup.drain, &record);
        let mut supervisor = Self::with(setup, lock, socket, supervision);
        supervisor.children = children;
        info!(
            version = env!("CARGO_PKG_VERSION"),
            pid = std::process::id(),
            hosts = supervisor.children.len(),
            "the supervisor was replaced by the new binary"
        );
        actions.into_iter().for_each(|action| supervisor.act(action));
        Ok(supervisor)
    }

    fn with(setup: Setup, lock: Lock, socket: ListeningSocket, supervision: Supervision) -> Self {
        Self {
            setup,
            lock,
            socket: Some(socket),
            children: BTreeMap::new(),
            deadlines: BTreeMap::new(),
            restart: None,
            supervision,
            notify: Notify::from_environment(),
            clock: Clock::starting(SystemTime::now(), posix::monotonic()),
            events: VecDeque::new(),
            replace: None,
            exit: None,
        }
    }

    async fn run(mut self, begin: bool) -> Result<u8, StartError> {
        let mut signals = SupervisorSignals::listen()?;
        // The signals wait if an older binary became this one.
        posix::signals::hold(false);
        let mut tick = tokio::time::interval(self.notify.watchdog.map_or(TICK, |watchdog| watchdog.min(TICK)));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut look = tokio::time::interval(LOOK_EVERY);
        // A supervisor that was stopped, or slept with its machine, makes up for one look only.
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        if begin {
            self.events.push_back(Event::Begin);
        }
        loop {
            self.reap();
            while let Some(event) = self.events.pop_front() {
                for action in self.supervision.apply(event) {
                    self.act(action);
                }
            }
            if let Some(code) = self.exit {
                info!("ended");
                return Ok(code);
            }
            if self.supervision.is_settled()
                && let Some(binary) = self.replace.take()
            {
                self.replace_self(&binary);
            }
            let due = self.deadlines.values().copied().chain(self.restart).min();
            tokio::select! {
                event = signals.next() => self.signalled(event),
                id = speaking(&self.children) => self.hear(id),
                () = until(due) => self.pass_deadlines(),
                _ = tick.tick() => self.tick(),
                _ = look.tick() => self.events.push_back(Event::Look),
            }
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Spawn { host, binary } => self.spawn(host, &binary),
            Action::Tell(id, message) => {
                if let Some(child) = self.children.get(&id)
                    && !child.tell(&message)
                {
                    error!(host = child.pid, "a host does not listen to its supervisor");
                }
            }
            Action::Kill(id) => {
                if let Some(child) = self.children.get(&id) {
                    child.kill();
                }
            }
            Action::LogHung(id) => {
                let host = self.children.get(&id).map(|child| child.pid);
                error!(host, "host hangs: it no longer answers its supervisor, and is replaced");
            }
            Action::Deadline(id, within) => {
                self.deadlines.insert(id, Instant::now() + within);
            }
            Action::NoDeadline(id) => {
                self.deadlines.remove(&id);
            }
            Action::RestartIn(wait) => {
                if !wait.is_zero() {
                    warn!("hosts keep dying after their start: the next one starts in {wait:?}");
                }
                self.restart = Some(Instant::now() + wait);
            }
            Action::Log(result) => log_upgrade(&result),
            Action::Notify(Notice::Ready) => self.notify.send("READY=1"),
            Action::Notify(Notice::Reloading) => self.notify.reloading(),
            Action::Notify(Notice::Stopping) => {
                info!("ending: hosts finish their calls");
                self.notify.send("STOPPING=1");
                self.notify.extend(TICK * 3);
            }
            Action::ReleaseSocket => self.socket = None,
            Action::ReplaceSelf { binary } => self.replace = Some(binary),
            Action::StaySelf { version } => {
                self.replace = None;
                warn!(
                    version = env!("CARGO_PKG_VERSION"),
                    host = version,
                    "the supervisor keeps its binary: the new one is too old to take over. Restart the service to run \
                     the new one alone"
                );
            }
            Action::Exit(code) => self.exit = Some(code),
        }
    }

    fn spawn(&mut self, host: HostId, binary: &Binary) {
        let started = path_of(binary).and_then(|path| {
            let socket = self
                .socket
                .as_ref()
                .ok_or_else(|| std::io::Error::other("the socket is closed"))?;
            let child = Child::start(&path, &self.setup.arguments, self.setup.state.path(), &socket.listener)?;
            info!(host = child.pid, binary = %path.display(), "host started");
            Ok(child)
        });
        match started {
            Ok(child) => {
                self.events.push_back(Event::Spawned { host, pid: child.pid });
                self.children.insert(host, child);
            }
            Err(error) => {
                error!(%error, "cannot start a host");
                let error = error.to_string();
                self.events.push_back(Event::NotSpawned { host, error });
            }
        }
    }

    fn hear(&mut self, id: HostId) {
        let heard = self.children.get_mut(&id).map(Child::hear).unwrap_or_default();
        self.events.extend(heard.into_iter().map(|heard| match heard {
            HostOutput::Message(message) => Event::Said(id, message),
            HostOutput::Garbage(said) => Event::Garbled(id, said),
        }));
    }

    /// Reaps the children that have ended, and hears their last messages. As the first process of a container the
    /// supervisor gets the orphans of all others, too.
    fn reap(&mut self) {
        while let Some((pid, exit)) = posix::reap() {
            let host = self.children.iter().find(|(_, child)| child.pid == pid);
            let Some(id) = host.map(|(id, _)| *id) else {
                continue;
            };
            self.hear(id);
            let Some(child) = self.children.remove(&id) else {
                continue;
            };
            let status = child::describe(exit);
            if exit == posix::Exit::Code(0) {
                info!(host = child.pid, "host ended");
            } else {
                error!(host = child.pid, status, "host died");
            }
            ledger::tell_lost(self.setup.state.path(), child.pid);
            let _ = std::fs::remove_file(own_control_socket(&self.setup.state.control_socket(), child.pid));
            self.events.push_back(Event::Exited {
                host: id,
                status,
                code: match exit {
                    posix::Exit::Code(code) => Some(code),
                    posix::Exit::Signal(_) => None,
                },
                lived: child.lived(),
            });
        }
    }

    fn signalled(&mut self, received: SupervisorSignal) {
        match received {
            SupervisorSignal::Child => {}
            SupervisorSignal::Terminate(signal) => {
                info!(signal, again = self.supervision.is_ending(), "received a signal to end");
                self.events.push_back(Event::Terminate);
            }
            SupervisorSignal::Quit => {
                info!(signal = "SIGQUIT", "received a signal to end now");
                self.events.push_back(Event::Quit);
            }
            SupervisorSignal::HangUp => {
                info!(signal = "SIGHUP", "upgrade requested");
                self.events.push_back(Event::Upgrade {
                    asker: UpgradeAsker::Signal,
                    binary: None,
                });
            }
        }
    }

    fn pass_deadlines(&mut self) {
        let now = Instant::now();
        if self.restart.is_some_and(|at| at <= now) {
            self.restart = None;
            self.events.push_back(Event::RestartDue);
        }
        let overdue: Vec<_> = self
            .deadlines
            .iter()
            .filter(|(_, at)| **at <= now)
            .map(|(id, _)| *id)
            .collect();
        for id in overdue {
            self.deadlines.remove(&id);
            self.events.push_back(Event::Overdue(id));
        }
    }

    fn tick(&mut self) {
        if self.notify.watchdog.is_some() && self.supervision.is_answered() {
            self.notify.send("WATCHDOG=1");
        }
        if self.supervision.is_ending() {
            self.notify.extend(TICK * 3);
        }
        if let Some(by) = self.clock.look(SystemTime::now(), posix::monotonic()) {
            tell_clock(by);
        }
        self.lock.touch();
    }

    /// Becomes the newer binary. Returns only when that binary could not be started.
    fn replace_self(&mut self, binary: &Binary) {
        let Some(socket) = &self.socket else {
            return;
        };
        let record = |(id, child): (&HostId, &Child)| child.record(*id, self.supervision.host(*id));
        let hosts = self.children.iter().map(record);
        let replaced = hosts.collect::<Result<Vec<_>, _>>().and_then(|hosts| {
            let record = HandoverRecord {
                version: handover_record::VERSION,
                hosts,
                listener: socket.listener.as_raw_fd(),
                origin: socket.origin,
                lock: self.lock.as_fd().as_raw_fd(),
                numbers: self.supervision.numbers(),
            };
            let arguments: Vec<_> = std::env::args_os().skip(1).collect();
            crate::telemetry::logs::flush();
            Err(record.exec(
                &path_of(binary)?,
                &arguments,
                &[socket.listener.as_fd(), self.lock.as_fd()],
            ))
        });
        let replaced: Result<(), std::io::Error> = replaced;
        if let Err(error) = replaced {
            error!(%error, "the supervisor keeps its binary: cannot start the new one in its place");
        }
        self.children.values().for_each(Child::keep_socket);
    }
}

/// Obtains the listening socket. A host whose supervisor was killed gives the port back by itself, in a moment.
fn obtain_socket(setup: &Setup) -> Result<ListeningSocket, ListenError> {
    let began = std::time::Instant::now();
    loop {
        let error = match ListeningSocket::obtain(setup.address) {
            Err(error @ ListenError::PortTaken { .. }) => error,
            obtained => return obtained,
        };
        let within = match error {
            ListenError::PortTaken { pid: Some(pid), .. }
                if own_control_socket(&setup.state.control_socket(), pid).exists() =>
            {
                LEAVE_WITHIN
            }
            // The owner of the port cannot always be told: it may be a host of this project.
            ListenError::PortTaken { pid: None, .. } if has_hosts(setup) => LEAVE_WITHIN,
            // The port may have been given back since.
            ListenError::PortTaken { pid: None, .. } => UNKNOWN_WITHIN,
            _ => Duration::ZERO,
        };
        if began.elapsed() >= within {
            return Err(error);
        }
        std::thread::sleep(LEAVE_PAUSE);
    }
}

/// Tells whether a host of the project lives that an earlier supervisor has started.
fn has_hosts(setup: &Setup) -> bool {
    let shared = setup.state.control_socket();
    let folder = shared.parent().map(std::fs::read_dir);
    let sockets = folder.into_iter().flatten().flatten().flatten();
    let pids = sockets.filter_map(|socket| socket.file_name().to_str()?.strip_suffix(".sock")?.parse().ok());
    pids.into_iter().any(|pid| posix::kill(pid, None).is_ok())
}

fn path_of(binary: &Binary) -> std::io::Result<std::path::PathBuf> {
    match binary {
        Binary::Same => child::same_binary(),
        Binary::Usual => Ok(child::usual_binary()),
        Binary::Named(path) => Ok(path.clone()),
    }
}

fn me() -> SupervisorLine {
    SupervisorLine {
        pid: std::process::id(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

fn log_upgrade(result: &Result<UpgradeReport, UpgradeError>) {
    match result {
        Ok(upgraded) => info!(host = upgraded.pid, version = upgraded.version, "upgraded"),
        Err(error) => error!(%error, help = error.help(), "not upgraded"),
    }
}

fn tell_clock(by: Duration) {
    warn!("the clock went back by {by:?}: calls that Inngest signed are refused until the clocks agree again");
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

/// Waits for a host that says something.
async fn speaking(children: &BTreeMap<HostId, Child>) -> HostId {
    if children.is_empty() {
        return std::future::pending().await;
    }
    let all = children
        .iter()
        .map(|(id, child)| child.speaks().map(|()| *id).boxed_local());
    select_all(all).await.0
}
