//! The life of generations, decided in pure code: events in, decisions out. No clock, no IO.
//!
//! ```text
//!           Loaded             Activated           superseded        Emptied            Closed
//! Loading ─────────▶ Ready ───────────▶ Current ───────────▶ Draining ──────▶ Closing ──────▶ Retired
//!    │                 │                                        │                 │                ▲
//!    │ LoadFailed      │ Discarded (a check only)               │ DeadlinePassed  │ DeadlinePassed │ Closed
//!    ▼                 └───────────────────▶ Closing            ▼                 ▼                │
//! Rejected, or Abandoned: something newer came             Terminating ──────▶ Stopping ───────────┘
//!                                                                      Emptied
//! ```
//!
//! Beside that way a generation may be tried first, with a part of the new runs:
//!
//! ```text
//!        Tried             Activated
//! Ready ───────▶ Canary ───────────▶ Current
//!                   │ TakenBack
//!                   └──────────────▶ Draining
//! ```
//!
//! - Numbers only grow, and each generation passes along these edges only.
//! - At most one generation is a canary, and only beside a current one.
//! - At most one generation is current, and once there was one there always is one: a failed load
//!   changes nothing but its own state.
//! - A generation that became ready is told to close exactly once. It is terminated once at most, and only after its
//!   deadline. There is one deadline for its calls and for the work of its code after them.
//! - When more than `limit` generations are live, the oldest one that drains or closes is hurried, once.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// A generation's number. The first one of a project is 1; each host goes on where the last one ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GenerationId(pub u64);

impl fmt::Display for GenerationId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// The state of a generation; the diagram is above.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// The code is read, evaluated and checked beside the current generation.
    Loading,
    /// The generation could serve.
    Ready,
    /// The generation gets a part of the new runs.
    Canary,
    /// The generation gets the new calls.
    Current,
    /// The generation finishes its calls.
    Draining,
    /// The deadline passed: the isolate was ended, the last callers are being told.
    Terminating,
    /// No calls are left: the isolate ends once user code has finished its last work.
    Closing,
    /// No calls are left, and the deadline passed: the isolate was ended.
    Stopping,
    /// The generation is gone, and has given everything back.
    Retired,
    /// The code could not be loaded.
    Rejected,
    /// Something newer came before the code was loaded.
    Abandoned,
}

/// The state of a generation for the outside, which does not tell the ways of ending apart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PublicState {
    Loading,
    Ready,
    Canary,
    Current,
    Draining,
    Retired,
    Rejected,
    Abandoned,
    /// A state that only another version knows.
    #[default]
    #[serde(other)]
    Unknown,
}

impl PublicState {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Loading => "loading",
            Self::Ready => "ready",
            Self::Canary => "canary",
            Self::Current => "current",
            Self::Draining => "draining",
            Self::Retired => "retired",
            Self::Rejected => "rejected",
            Self::Abandoned => "abandoned",
            Self::Unknown => "unknown",
        }
    }

    /// Tells whether the generation is over.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Retired | Self::Rejected | Self::Abandoned)
    }
}

impl State {
    #[must_use]
    pub const fn public(self) -> PublicState {
        match self {
            Self::Loading => PublicState::Loading,
            Self::Ready => PublicState::Ready,
            Self::Canary => PublicState::Canary,
            Self::Current => PublicState::Current,
            Self::Draining | Self::Terminating | Self::Closing | Self::Stopping => PublicState::Draining,
            Self::Retired => PublicState::Retired,
            Self::Rejected => PublicState::Rejected,
            Self::Abandoned => PublicState::Abandoned,
        }
    }

    /// Tells whether the generation holds an isolate.
    #[must_use]
    pub const fn is_live(self) -> bool {
        matches!(
            self,
            Self::Ready
                | Self::Canary
                | Self::Current
                | Self::Draining
                | Self::Terminating
                | Self::Closing
                | Self::Stopping
        )
    }

    /// Tells whether the generation has no calls left and its isolate is to end.
    #[must_use]
    pub const fn is_closing(self) -> bool {
        matches!(self, Self::Closing | Self::Stopping)
    }

    /// Tells whether the generation is over: nothing will happen to it any more.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Retired | Self::Rejected | Self::Abandoned)
    }
}

