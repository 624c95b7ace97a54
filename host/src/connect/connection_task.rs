//! The one task of the connection: it owns the machine and the sessions, and does as the machine says. It waits for
//! nobody: calls, sessions and requests over HTTP are tasks of their own, which tell it their ends.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use connect_wire::message::{SdkResponse, SystemError};
use connect_wire::{Frame, GATEWAY_FRAME_LIMIT};
use futures::StreamExt as _;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use tracing::{debug, error, info, warn};

use super::apps::{Presentation, Unpresentable};
use super::crash_record::{CrashRecord, take_lost};
use super::dispatch;
use super::gateway_session::GatewaySession;
use super::gateway_socket::{self, Outgoing, Queues};
use super::requests::SessionId;
use super::server_clock::HostMoment;
use super::start::ApiAccess;
use super::state::{
    ConnectionAction, ConnectionEvent, ConnectionMachine, ConnectionNews, Duty, Loss, Opening, Standing,
};
use super::{ConnectionProgress, ConnectionSettings, ConnectionWish};
use crate::blocking;
use crate::calls::Executor;
use crate::config::{ConnectRule, OnStop};
use crate::generation::{GenerationId, Role};
use crate::net::http;
use crate::status::{ConnectionCounts, ConnectionState, ConnectionStatus, PresentedApp};
use crate::tasks::TaskSet;

/// The limit for the disk to make or read a record of requests.
const RECORD_WITHIN: Duration = Duration::from_secs(5);
/// The pauses in seconds between two attempts to tell that a request was lost; its lease ends meanwhile.
const LOST_PAUSES: [u64; 7] = [1, 2, 5, 10, 20, 30, 60];
/// The number of lost requests that are told at once.
const LOST_AT_ONCE: usize = 8;
/// The events that wait for the task before their senders do.
const EVENTS: usize = 1024;
/// The shortest time between two statuses of one state.
const SHOWN_EVERY: Duration = Duration::from_millis(100);
/// The longest time between two looks at the status, which tells how long ago things were.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The same where there is no connection.
const IDLE_LOOK_EVERY: Duration = Duration::from_mins(1);

/// Runs for as long as the host does.
pub(super) async fn run(
    executor: Executor,
    settings: ConnectionSettings,
    mut asks: mpsc::UnboundedReceiver<ConnectionWish>,
    shown: watch::Sender<Arc<ConnectionStatus>>,
    progress: watch::Sender<ConnectionProgress>,
) {
    let (events, mut told) = mpsc::channel(EVENTS);
    let mut views = executor.table.views();
    let mut roles = executor.table.role();
    let ending = executor.table.draining().clone();
    let mut ends = false;
    let mut task = Task {
        machine: ConnectionMachine::new(duty(*roles.borrow(), &settings)),
        settings,
        executor,
        began: Instant::now(),
        events,
        sessions: HashMap::new(),
        tasks: TaskSet::new("sessions of the connection to Inngest"),
        generation: None,
        presentation: None,
        offered: None,
        unpresentable: None,
        access: None,
        offer: None,
        record: None,
        has_begun_record: false,
        lost: Vec::new(),
        counts: ConnectionCounts::default(),
        last_error: None,
        shown,
        progress,
        shown_at: HostMoment::ZERO,
        is_withheld: false,
        shown_standing: None,
    };
    task.look();
    loop {
        if task.presentation.is_some() && !task.has_begun_record {
            task.begin_record().await;
        }
        let due = task.machine.next_due().map(|due| task.began + due);
        let look = match task.presentation {
            _ if task.is_withheld => task.began + task.shown_at + SHOWN_EVERY,
            Some(_) => Instant::now() + LOOK_EVERY,
            None => Instant::now() + IDLE_LOOK_EVERY,
        };
        let due = due.map_or(look, |due| due.min(look));
        tokio::select! {
            biased;
            Some(event) = told.recv() => task.take(event),
            Some(ask) = asks.recv() => task.asked(ask),
            () = ending.cancelled(), if !ends => {
                ends = true;
                let on_stop = task.settings.on_stop;
                task.take(ConnectionEvent::Stop(on_stop));
            }
            changed = roles.changed() => {
                if changed.is_err() {
                    return;
                }
                let role = *roles.borrow_and_update();
                task.take(ConnectionEvent::Duty(duty(role, &task.settings)));
            }
            changed = views.changed() => {
                if changed.is_err() {
                    return;
                }
                views.borrow_and_update();
                task.look();
            }
            () = tokio::time::sleep_until(due) => task.take(ConnectionEvent::Tick),
        }
        task.show();
    }
}

