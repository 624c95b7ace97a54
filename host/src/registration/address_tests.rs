//! Several hosts behind one address: the newest registers.

use std::time::Duration;

use proptest::prelude::*;

use super::tests::{at_address, difference, function_missing, peer};
use super::{AppsReading, Event, NextAct, Pace, PeersReading, RECHECK, RegistrationMachine};
use crate::status::RegistrationState;

fn newer() -> Event {
    Event::Peers(PeersReading::Newer(peer("b", 2)))
}

fn newest() -> Event {
    Event::Peers(PeersReading::Newest)
}

fn take(machine: &mut RegistrationMachine, event: Event) -> NextAct {
    machine.apply(event, 0.5)
}

/// A host that has registered, and whose functions another host has replaced since.
fn overwritten() -> RegistrationMachine {
    let mut machine = RegistrationMachine::default();
    assert_eq!(take(&mut machine, at_address("1", true)), NextAct::AskPeers);
    assert_eq!(take(&mut machine, newest()), NextAct::Register);
    take(&mut machine, Event::Told(Ok(())));
    take(&mut machine, Event::Read(AppsReading::Agrees));
    take(&mut machine, Event::Due);
    assert_eq!(take(&mut machine, Event::Read(function_missing())), NextAct::AskPeers);
    machine
}

#[test]
fn a_host_leaves_the_registration_to_newer_code_and_looks_more_and_more_rarely() {
    let mut machine = overwritten();
    let mut waits = Vec::new();
    for _ in 0..12 {
        let NextAct::Wait(wait) = take(&mut machine, newer()) else {
            panic!("it registers")
        };
        waits.push(wait);
        assert_eq!(machine.state(), RegistrationState::Drifted);
        assert_eq!(take(&mut machine, Event::Due), NextAct::ReadBack);
        assert_eq!(take(&mut machine, Event::Read(function_missing())), NextAct::AskPeers);
    }
    assert!(waits.is_sorted() && waits[0] < Pace::NEAR.standby, "{waits:?}");
    assert_eq!(waits.last(), Some(&Pace::NEAR.refresh.mul_f64(0.75)));
    // The other host has told the functions of this one's code.
    take(&mut machine, newer());
    take(&mut machine, Event::Due);
    take(&mut machine, Event::Read(AppsReading::Agrees));
    assert_eq!(
        (machine.state(), machine.newer()),
        (RegistrationState::Registered, None)
    );
}

#[test]
fn a_host_registers_once_two_looks_do_not_meet_the_newer_one_or_its_own_code_is_the_newest() {
    let mut machine = overwritten();
    take(&mut machine, newer());
    for (reading, act) in [
        (newest(), NextAct::Wait(RECHECK)),
        (newer(), NextAct::Wait(Pace::NEAR.standby.mul_f64(1.5))),
        (newest(), NextAct::Wait(RECHECK)),
        (newest(), NextAct::Register),
    ] {
        take(&mut machine, Event::Due);
        take(&mut machine, Event::Read(function_missing()));
        assert_eq!(take(&mut machine, reading), act);
    }

    let mut machine = overwritten();
    take(&mut machine, newer());
    assert_eq!(take(&mut machine, at_address("2", true)), NextAct::AskPeers);
    assert_eq!(take(&mut machine, newest()), NextAct::Register);

    let mut machine = overwritten();
    take(&mut machine, newer());
    assert_eq!(take(&mut machine, Event::Asked), NextAct::Register);
}

#[test]
fn an_old_host_that_starts_beside_newer_code_registers_nothing() {
    let mut machine = RegistrationMachine::default();
    take(&mut machine, at_address("1", true));
    assert_eq!(take(&mut machine, newer()), NextAct::ReadBack);
    assert_eq!(take(&mut machine, Event::Read(function_missing())), NextAct::AskPeers);
    assert!(matches!(take(&mut machine, newer()), NextAct::Wait(_)));
    assert_eq!(machine.state(), RegistrationState::Drifted);
}

#[test]
fn an_inngest_that_forgot_everything_is_told_at_once() {
    let mut machine = overwritten();
    for _ in 0..3 {
        assert_eq!(take(&mut machine, newest()), NextAct::Register);
        take(&mut machine, Event::Told(Ok(())));
        take(&mut machine, Event::Read(AppsReading::Agrees));
        take(&mut machine, Event::Due);
        let forgotten = Event::Read(AppsReading::Differs(difference()));
        assert_eq!(take(&mut machine, forgotten), NextAct::AskPeers);
    }
}

/// A host behind the address, with the version of its functions.
struct Host {
    machine: RegistrationMachine,
    version: i64,
    doing: NextAct,
    due: Duration,
}

/// Hosts behind one address, and the version that Inngest holds.
struct Address {
    now: Duration,
    hosts: Vec<Host>,
    held: i64,
    /// The registrations: the time, and the version.
    told: Vec<(Duration, i64)>,
    /// Tells whether the balancer lets the hosts meet.
    they_meet: bool,
    /// The part of the askings in which the balancer leaves out the newest host.
    left_out: f64,
    random: u64,
}

