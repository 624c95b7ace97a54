//! What to do next about the registration. Pure: events and a random number in, what to do out; no clock
//! and no IO.

use std::time::Duration;

use super::drift::{Difference, DifferenceKind};
use super::inngest::Failure;

/// How often things are done, which depends on how far away Inngest is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pace {
    /// Between two looks at what Inngest holds.
    pub(super) look: Duration,
    /// After this long it is told again, whatever it holds.
    pub(super) refresh: Duration,
    /// Before the first new attempt.
    pub(super) first: Duration,
    /// Before any new attempt, at most.
    pub(super) longest: Duration,
    /// Between two looks while another host is registered: until its silence is noticed, calls are lost.
    pub(super) standby: Duration,
}

/// Before the second look at a registered host that did not answer the first one. A host that is started
/// anew listens again within this time.
const RECHECK: Duration = Duration::from_secs(2);
/// Looks in a row that a registered host must leave unanswered: one may fall into its restart.
const SILENCES: u32 = 2;
/// How often [`SILENCES`] is doubled, at most: to 128 looks, which take minutes.
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

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Event {
    /// There is nothing to tell, or it is not this host's to tell.
    Off,
    /// A generation is current; the digest is of all that Inngest is to be told.
    Current { digest: String, pace: Pace },
    /// What was waited for is due.
    Due,
    /// It was told.
    Told(Result<(), Failure>),
    /// It was looked at.
    Read(Reading),
    /// The host that Inngest calls in place of this one was asked.
    Holder(HolderReading),
    /// Somebody wants it told now.
    Asked,
}

/// What Inngest holds.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Reading {
    Agrees,
    Differs(Vec<Difference>),
    /// This Inngest does not tell.
    NotOffered,
    Failed(Failure),
}

/// The state of the host that Inngest calls in place of this one.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum HolderReading {
    /// It takes calls.
    Serves,
    /// It finishes its calls and ends.
    Draining,
    /// No call is answered there.
    Gone(String),
    /// It cannot be reached from here, which may be so for Inngest or not.
    Unheard(String),
}

/// What to do now, in place of what is being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    /// What is being done.
    Continue,
    Rest,
    Register,
    ReadBack,
    /// Ask the host that Inngest calls in place of this one.
    AskHolder,
    Wait(Duration),
}

/// What is known.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) enum Standing {
    #[default]
    Unregistered,
    /// `verified`: Inngest itself says so.
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
    /// `told`: right after it was told.
    Reading {
        told: bool,
    },
    /// The host that is registered in place of this one is asked whether it serves.
    Asking,
    Waiting(Then),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    Register,
    Look,
}

/// Another host of the app, which has told Inngest its URL after this one. It is the newer of the two:
/// Inngest is left to it while it serves, until there is something new to tell here, somebody asks, or
/// Inngest has forgotten both.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Holder {
    /// Where Inngest calls it; one for each app that it has.
    pub(super) urls: Vec<String>,
    /// It has answered this host; before that, that it cannot be reached from here tells nothing.
    pub(super) answered: bool,
    /// Looks in a row that it left unanswered.
    pub(super) silences: u32,
    /// Why the last one was not answered.
    pub(super) error: Option<String>,
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Machine {
    phase: Phase,
    standing: Standing,
    subject: Option<(String, Pace)>,
    /// Attempts in a row that failed.
    failures: u32,
    failure: Option<Failure>,
    /// How often in a row it was told and differed all the same.
    mended: u32,
    looks: u32,
    /// Inngest held what it was told, this host's URL too.
    agreed: bool,
    holder: Option<Holder>,
    /// How often this host has taken the place of one that it took for gone, since any answered. Each time
    /// doubles the looks that the next one must leave unanswered: two hosts that Inngest reaches and that
    /// do not reach each other would take turns for ever.
    replacements: u32,
}