const fn duty(role: Role, settings: &ConnectionSettings) -> Duty {
    match role {
        Role::Waiting if settings.beside => Duty::Beside,
        Role::Waiting => Duty::Waiting,
        Role::Accepting => Duty::Accepting,
        Role::Stopped => Duty::Stopped,
        Role::HandedOver => Duty::HandedOver,
    }
}

struct Task {
    machine: ConnectionMachine,
    settings: ConnectionSettings,
    executor: Executor,
    began: Instant,
    events: mpsc::Sender<ConnectionEvent>,
    /// The queues of the sessions that are open.
    sessions: HashMap<SessionId, mpsc::UnboundedSender<Outgoing>>,
    tasks: TaskSet,
    generation: Option<GenerationId>,
    presentation: Option<Arc<Presentation>>,
    /// The presentation that was offered last.
    offered: Option<Arc<Presentation>>,
    unpresentable: Option<Unpresentable>,
    /// The way of replies that no session carries.
    access: Option<ApiAccess>,
    offer: Option<oneshot::Sender<Result<(), SystemError>>>,
    /// The record for the host after a crash; `None` where it cannot be made.
    record: Option<CrashRecord>,
    has_begun_record: bool,
    /// The failures of the requests that earlier hosts took with them, until Inngest is told.
    lost: Vec<SdkResponse>,
    counts: ConnectionCounts,
    last_error: Option<String>,
    shown: watch::Sender<Arc<ConnectionStatus>>,
    progress: watch::Sender<ConnectionProgress>,
    shown_at: HostMoment,
    /// Tells whether there is a newer status than the one that is shown.
    is_withheld: bool,
    shown_standing: Option<Standing>,
}

impl Task {
    fn now(&self) -> HostMoment {
        self.began.elapsed()
    }

    /// Takes the records of earlier hosts, and makes that of this host, before the first request can come.
    async fn begin_record(&mut self) {
        self.has_begun_record = true;
        let state = self.settings.state.clone();
        let making = blocking::run("record of requests", RECORD_WITHIN, move || {
            (take_lost(&state), CrashRecord::create(&state))
        });
        let made = match making.await {
            Ok((lost, made)) => {
                self.lost = lost;
                made
            }
            Err(error) => Err(std::io::Error::other(error)),
        };
        match made {
            Ok(record) => self.record = Some(record),
            Err(error) => warn!(%error, "requests cannot be written down: if this host dies, their leases run out"),
        }
        self.tell_lost();
    }

    /// Tells Inngest once which requests earlier hosts took with them.
    fn tell_lost(&mut self) {
        let Some(access) = self.access.clone().filter(|_| !self.lost.is_empty()) else {
            return;
        };
        let lost = std::mem::take(&mut self.lost);
        self.tasks.spawn(async move {
            let flushed = lost.into_iter().map(|reply| flush_lost(access.clone(), reply));
            futures::stream::iter(flushed)
                .for_each_concurrent(LOST_AT_ONCE, |flushed| flushed)
                .await;
        });
    }