/// An event in the life of a generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The isolate is ready for calls.
    Loaded,
    /// The generation could not be loaded.
    LoadFailed,
    /// The load was given up for a newer one.
    LoadAbandoned,
    /// The generation was loaded only to see whether it can be.
    Discarded,
    /// The generation passed every check and is to get a part of the new runs.
    Tried,
    /// The generation was tried, and does not take over.
    TakenBack,
    /// The generation passed every check and is to take over.
    Activated,
    /// The last call was answered, and the generation takes no more.
    Emptied,
    /// The calls, or the work of the code after them, took too long.
    DeadlinePassed,
    /// The isolate is gone.
    Closed,
}

/// A decision that follows from an event. The decisions of one event are acted on in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Gives new calls to this generation.
    Publish(GenerationId),
    /// Gives this generation no new calls; its deadline begins.
    Drain(GenerationId),
    /// Shortens the deadline of this generation, since too many are live, and says so.
    Hurry(GenerationId),
    /// Ends the isolate of this generation now, whatever runs in it.
    Terminate(GenerationId),
    /// Ends the isolate of this generation, which has no calls.
    Close(GenerationId),
}

/// An event that does not fit the state: a bug in the caller, and nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("generation {id} cannot be {event:?}: it is {state:?}")]
pub struct MisplacedEvent {
    id: GenerationId,
    event: Event,
    /// `None`: there is no such generation.
    state: Option<State>,
}

/// All generations of a host.
#[derive(Debug)]
pub struct Generations {
    states: BTreeMap<GenerationId, State>,
    hurried: Vec<GenerationId>,
    next: u64,
    limit: usize,
}

impl Generations {
    /// Begins with no generations. `limit`: the number of them that may be live before the oldest is hurried. `last`:
    /// the newest number that an earlier host gave.
    #[must_use]
    pub const fn new(limit: usize, last: Option<GenerationId>) -> Self {
        let next = match last {
            Some(GenerationId(last)) => last + 1,
            None => 1,
        };
        Self {
            states: BTreeMap::new(),
            hurried: Vec::new(),
            next,
            limit,
        }
    }

    /// Skips a number that another host has given.
    pub fn skip(&mut self, GenerationId(given): GenerationId) {
        self.next = self.next.max(given + 1);
    }

    /// The newest number that was given.
    #[must_use]
    pub const fn newest(&self) -> Option<GenerationId> {
        match self.next.checked_sub(1) {
            None | Some(0) => None,
            Some(newest) => Some(GenerationId(newest)),
        }
    }

    /// Starts a new generation, in [`State::Loading`].
    pub fn begin(&mut self) -> GenerationId {
        let id = GenerationId(self.next);
        self.next += 1;
        self.states.insert(id, State::Loading);
        id
    }

    #[must_use]
    pub fn current(&self) -> Option<GenerationId> {
        let current = self.states.iter().find(|(_, state)| **state == State::Current);
        current.map(|(id, _)| *id)
    }

    #[must_use]
    pub fn state(&self, id: GenerationId) -> Option<State> {
        self.states.get(&id).copied()
    }

    /// Applies an event to a generation, and returns the decisions that follow.
    ///
    /// # Errors
    /// When the event does not fit the generation's state; nothing is changed then.
    pub fn apply(&mut self, id: GenerationId, event: Event) -> Result<Vec<Decision>, MisplacedEvent> {
        let state = self.state(id);
        let (next, decisions) = match (state, event) {
            (Some(State::Loading), Event::Loaded) => (State::Ready, vec![]),
            (Some(State::Loading), Event::LoadFailed) => (State::Rejected, vec![]),
            (Some(State::Loading), Event::LoadAbandoned) => (State::Abandoned, vec![]),
            (Some(State::Ready), Event::Discarded) => (State::Closing, vec![Decision::Close(id)]),
            (Some(State::Ready), Event::Tried) if self.may_try() => (State::Canary, vec![]),
            (Some(State::Canary), Event::TakenBack) => (State::Draining, vec![Decision::Drain(id)]),
            (Some(State::Ready | State::Canary), Event::Activated) => (State::Current, self.supersede_by(id)),
            (Some(State::Draining), Event::Emptied) => (State::Closing, vec![Decision::Close(id)]),
            (Some(State::Terminating), Event::Emptied) => (State::Stopping, vec![Decision::Close(id)]),
            (Some(State::Draining), Event::DeadlinePassed) => (State::Terminating, vec![Decision::Terminate(id)]),
            (Some(State::Closing), Event::DeadlinePassed) => (State::Stopping, vec![Decision::Terminate(id)]),
            (Some(State::Closing | State::Stopping), Event::Closed) => (State::Retired, vec![]),
            (state, event) => return Err(MisplacedEvent { id, event, state }),
        };
        self.states.insert(id, next);
        Ok(decisions)
    }

