//! Decides the next act of the registration. Pure: events and a random number in, acts out; no clock and no IO.

use std::time::Duration;

use super::inngest_failure::InngestFailure;
use super::peers::{AddressPeer, PeersReading};
use crate::status::{Difference, DifferenceKind, RegistrationState};

/// The pace of the acts, which depends on how far away Inngest is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pace {
    /// The time between two looks at the apps that Inngest holds.
    pub(super) look: Duration,
    /// The time after which Inngest is told again, whatever it holds.
    pub(super) refresh: Duration,
    /// The wait before the first new attempt.
    pub(super) first: Duration,
    /// The longest wait before any new attempt.
    pub(super) longest: Duration,
    /// The time between two looks while another host is registered: until its silence is noticed, calls are lost.
    pub(super) standby: Duration,
}

/// The pause before the second look at a registered host that did not answer the first one. A host that is started
/// anew listens again within this time.
const RECHECK: Duration = Duration::from_secs(2);
/// The number of looks in a row that a registered host must leave unanswered: one may fall into its restart.
const SILENCES: u32 = 2;
/// The number of looks in a row that must not meet the newer host: a balancer chooses who answers.
const MISSES: u32 = 2;
/// The most doublings of [`SILENCES`]: they make 128 looks, which take minutes.
const DOUBLINGS: u32 = 6;

impl Pace {
    pub(super) const NEAR: Self = Self {
        look: Duration::from_secs(5),
        refresh: Duration::from_mins(3),
        first: Duration::from_millis(500),
        longest: Duration::from_secs(5),
        standby: Duration::from_secs(5),
    };
    pub(super) const FAR: Self = Self {
        look: Duration::from_mins(1),
        refresh: Duration::from_mins(5),
        first: Duration::from_secs(1),
        longest: Duration::from_mins(1),
        standby: Duration::from_secs(15),
    };
}

/// The registration that a host would make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Announcement {
    /// The digest of everything that Inngest is to be told.
    pub(super) digest: String,
    pub(super) pace: Pace,
    /// Tells whether other hosts may be behind the same address.
    pub(super) shared: bool,
}

/// An event of the registration.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Event {
    /// There is nothing to tell, or this host is not to tell it.
    Off,
    /// A generation is current.
    Current(Announcement),
    /// The next act is due.
    Due,
    /// Inngest was told, or the attempt failed.
    Told(Result<(), InngestFailure>),
    /// Inngest was looked at.
    Read(AppsReading),
    /// The host that Inngest calls in place of this one was asked.
    Holder(HolderReading),
    /// The hosts at this host's own address were asked for the age of their code.
    Peers(PeersReading),
    /// The host that Inngest calls in place of this one says by itself that it drains.
    HolderDrains,
    /// Somebody wants Inngest to be told now.
    Asked,
}

/// The result of a look at the apps that Inngest holds.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum AppsReading {
    Agrees,
    Differs(Vec<Difference>),
    /// This Inngest does not tell which apps it holds.
    NotOffered,
    Failed(InngestFailure),
}

/// The state of the host that Inngest calls in place of this one.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum HolderReading {
    /// The host takes calls.
    Serves,
    /// The host finishes its calls and ends.
    Draining,
    /// Nobody answers calls at that host.
    Gone(String),
    /// The host cannot be reached from here. Inngest may reach it all the same.
    Unheard(String),
}

/// The next act, in place of the present one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NextAct {
    /// Goes on with the present act.
    Continue,
    Rest,
    Register,
    ReadBack,
    /// Asks the host that Inngest calls in place of this one.
    AskHolder,
    /// Asks the hosts at this host's own address for the age of their code.
    AskPeers,
    Wait(Duration),
}

/// The standing of the registration, as far as it is known.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) enum RegistrationStanding {
    #[default]
    Unregistered,
    /// Inngest was told; `verified` tells whether Inngest itself says so.
    Registered {
        verified: bool,
    },
    Drifted(Vec<Difference>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Phase {
    #[default]
    Off,
    Registering,
    /// Inngest is looked at; `told` tells whether that is right after it was told.
    Reading {
        told: bool,
    },
    /// The host that is registered in place of this one is asked whether it serves.
    Asking,
    /// The hosts at this host's own address are asked for the age of their code.
    AskingPeers {
        /// Tells whether this host has waited before.
        waited: bool,
    },
    Waiting(ActAfterWait),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ActAfterWait {
    Register,
    Look,
}

/// Another host of the app, which has told Inngest its URL after this one, and so is the newer of the two. It stays
/// registered while it serves, until this host has something new to tell, somebody asks, or Inngest has forgotten
/// both hosts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Holder {
    /// The URLs at which Inngest calls the other host: one for each app.
    pub(super) urls: Vec<String>,
    /// Tells whether the other host has answered this one once. A host that was never reached from here may well be
    /// there.
    pub(super) answered: bool,
    /// The number of looks in a row that the other host left unanswered.
    pub(super) silences: u32,
    /// The reason why the last look was not answered.
    pub(super) error: Option<String>,
    /// Tells whether the other host has said that it drains.
    pub(super) drains: bool,
}

impl Holder {
    /// Tells whether the other host answered the last look.
    pub(super) const fn serves(&self) -> bool {
        self.answered && self.error.is_none()
    }
}

/// A host at the same address whose code is newer. This host leaves the registration to it until two looks in a row do
/// not meet it, this host has something new to tell, or somebody asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NewerHost {
    pub(super) peer: AddressPeer,
    /// The number of looks that have met the host.
    meetings: u32,
    /// The number of looks in a row that have not met the host.
    misses: u32,
}

