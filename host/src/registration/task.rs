//! The one task that acts for the registration: it does what `state` decides, one act at a time, and shows and logs
//! the standing.

use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt as _};
use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{debug, info, warn};

use super::exchange::{read_back, register};
use super::holder;
use super::peers::{self, AddressPeer};
use super::state::{Announcement, Event, Holder, HolderReading, NextAct, RegistrationMachine, RegistrationStanding};
use super::subject::{self, OffReason, RegistrationSettings, Subject};
use crate::generation::{Generation, GenerationEntry, HostEvent, Table};
use crate::net::http;
use crate::status::{Difference, FailureKind, HolderStatus, NewerHostStatus, RegistrationStatus};

type RequestReceiver = mpsc::UnboundedReceiver<oneshot::Sender<()>>;

/// Runs until the sender of `allowed` is gone.
pub(super) async fn run(
    table: Arc<Table>,
    settings: RegistrationSettings,
    host: String,
    mut allowed: watch::Receiver<bool>,
    mut asks: RequestReceiver,
    shown: watch::Sender<Arc<RegistrationStatus>>,
) {
    let mut changes = table.views();
    let mut task = RegistrationTask {
        table,
        settings,
        host,
        machine: RegistrationMachine::default(),
        subject: Err(OffReason::NoGeneration),
        generation: None,
        doing: None,
        last_ok: None,
        silent_since: None,
        told: LastLogged::default(),
        tickets: Vec::new(),
        shown,
    };
    task.look(*allowed.borrow_and_update());
    loop {
        tokio::select! {
            changed = changes.changed() => match changed {
                Ok(()) => task.look(*allowed.borrow()),
                Err(_) => return,
            },
            changed = allowed.changed() => match changed {
                Ok(()) => task.look(*allowed.borrow_and_update()),
                Err(_) => return,
            },
            Some(ticket) = asks.recv() => {
                task.tickets.push(ticket);
                task.take(Event::Asked);
            }
            event = next(&mut task.doing) => task.take(event),
        }
    }
}

/// Waits until the present act ends, and forever while there is none.
async fn next(doing: &mut Option<BoxFuture<'static, Event>>) -> Event {
    match doing.as_mut() {
        Some(future) => {
            let event = future.await;
            *doing = None;
            event
        }
        None => std::future::pending().await,
    }
}

struct RegistrationTask {
    table: Arc<Table>,
    settings: RegistrationSettings,
    /// The random id of this host.
    host: String,
    machine: RegistrationMachine,
    subject: Result<Subject, OffReason>,
    generation: Option<Arc<Generation>>,
    doing: Option<BoxFuture<'static, Event>>,
    last_ok: Option<Timestamp>,
    /// The time since which the host that is registered in place of this one has not answered.
    silent_since: Option<Timestamp>,
    told: LastLogged,
    /// The askers, who wait until nothing is under way.
    tickets: Vec<oneshot::Sender<()>>,
    shown: watch::Sender<Arc<RegistrationStatus>>,
}

/// The last message to the log, so that each message is logged once.
#[derive(Debug, Default, PartialEq)]
enum LastLogged {
    #[default]
    Nothing,
    Off(OffReason),
    Failing(FailureKind),
    Registered,
    Drifted(String),
    /// Another host is registered, at these URLs.
    Elsewhere(Vec<String>),
    /// The host of this id, at the same address, has newer code.
    Newer(String),
}

impl RegistrationTask {
    /// Finds out which generation is current, and whether Inngest may be told of it.
    fn look(&mut self, allowed: bool) {
        let current = self.table.current();
        let id = |generation: &Option<Arc<Generation>>| generation.as_ref().map(|generation| generation.id);
        let is_same = id(&self.generation) == id(&current);
        let was_allowed = self.subject != Err(OffReason::NotCurrent);
        if is_same && allowed == was_allowed {
            return;
        }
        self.generation = current;
        self.subject = match &self.generation {
            _ if !allowed => Err(OffReason::NotCurrent),
            None => Err(OffReason::NoGeneration),
            Some(generation) => {
                http::trust(generation.sources.certificates());
                let variable = |name: &str| generation.sources.variable(name);
                Subject::of(&generation.manifest, variable, &self.settings)
            }
        };
        let event = match &self.subject {
            Ok(subject) => Event::Current(Announcement {
                digest: subject.digest(),
                pace: subject.pace(),
                shared: subject.is_shared(),
            }),
            Err(_) => Event::Off,
        };
        self.take(event);
    }