impl Address {
    fn new(versions: &[i64], random: u64) -> Self {
        let mut address = Self {
            now: Duration::ZERO,
            hosts: Vec::new(),
            held: 0,
            told: Vec::new(),
            they_meet: true,
            left_out: 0.0,
            random,
        };
        for version in versions {
            address.hosts.push(Host {
                machine: RegistrationMachine::default(),
                version: *version,
                doing: NextAct::Rest,
                due: Duration::ZERO,
            });
            address.load(address.hosts.len() - 1, *version);
        }
        address
    }

    fn load(&mut self, which: usize, version: i64) {
        self.hosts[which].version = version;
        self.apply(which, at_address(&version.to_string(), true));
    }

    #[allow(clippy::cast_precision_loss, reason = "it is random")]
    fn random(&mut self) -> f64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.random >> 40) as f64 / (1_u64 << 24) as f64
    }

    fn apply(&mut self, which: usize, event: Event) {
        let (chance, taking) = (self.random(), self.random());
        let host = &mut self.hosts[which];
        let wait = match host.machine.apply(event, chance) {
            NextAct::Continue => return,
            act => {
                host.doing = act;
                match act {
                    NextAct::Wait(wait) => wait,
                    _ => Duration::from_millis(200).mul_f64(taking),
                }
            }
        };
        host.due = self.now + wait;
    }

    fn run(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(which) = (0..self.hosts.len()).min_by_key(|which| self.hosts[*which].due) {
            if self.hosts[which].due > until {
                break;
            }
            self.now = self.hosts[which].due;
            let event = self.event(which);
            self.apply(which, event);
        }
        self.now = until;
    }

    /// Returns the outcome of the present act of a host.
    fn event(&mut self, which: usize) -> Event {
        let version = self.hosts[which].version;
        let best = self.hosts.iter().map(|host| host.version).max().unwrap_or(version);
        let doing = self.hosts[which].doing;
        match doing {
            NextAct::Register => {
                self.held = version;
                self.told.push((self.now, version));
                Event::Told(Ok(()))
            }
            NextAct::ReadBack if self.held == version => Event::Read(AppsReading::Agrees),
            NextAct::ReadBack => Event::Read(function_missing()),
            // The balancer may leave out the newest host.
            NextAct::AskPeers if best > version && self.they_meet && self.random() >= self.left_out => {
                Event::Peers(PeersReading::Newer(peer("newest", best)))
            }
            NextAct::AskPeers if self.they_meet => newest(),
            NextAct::AskPeers => Event::Peers(PeersReading::Alone),
            NextAct::Wait(_) => Event::Due,
            NextAct::Rest | NextAct::Continue | NextAct::AskHolder => panic!("a host that serves rests"),
        }
    }
}

const MINUTE: Duration = Duration::from_mins(1);

#[test]
fn hosts_that_a_balancer_keeps_apart_overwrite_each_other_less_and_less_often() {
    let mut address = Address::new(&[1, 2], 1);
    address.they_meet = false;
    address.run(MINUTE * 60);
    let changes: Vec<_> = address.told.chunk_by(|a, b| a.1 == b.1).map(|told| told[0].0).collect();
    let in_time = |from, to| changes.iter().filter(|at| (from..to).contains(*at)).count();
    assert!(in_time(Duration::ZERO, MINUTE * 2) <= 10, "{changes:?}");
    assert!(in_time(MINUTE * 30, MINUTE * 60) <= 24, "{changes:?}");
}

proptest! {
    /// Checks that in a rolling reload each host registers at most once in the first minute, and that Inngest ends up
    /// with the newest code, also where the balancer leaves out the newest host now and then.
    #[test]
    fn of_the_hosts_behind_an_address_the_newest_is_registered(
        pauses in prop::collection::vec(0..8_000_u64, 2..6),
        random in any::<u64>(),
    ) {
        let hosts = pauses.len();
        let mut address = Address::new(&vec![1; hosts], random);
        address.run(MINUTE * 2);
        address.told.clear();
        let begun = address.now;
        for (which, pause) in pauses.iter().enumerate() {
            address.load(which, 2);
            address.run(Duration::from_millis(*pause));
        }
        address.run((begun + MINUTE).saturating_sub(address.now));
        prop_assert!(address.told.len() <= hosts, "{:?}", address.told);
        prop_assert!(address.told.iter().all(|(_, version)| *version == 2), "{:?}", address.told);

        // One host goes back to old code, and another one has newer code.
        address.left_out = 0.05;
        address.load(0, 1);
        address.load(1, 3);
        address.run(MINUTE * 30);
        if address.held != 3 {
            // A balancer has left out the newest host twice. That host mends it at its next look.
            address.run(MINUTE);
        }
        prop_assert_eq!(address.held, 3);
    }
}