    /// Looks which generation is current, and what Inngest is to be told of it.
    fn look(&mut self) {
        let Some(current) = self.executor.table.current() else {
            return;
        };
        if self.generation == Some(current.id) {
            return;
        }
        self.generation = Some(current.id);
        http::trust(current.sources.certificates());
        let sources = current.sources.clone();
        let variable = |name: &str| sources.variable(name);
        self.unpresentable = None;
        let connects = self.settings.rule.connects(&current.manifest);
        let presentation = connects.then(|| Presentation::of(&current.manifest, variable, &self.settings.identity));
        let presentation = match presentation.transpose() {
            Ok(None) => None,
            Ok(Some(presentation)) => {
                let mut known = [&self.presentation, &self.offered].into_iter().flatten();
                let same = known.find(|known| ***known == presentation).cloned();
                Some(same.unwrap_or_else(|| Arc::new(presentation)))
            }
            Err(why) => {
                error!(reason = %why, generation = current.id.0, "not connected to Inngest");
                self.unpresentable = Some(why);
                None
            }
        };
        self.presentation.clone_from(&presentation);
        self.take(ConnectionEvent::Current(presentation));
    }

    fn asked(&mut self, ask: ConnectionWish) {
        match ask {
            ConnectionWish::Offer { presentation, settled } => {
                self.offered = Some(presentation.clone());
                if let Some(stale) = self.offer.replace(settled) {
                    let _ = stale.send(Ok(()));
                }
                self.take(ConnectionEvent::Offered(presentation));
            }
            // The next host of this machine takes what waits.
            ConnectionWish::Leave => self.take(ConnectionEvent::Stop(OnStop::Close)),
        }
    }

    fn take(&mut self, event: ConnectionEvent) {
        match &event {
            ConnectionEvent::Frame(_, Frame::WorkerReplyAck(ack)) => {
                self.counts.replies_acknowledged += 1;
                self.forget(&ack.request_id);
            }
            ConnectionEvent::Flushed(request_id) => {
                self.counts.replies_flushed += 1;
                self.forget(request_id);
            }
            ConnectionEvent::Gone(session, _) => {
                self.sessions.remove(session);
            }
            _ => {}
        }
        let now = self.now();
        for action in self.machine.apply(event, now, chance()) {
            self.act(action);
        }
    }

    fn forget(&mut self, request_id: &str) {
        if let Some(record) = &mut self.record {
            record.forget(request_id);
        }
    }

    fn act(&mut self, action: ConnectionAction) {
        match action {
            ConnectionAction::Open(opening) => self.open(opening),
            ConnectionAction::Send(session, frame) => match frame.encode(GATEWAY_FRAME_LIMIT) {
                Ok(bytes) => self.write(session, Outgoing::Frame(bytes)),
                Err(error) => warn!(%error, kind = %frame.kind(), "a frame was not sent"),
            },
            ConnectionAction::Close(session) => {
                self.write(session, Outgoing::Close);
                self.sessions.remove(&session);
            }
            ConnectionAction::Run(request, presentation) => {
                self.counts.requests += 1;
                if let Some(record) = &mut self.record {
                    record.note(&dispatch::failure(
                        &request,
                        &presentation,
                        "the host ended before it answered",
                    ));
                }
                let (executor, events) = (self.executor.clone(), self.events.clone());
                self.executor.tasks.spawn(async move {
                    let reply = dispatch::execute(executor, presentation, *request).await;
                    // Without the task there is nobody to send it.
                    let _ = events.send(ConnectionEvent::Answered(reply)).await;
                });
            }
            ConnectionAction::Flush(reply) => {
                let (access, events) = (self.access.clone(), self.events.clone());
                self.tasks.spawn(async move {
                    let request_id = reply.request_id.clone();
                    let flushed = match access {
                        Some(access) => access.flush(&reply).await,
                        None => Err("there was no connection yet".to_owned()),
                    };
                    let event = match flushed {
                        Ok(()) => ConnectionEvent::Flushed(request_id),
                        Err(error) => {
                            warn!(%error, request = request_id, run = reply.run_id, "a reply was not delivered: trying again");
                            ConnectionEvent::NotFlushed(request_id)
                        }
                    };
                    let _ = events.send(event).await;
                });
            }
            ConnectionAction::Settle(outcome) => {
                if let Some(offer) = self.offer.take() {
                    let _ = offer.send(outcome);
                }
            }
            ConnectionAction::Tell(news) => self.tell(news),
        }
    }