/// The machine that decides.
#[derive(Debug, Default)]
pub(super) struct RegistrationMachine {
    phase: Phase,
    standing: RegistrationStanding,
    subject: Option<Announcement>,
    /// The number of attempts in a row that failed.
    failures: u32,
    failure: Option<InngestFailure>,
    /// The number of times in a row that Inngest was told and differed all the same.
    mended: u32,
    looks: u32,
    /// Tells whether Inngest has held everything that it was told, this host's URL too.
    agreed: bool,
    /// The host that is registered in place of this one.
    holder: Option<Holder>,
    /// The number of hosts in a row whose place this one has taken because they did not answer. Each of them doubles
    /// the looks that the next host must leave unanswered; else two hosts that Inngest reaches and that do not reach
    /// each other would take turns for ever.
    replacements: u32,
    /// The host at the same address that registers in place of this one.
    newer: Option<NewerHost>,
    /// The number of times that another host of the address wrote its functions over this one's. Each of them doubles
    /// the wait before this host answers likewise; else two hosts that a balancer keeps apart would do so for ever.
    overwrites: u32,
}

impl RegistrationMachine {
    /// Takes an event, and returns the next act; `random` is from 0 to 1.
    pub(super) fn apply(&mut self, event: Event, random: f64) -> NextAct {
        match event {
            Event::Off => {
                *self = Self::default();
                NextAct::Rest
            }
            Event::Current(announcement) => self.current(announcement),
            _ if self.phase == Phase::Off => NextAct::Rest,
            Event::Asked => self.register(),
            Event::Due => match self.phase {
                Phase::Waiting(ActAfterWait::Register) => self.claim_after(true),
                Phase::Waiting(ActAfterWait::Look) => self.read(false),
                // The event comes late: another act is under way by now.
                Phase::Off | Phase::Registering | Phase::Reading { .. } | Phase::Asking | Phase::AskingPeers { .. } => {
                    NextAct::Continue
                }
            },
            Event::Told(Ok(())) => self.read(true),
            Event::Told(Err(failure)) => self.failed(failure, random),
            Event::Read(reading) => self.read_as(reading, random),
            Event::Holder(reading) => self.asked(reading, random),
            Event::Peers(reading) => self.met(reading, random),
            Event::HolderDrains => {
                if let Some(holder) = &mut self.holder {
                    holder.drains = true;
                }
                self.apply(Event::Due, random)
            }
        }
    }

    fn current(&mut self, announcement: Announcement) -> NextAct {
        let news = self
            .subject
            .as_ref()
            .is_none_or(|known| known.digest != announcement.digest);
        self.subject = Some(announcement);
        if news {
            self.standing = RegistrationStanding::Unregistered;
            self.failures = 0;
            self.failure = None;
            self.mended = 0;
            self.agreed = false;
            self.replacements = 0;
            self.newer = None;
            self.overwrites = 0;
            return self.claim();
        }
        match self.phase {
            // The generation that was to tell Inngest retires.
            Phase::Registering => self.register(),
            // The code is older or newer than before.
            Phase::AskingPeers { .. } | Phase::Off => self.claim(),
            Phase::Waiting(_) if self.newer.is_some() => self.claim(),
            Phase::Reading { .. } | Phase::Asking | Phase::Waiting(_) => NextAct::Continue,
        }
    }

    /// Registers, unless a host with newer code is behind the same address.
    fn claim(&mut self) -> NextAct {
        self.claim_after(false)
    }

    fn claim_after(&mut self, waited: bool) -> NextAct {
        if !self.is_shared() {
            return self.register();
        }
        self.phase = Phase::AskingPeers { waited };
        NextAct::AskPeers
    }