    fn take(&mut self, event: Event) {
        if matches!(event, Event::Told(Ok(()))) {
            self.last_ok = Some(Timestamp::now());
        }
        debug!(?event, "registration");
        let holder = self.machine.holder().cloned();
        let reading = match &event {
            Event::Holder(reading) => Some(reading.clone()),
            Event::Read(_) if holder.as_ref().is_some_and(|holder| holder.drains) => Some(HolderReading::Draining),
            _ => None,
        };
        let act = self.machine.apply(event, random());
        if let (NextAct::Register, Some(reading), Some(holder)) = (act, reading, holder) {
            say_replaced(&reading, &holder);
        }
        self.silent_since = match self.machine.holder() {
            Some(Holder { error: Some(_), .. }) => self.silent_since.or_else(|| Some(Timestamp::now())),
            _ => None,
        };
        match (act, &self.subject, &self.generation) {
            (NextAct::Continue, ..) => {}
            (NextAct::Wait(wait), ..) => {
                let holder = self.machine.holder().filter(|holder| holder.serves());
                let url = holder.and_then(|holder| holder.urls.first());
                self.doing = Some(match url {
                    Some(url) => due_after_or_at_the_end_of(url.clone(), wait).boxed(),
                    None => due_after(wait).boxed(),
                });
            }
            (NextAct::Register, Ok(subject), Some(generation)) => {
                self.doing = Some(register(generation.clone(), subject.clone()).boxed());
            }
            (NextAct::ReadBack, Ok(subject), _) => self.doing = Some(read_back(subject.clone()).boxed()),
            (NextAct::AskHolder, Ok(subject), _) => {
                let urls = self.machine.holder().map(|holder| holder.urls.clone());
                self.doing = Some(ask_holder(subject.clone(), urls.unwrap_or_default()).boxed());
            }
            (NextAct::AskPeers, Ok(subject), Some(_)) => {
                self.doing = Some(ask_peers(subject.clone(), self.own_peer()).boxed());
            }
            (NextAct::Rest | NextAct::Register | NextAct::ReadBack | NextAct::AskHolder | NextAct::AskPeers, ..) => {
                self.doing = None
            }
        }
        self.say();
        self.show();
        if self.machine.is_settled() {
            for ticket in self.tickets.drain(..) {
                // The asker may have gone.
                let _ = ticket.send(());
            }
        }
    }

    fn show(&self) {
        let machine = &self.machine;
        let standing = machine.standing();
        let now = RegistrationStatus {
            state: machine.state(),
            generation: self.generation.as_ref().map(|generation| generation.id.0),
            verified: matches!(
                standing,
                RegistrationStanding::Registered { verified: true } | RegistrationStanding::Drifted(_)
            ),
            last_ok: self.last_ok,
            failed_attempts: machine.failures(),
            error: machine.failure().map(|failure| failure.text.clone()),
            error_kind: machine.failure().map(|failure| failure.kind),
            drift: match standing {
                RegistrationStanding::Drifted(differences) => differences.clone(),
                RegistrationStanding::Unregistered | RegistrationStanding::Registered { .. } => Vec::new(),
            },
            holder: self.holder().map(|holder| HolderStatus {
                urls: holder.urls.clone(),
                answers: (holder.answered || holder.error.is_some()).then_some(holder.serves()),
                silent_since: self.silent_since,
                silences: holder.silences,
                error: holder.error.clone(),
            }),
            newer: machine.newer().map(|newer| NewerHostStatus {
                host: newer.peer.host.clone(),
                code_time: newer.peer.code_time,
            }),
            ..subject::status(&self.subject)
        };
        let state = self.shown.borrow().state;
        let (next, error) = (now.state, now.error.clone());
        self.shown.send_if_modified(|shown| {
            let news = **shown != now;
            *shown = Arc::new(now);
            news
        });
        if state != next {
            self.table.tell(HostEvent::Registration {
                state: next.as_str(),
                error,
            });
        }
    }

    /// Returns this host as others see it.
    fn own_peer(&self) -> AddressPeer {
        let view = self.table.view();
        let id = self.generation.as_ref().map(|generation| generation.id);
        let entry = view.entries.iter().find(|entry| Some(entry.id) == id);
        AddressPeer {
            // A generation that is gone has the oldest code.
            code_time: entry.and_then(GenerationEntry::code_time).unwrap_or_default(),
            host: self.host.clone(),
        }
    }

    /// Returns the host that Inngest calls in place of this one, while Inngest says so.
    fn holder(&self) -> Option<&Holder> {
        let is_drifted = matches!(self.machine.standing(), RegistrationStanding::Drifted(_));
        self.machine.holder().filter(|_| is_drifted)
    }

