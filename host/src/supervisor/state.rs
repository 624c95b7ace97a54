//! Decides what the supervisor does, in pure code: events in, actions out. No clock, no IO, no processes.
//!
//! ```text
//!             the host that accepts              the candidate
//! upgrade ▶                                      Boot       started, says hello, brings its engine up
//!             Freezing   begins no more loads ◀──┘ booted
//!             says where things are ───────────▶ Loading    the code that serves, beside the old host
//!             Stopping   takes no more calls ◀───┘ ready
//!             says so ─────────────────────────▶ Accepting  takes them
//!             told: finishes, passes on, ends ◀──┘ says so
//! ```
//!
//! - An upgrade that fails before the candidate accepts ends the candidate, and the old host goes on.
//! - No host is told to accept before the host that did has said that it stopped, or is gone.
//! - A host that accepts answers a ping at each look. A host that owes too many answers hangs: it is killed, and
//!   counts as gone at once. Looks are counted, not time: a machine or supervisor that slept has not looked
//!   meanwhile.
//! - A host that dies while it accepts is replaced by the candidate if there is one, else by a new host that goes on
//!   with the same code and numbers.

mod pulse;
mod upgrade;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use self::pulse::Pulse;
use self::upgrade::{Upgrade, UpgradeStep, answer};
use super::backoff::Backoff;
use super::event::{Action, Binary, Event, HostId, Notice, UpgradeAsker};
use super::handover_record::{HandoverRecord, HostRole, VERSION};
use super::message::{FromHost, HostStart, Occasion, PROTOCOL, ToHost, UpgradeError};
use crate::generation::FrozenHost;
use crate::status::{HostLine, SupervisorLine};

/// The limits for a host to say something, and then to have its engine up (which makes its startup snapshot first,
/// when the binary is new).
const HELLO_WITHIN: Duration = Duration::from_secs(10);
const BOOT_WITHIN: Duration = Duration::from_mins(2);
/// The limit for a step that is done at once: a busy machine may take this long.
const AT_ONCE: Duration = Duration::from_secs(10);
/// The time that a host has after its drain budget. It ends its calls itself when the budget is used up.
const DRAIN_GRACE: Duration = Duration::from_secs(30);
/// The limit for a host that is to end now to name its calls.
const END_WITHIN: Duration = Duration::from_secs(5);

/// The number of looks in a row at which a host owes its answer to a ping, after which it counts as hung.
const HUNG_AFTER: u32 = 6;
/// The same number while somebody waits for the host.
const HUNG_WHEN_WAITED_FOR: u32 = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HostPhase {
    Spawned,
    Greeted,
    Loading,
    Accepting,
    Draining,
    /// The host was told to go, or killed; its messages count no more.
    Ending,
}

#[derive(Debug, Clone)]
struct HostProcess {
    pid: u32,
    version: String,
    phase: HostPhase,
    /// The limit of the host's loads.
    load: Duration,
    numbers: FrozenHost,
    /// The version of the hand-over record that the host's binary knows.
    record: u32,
    pulse: Pulse,
}

/// A host as a hand-over record describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostState {
    pub role: HostRole,
    pub version: String,
    /// The limit of the host's loads.
    pub load: Duration,
    /// Tells whether the host answers pings.
    pub pings: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum SupervisorEnding {
    No,
    Draining,
    Now,
}

/// Everything that the supervisor knows of its hosts.
#[derive(Debug, Clone)]
pub struct Supervision {
    me: SupervisorLine,
    drain: Duration,
    next: u64,
    hosts: BTreeMap<HostId, HostProcess>,
    accepting: Option<HostId>,
    /// The host that was started because nobody accepts.
    rising: Option<HostId>,
    upgrade: Option<Upgrade>,
    ending: SupervisorEnding,
    backoff: Backoff,
    /// The numbers of the last host that accepted.
    numbers: FrozenHost,
    /// Tells whether any host has accepted.
    served: bool,
}

impl Supervision {
    #[must_use]
    pub const fn new(me: SupervisorLine, drain: Duration) -> Self {
        Self {
            me,
            drain,
            next: 1,
            hosts: BTreeMap::new(),
            accepting: None,
            rising: None,
            upgrade: None,
            ending: SupervisorEnding::No,
            backoff: Backoff::NONE,
            numbers: FrozenHost {
                current: None,
                newest: None,
                last_good: false,
            },
            served: false,
        }
    }

