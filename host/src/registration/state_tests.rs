use proptest::prelude::*;

use std::time::Duration;

use super::{
    Announcement, AppsReading, Event, HolderReading, NextAct, Pace, PeersReading, RECHECK, RegistrationMachine,
    RegistrationStanding,
};
use crate::registration::inngest_failure::InngestFailure;
use crate::registration::peers::AddressPeer;
use crate::status::{Difference, DifferenceKind, FailureKind, RegistrationState};

fn current(digest: &str) -> Event {
    at_address(digest, false)
}

pub(super) fn at_address(digest: &str, shared: bool) -> Event {
    Event::Current(Announcement {
        digest: digest.to_owned(),
        pace: Pace::NEAR,
        shared,
    })
}

fn failure() -> InngestFailure {
    InngestFailure {
        kind: FailureKind::Unreachable,
        text: "connection refused".to_owned(),
    }
}

pub(super) fn difference() -> Vec<Difference> {
    vec![Difference::app_missing("app")]
}

#[test]
fn what_is_told_is_looked_at_before_it_counts() {
    let mut machine = RegistrationMachine::default();
    assert_eq!(machine.state(), RegistrationState::Off);
    assert_eq!(machine.apply(current("1"), 0.5), NextAct::Register);
    assert_eq!(machine.state(), RegistrationState::Registering);
    assert_eq!(machine.apply(Event::Told(Ok(())), 0.5), NextAct::ReadBack);
    assert_eq!(*machine.standing(), RegistrationStanding::Unregistered);
    assert_eq!(
        machine.apply(Event::Read(AppsReading::Agrees), 0.5),
        NextAct::Wait(Pace::NEAR.look)
    );
    assert_eq!(machine.state(), RegistrationState::Registered);
    assert_eq!(machine.apply(Event::Due, 0.5), NextAct::ReadBack);
}

#[test]
fn an_inngest_that_forgot_is_told_at_once() {
    let mut machine = RegistrationMachine::default();
    machine.apply(current("1"), 0.5);
    machine.apply(Event::Told(Ok(())), 0.5);
    machine.apply(Event::Read(AppsReading::Agrees), 0.5);
    machine.apply(Event::Due, 0.5);
    assert_eq!(
        machine.apply(Event::Read(AppsReading::Differs(difference())), 0.5),
        NextAct::Register
    );
    assert_eq!(machine.state(), RegistrationState::Drifted);
    machine.apply(Event::Told(Ok(())), 0.5);
    // Inngest took the call and nothing else, and is not called in a loop.
    let act = machine.apply(Event::Read(AppsReading::Differs(difference())), 0.5);
    assert!(matches!(act, NextAct::Wait(_)), "{act:?}");
}

pub(super) fn peer(host: &str, second: i64) -> AddressPeer {
    AddressPeer {
        code_time: jiff::Timestamp::from_second(second).unwrap(),
        host: host.to_owned(),
    }
}

/// Another host of the address told functions of its own.
pub(super) fn function_missing() -> AppsReading {
    let mut difference = Difference::app_missing("app");
    difference.function = Some("app-a".to_owned());
    AppsReading::Differs(vec![difference])
}

fn elsewhere(url: &str) -> AppsReading {
    let mut difference = Difference::app_missing("app");
    difference.kind = DifferenceKind::Url;
    difference.held = url.into();
    AppsReading::Differs(vec![difference])
}

/// A host that was registered, and has found the URL of another one since.
fn replaced_by(url: &str) -> RegistrationMachine {
    let mut machine = RegistrationMachine::default();
    machine.apply(current("1"), 0.5);
    machine.apply(Event::Told(Ok(())), 0.5);
    machine.apply(Event::Read(AppsReading::Agrees), 0.5);
    machine.apply(Event::Due, 0.5);
    assert_eq!(machine.apply(Event::Read(elsewhere(url)), 0.5), NextAct::AskHolder);
    machine
}

