//! The course of an upgrade: the messages to the host that accepts and to the candidate, one step after the other,
//! and the end of the upgrade when one of them fails.

use std::path::PathBuf;
use std::time::Duration;

use super::super::event::{Action, Binary, HostId, Notice, UpgradeAsker};
use super::super::message::{HostStart, Occasion, ToHost, UpgradeError, UpgradeReport};
use super::{AT_ONCE, DRAIN_GRACE, HostPhase, HostProcess, Supervision, SupervisorEnding};
use crate::generation::{FrozenHost, GenerationId};

#[derive(Debug, Clone)]
pub(super) struct Upgrade {
    pub(super) candidate: HostId,
    pub(super) asker: UpgradeAsker,
    pub(super) binary: Binary,
    pub(super) step: UpgradeStep,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum UpgradeStep {
    Boot,
    Freezing,
    Loading,
    Stopping,
    Accepting,
}

impl Supervision {
    pub(super) fn begin_upgrade(&mut self, asker: UpgradeAsker, binary: Option<PathBuf>, actions: &mut Vec<Action>) {
        let refused = if self.ending != SupervisorEnding::No {
            Some(UpgradeError::Ending)
        } else if self.upgrade.is_some() {
            Some(UpgradeError::UnderWay)
        } else if self.accepting.is_none() {
            Some(UpgradeError::NobodyAccepts)
        } else {
            None
        };
        if let Some(error) = refused {
            answer(asker, Err(error), actions);
            return;
        }
        actions.push(Action::Notify(Notice::Reloading));
        let binary = binary.map_or(Binary::Usual, Binary::Named);
        let candidate = self.new_host(binary.clone(), actions);
        self.upgrade = Some(Upgrade {
            candidate,
            asker,
            binary,
            step: UpgradeStep::Boot,
        });
    }

    pub(super) fn upgrade_to(&self, host: HostId) -> Option<&Upgrade> {
        self.upgrade.as_ref().filter(|upgrade| upgrade.candidate == host)
    }

    pub(super) fn at_step(
        &mut self,
        step: UpgradeStep,
        act: fn(&mut Self, &mut Vec<Action>),
        actions: &mut Vec<Action>,
    ) {
        if self.upgrade.as_ref().is_some_and(|upgrade| upgrade.step == step) {
            act(self, actions);
        }
    }

    pub(super) const fn set_step(&mut self, step: UpgradeStep) {
        if let Some(upgrade) = &mut self.upgrade {
            upgrade.step = step;
        }
    }

    pub(super) fn frozen(&mut self, id: HostId, frozen: FrozenHost, actions: &mut Vec<Action>) {
        if self.accepting == Some(id) {
            self.learn(frozen);
            self.at_step(UpgradeStep::Freezing, Self::let_candidate_load, actions);
        }
    }

    pub(super) fn let_candidate_load(&mut self, actions: &mut Vec<Action>) {
        let Some(Upgrade { candidate, .. }) = self.upgrade else {
            return;
        };
        self.set_step(UpgradeStep::Loading);
        self.set_phase(candidate, HostPhase::Loading);
        let load = self.hosts.get(&candidate).map_or(Duration::ZERO, |host| host.load);
        let beginning = HostStart {
            occasion: Occasion::Upgrade,
            before: self.numbers,
        };
        actions.push(Action::Tell(candidate, ToHost::Load(beginning)));
        actions.push(Action::Deadline(candidate, load + AT_ONCE));
    }

    pub(super) fn ready(&mut self, id: HostId, generation: GenerationId, actions: &mut Vec<Action>) {
        let Some(host) = self.hosts.get_mut(&id) else {
            return;
        };
        host.numbers.current = Some(generation);
        host.numbers.newest = host.numbers.newest.max(Some(generation));
        if self
            .upgrade_to(id)
            .is_some_and(|upgrade| upgrade.step == UpgradeStep::Loading)
        {
            match self.accepting {
                Some(accepting) => {
                    actions.push(Action::Tell(accepting, ToHost::StopAccepting));
                    actions.push(Action::Deadline(id, AT_ONCE));
                    self.set_step(UpgradeStep::Stopping);
                }
                None => self.let_candidate_accept(actions),
            }
        }
    }