impl Machine {
    /// Takes what happened; `random` is from 0 to 1.
    pub(super) fn apply(&mut self, event: Event, random: f64) -> Act {
        match event {
            Event::Off => {
                *self = Self::default();
                Act::Rest
            }
            Event::Current { digest, pace } => self.current(digest, pace),
            _ if self.phase == Phase::Off => Act::Rest,
            Event::Asked => self.register(),
            Event::Due => match self.phase {
                Phase::Waiting(Then::Register) => self.register(),
                Phase::Waiting(Then::Look) => self.read(false),
                // Late: something else is done by now.
                Phase::Off | Phase::Registering | Phase::Reading { .. } | Phase::Asking => Act::Continue,
            },
            Event::Told(Ok(())) => self.read(true),
            Event::Told(Err(failure)) => self.failed(failure, random),
            Event::Read(reading) => self.read_as(reading, random),
            Event::Holder(reading) => self.asked(reading, random),
        }
    }

    fn current(&mut self, digest: String, pace: Pace) -> Act {
        let news = self.subject.as_ref().is_none_or(|(known, _)| *known != digest);
        self.subject = Some((digest, pace));
        if news {
            self.standing = Standing::Unregistered;
            self.failures = 0;
            self.failure = None;
            self.mended = 0;
            self.agreed = false;
            self.replacements = 0;
            return self.register();
        }
        match self.phase {
            // The generation that was to tell it retires.
            Phase::Registering | Phase::Off => self.register(),
            Phase::Reading { .. } | Phase::Asking | Phase::Waiting(_) => Act::Continue,
        }
    }

    fn register(&mut self) -> Act {
        self.phase = Phase::Registering;
        self.looks = 0;
        self.holder = None;
        Act::Register
    }

    fn read(&mut self, told: bool) -> Act {
        self.phase = Phase::Reading { told };
        Act::ReadBack
    }

    fn failed(&mut self, failure: Failure, random: f64) -> Act {
        self.standing = Standing::Unregistered;
        self.failure = Some(failure);
        self.failures = self.failures.saturating_add(1);
        self.wait(self.back_off(self.failures, random), Then::Register)
    }

    fn registered(&mut self, verified: bool) {
        self.standing = Standing::Registered { verified };
        self.failures = 0;
        self.failure = None;
    }