fn ask_again(machine: &mut RegistrationMachine, reading: HolderReading) -> NextAct {
    machine.apply(Event::Due, 0.5);
    assert_eq!(
        machine.apply(Event::Read(elsewhere("http://b")), 0.5),
        NextAct::AskHolder
    );
    machine.apply(Event::Holder(reading), 0.5)
}

fn gone() -> HolderReading {
    HolderReading::Gone("connection refused".to_owned())
}

fn unheard() -> HolderReading {
    HolderReading::Unheard("no such host".to_owned())
}

const RESTS: NextAct = NextAct::Wait(Pace::NEAR.standby);

#[test]
fn another_host_that_registered_since_is_left_in_its_place_while_it_serves_until_somebody_asks() {
    let mut machine = replaced_by("http://b");
    assert_eq!(machine.apply(Event::Holder(HolderReading::Serves), 0.5), RESTS);
    assert_eq!(machine.state(), RegistrationState::Drifted);
    machine.apply(Event::Due, 0.5);
    assert_eq!(machine.apply(Event::Read(AppsReading::Failed(failure())), 0.5), RESTS);
    assert_eq!(ask_again(&mut machine, HolderReading::Serves), RESTS);
    assert_eq!(machine.apply(Event::Asked, 0.5), NextAct::Register);

    let mut machine = replaced_by("http://b");
    machine.apply(Event::Holder(HolderReading::Serves), 0.5);
    // The other host is the first to tell an Inngest that forgot.
    machine.apply(Event::Due, 0.5);
    let forgotten = || Event::Read(AppsReading::Differs(difference()));
    assert_eq!(machine.apply(forgotten(), 0.5), RESTS);
    machine.apply(Event::Due, 0.5);
    assert_eq!(machine.apply(forgotten(), 0.5), NextAct::Register);
}

#[test]
fn a_registered_host_that_two_looks_in_a_row_do_not_find_is_replaced() {
    let mut machine = replaced_by("http://b");
    assert_eq!(machine.apply(Event::Holder(gone()), 0.5), NextAct::Wait(RECHECK));
    assert_eq!(ask_again(&mut machine, HolderReading::Serves), RESTS);
    assert_eq!(ask_again(&mut machine, gone()), NextAct::Wait(RECHECK));
    assert_eq!(ask_again(&mut machine, gone()), NextAct::Register);
    assert_eq!(machine.state(), RegistrationState::Registering);
}

#[test]
fn a_registered_host_that_drains_is_replaced_at_once() {
    let mut machine = replaced_by("http://b");
    assert_eq!(
        machine.apply(Event::Holder(HolderReading::Draining), 0.5),
        NextAct::Register
    );

    let mut machine = replaced_by("http://b");
    machine.apply(Event::Holder(HolderReading::Serves), 0.5);
    // This is the last word of the other host: it takes no connection any more.
    assert_eq!(machine.apply(Event::HolderDrains, 0.5), NextAct::ReadBack);
    assert_eq!(
        machine.apply(Event::Read(elsewhere("http://b")), 0.5),
        NextAct::Register
    );

    let mut machine = replaced_by("http://b");
    machine.apply(Event::Holder(HolderReading::Serves), 0.5);
    machine.apply(Event::HolderDrains, 0.5);
    let third = Event::Read(elsewhere("http://c"));
    assert_eq!(machine.apply(third, 0.5), NextAct::AskHolder, "a third host was faster");
}

#[test]
fn a_registered_host_that_was_never_reached_from_here_is_left_in_its_place() {
    let mut machine = replaced_by("http://b");
    assert_eq!(machine.apply(Event::Holder(unheard()), 0.5), RESTS);
    for _ in 0..300 {
        assert_eq!(ask_again(&mut machine, unheard()), RESTS);
    }
    assert_eq!(ask_again(&mut machine, HolderReading::Serves), RESTS);
    assert_eq!(ask_again(&mut machine, unheard()), NextAct::Wait(RECHECK));
    assert_eq!(ask_again(&mut machine, unheard()), NextAct::Register);
}