    fn met(&mut self, reading: PeersReading, random: f64) -> NextAct {
        let Phase::AskingPeers { waited } = self.phase else {
            return NextAct::Continue;
        };
        let Pace { standby, refresh, .. } = self.pace();
        let peer = match (reading, &mut self.newer) {
            (PeersReading::Newer(peer), _) => peer,
            (PeersReading::Alone | PeersReading::Newest, Some(newer)) if newer.misses + 1 < MISSES => {
                newer.misses += 1;
                return self.wait(jittered(RECHECK, random), ActAfterWait::Look);
            }
            // The hosts that overwrite this one's functions do not meet it, either.
            (PeersReading::Alone, _) if self.overwrites > 1 && !waited => {
                let wait = doubled(standby, self.overwrites, refresh).mul_f64(0.5 + random / 2.0);
                return self.wait(wait, ActAfterWait::Register);
            }
            (PeersReading::Alone | PeersReading::Newest, _) => return self.register(),
        };
        let meetings = self.newer.as_ref().map_or(0, |newer| newer.meetings) + 1;
        self.newer = Some(NewerHost {
            peer,
            meetings,
            misses: 0,
        });
        self.holder = None;
        self.looks = 0;
        if self.failures > 0 {
            return self.wait(self.back_off(self.failures, random), ActAfterWait::Look);
        }
        if self.standing == RegistrationStanding::Unregistered {
            return self.read(false);
        }
        self.wait(
            doubled(standby, meetings, refresh).mul_f64(0.5 + random / 2.0),
            ActAfterWait::Look,
        )
    }

    fn register(&mut self) -> NextAct {
        self.phase = Phase::Registering;
        self.looks = 0;
        self.holder = None;
        self.newer = None;
        NextAct::Register
    }

    fn read(&mut self, told: bool) -> NextAct {
        self.phase = Phase::Reading { told };
        NextAct::ReadBack
    }

    fn failed(&mut self, failure: InngestFailure, random: f64) -> NextAct {
        self.standing = RegistrationStanding::Unregistered;
        self.failure = Some(failure);
        self.failures = self.failures.saturating_add(1);
        self.wait(self.back_off(self.failures, random), ActAfterWait::Register)
    }

    fn registered(&mut self, verified: bool) {
        self.standing = RegistrationStanding::Registered { verified };
        self.failures = 0;
        self.failure = None;
    }

    fn read_as(&mut self, reading: AppsReading, random: f64) -> NextAct {
        let Phase::Reading { told } = self.phase else {
            return NextAct::Continue;
        };
        let pace = self.pace();
        match (reading, told) {
            (AppsReading::Agrees, _) => {
                self.registered(true);
                self.mended = 0;
                self.agreed = true;
                self.holder = None;
                self.newer = None;
                self.looks += 1;
                // The host registers right after a look, so that nobody else's URL is overwritten.
                if pace.look * self.looks >= pace.refresh {
                    return self.claim();
                }
                self.wait(jittered(pace.look, random), ActAfterWait::Look)
            }
            (AppsReading::Differs(differences), told) => {
                let urls = urls_in(&differences);
                let elsewhere = !urls.is_empty();
                let overwritten = self.is_shared()
                    && self.agreed
                    && !told
                    && self.newer.is_none()
                    && differences.iter().all(|one| one.function.is_some());
                if elsewhere && self.agreed && !told {
                    self.held_by(urls);
                }
                let drifted = RegistrationStanding::Drifted(differences);
                let known = told || self.standing == drifted;
                self.registered(true);
                self.standing = drifted;
                match &self.holder {
                    Some(holder) if elsewhere && holder.drains => return self.replace(),
                    Some(_) if elsewhere => {
                        self.phase = Phase::Asking;
                        return NextAct::AskHolder;
                    }
                    Some(_) if !known => return self.wait(jittered(pace.standby, random), ActAfterWait::Look),
                    Some(_) | None => {}
                }
                if told {
                    self.mended = self.mended.saturating_add(1);
                }
                // Inngest was told and did not take it. It is not told again so soon, unless something else is wrong.
                let patience = doubled(pace.first, self.mended, pace.refresh);
                self.looks += 1;
                if known && self.mended > 0 && (told || pace.look * self.looks < patience) {
                    return self.wait(jittered(pace.look, random), ActAfterWait::Look);
                }
                if overwritten {
                    self.overwrites = self.overwrites.saturating_add(1);
                }
                self.claim()
            }
            (AppsReading::NotOffered, _) => {
                self.registered(false);
                self.wait(jittered(pace.refresh, random), ActAfterWait::Register)
            }
            (AppsReading::Failed(_), true) => {
                self.registered(false);
                self.wait(jittered(pace.look, random), ActAfterWait::Look)
            }
            (AppsReading::Failed(_), false) if self.holder.is_some() => {
                // By the next look the other host may have been started again.
                self.holder.iter_mut().for_each(|holder| holder.drains = false);
                self.wait(jittered(pace.standby, random), ActAfterWait::Look)
            }
            (AppsReading::Failed(failure), false) => self.failed(failure, random),
        }
    }