    fn read_as(&mut self, reading: Reading, random: f64) -> Act {
        let Phase::Reading { told } = self.phase else {
            return Act::Continue;
        };
        let pace = self.pace();
        match (reading, told) {
            (Reading::Agrees, _) => {
                self.registered(true);
                self.mended = 0;
                self.agreed = true;
                self.holder = None;
                self.looks += 1;
                // Right after a look, so that nobody else's URL is overwritten.
                if pace.look * self.looks >= pace.refresh {
                    return self.register();
                }
                self.wait(jittered(pace.look, random), Then::Look)
            }
            (Reading::Differs(differences), told) => {
                let urls = urls_in(&differences);
                let elsewhere = !urls.is_empty();
                if elsewhere && self.agreed && !told {
                    self.held_by(urls);
                }
                let drifted = Standing::Drifted(differences);
                let known = told || self.standing == drifted;
                self.registered(true);
                self.standing = drifted;
                if self.holder.is_some() && elsewhere {
                    self.phase = Phase::Asking;
                    return Act::AskHolder;
                }
                if self.holder.is_some() && !known {
                    return self.wait(jittered(pace.standby, random), Then::Look);
                }
                if told {
                    self.mended = self.mended.saturating_add(1);
                }
                // It was told and did not take it: not so soon again, unless something else is wrong.
                let patience = doubled(pace.first, self.mended, pace.refresh);
                self.looks += 1;
                if known && self.mended > 0 && (told || pace.look * self.looks < patience) {
                    return self.wait(jittered(pace.look, random), Then::Look);
                }
                self.register()
            }
            (Reading::NotOffered, _) => {
                self.registered(false);
                self.wait(jittered(pace.refresh, random), Then::Register)
            }
            (Reading::Failed(_), true) => {
                self.registered(false);
                self.wait(jittered(pace.look, random), Then::Look)
            }
            (Reading::Failed(_), false) if self.holder.is_some() => {
                self.wait(jittered(pace.standby, random), Then::Look)
            }
            (Reading::Failed(failure), false) => self.failed(failure, random),
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

    fn asked(&mut self, reading: HolderReading, random: f64) -> Act {
        let pace = self.pace();
        let Some(holder) = self.holder.as_mut().filter(|_| self.phase == Phase::Asking) else {
            return Act::Continue;
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
            // It registers no more.
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
        self.wait(jittered(wait, random), Then::Look)
    }

    /// Right after a look, so that nobody else's URL is overwritten.
    fn replace(&mut self) -> Act {
        self.standing = Standing::Unregistered;
        self.register()
    }

    fn wait(&mut self, wait: Duration, then: Then) -> Act {
        self.phase = Phase::Waiting(then);
        Act::Wait(wait)
    }

    fn pace(&self) -> Pace {
        self.subject.as_ref().map_or(Pace::FAR, |(_, pace)| *pace)
    }

    /// Twice as long each time, up to a limit, and never in step with others.
    fn back_off(&self, times: u32, random: f64) -> Duration {
        let Pace { first, longest, .. } = self.pace();
        doubled(first, times, longest).mul_f64(0.5 + random / 2.0)
    }

    pub(super) fn standing(&self) -> &Standing {
        &self.standing
    }

    pub(super) const fn failures(&self) -> u32 {
        self.failures
    }

    pub(super) fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }

    /// The host that Inngest calls in place of this one.
    pub(super) fn holder(&self) -> Option<&Holder> {
        self.holder.as_ref()
    }

    /// How it is called.
    pub(super) fn word(&self) -> &'static str {
        match (&self.standing, self.phase) {
            (_, Phase::Off) => "off",
            (Standing::Drifted(_), _) => "drifted",
            (Standing::Registered { .. }, _) => "registered",
            (Standing::Unregistered, Phase::Registering | Phase::Reading { .. } | Phase::Asking)
                if self.failures == 0 =>
            {
                "registering"
            }
            (Standing::Unregistered, _) => "unregistered",
        }
    }

    /// Whether nothing is under way.
    pub(super) const fn is_settled(&self) -> bool {
        matches!(self.phase, Phase::Off | Phase::Waiting(_))
    }
}

/// The URLs that Inngest calls in place of this host's.
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
mod tests {
    use proptest::prelude::*;

    use std::time::Duration;

    use super::{Act, Event, HolderReading, Machine, Pace, RECHECK, Reading, Standing};
    use crate::registration::drift::{Difference, DifferenceKind};
    use crate::registration::inngest::{Failure, FailureKind};

    fn current(digest: &str) -> Event {
        Event::Current {
            digest: digest.to_owned(),
            pace: Pace::NEAR,
        }
    }

    fn failure() -> Failure {
        Failure {
            kind: FailureKind::Unreachable,
            text: "connection refused".to_owned(),
        }
    }

    fn difference() -> Vec<Difference> {
        vec![Difference::app_missing("app")]
    }

    #[test]
    fn what_is_told_is_looked_at_before_it_counts() {
        let mut machine = Machine::default();
        assert_eq!(machine.word(), "off");
        assert_eq!(machine.apply(current("1"), 0.5), Act::Register);
        assert_eq!(machine.word(), "registering");
        assert_eq!(machine.apply(Event::Told(Ok(())), 0.5), Act::ReadBack);
        assert_eq!(*machine.standing(), Standing::Unregistered);
        assert_eq!(
            machine.apply(Event::Read(Reading::Agrees), 0.5),
            Act::Wait(Pace::NEAR.look)
        );
        assert_eq!(machine.word(), "registered");
        assert_eq!(machine.apply(Event::Due, 0.5), Act::ReadBack);
    }