#[test]
fn silence_of_one_host_is_not_counted_for_the_next() {
    let mut machine = replaced_by("http://a");
    machine.apply(Event::Holder(gone()), 0.5);
    assert_eq!(
        ask_again(&mut machine, gone()),
        NextAct::Wait(RECHECK),
        "that is http://b"
    );
}

#[test]
fn what_telling_does_not_mend_is_told_less_and_less_often_but_looked_at_all_the_time() {
    let mut machine = RegistrationMachine::default();
    machine.apply(current("1"), 0.5);
    let (mut told, mut looks) = (Vec::new(), 0);
    let mut act = machine.apply(Event::Told(Ok(())), 0.5);
    while told.len() < 12 {
        act = match act {
            NextAct::Register => {
                told.push(looks);
                looks = 0;
                machine.apply(Event::Told(Ok(())), 0.5)
            }
            NextAct::ReadBack => {
                looks += 1;
                machine.apply(Event::Read(AppsReading::Differs(difference())), 0.5)
            }
            NextAct::Wait(wait) => {
                assert_eq!(wait, Pace::NEAR.look);
                machine.apply(Event::Due, 0.5)
            }
            NextAct::Continue | NextAct::Rest | NextAct::AskHolder | NextAct::AskPeers => panic!("it stopped"),
        };
    }
    assert!(told.is_sorted(), "{told:?}");
    let longest = Pace::NEAR.refresh.as_secs() / Pace::NEAR.look.as_secs();
    assert_eq!(told.last(), Some(&longest), "{told:?}");
    // Another thing is wrong, which may be mended.
    machine.apply(Event::Due, 0.5);
    machine.apply(Event::Told(Ok(())), 0.5);
    machine.apply(Event::Read(AppsReading::Differs(difference())), 0.5);
    machine.apply(Event::Due, 0.5);
    let other = vec![Difference::app_missing("another")];
    assert_eq!(
        machine.apply(Event::Read(AppsReading::Differs(other)), 0.5),
        NextAct::Register
    );
}

#[test]
fn new_code_that_says_the_same_is_no_news_and_other_code_is() {
    let mut machine = RegistrationMachine::default();
    machine.apply(current("1"), 0.5);
    assert_eq!(
        machine.apply(current("1"), 0.5),
        NextAct::Register,
        "the one that told it retires"
    );
    machine.apply(Event::Told(Ok(())), 0.5);
    machine.apply(Event::Read(AppsReading::Agrees), 0.5);
    assert_eq!(machine.apply(current("1"), 0.5), NextAct::Continue);
    assert_eq!(machine.apply(current("2"), 0.5), NextAct::Register);
}

#[test]
fn it_is_told_again_every_few_minutes_whatever_it_says() {
    let mut machine = RegistrationMachine::default();
    machine.apply(current("1"), 0.5);
    machine.apply(Event::Told(Ok(())), 0.5);
    let mut looks = 0;
    while machine.apply(Event::Read(AppsReading::Agrees), 0.5) != NextAct::Rest
        && machine.apply(Event::Due, 0.5) == NextAct::ReadBack
    {
        looks += 1;
    }
    assert_eq!(looks + 1, Pace::NEAR.refresh.as_secs() / Pace::NEAR.look.as_secs());
}

fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        Just(Event::Off),
        ("[ab]", any::<bool>()).prop_map(|(digest, shared)| at_address(&digest, shared)),
        Just(Event::Peers(PeersReading::Alone)),
        Just(Event::Peers(PeersReading::Newest)),
        Just(Event::Peers(PeersReading::Newer(peer("b", 2)))),
        Just(Event::Read(function_missing())),
        Just(Event::Due),
        Just(Event::Told(Ok(()))),
        Just(Event::Told(Err(failure()))),
        Just(Event::Read(AppsReading::Agrees)),
        Just(Event::Read(AppsReading::Differs(difference()))),
        Just(Event::Read(AppsReading::NotOffered)),
        Just(Event::Read(AppsReading::Failed(failure()))),
        "[ab]".prop_map(|host| Event::Read(elsewhere(&host))),
        Just(Event::Holder(HolderReading::Serves)),
        Just(Event::Holder(HolderReading::Draining)),
        Just(Event::Holder(gone())),
        Just(Event::Holder(unheard())),
        Just(Event::HolderDrains),
        Just(Event::Asked),
    ]
}