    /// Forgets generations that have ended, all but the newest `keep`.
    pub fn forget_ended(&mut self, keep: usize) -> Vec<GenerationId> {
        let ended: Vec<_> = self
            .states
            .iter()
            .filter(|(_, state)| state.is_final())
            .map(|(id, _)| *id)
            .collect();
        let surplus = ended.len().saturating_sub(keep);
        let forgotten: Vec<_> = ended.into_iter().take(surplus).collect();
        for id in &forgotten {
            self.states.remove(id);
            self.hurried.retain(|hurried| hurried != id);
        }
        forgotten
    }

    /// Tells whether a generation could be tried: beside a current one, and no other one is.
    fn may_try(&self) -> bool {
        self.current().is_some() && !self.states.values().any(|state| *state == State::Canary)
    }

    fn supersede_by(&mut self, successor: GenerationId) -> Vec<Decision> {
        let mut decisions = vec![Decision::Publish(successor)];
        if let Some(previous) = self.current() {
            self.states.insert(previous, State::Draining);
            decisions.push(Decision::Drain(previous));
        }
        let live = self.states.values().filter(|state| state.is_live()).count();
        if live > self.limit {
            let may_take_long = |state: &State| matches!(state, State::Draining | State::Closing);
            let mut ending = self.states.iter().filter(|(_, state)| may_take_long(state));
            let oldest = ending.find(|(id, _)| !self.hurried.contains(id)).map(|(id, _)| *id);
            if let Some(oldest) = oldest {
                self.hurried.push(oldest);
                decisions.push(Decision::Hurry(oldest));
            }
        }
        decisions
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::{Decision, Event, GenerationId, Generations, State};

    const LIMIT: usize = 3;

    /// A host's day: loads begin, and events come in any order, fitting or not.
    #[derive(Debug, Clone)]
    enum Step {
        Begin,
        Happens(u64, Event),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let event = prop_oneof![
            Just(Event::Loaded),
            Just(Event::LoadFailed),
            Just(Event::LoadAbandoned),
            Just(Event::Discarded),
            Just(Event::Tried),
            Just(Event::TakenBack),
            Just(Event::Activated),
            Just(Event::Emptied),
            Just(Event::DeadlinePassed),
            Just(Event::Closed),
        ];
        let step = prop_oneof![
            1 => Just(Step::Begin),
            4 => (1..12_u64, event).prop_map(|(id, event)| Step::Happens(id, event)),
        ];
        proptest::collection::vec(step, 0..200)
    }

    proptest! {
        #[test]
        fn whatever_happens_the_promises_hold(steps in steps()) {
            let mut generations = Generations::new(LIMIT, None);
            let mut newest = 0;
            let mut closed: HashMap<GenerationId, usize> = HashMap::new();
            let mut terminated: HashMap<GenerationId, usize> = HashMap::new();
            let mut served = false;
            for step in steps {
                let before = generations.states.clone();
                match step {
                    Step::Begin => {
                        let id = generations.begin();
                        prop_assert!(id.0 > newest, "numbers only grow");
                        newest = id.0;
                    }
                    Step::Happens(id, event) => {
                        let id = GenerationId(id);
                        let Ok(decisions) = generations.apply(id, event) else {
                            prop_assert_eq!(&before, &generations.states, "a refused event changes nothing");
                            continue;
                        };
                        for decision in decisions {
                            match decision {
                                Decision::Close(id) => *closed.entry(id).or_default() += 1,
                                Decision::Publish(id) => prop_assert_eq!(generations.current(), Some(id)),
                                Decision::Drain(id) => {
                                    prop_assert_eq!(generations.state(id), Some(State::Draining));
                                }
                                Decision::Hurry(id) => {
                                    let state = generations.state(id);
                                    prop_assert!(matches!(state, Some(State::Draining | State::Closing)));
                                }
                                Decision::Terminate(id) => {
                                    prop_assert_eq!(event, Event::DeadlinePassed);
                                    prop_assert!(matches!(before.get(&id), Some(State::Draining | State::Closing)));
                                    *terminated.entry(id).or_default() += 1;
                                }
                            }
                        }
                        if event != Event::Activated {
                            let current = before.iter().find(|(_, state)| **state == State::Current);
                            prop_assert_eq!(current.map(|(id, _)| *id), generations.current());
                        }
                    }
                }
                let current = generations.states.values().filter(|state| **state == State::Current).count();
                prop_assert!(current <= 1, "at most one is current");
                let canaries = generations.states.values().filter(|state| **state == State::Canary).count();
                prop_assert!(canaries <= current, "at most one is a canary, beside a current one");
                served |= current == 1;
                prop_assert!(!served || current == 1, "once there was a current one there always is");
                for (id, state) in &before {
                    prop_assert!(!state.is_final() || generations.state(*id) == Some(*state), "an end is final");
                }
            }
            for (id, state) in &generations.states {
                let closes = closed.get(id).copied().unwrap_or_default();
                let ended = matches!(state, State::Closing | State::Stopping | State::Retired);
                prop_assert_eq!(closes, usize::from(ended), "closed exactly once, and only at the end");
                let terminations = terminated.get(id).copied().unwrap_or_default();
                prop_assert!(terminations <= 1, "terminated once at most");
                let past = matches!(state, State::Terminating | State::Stopping);
                prop_assert!(!past || terminations == 1, "terminated by its deadline");
            }
        }
    }

    fn activate(generations: &mut Generations) -> Vec<Decision> {
        let id = generations.begin();
        assert_eq!(generations.apply(id, Event::Loaded), Ok(vec![]));
        generations.apply(id, Event::Activated).unwrap()
    }

    #[test]
    fn a_swap_publishes_the_new_one_before_the_old_one_drains() {
        let mut generations = Generations::new(LIMIT, None);
        assert_eq!(activate(&mut generations), [Decision::Publish(GenerationId(1))]);
        let decisions = activate(&mut generations);
        assert_eq!(
            decisions,
            [Decision::Publish(GenerationId(2)), Decision::Drain(GenerationId(1))]
        );
    }

    #[test]
    fn beyond_the_limit_the_oldest_is_hurried_once() {
        let mut generations = Generations::new(LIMIT, None);
        for _ in 0..3 {
            assert!(
                !activate(&mut generations)
                    .iter()
                    .any(|decision| matches!(decision, Decision::Hurry(_)))
            );
        }
        assert!(activate(&mut generations).contains(&Decision::Hurry(GenerationId(1))));
        assert!(activate(&mut generations).contains(&Decision::Hurry(GenerationId(2))));
    }

    #[test]
    fn a_generation_whose_code_does_not_end_after_its_calls_is_terminated() {
        let mut generations = Generations::new(LIMIT, None);
        activate(&mut generations);
        activate(&mut generations);
        let id = GenerationId(1);
        assert_eq!(generations.apply(id, Event::Emptied), Ok(vec![Decision::Close(id)]));
        assert_eq!(
            generations.apply(id, Event::DeadlinePassed),
            Ok(vec![Decision::Terminate(id)])
        );
        assert!(generations.apply(id, Event::DeadlinePassed).is_err());
        assert_eq!(generations.apply(id, Event::Closed), Ok(vec![]));
        assert_eq!(generations.state(id), Some(State::Retired));
    }

    #[test]
    fn ended_generations_are_forgotten_oldest_first() {
        let mut generations = Generations::new(LIMIT, None);
        for _ in 0..4 {
            let id = generations.begin();
            generations.apply(id, Event::LoadFailed).unwrap();
        }
        assert_eq!(generations.forget_ended(2), [GenerationId(1), GenerationId(2)]);
        assert_eq!(generations.state(GenerationId(3)), Some(State::Rejected));
    }
}