    /// Goes on with the hosts of the binary that this process was before.
    pub fn adopt(me: SupervisorLine, drain: Duration, record: &HandoverRecord) -> (Self, Vec<Action>) {
        let mut adopted = Self::new(me, drain);
        adopted.numbers = record.numbers;
        adopted.served = true;
        let mut actions = Vec::new();
        for host in &record.hosts {
            let phase = match host.role {
                HostRole::Accepting => {
                    adopted.accepting = Some(host.id);
                    HostPhase::Accepting
                }
                HostRole::Draining => {
                    actions.push(Action::Deadline(host.id, drain + DRAIN_GRACE));
                    HostPhase::Draining
                }
                HostRole::Ending => {
                    actions.push(Action::Deadline(host.id, END_WITHIN));
                    HostPhase::Ending
                }
            };
            adopted.next = adopted.next.max(host.id.0 + 1);
            let host_of_record = HostProcess {
                pid: host.pid,
                version: host.version.clone(),
                phase,
                load: Duration::from_millis(host.load_ms),
                numbers: FrozenHost::default(),
                record: VERSION,
                pulse: Pulse::of(host.pings),
            };
            adopted.hosts.insert(host.id, host_of_record);
        }
        if adopted.accepting.is_none() {
            actions.push(Action::RestartIn(Duration::ZERO));
        }
        adopted.show(&mut actions);
        (adopted, actions)
    }