/// Two hosts of one app, and the Inngest that holds the URL of one of them.
struct World {
    now: Duration,
    hosts: [Option<Host>; 2],
    held: Option<usize>,
    /// The times at which the URL of another host was told.
    changes: Vec<Duration>,
    /// The hosts that told their URLs, with the times.
    told: Vec<(Duration, usize)>,
    /// Tells for each host whether it reaches the other one.
    reaches: [bool; 2],
    random: u64,
}

struct Host {
    machine: RegistrationMachine,
    doing: NextAct,
    due: Duration,
}

impl World {
    const NAMES: [&str; 2] = ["http://a", "http://b"];

    fn new(random: u64) -> Self {
        Self {
            now: Duration::ZERO,
            hosts: [None, None],
            held: None,
            changes: Vec::new(),
            told: Vec::new(),
            reaches: [true; 2],
            random,
        }
    }

    #[allow(clippy::cast_precision_loss, reason = "it is random")]
    fn random(&mut self) -> f64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.random >> 40) as f64 / (1_u64 << 24) as f64
    }

    fn start(&mut self, which: usize) {
        let host = Host {
            machine: RegistrationMachine::default(),
            doing: NextAct::Rest,
            due: self.now,
        };
        self.hosts[which] = Some(host);
        self.apply(which, current("1"));
    }

    fn apply(&mut self, which: usize, event: Event) {
        let (now, chance, taking) = (self.now, self.random(), self.random());
        let Some(host) = &mut self.hosts[which] else {
            return;
        };
        let wait = match host.machine.apply(event, chance) {
            NextAct::Continue => return,
            NextAct::Wait(wait) => {
                host.doing = NextAct::Wait(wait);
                wait
            }
            act => {
                host.doing = act;
                Duration::from_millis(200).mul_f64(taking)
            }
        };
        host.due = now + wait;
    }

    fn run(&mut self, time: Duration) {
        let until = self.now + time;
        loop {
            let due = |which: &usize| self.hosts[*which].as_ref().map(|host| host.due);
            let next = (0..2).filter(|which| due(which).is_some()).min_by_key(due);
            let Some((which, at)) = next.and_then(|which| Some((which, due(&which)?))) else {
                break;
            };
            if at > until {
                break;
            }
            self.now = at;
            let event = self.event(which);
            self.apply(which, event);
        }
        self.now = until;
    }

    /// Returns the outcome of the present act of a host.
    fn event(&mut self, which: usize) -> Event {
        let other = 1 - which;
        match self.hosts[which].as_ref().map_or(NextAct::Rest, |host| host.doing) {
            NextAct::Register => {
                if self.held != Some(which) {
                    self.changes.push(self.now);
                }
                self.held = Some(which);
                self.told.push((self.now, which));
                Event::Told(Ok(()))
            }
            NextAct::ReadBack => Event::Read(match self.held {
                Some(held) if held == which => AppsReading::Agrees,
                Some(held) => elsewhere(Self::NAMES[held]),
                None => AppsReading::Differs(difference()),
            }),
            NextAct::AskHolder => Event::Holder(match self.hosts[other] {
                Some(_) if self.reaches[which] => HolderReading::Serves,
                _ => gone(),
            }),
            NextAct::Wait(_) => Event::Due,
            NextAct::Rest | NextAct::Continue | NextAct::AskPeers => panic!("a host that serves rests"),
        }
    }
}

/// The longest time until a host that is gone is replaced.
const REPLACED_WITHIN: Duration = Duration::from_secs(10);
const LONG: Duration = Duration::from_mins(2);