    pub(super) fn let_candidate_accept(&mut self, actions: &mut Vec<Action>) {
        if let Some(Upgrade { candidate, .. }) = self.upgrade {
            self.set_step(UpgradeStep::Accepting);
            actions.push(Action::Tell(candidate, ToHost::Accept));
            actions.push(Action::Deadline(candidate, AT_ONCE));
        }
    }

    /// Ends an upgrade whose candidate accepts: the old host finishes its calls, and the asker is told.
    pub(super) fn finish_upgrade(&mut self, id: HostId, previous: Option<HostId>, actions: &mut Vec<Action>) {
        let Some(Upgrade { asker, binary, .. }) = self.upgrade.take() else {
            return;
        };
        let host = self.hosts.get(&id);
        let done = UpgradeReport {
            pid: host.map_or(0, |host| host.pid),
            version: host.map(|host| host.version.clone()).unwrap_or_default(),
            generation: host.and_then(|host| host.numbers.current),
            draining: previous
                .and_then(|previous| self.hosts.get(&previous))
                .map(|host| host.pid),
        };
        answer(asker, Ok(done), actions);
        if let Some(previous) = previous {
            self.set_phase(previous, HostPhase::Draining);
            actions.push(Action::Tell(previous, ToHost::HandedOver));
            actions.push(Action::Deadline(previous, self.drain + DRAIN_GRACE));
        }
        actions.push(Action::Notify(Notice::Ready));
        actions.push(match self.hosts.get(&id) {
            Some(HostProcess { record: 0, version, .. }) => Action::StaySelf {
                version: version.clone(),
            },
            _ => Action::ReplaceSelf { binary },
        });
    }

    /// Handles a missed deadline of a step, which the candidate or the old host has not done in time.
    pub(super) fn upgrade_is_slow(&mut self, id: HostId, step: UpgradeStep, actions: &mut Vec<Action>) {
        let greeted = self.hosts.get(&id).is_some_and(|host| host.phase != HostPhase::Spawned);
        let slow = |what: &str| UpgradeError::TooSlow { what: what.to_owned() };
        let held = |what: &str| UpgradeError::NotReleased { what: what.to_owned() };
        let error = match step {
            // An upgrade is the remedy for a host that hangs.
            UpgradeStep::Freezing | UpgradeStep::Stopping if self.hangs() => {
                if let Some(accepting) = self.accepting {
                    self.end_hung(accepting, actions);
                }
                return;
            }
            UpgradeStep::Boot if !greeted => slow("started"),
            UpgradeStep::Boot => slow("up"),
            UpgradeStep::Freezing => held("finish its reload"),
            UpgradeStep::Loading => slow("ready"),
            UpgradeStep::Stopping => held("stop accepting"),
            UpgradeStep::Accepting => slow("accepting"),
        };
        self.fail_upgrade(error, actions);
    }

    /// Ends the candidate of a failed upgrade; the old host goes on as before.
    pub(super) fn fail_upgrade(&mut self, error: UpgradeError, actions: &mut Vec<Action>) {
        let Some(Upgrade {
            candidate, asker, step, ..
        }) = self.upgrade.take()
        else {
            return;
        };
        let given = self.hosts.get(&candidate).and_then(|host| host.numbers.newest);
        self.numbers.newest = self.numbers.newest.max(given);
        self.kill(candidate, actions);
        match self.accepting {
            Some(accepting) if step >= UpgradeStep::Freezing => {
                let given = self.numbers.newest;
                actions.push(Action::Tell(accepting, ToHost::Resume { given }));
            }
            Some(_) => {}
            None if self.ending == SupervisorEnding::No => actions.push(Action::RestartIn(Duration::ZERO)),
            None => {}
        }
        answer(asker, Err(error), actions);
        if self.ending == SupervisorEnding::No {
            actions.push(Action::Notify(Notice::Ready));
        }
    }
}

pub(super) fn answer(asker: UpgradeAsker, result: Result<UpgradeReport, UpgradeError>, actions: &mut Vec<Action>) {
    actions.push(match asker {
        UpgradeAsker::Signal => Action::Log(result),
        UpgradeAsker::Host(host, ticket) => Action::Tell(host, ToHost::Upgraded { ticket, result }),
    });
}