    /// Tells the log the news: the first failure of a kind, and its end.
    fn say(&mut self) {
        let told = &self.told;
        let elsewhere = self.holder().map(|holder| holder.urls.clone());
        let newer = self.machine.newer().map(|newer| newer.peer.host.clone());
        let news = match (&self.subject, self.machine.standing(), self.machine.failure()) {
            (Err(off), ..) => LastLogged::Off(off.clone()),
            (Ok(_), _, Some(failure)) => LastLogged::Failing(failure.kind),
            (Ok(_), RegistrationStanding::Registered { .. }, None) => LastLogged::Registered,
            (Ok(_), RegistrationStanding::Drifted(_), None) if elsewhere.is_some() => {
                LastLogged::Elsewhere(elsewhere.unwrap_or_default())
            }
            (Ok(_), RegistrationStanding::Drifted(_), None) if newer.is_some() => {
                LastLogged::Newer(newer.unwrap_or_default())
            }
            (Ok(_), RegistrationStanding::Drifted(differences), None) => LastLogged::Drifted(lines(differences)),
            (Ok(_), RegistrationStanding::Unregistered, None) => return,
        };
        if *told == news {
            return;
        }
        let generation = self.generation.as_ref().map(|generation| generation.id.0);
        match &news {
            LastLogged::Off(off) if off.is_wrong() => warn!(reason = %off, "not registered at Inngest"),
            // The connection says by itself whether Inngest has the functions.
            LastLogged::Off(OffReason::NotCurrent | OffReason::NoGeneration | OffReason::Connected)
            | LastLogged::Nothing => {}
            LastLogged::Off(off) => info!(reason = %off, "not registered at Inngest"),
            LastLogged::Failing(kind) => {
                let error = self.machine.failure().map(|failure| failure.text.as_str());
                let quiet = *kind == FailureKind::Unreachable
                    && self.subject.as_ref().is_ok_and(|subject| subject.dev)
                    && *told != LastLogged::Registered;
                if quiet {
                    info!(error, "not registered yet: waiting for an Inngest server");
                } else {
                    warn!(
                        error,
                        kind = kind.as_str(),
                        "not registered at Inngest: trying again until it is"
                    );
                }
            }
            LastLogged::Registered => {
                let apps = self.subject.iter().flat_map(|subject| &subject.apps);
                let at: Vec<_> = apps.map(|app| app.api.as_str()).collect();
                let recovered = matches!(
                    told,
                    LastLogged::Failing(_) | LastLogged::Drifted(_) | LastLogged::Elsewhere(_) | LastLogged::Newer(_)
                );
                info!(generation, inngest = at.first(), recovered, "registered at Inngest");
            }
            LastLogged::Drifted(differences) => {
                warn!(generation, "Inngest has other functions than the code: {differences}");
            }
            LastLogged::Newer(host) => {
                let time = self.machine.newer().map(|newer| newer.peer.code_time.to_string());
                info!(
                    generation,
                    host,
                    code_time = time,
                    "another host at this address has newer code and registers: this host leaves it registered"
                );
            }
            LastLogged::Elsewhere(urls) => {
                let url = urls.first();
                info!(
                    generation,
                    url, "another host is registered at Inngest: this host registers when that one does not answer"
                );
            }
        }
        // The lack of a generation does not hide the message before it.
        if !matches!(news, LastLogged::Off(OffReason::NoGeneration)) {
            self.told = news;
        }
    }
}

/// Tells the log why this host takes the place of another one.
fn say_replaced(reading: &HolderReading, holder: &Holder) {
    let url = holder.urls.first();
    match reading {
        HolderReading::Gone(error) | HolderReading::Unheard(error) => {
            warn!(
                url,
                error, "the host that is registered at Inngest does not answer: registering in its place"
            );
        }
        HolderReading::Draining | HolderReading::Serves => {
            info!(
                url,
                "the host that is registered at Inngest drains: registering in its place"
            );
        }
    }
}

fn lines(differences: &[Difference]) -> String {
    let lines: Vec<_> = differences.iter().map(ToString::to_string).collect();
    lines.join("; ")
}

async fn due_after(wait: Duration) -> Event {
    tokio::time::sleep(wait).await;
    Event::Due
}

/// Waits for so long, or until the host that is registered in place of this one ends.
async fn due_after_or_at_the_end_of(url: String, wait: Duration) -> Event {
    tokio::select! {
        event = due_after(wait) => event,
        end = holder::end(&url) => match end {
            holder::HolderEnd::Drains => Event::HolderDrains,
            holder::HolderEnd::Lost => Event::Due,
        },
    }
}

async fn ask_holder(subject: Subject, urls: Vec<String>) -> Event {
    Event::Holder(holder::ask(&subject, &urls).await)
}

async fn ask_peers(subject: Subject, own: AddressPeer) -> Event {
    Event::Peers(peers::ask(&subject, &own).await)
}

/// Returns a number from 0 to 1; a half where there is no chance.
fn random() -> f64 {
    let mut bytes = [0_u8; 4];
    match getrandom::fill(&mut bytes) {
        Ok(()) => f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX),
        Err(_) => 0.5,
    }
}