#[test]
fn a_host_that_does_not_reach_the_one_that_reaches_it_takes_its_place_once() {
    let mut world = World::new(1);
    world.start(0);
    world.run(LONG);
    world.start(1);
    world.reaches = [false, true];
    world.run(LONG * 100);
    assert_eq!((world.held, world.changes.len()), (Some(0), 3));
}

#[test]
fn two_hosts_that_do_not_reach_each_other_take_turns_less_and_less_often() {
    let mut world = World::new(1);
    world.reaches = [false; 2];
    world.start(0);
    world.run(LONG);
    world.start(1);
    world.run(LONG * 60);
    let pauses: Vec<_> = world.changes.windows(2).skip(1).map(|pair| pair[1] - pair[0]).collect();
    assert!(pauses[0] < REPLACED_WITHIN, "{pauses:?}");
    let last = pauses.last().copied().unwrap_or_default();
    assert!(last > Duration::from_mins(8), "{pauses:?}");
    // One of them is gone for good.
    world.hosts[0] = None;
    world.run(LONG * 10);
    assert_eq!(world.held, Some(1));
}

proptest! {
    /// Checks that the machine never comes to rest while there is something to tell, never waits longer than it may,
    /// and says nothing while it is not allowed to.
    #[test]
    fn it_goes_on_for_ever(events in prop::collection::vec((any_event(), 0.0..=1.0), 1..60)) {
        let mut machine = RegistrationMachine::default();
        let mut doing = NextAct::Rest;
        for (event, random) in events {
            // Only the present act ends.
            let fits = match event {
                Event::Due | Event::HolderDrains => matches!(doing, NextAct::Wait(_)),
                Event::Told(_) => doing == NextAct::Register,
                Event::Read(_) => doing == NextAct::ReadBack,
                Event::Holder(_) => doing == NextAct::AskHolder,
                Event::Peers(_) => doing == NextAct::AskPeers,
                _ => true,
            };
            if !fits {
                continue;
            }
            let off = event == Event::Off;
            match machine.apply(event, random) {
                NextAct::Continue => {}
                act => doing = act,
            }
            prop_assert_eq!(doing == NextAct::Rest, machine.state() == RegistrationState::Off);
            prop_assert!(!off || doing == NextAct::Rest);
            if let NextAct::Wait(wait) = doing {
                prop_assert!(wait <= Pace::NEAR.refresh.mul_f64(1.2));
                prop_assert!(wait >= Pace::NEAR.first.mul_f64(0.5));
                prop_assert!(machine.failures() == 0 || wait <= Pace::NEAR.longest);
            }
        }
    }

    /// Checks that, whatever happens to two hosts of an app, Inngest holds the URL of a host that lives, the other
    /// host does not tell its own, and takes the place of the first within two looks when that one is gone.
    #[test]
    fn of_two_hosts_one_is_registered_and_the_other_takes_its_place(
        happenings in prop::collection::vec((0..4_u8, 0..2_usize, 0..20_000_u64), 0..12),
        random in any::<u64>(),
        gone in 0..2_usize,
    ) {
        let mut world = World::new(random);
        for (what, which, millis) in happenings {
            match what {
                0 => world.hosts[which] = None,
                1 => world.apply(which, Event::Asked),
                _ => world.start(which),
            }
            world.run(Duration::from_millis(millis));
        }
        for which in 0..2 {
            if world.hosts[which].is_none() {
                world.start(which);
            }
        }
        world.run(LONG);
        let (held, changes) = (world.held, world.changes.len());
        world.told.clear();
        world.run(LONG * 10);
        prop_assert_eq!((world.held, world.changes.len()), (held, changes));
        prop_assert!(world.told.iter().all(|(_, who)| Some(*who) == held));

        world.hosts[gone] = None;
        world.run(REPLACED_WITHIN);
        prop_assert_eq!(world.held, Some(1 - gone));
        // The host comes back and is the newer one.
        world.start(gone);
        world.run(LONG);
        prop_assert_eq!(world.held, Some(gone));
    }
}