    fn held_by(&mut self, urls: Vec<String>) {
        if self.holder.as_ref().is_none_or(|holder| holder.urls != urls) {
            self.holder = Some(Holder {
                urls,
                ..Holder::default()
            });
        }
    }

    fn asked(&mut self, reading: HolderReading, random: f64) -> NextAct {
        let pace = self.pace();
        let Some(holder) = self.holder.as_mut().filter(|_| self.phase == Phase::Asking) else {
            return NextAct::Continue;
        };
        let counts = match &reading {
            HolderReading::Gone(_) => true,
            HolderReading::Unheard(_) => holder.answered,
            HolderReading::Serves | HolderReading::Draining => false,
        };
        match reading {
            HolderReading::Serves => {
                (holder.answered, holder.silences, holder.error) = (true, 0, None);
                self.replacements = 0;
            }
            // That host registers no more by itself.
            HolderReading::Draining => return self.replace(),
            HolderReading::Gone(why) | HolderReading::Unheard(why) => holder.error = Some(why),
        }
        if counts {
            holder.silences += 1;
            if holder.silences >= SILENCES << self.replacements.min(DOUBLINGS) {
                self.replacements += 1;
                return self.replace();
            }
        }
        let wait = if holder.silences == 1 { RECHECK } else { pace.standby };
        self.wait(jittered(wait, random), ActAfterWait::Look)
    }

    /// Takes the place of the other host right after a look, so that nobody else's URL is overwritten.
    fn replace(&mut self) -> NextAct {
        self.standing = RegistrationStanding::Unregistered;
        self.claim()
    }

    fn wait(&mut self, wait: Duration, then: ActAfterWait) -> NextAct {
        self.phase = Phase::Waiting(then);
        NextAct::Wait(wait)
    }

    fn pace(&self) -> Pace {
        self.subject
            .as_ref()
            .map_or(Pace::FAR, |announcement| announcement.pace)
    }

    /// Tells whether other hosts may be behind the address of this one.
    fn is_shared(&self) -> bool {
        self.subject.as_ref().is_some_and(|announcement| announcement.shared)
    }

    /// Returns the next wait: twice as long each time, up to a limit, and never in step with others.
    fn back_off(&self, times: u32, random: f64) -> Duration {
        let Pace { first, longest, .. } = self.pace();
        doubled(first, times, longest).mul_f64(0.5 + random / 2.0)
    }

    pub(super) fn standing(&self) -> &RegistrationStanding {
        &self.standing
    }

    pub(super) const fn failures(&self) -> u32 {
        self.failures
    }

    pub(super) fn failure(&self) -> Option<&InngestFailure> {
        self.failure.as_ref()
    }

    /// Returns the host that Inngest calls in place of this one.
    pub(super) fn holder(&self) -> Option<&Holder> {
        self.holder.as_ref()
    }

    /// Returns the host at the same address that registers in place of this one.
    pub(super) fn newer(&self) -> Option<&NewerHost> {
        self.newer.as_ref()
    }

    /// Returns the state that the status tells.
    pub(super) fn state(&self) -> RegistrationState {
        match (&self.standing, self.phase) {
            (_, Phase::Off) => RegistrationState::Off,
            (RegistrationStanding::Drifted(_), _) => RegistrationState::Drifted,
            (RegistrationStanding::Registered { .. }, _) => RegistrationState::Registered,
            (
                RegistrationStanding::Unregistered,
                Phase::Registering | Phase::Reading { .. } | Phase::Asking | Phase::AskingPeers { .. },
            ) if self.failures == 0 => RegistrationState::Registering,
            (RegistrationStanding::Unregistered, _) => RegistrationState::Unregistered,
        }
    }

    /// Tells whether nothing is under way.
    pub(super) const fn is_settled(&self) -> bool {
        matches!(self.phase, Phase::Off | Phase::Waiting(_))
    }
}

/// Returns the URLs that Inngest calls in place of this host's.
fn urls_in(differences: &[Difference]) -> Vec<String> {
    let elsewhere = differences.iter().filter(|one| one.kind == DifferenceKind::Url);
    elsewhere
        .filter_map(|one| one.held.as_str().map(str::to_owned))
        .collect()
}

fn doubled(first: Duration, times: u32, limit: Duration) -> Duration {
    first.saturating_mul(1 << times.saturating_sub(1).min(16)).min(limit)
}

fn jittered(wait: Duration, random: f64) -> Duration {
    wait.mul_f64(0.8 + random * 0.4)
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "address_tests.rs"]
mod address_tests;