    #[test]
    fn an_inngest_that_forgot_is_told_at_once() {
        let mut machine = Machine::default();
        machine.apply(current("1"), 0.5);
        machine.apply(Event::Told(Ok(())), 0.5);
        machine.apply(Event::Read(Reading::Agrees), 0.5);
        machine.apply(Event::Due, 0.5);
        assert_eq!(
            machine.apply(Event::Read(Reading::Differs(difference())), 0.5),
            Act::Register
        );
        assert_eq!(machine.word(), "drifted");
        machine.apply(Event::Told(Ok(())), 0.5);
        // It took the call and nothing else: it is not called in a loop.
        let act = machine.apply(Event::Read(Reading::Differs(difference())), 0.5);
        assert!(matches!(act, Act::Wait(_)), "{act:?}");
    }

    fn elsewhere(url: &str) -> Reading {
        let mut difference = Difference::app_missing("app");
        difference.kind = DifferenceKind::Url;
        difference.held = url.into();
        Reading::Differs(vec![difference])
    }

    /// A host that was registered, and has found the URL of another one since.
    fn replaced_by(url: &str) -> Machine {
        let mut machine = Machine::default();
        machine.apply(current("1"), 0.5);
        machine.apply(Event::Told(Ok(())), 0.5);
        machine.apply(Event::Read(Reading::Agrees), 0.5);
        machine.apply(Event::Due, 0.5);
        assert_eq!(machine.apply(Event::Read(elsewhere(url)), 0.5), Act::AskHolder);
        machine
    }

    fn ask_again(machine: &mut Machine, reading: HolderReading) -> Act {
        machine.apply(Event::Due, 0.5);
        assert_eq!(machine.apply(Event::Read(elsewhere("http://b")), 0.5), Act::AskHolder);
        machine.apply(Event::Holder(reading), 0.5)
    }

    fn gone() -> HolderReading {
        HolderReading::Gone("connection refused".to_owned())
    }

    fn unheard() -> HolderReading {
        HolderReading::Unheard("no such host".to_owned())
    }

    const RESTS: Act = Act::Wait(Pace::NEAR.standby);

    #[test]
    fn another_host_that_registered_since_is_left_in_its_place_while_it_serves_until_somebody_asks() {
        let mut machine = replaced_by("http://b");
        assert_eq!(machine.apply(Event::Holder(HolderReading::Serves), 0.5), RESTS);
        assert_eq!(machine.word(), "drifted");
        machine.apply(Event::Due, 0.5);
        assert_eq!(machine.apply(Event::Read(Reading::Failed(failure())), 0.5), RESTS);
        assert_eq!(ask_again(&mut machine, HolderReading::Serves), RESTS);
        assert_eq!(machine.apply(Event::Asked, 0.5), Act::Register);

        let mut machine = replaced_by("http://b");
        machine.apply(Event::Holder(HolderReading::Serves), 0.5);
        // The other one is the first to tell an Inngest that forgot.
        machine.apply(Event::Due, 0.5);
        let forgotten = || Event::Read(Reading::Differs(difference()));
        assert_eq!(machine.apply(forgotten(), 0.5), RESTS);
        machine.apply(Event::Due, 0.5);
        assert_eq!(machine.apply(forgotten(), 0.5), Act::Register);
    }

    #[test]
    fn a_registered_host_that_two_looks_in_a_row_do_not_find_is_replaced() {
        let mut machine = replaced_by("http://b");
        assert_eq!(machine.apply(Event::Holder(gone()), 0.5), Act::Wait(RECHECK));
        assert_eq!(ask_again(&mut machine, HolderReading::Serves), RESTS);
        assert_eq!(ask_again(&mut machine, gone()), Act::Wait(RECHECK));
        assert_eq!(ask_again(&mut machine, gone()), Act::Register);
        assert_eq!(machine.word(), "registering");
    }

    #[test]
    fn a_registered_host_that_drains_is_replaced_at_once() {
        let mut machine = replaced_by("http://b");
        assert_eq!(
            machine.apply(Event::Holder(HolderReading::Draining), 0.5),
            Act::Register
        );
    }