    /// Tells whether the hosts can be described by their roles: one accepts, and nothing is under way.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.ending == SupervisorEnding::No
            && self.accepting.is_some()
            && self.upgrade.is_none()
            && self.rising.is_none()
    }

    /// Describes a host for a hand-over record.
    #[must_use]
    pub fn host(&self, id: HostId) -> HostState {
        let host = self.hosts.get(&id);
        let role = match host.map(|host| host.phase) {
            _ if self.accepting == Some(id) => HostRole::Accepting,
            Some(HostPhase::Draining) => HostRole::Draining,
            _ => HostRole::Ending,
        };
        HostState {
            role,
            version: host.map(|host| host.version.clone()).unwrap_or_default(),
            load: host.map(|host| host.load).unwrap_or_default(),
            pings: host.is_some_and(|host| host.pulse != Pulse::Unknown),
        }
    }

    /// Returns the generation numbers that the accepting host told last.
    #[must_use]
    pub const fn numbers(&self) -> FrozenHost {
        self.numbers
    }

    /// Takes an event in, and returns the actions for it.
    pub fn apply(&mut self, event: Event) -> Vec<Action> {
        let mut actions = Vec::new();
        let shown = self.lines();
        match event {
            Event::Begin | Event::RestartDue => self.rise(&mut actions),
            Event::Spawned { host, pid } => {
                if let Some(host) = self.hosts.get_mut(&host) {
                    host.pid = pid;
                }
            }
            Event::NotSpawned { host, error } => self.not_spawned(host, error, &mut actions),
            Event::Said(host, message) => self.said(host, message, &mut actions),
            Event::Garbled(host, said) => self.garbled(host, said, &mut actions),
            Event::Exited {
                host,
                status,
                code,
                lived,
            } => self.exited(host, status, code, lived, &mut actions),
            Event::Overdue(host) => self.overdue(host, &mut actions),
            Event::Look => self.look(&mut actions),
            Event::Upgrade { asker, binary } => self.begin_upgrade(asker, binary, &mut actions),
            Event::Terminate if self.ending == SupervisorEnding::No => self.drain_all(&mut actions),
            Event::Terminate | Event::Quit => self.end_all(&mut actions),
        }
        if shown != self.lines() {
            self.show(&mut actions);
        }
        actions
    }

    /// Returns the hosts that live.
    #[must_use]
    pub fn lines(&self) -> Vec<HostLine> {
        let line = |host: &HostProcess| HostLine {
            pid: host.pid,
            version: host.version.clone(),
            state: match host.phase {
                HostPhase::Spawned | HostPhase::Greeted => "starting",
                HostPhase::Loading => "loading",
                HostPhase::Accepting => "accepting",
                HostPhase::Draining => "draining",
                HostPhase::Ending => "ending",
            }
            .to_owned(),
        };
        self.hosts.values().map(line).collect()
    }

    /// Tells whether the supervisor only waits for its hosts to end.
    #[must_use]
    pub fn is_ending(&self) -> bool {
        self.ending != SupervisorEnding::No
    }

    fn show(&self, actions: &mut Vec<Action>) {
        if let Some(accepting) = self.accepting {
            let all = self.lines();
            let supervisor = self.me.clone();
            actions.push(Action::Tell(accepting, ToHost::Hosts { all, supervisor }));
        }
    }

    fn new_host(&mut self, binary: Binary, actions: &mut Vec<Action>) -> HostId {
        let id = HostId(self.next);
        self.next += 1;
        let host = HostProcess {
            pid: 0,
            version: String::new(),
            phase: HostPhase::Spawned,
            load: Duration::ZERO,
            numbers: FrozenHost::default(),
            record: 0,
            pulse: Pulse::Unknown,
        };
        self.hosts.insert(id, host);
        actions.push(Action::Spawn { host: id, binary });
        actions.push(Action::Deadline(id, HELLO_WITHIN));
        id
    }

    /// Starts a host because nobody accepts.
    fn rise(&mut self, actions: &mut Vec<Action>) {
        if self.ending == SupervisorEnding::No
            && self.accepting.is_none()
            && self.rising.is_none()
            && self.upgrade.is_none()
        {
            // If hosts die again and again, a newer binary may be the remedy, or the fault.
            let binary = if self.backoff.prefers_another_binary() {
                Binary::Usual
            } else {
                Binary::Same
            };
            self.rising = Some(self.new_host(binary, actions));
        }
    }

    fn not_spawned(&mut self, host: HostId, error: String, actions: &mut Vec<Action>) {
        self.hosts.remove(&host);
        actions.push(Action::NoDeadline(host));
        if let Some(upgrade) = self.upgrade_to(host) {
            let binary = match &upgrade.binary {
                Binary::Named(path) => path.clone(),
                Binary::Same | Binary::Usual => PathBuf::from("baton"),
            };
            self.fail_upgrade(UpgradeError::NotStarted { binary, error }, actions);
        } else if self.rising == Some(host) {
            self.rising = None;
            if self.served {
                actions.push(Action::RestartIn(self.backoff.died(Duration::ZERO)));
            } else {
                actions.push(Action::Exit(1));
            }
        }
    }

    fn said(&mut self, id: HostId, message: FromHost, actions: &mut Vec<Action>) {
        let Some(host) = self.hosts.get_mut(&id) else {
            return;
        };
        if host.phase == HostPhase::Ending {
            return;
        }
        match message {
            FromHost::Hello { protocol, .. } if protocol != PROTOCOL => {
                self.garbled(id, format!("protocol {protocol}, not {PROTOCOL}"), actions);
            }
            FromHost::Hello {
                version,
                load_ms,
                record,
                pings,
                ..
            } => {
                host.pulse = Pulse::of(pings);
                host.version = version;
                host.record = record;
                host.load = Duration::from_millis(load_ms);
                host.phase = HostPhase::Greeted;
                actions.push(Action::Deadline(id, BOOT_WITHIN));
            }
            FromHost::Booted => self.booted(id, actions),
            FromHost::Pong { number } => {
                if let Pulse::Known { last, owed } = &mut host.pulse
                    && *last == number
                {
                    *owed = 0;
                }
            }
            FromHost::Numbers {
                current,
                newest,
                last_good,
            } => {
                host.numbers = FrozenHost {
                    current,
                    newest,
                    last_good,
                };
                let numbers = host.numbers;
                if self.accepting == Some(id) {
                    self.learn(numbers);
                }
            }
            FromHost::Frozen(frozen) => self.frozen(id, frozen, actions),
            FromHost::Ready { generation } => self.ready(id, generation, actions),
            FromHost::Failed { message } => {
                if self.upgrade_to(id).is_some() {
                    self.fail_upgrade(UpgradeError::Rejected { message }, actions);
                }
            }
            FromHost::Stopped => {
                if self.accepting == Some(id) {
                    self.at_step(UpgradeStep::Stopping, Self::let_candidate_accept, actions);
                }
            }
            FromHost::Accepting => self.accepts(id, actions),
            FromHost::Upgrade { ticket, binary } => self.begin_upgrade(UpgradeAsker::Host(id, ticket), binary, actions),
            FromHost::Drain => {
                if self.ending == SupervisorEnding::No {
                    self.drain_all(actions);
                }
            }
            FromHost::Leaving => {
                host.phase = HostPhase::Draining;
                actions.push(Action::Deadline(id, self.drain + DRAIN_GRACE));
                if self.rising == Some(id) {
                    self.rising = None;
                    actions.push(Action::RestartIn(Duration::ZERO));
                } else if self.accepting == Some(id) {
                    self.accepting = None;
                    self.go_on_without(Duration::ZERO, actions);
                }
            }
        }
    }

    /// Asks the host that accepts for an answer, and ends the host if it has owed one for too long.
    fn look(&mut self, actions: &mut Vec<Action>) {
        let Some(id) = self.accepting else {
            return;
        };
        let Some(HostProcess {
            pulse: Pulse::Known { last, owed },
            ..
        }) = self.hosts.get_mut(&id)
        else {
            return;
        };
        // The answer to the newest ping pays for all pings before it.
        *last += 1;
        let number = *last;
        *owed += 1;
        if *owed > HUNG_AFTER {
            self.end_hung(id, actions);
        } else {
            actions.push(Action::Tell(id, ToHost::Ping { number }));
        }
    }

    /// Replaces a host that hangs. A killed process does nothing more, so the next host need not wait until it is
    /// gone.
    fn end_hung(&mut self, id: HostId, actions: &mut Vec<Action>) {
        actions.push(Action::LogHung(id));
        self.kill(id, actions);
        self.accepting = None;
        self.go_on_without(Duration::ZERO, actions);
    }

    /// Tells whether the host that accepts answers, as far as the supervisor knows.
    #[must_use]
    pub fn is_answered(&self) -> bool {
        let accepting = self.accepting.and_then(|id| self.hosts.get(&id));
        accepting.is_none_or(|host| !host.pulse.owes(HUNG_AFTER))
    }

    fn booted(&mut self, id: HostId, actions: &mut Vec<Action>) {
        if self.rising == Some(id) {
            let occasion = if self.served {
                Occasion::Restart
            } else {
                Occasion::Start
            };
            let before = self.numbers;
            self.set_phase(id, HostPhase::Loading);
            actions.push(Action::Tell(id, ToHost::Load(HostStart { occasion, before })));
            actions.push(Action::Tell(id, ToHost::Accept));
            actions.push(Action::Deadline(id, AT_ONCE * 3));
        } else if self.upgrade_to(id).is_some() {
            match self.accepting {
                Some(accepting) => {
                    // The host may be loading, and finishes that first.
                    let load = self.hosts.get(&accepting).map_or(Duration::ZERO, |host| host.load);
                    actions.push(Action::Tell(accepting, ToHost::Freeze));
                    actions.push(Action::Deadline(id, load + AT_ONCE));
                    self.set_step(UpgradeStep::Freezing);
                }
                None => self.let_candidate_load(actions),
            }
        }
    }

    fn accepts(&mut self, id: HostId, actions: &mut Vec<Action>) {
        let upgraded = self
            .upgrade_to(id)
            .is_some_and(|upgrade| upgrade.step == UpgradeStep::Accepting);
        if self.rising != Some(id) && !upgraded {
            // The old host goes on after an upgrade that failed.
            return;
        }
        self.set_phase(id, HostPhase::Accepting);
        self.served = true;
        actions.push(Action::NoDeadline(id));
        let numbers = self.hosts.get(&id).map(|host| host.numbers).unwrap_or_default();
        self.learn(numbers);
        let previous = self.accepting.replace(id);
        if self.rising == Some(id) {
            self.rising = None;
            actions.push(Action::Notify(Notice::Ready));
        }
        if upgraded {
            self.finish_upgrade(id, previous, actions);
        }
    }

    /// Learns the numbers of the host that accepts. A host that has nothing to serve yet goes on from the generation
    /// that the host before it served.
    fn learn(&mut self, numbers: FrozenHost) {
        self.numbers.newest = numbers.newest.max(self.numbers.newest);
        if numbers.current.is_some() {
            self.numbers.current = numbers.current;
            self.numbers.last_good = numbers.last_good;
        }
    }

    fn garbled(&mut self, id: HostId, said: String, actions: &mut Vec<Action>) {
        if self.upgrade_to(id).is_some() {
            self.fail_upgrade(UpgradeError::NotUnderstood { said }, actions);
        } else if self.rising == Some(id) {
            self.kill(id, actions);
        }
    }

    fn overdue(&mut self, id: HostId, actions: &mut Vec<Action>) {
        match self.upgrade_to(id).map(|upgrade| upgrade.step) {
            None => self.kill(id, actions),
            Some(step) => self.upgrade_is_slow(id, step, actions),
        }
    }

    /// Tells whether the host that accepts owes answers, while somebody waits for it.
    fn hangs(&self) -> bool {
        let accepting = self.accepting.and_then(|id| self.hosts.get(&id));
        accepting.is_some_and(|host| host.pulse.owes(HUNG_WHEN_WAITED_FOR))
    }

    fn kill(&mut self, id: HostId, actions: &mut Vec<Action>) {
        if let Some(host) = self.hosts.get_mut(&id) {
            host.phase = HostPhase::Ending;
            actions.push(Action::NoDeadline(id));
            actions.push(Action::Kill(id));
        }
    }

    fn exited(&mut self, id: HostId, status: String, code: Option<i32>, lived: Duration, actions: &mut Vec<Action>) {
        self.hosts.remove(&id);
        actions.push(Action::NoDeadline(id));
        if self.ending != SupervisorEnding::No {
            self.accepting.take_if(|accepting| *accepting == id);
            if self.hosts.is_empty() {
                actions.push(Action::Exit(0));
            }
        } else if self.upgrade_to(id).is_some() {
            self.fail_upgrade(UpgradeError::Ended { status }, actions);
        } else if self.accepting == Some(id) {
            self.accepting = None;
            let wait = self.backoff.died(lived);
            self.go_on_without(wait, actions);
        } else if self.rising == Some(id) {
            self.rising = None;
            match code.and_then(|code| u8::try_from(code).ok()) {
                Some(code) if code != 0 && !self.served => actions.push(Action::Exit(code)),
                _ => actions.push(Action::RestartIn(self.backoff.died(lived))),
            }
        }
    }

    /// Lets the candidate or a new host accept, since nobody does any more.
    fn go_on_without(&mut self, wait: Duration, actions: &mut Vec<Action>) {
        if self.ending != SupervisorEnding::No {
            return;
        }
        match self.upgrade.as_ref().map(|upgrade| upgrade.step) {
            None => actions.push(Action::RestartIn(wait)),
            Some(UpgradeStep::Freezing) => self.let_candidate_load(actions),
            Some(UpgradeStep::Stopping) => self.let_candidate_accept(actions),
            Some(UpgradeStep::Boot | UpgradeStep::Loading | UpgradeStep::Accepting) => {}
        }
    }

    fn drain_all(&mut self, actions: &mut Vec<Action>) {
        self.ending = SupervisorEnding::Draining;
        actions.push(Action::Notify(Notice::Stopping));
        actions.push(Action::ReleaseSocket);
        let mut idle = Vec::from_iter(self.rising.take());
        if let Some(Upgrade {
            candidate, asker, step, ..
        }) = self.upgrade.take()
        {
            answer(asker, Err(UpgradeError::Ending), actions);
            if step < UpgradeStep::Accepting {
                idle.push(candidate);
            }
        }
        let ids: Vec<_> = self.hosts.keys().copied().collect();
        for id in ids {
            if idle.contains(&id) {
                self.kill(id, actions);
            } else if self.hosts.get(&id).is_some_and(|host| host.phase != HostPhase::Ending) {
                self.set_phase(id, HostPhase::Draining);
                actions.push(Action::Tell(id, ToHost::Drain));
                actions.push(Action::Deadline(id, self.drain + DRAIN_GRACE));
            }
        }
        if self.hosts.is_empty() {
            actions.push(Action::Exit(0));
        }
    }

    fn end_all(&mut self, actions: &mut Vec<Action>) {
        if self.ending == SupervisorEnding::No {
            self.drain_all(actions);
        }
        self.ending = SupervisorEnding::Now;
        for (id, host) in &self.hosts {
            if host.phase != HostPhase::Ending {
                actions.push(Action::Tell(*id, ToHost::EndNow));
                actions.push(Action::Deadline(*id, END_WITHIN));
            }
        }
    }

    fn set_phase(&mut self, id: HostId, phase: HostPhase) {
        if let Some(host) = self.hosts.get_mut(&id) {
            host.phase = phase;
        }
    }
}