    fn open(&mut self, opening: Opening) {
        debug!(
            session = opening.session.0,
            manual = opening.manual,
            "connecting to Inngest"
        );
        self.access = Some(ApiAccess::of(&opening.presentation, opening.bearer));
        self.tell_lost();
        let (sender, outgoing) = mpsc::unbounded_channel();
        self.sessions.insert(opening.session, sender.clone());
        let queues = Queues {
            events: self.events.clone(),
            outgoing,
            pongs: sender.downgrade(),
        };
        self.tasks.spawn(gateway_socket::run(opening, queues));
    }

    fn write(&self, session: SessionId, outgoing: Outgoing) {
        if let Some(queue) = self.sessions.get(&session) {
            // A session that has ended says so itself.
            let _ = queue.send(outgoing);
        }
    }

    fn tell(&mut self, news: ConnectionNews) {
        match news {
            ConnectionNews::Active { session, replaced } => {
                self.counts.connections += 1;
                self.last_error = None;
                let shown = self.machine.shown_session();
                let group = shown.map(|session| session.group.clone());
                let connection = shown.map(|session| session.connection_id.clone());
                let functions = shown.map(|session| session.presentation.functions);
                info!(connection, group, functions, replaced, "connected to Inngest");
                debug!(session = session.0, "session serves");
            }
            ConnectionNews::Lost { loss, in_flight } => {
                self.counts.lost_connections += 1;
                self.last_error = Some(loss.to_string());
                warn!(reason = %loss, in_flight, "connection to Inngest lost: connecting again");
            }
            ConnectionNews::Failed { loss, failures } => {
                self.counts.failed_attempts += 1;
                let help = loss.help();
                let text = match loss {
                    Loss::Failed(text) => text,
                    other => other.to_string(),
                };
                // The first failure is news, and one now and then.
                if failures <= 1 || self.last_error.as_ref() != Some(&text) {
                    warn!(
                        reason = text,
                        failures, help, "not connected to Inngest: trying again until it is"
                    );
                }
                self.last_error = Some(text);
            }
            ConnectionNews::Refused(SystemError { code, message, .. }) => {
                self.counts.failed_attempts += 1;
                error!(code, error = message, "Inngest refuses the functions: trying again");
                self.last_error = Some(format!("{message} ({code})"));
            }
            ConnectionNews::GatewayCloses => info!("the gateway goes: connecting to another one"),
            ConnectionNews::Duplicate(request) => {
                self.counts.duplicates += 1;
                debug!(request, "a request came again: it does not run again");
            }
            ConnectionNews::NotTaken(request) => {
                self.counts.not_taken += 1;
                debug!(
                    request,
                    "a request was not taken: Inngest gives it to another connection"
                );
            }
            ConnectionNews::LeaseLost(request) => {
                self.counts.leases_lost += 1;
                warn!(
                    function = request.function_slug,
                    run = request.run_id,
                    step = request.step_id,
                    "lease lost: Inngest has given the call up, which runs on"
                );
            }
            ConnectionNews::ReplyDropped(request) => {
                self.counts.replies_dropped += 1;
                self.forget(&request.request_id);
                error!(
                    function = request.function_slug,
                    run = request.run_id,
                    step = request.step_id,
                    "reply dropped: Inngest could not be reached while it waited"
                );
            }
            ConnectionNews::LeaseExtended => self.counts.leases_extended += 1,
            ConnectionNews::Closed => {
                let in_flight = self.machine.counts().running;
                info!(in_flight, "connection to Inngest closed: new work waits in its queue");
            }
        }
    }