    #[test]
    fn a_registered_host_that_was_never_reached_from_here_is_left_in_its_place() {
        let mut machine = replaced_by("http://b");
        assert_eq!(machine.apply(Event::Holder(unheard()), 0.5), RESTS);
        for _ in 0..300 {
            assert_eq!(ask_again(&mut machine, unheard()), RESTS);
        }
        assert_eq!(ask_again(&mut machine, HolderReading::Serves), RESTS);
        assert_eq!(ask_again(&mut machine, unheard()), Act::Wait(RECHECK));
        assert_eq!(ask_again(&mut machine, unheard()), Act::Register);
    }

    #[test]
    fn silence_of_one_host_is_not_counted_for_the_next() {
        let mut machine = replaced_by("http://a");
        machine.apply(Event::Holder(gone()), 0.5);
        assert_eq!(ask_again(&mut machine, gone()), Act::Wait(RECHECK), "that is http://b");
    }

    #[test]
    fn what_telling_does_not_mend_is_told_less_and_less_often_but_looked_at_all_the_time() {
        let mut machine = Machine::default();
        machine.apply(current("1"), 0.5);
        let (mut told, mut looks) = (Vec::new(), 0);
        let mut act = machine.apply(Event::Told(Ok(())), 0.5);
        while told.len() < 12 {
            act = match act {
                Act::Register => {
                    told.push(looks);
                    looks = 0;
                    machine.apply(Event::Told(Ok(())), 0.5)
                }
                Act::ReadBack => {
                    looks += 1;
                    machine.apply(Event::Read(Reading::Differs(difference())), 0.5)
                }
                Act::Wait(wait) => {
                    assert_eq!(wait, Pace::NEAR.look);
                    machine.apply(Event::Due, 0.5)
                }
                Act::Continue | Act::Rest | Act::AskHolder => panic!("it stopped"),
            };
        }
        assert!(told.is_sorted(), "{told:?}");
        let longest = Pace::NEAR.refresh.as_secs() / Pace::NEAR.look.as_secs();
        assert_eq!(told.last(), Some(&longest), "{told:?}");
        // Something else is wrong: that may be mended.
        machine.apply(Event::Due, 0.5);
        machine.apply(Event::Told(Ok(())), 0.5);
        machine.apply(Event::Read(Reading::Differs(difference())), 0.5);
        machine.apply(Event::Due, 0.5);
        let other = vec![Difference::app_missing("another")];
        assert_eq!(machine.apply(Event::Read(Reading::Differs(other)), 0.5), Act::Register);
    }

    #[test]
    fn new_code_that_says_the_same_is_no_news_and_other_code_is() {
        let mut machine = Machine::default();
        machine.apply(current("1"), 0.5);
        assert_eq!(
            machine.apply(current("1"), 0.5),
            Act::Register,
            "the one that told it retires"
        );
        machine.apply(Event::Told(Ok(())), 0.5);
        machine.apply(Event::Read(Reading::Agrees), 0.5);
        assert_eq!(machine.apply(current("1"), 0.5), Act::Continue);
        assert_eq!(machine.apply(current("2"), 0.5), Act::Register);
    }

    #[test]
    fn it_is_told_again_every_few_minutes_whatever_it_says() {
        let mut machine = Machine::default();
        machine.apply(current("1"), 0.5);
        machine.apply(Event::Told(Ok(())), 0.5);
        let mut looks = 0;
        while machine.apply(Event::Read(Reading::Agrees), 0.5) != Act::Rest
            && machine.apply(Event::Due, 0.5) == Act::ReadBack
        {
            looks += 1;
        }
        assert_eq!(looks + 1, Pace::NEAR.refresh.as_secs() / Pace::NEAR.look.as_secs());
    }

