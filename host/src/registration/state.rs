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
}

impl Pace {
    pub(super) const NEAR: Self = Self {
        look: Duration::from_secs(5),
        refresh: Duration::from_mins(3),
        first: Duration::from_millis(500),
        longest: Duration::from_secs(5),
    };
    pub(super) const FAR: Self = Self {
        look: Duration::from_mins(1),
        refresh: Duration::from_mins(5),
        first: Duration::from_secs(1),
        longest: Duration::from_mins(1),
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

/// What to do now, in place of what is being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    /// What is being done.
    Continue,
    Rest,
    Register,
    ReadBack,
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
    Waiting(Then),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    Register,
    Look,
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
    /// Another host of the app has told its URL since. That one is the newer: Inngest is left to it until
    /// there is something new to tell here, somebody asks, or Inngest has forgotten both.
    taken_over: bool,
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
                Phase::Off | Phase::Registering | Phase::Reading { .. } => Act::Continue,
            },
            Event::Told(Ok(())) => self.read(true),
            Event::Told(Err(failure)) => self.failed(failure, random),
            Event::Read(reading) => self.read_as(reading, random),
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
            return self.register();
        }
        match self.phase {
            // The generation that was to tell it retires.
            Phase::Registering | Phase::Off => self.register(),
            Phase::Reading { .. } | Phase::Waiting(_) => Act::Continue,
        }
    }

    fn register(&mut self) -> Act {
        self.phase = Phase::Registering;
        self.looks = 0;
        self.taken_over = false;
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
                self.taken_over = false;
                self.looks += 1;
                // Right after a look, so that nobody else's URL is overwritten.
                if pace.look * self.looks >= pace.refresh {
                    return self.register();
                }
                self.wait(jittered(pace.look, random), Then::Look)
            }
            (Reading::Differs(differences), told) => {
                let elsewhere = differences.iter().any(|one| one.kind == DifferenceKind::Url);
                self.taken_over |= elsewhere && self.agreed && !told;
                let drifted = Standing::Drifted(differences);
                let known = told || self.standing == drifted;
                self.registered(true);
                self.standing = drifted;
                if self.taken_over && (elsewhere || !known) {
                    return self.wait(jittered(pace.look, random), Then::Look);
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
            (Reading::Failed(_), false) if self.taken_over => self.wait(jittered(pace.look, random), Then::Look),
            (Reading::Failed(failure), false) => self.failed(failure, random),
        }
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

    /// How it is called.
    pub(super) fn word(&self) -> &'static str {
        match (&self.standing, self.phase) {
            (_, Phase::Off) => "off",
            (Standing::Drifted(_), _) => "drifted",
            (Standing::Registered { .. }, _) => "registered",
            (Standing::Unregistered, Phase::Registering | Phase::Reading { .. }) if self.failures == 0 => "registering",
            (Standing::Unregistered, _) => "unregistered",
        }
    }

    /// Whether nothing is under way.
    pub(super) const fn is_settled(&self) -> bool {
        matches!(self.phase, Phase::Off | Phase::Waiting(_))
    }
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

    use super::{Act, Event, Machine, Pace, Reading, Standing};
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

    #[test]
    fn another_host_that_registered_since_is_left_in_its_place_until_somebody_asks() {
        let mut machine = Machine::default();
        let look = |machine: &mut Machine, reading| {
            machine.apply(Event::Due, 0.5);
            machine.apply(Event::Read(reading), 0.5)
        };
        let elsewhere = || {
            let mut difference = Difference::app_missing("app");
            difference.kind = DifferenceKind::Url;
            Reading::Differs(vec![difference])
        };
        machine.apply(current("1"), 0.5);
        machine.apply(Event::Told(Ok(())), 0.5);
        machine.apply(Event::Read(Reading::Agrees), 0.5);
        let rests = Act::Wait(Pace::NEAR.look);
        for reading in [elsewhere(), elsewhere(), Reading::Failed(failure()), elsewhere()] {
            assert_eq!(look(&mut machine, reading), rests);
        }
        assert_eq!(machine.word(), "drifted");
        assert_eq!(machine.apply(Event::Asked, 0.5), Act::Register);

        machine.apply(Event::Told(Ok(())), 0.5);
        machine.apply(Event::Read(Reading::Agrees), 0.5);
        look(&mut machine, elsewhere());
        // The other one is the first to tell an Inngest that forgot.
        assert_eq!(look(&mut machine, Reading::Differs(difference())), rests);
        assert_eq!(look(&mut machine, Reading::Differs(difference())), Act::Register);
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
                Act::Continue | Act::Rest => panic!("it stopped"),
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
            Just(Event::Asked),
        ]
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
    }
}