    fn show(&mut self) {
        let (machine, now) = (&self.machine, self.now());
        let standing = machine.standing();
        let progress = ConnectionProgress {
            generation: self.generation,
            is_presented: machine.is_presented() || self.presentation.is_none(),
            is_swapped: machine.is_swapped(),
            is_idle: machine.is_idle(),
            is_closed: !machine.sessions().iter().any(GatewaySession::takes_requests),
        };
        self.progress.send_if_modified(|known| {
            let news = *known != progress;
            *known = progress;
            news
        });
        let is_fresh = now < self.shown_at + SHOWN_EVERY;
        self.is_withheld = is_fresh && self.shown_standing.as_ref() == Some(&standing);
        if self.is_withheld {
            return;
        }
        self.shown_at = now;
        self.shown_standing = Some(standing.clone());
        let counts = machine.counts();
        let ago = |moment: Option<HostMoment>| moment.map(|moment| millis(now.saturating_sub(moment)));
        let session = machine.shown_session();
        let serving = session.filter(|_| standing == Standing::Active || standing == Standing::Paused);
        let presented = serving
            .map(|session| &session.presentation)
            .or(self.presentation.as_ref());
        let status = ConnectionStatus {
            state: match &self.unpresentable {
                Some(_) => ConnectionState::Off,
                None if self.generation.is_none() && self.settings.rule == ConnectRule::Always => {
                    ConnectionState::Connecting
                }
                None => state(&standing),
            },
            error: match (&self.unpresentable, &standing) {
                (Some(why), _) => Some(why.to_string()),
                (None, Standing::Active) => None,
                (None, Standing::Refused(error)) => Some(format!("{} ({})", error.message, error.code)),
                (None, _) => self.last_error.clone(),
            },
            inngest: presented.map(|presented| presented.api.clone()),
            connection_id: serving.map(|session| session.connection_id.clone()),
            gateway_group: serving.map(|session| session.group.clone()),
            instance_id: presented.map(|presented| presented.instance_id.clone()),
            max_worker_concurrency: presented.and_then(|presented| presented.max_worker_concurrency),
            environment: presented.and_then(|presented| presented.environment.clone()),
            apps: presented.map(|presented| apps(presented)).unwrap_or_default(),
            functions: presented.map_or(0, |presented| presented.functions),
            presentation: presented.map(|presented| presented.digest.clone()),
            sessions: machine.sessions().len(),
            in_flight: counts.running,
            lost_leases: counts.lost,
            replies: counts.replies,
            heartbeat_sent_ms: ago(serving.and_then(|session| session.heartbeat_sent)),
            frame_received_ms: ago(serving.and_then(|session| session.frame_received)),
            first_lease_ends_ms: machine
                .requests()
                .first_end()
                .map(|end| millis(end.saturating_sub(now))),
            counts: self.counts,
        };
        self.shown.send_replace(Arc::new(status));
    }
}

/// Tells Inngest that a request was lost with its host.
async fn flush_lost(access: ApiAccess, reply: SdkResponse) {
    for pause in LOST_PAUSES {
        match access.flush(&reply).await {
            Ok(()) => {
                info!(
                    run = reply.run_id,
                    request = reply.request_id,
                    "Inngest knows that a call was lost with its host"
                );
                return;
            }
            Err(error) => debug!(%error, run = reply.run_id, "Inngest does not know yet that a call was lost"),
        }
        tokio::time::sleep(Duration::from_secs(pause)).await;
    }
}

fn state(standing: &Standing) -> ConnectionState {
    match standing {
        Standing::Off => ConnectionState::Off,
        Standing::Connecting => ConnectionState::Connecting,
        Standing::Active => ConnectionState::Active,
        Standing::Reconnecting => ConnectionState::Reconnecting,
        Standing::Refused(_) => ConnectionState::Refused,
        Standing::Paused => ConnectionState::Paused,
        Standing::Closed => ConnectionState::Closed,
    }
}

fn apps(presentation: &Presentation) -> Vec<PresentedApp> {
    let apps = presentation.apps.iter().map(|app| PresentedApp {
        id: app.app_name.clone(),
        version: app.app_version.clone(),
    });
    apps.collect()
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Returns a number between 0 and 1.
fn chance() -> f64 {
    let mut bytes = [0_u8; 4];
    // Without chance everybody comes at the same time, which is no worse than that.
    let _ = getrandom::fill(&mut bytes);
    f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX)
}