    fn any_event() -> impl Strategy<Value = Event> {
        prop_oneof![
            Just(Event::Off),
            "[ab]".prop_map(|digest| current(&digest)),
            Just(Event::Due),
            Just(Event::Told(Ok(()))),
            Just(Event::Told(Err(failure()))),
            Just(Event::Read(Reading::Agrees)),
            Just(Event::Read(Reading::Differs(difference()))),
            Just(Event::Read(Reading::NotOffered)),
            Just(Event::Read(Reading::Failed(failure()))),
            "[ab]".prop_map(|host| Event::Read(elsewhere(&host))),
            Just(Event::Holder(HolderReading::Serves)),
            Just(Event::Holder(HolderReading::Draining)),
            Just(Event::Holder(gone())),
            Just(Event::Holder(unheard())),
            Just(Event::Asked),
        ]
    }

    /// Two hosts of one app, and the Inngest that holds the URL of one of them.
    struct World {
        now: Duration,
        hosts: [Option<Host>; 2],
        held: Option<usize>,
        /// Each time that the URL of another host was told.
        changes: Vec<Duration>,
        /// Who told its URL, and when.
        told: Vec<(Duration, usize)>,
        /// Whether the one reaches the other.
        reaches: [bool; 2],
        random: u64,
    }

    struct Host {
        machine: Machine,
        doing: Act,
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
                machine: Machine::default(),
                doing: Act::Rest,
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
                Act::Continue => return,
                Act::Wait(wait) => {
                    host.doing = Act::Wait(wait);
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

        /// What comes of what the host does.
        fn event(&mut self, which: usize) -> Event {
            let other = 1 - which;
            match self.hosts[which].as_ref().map_or(Act::Rest, |host| host.doing) {
                Act::Register => {
                    if self.held != Some(which) {
                        self.changes.push(self.now);
                    }
                    self.held = Some(which);
                    self.told.push((self.now, which));
                    Event::Told(Ok(()))
                }
                Act::ReadBack => Event::Read(match self.held {
                    Some(held) if held == which => Reading::Agrees,
                    Some(held) => elsewhere(Self::NAMES[held]),
                    None => Reading::Differs(difference()),
                }),
                Act::AskHolder => Event::Holder(match self.hosts[other] {
                    Some(_) if self.reaches[which] => HolderReading::Serves,
                    _ => gone(),
                }),
                Act::Wait(_) => Event::Due,
                Act::Rest | Act::Continue => panic!("a host that serves rests"),
            }
        }
    }

    /// How long it takes at most until a host that is gone is replaced.
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
        /// It never comes to rest while there is something to tell, never waits longer than it may, and says
        /// nothing while it is not allowed to.
        #[test]
        fn it_goes_on_for_ever(events in prop::collection::vec((any_event(), 0.0..=1.0), 1..60)) {
            let mut machine = Machine::default();
            let mut doing = Act::Rest;
            for (event, random) in events {
                // Only what is being done ends.
                let fits = match event {
                    Event::Due => matches!(doing, Act::Wait(_)),
                    Event::Told(_) => doing == Act::Register,
                    Event::Read(_) => doing == Act::ReadBack,
                    Event::Holder(_) => doing == Act::AskHolder,
                    _ => true,
                };
                if !fits {
                    continue;
                }
                let off = event == Event::Off;
                match machine.apply(event, random) {
                    Act::Continue => {}
                    act => doing = act,
                }
                prop_assert_eq!(doing == Act::Rest, machine.word() == "off");
                prop_assert!(!off || doing == Act::Rest);
                if let Act::Wait(wait) = doing {
                    prop_assert!(wait <= Pace::NEAR.refresh.mul_f64(1.2));
                    prop_assert!(wait >= Pace::NEAR.first.mul_f64(0.5));
                    prop_assert!(machine.failures() == 0 || wait <= Pace::NEAR.longest);
                }
            }
        }

        /// Whatever happens to two hosts of an app: Inngest holds the URL of one that lives, nobody else
        /// tells its own, and when that one is gone the other one takes its place within two looks.
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
            // It comes back and is the newer one.
            world.start(gone);
            world.run(LONG);
            prop_assert_eq!(world.held, Some(gone));
        }
    }
}
