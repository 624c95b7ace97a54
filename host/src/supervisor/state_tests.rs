//! Tests of the supervisor's decisions, without processes.

use std::path::PathBuf;
use std::time::Duration;

use proptest::prelude::*;

use super::event::{Action, Binary, Event, HostId, Notice, UpgradeAsker};
use super::handover_record::{HandoverRecord, HostRole};
use super::message::{FromHost, Occasion, PROTOCOL, ToHost, UpgradeError};
use super::state::Supervision;
use crate::generation::{FrozenHost, GenerationId};
use crate::status::SupervisorLine;

const A: HostId = HostId(1);
const B: HostId = HostId(2);
const C: HostId = HostId(3);
const LONG: Duration = Duration::from_secs(3600);

fn new() -> Supervision {
    let me = SupervisorLine {
        pid: 1,
        version: "1".to_owned(),
    };
    Supervision::new(me, LONG)
}

fn hello(host: HostId) -> Event {
    Event::Said(
        host,
        FromHost::Hello {
            protocol: PROTOCOL,
            version: "1".to_owned(),
            load_ms: 1000,
            record: 1,
            pings: true,
        },
    )
}

fn said(host: HostId, message: FromHost) -> Event {
    Event::Said(host, message)
}

fn exited(host: HostId, lived: Duration) -> Event {
    Event::Exited {
        host,
        status: "signal 9".to_owned(),
        code: None,
        lived,
    }
}

fn frozen(current: u64) -> FrozenHost {
    FrozenHost {
        current: Some(GenerationId(current)),
        newest: Some(GenerationId(current)),
        last_good: false,
    }
}

/// A supervisor whose host A accepts, with generation 3.
fn serving() -> Supervision {
    let mut supervision = new();
    play(&mut supervision, [Event::Begin, hello(A), said(A, FromHost::Booted)]);
    play(&mut supervision, [said(A, FromHost::Accepting)]);
    let numbers = FromHost::Numbers {
        current: Some(GenerationId(3)),
        newest: Some(GenerationId(3)),
        last_good: false,
    };
    play(&mut supervision, [said(A, numbers)]);
    supervision
}

fn play(supervision: &mut Supervision, events: impl IntoIterator<Item = Event>) -> Vec<Action> {
    let actions = events.into_iter().flat_map(|event| supervision.apply(event));
    let shown = |action: &Action| matches!(action, Action::Tell(_, ToHost::Hosts { .. }));
    actions.filter(|action| !shown(action)).collect()
}

fn upgrade() -> Event {
    Event::Upgrade {
        asker: UpgradeAsker::Host(A, 7),
        binary: Some(PathBuf::from("/new/baton")),
    }
}

fn orders(actions: &[Action]) -> Vec<(HostId, &ToHost)> {
    let orders = actions.iter().filter_map(|action| match action {
        Action::Tell(host, order) => Some((*host, order)),
        _ => None,
    });
    orders.collect()
}

fn loads(actions: &[Action]) -> Vec<(HostId, Occasion, Option<GenerationId>)> {
    let loads = orders(actions).into_iter().filter_map(|(host, order)| match order {
        ToHost::Load(beginning) => Some((host, beginning.occasion, beginning.before.current)),
        _ => None,
    });
    loads.collect()
}

fn refusals(actions: &[Action]) -> Vec<&UpgradeError> {
    let refusals = orders(actions).into_iter().filter_map(|(_, order)| match order {
        ToHost::Upgraded { result: Err(error), .. } => Some(error),
        _ => None,
    });
    refusals.collect()
}

#[test]
fn the_first_host_accepts_before_it_has_loaded() {
    let mut supervision = new();
    let started = play(&mut supervision, [Event::Begin]);
    let same = Binary::Same;
    assert!(
        started.contains(&Action::Spawn { host: A, binary: same }),
        "{started:?}"
    );
    let booted = play(&mut supervision, [hello(A), said(A, FromHost::Booted)]);
    assert_eq!(loads(&booted), [(A, Occasion::Start, None)]);
    assert_eq!(orders(&booted)[1], (A, &ToHost::Accept), "calls are held from now on");
    let accepting = play(&mut supervision, [said(A, FromHost::Accepting)]);
    assert!(accepting.contains(&Action::Notify(Notice::Ready)));
}

#[test]
fn an_upgrade_goes_step_by_step() {
    let mut supervision = serving();
    let begun = play(&mut supervision, [upgrade()]);
    let named = Binary::Named(PathBuf::from("/new/baton"));
    assert!(
        begun.contains(&Action::Spawn {
            host: B,
            binary: named.clone()
        }),
        "{begun:?}"
    );
    let booted = play(&mut supervision, [hello(B), said(B, FromHost::Booted)]);
    assert_eq!(orders(&booted), [(A, &ToHost::Freeze)]);
    let answered = play(&mut supervision, [said(A, FromHost::Frozen(frozen(4)))]);
    assert_eq!(loads(&answered), [(B, Occasion::Upgrade, Some(GenerationId(4)))]);
    let generation = GenerationId(5);
    let ready = play(&mut supervision, [said(B, FromHost::Ready { generation })]);
    assert_eq!(orders(&ready), [(A, &ToHost::StopAccepting)]);
    let stopped = play(&mut supervision, [said(A, FromHost::Stopped)]);
    assert_eq!(orders(&stopped), [(B, &ToHost::Accept)]);
    let done = play(&mut supervision, [said(B, FromHost::Accepting)]);
    let told = orders(&done);
    assert!(
        matches!(
            told[0],
            (
                A,
                ToHost::Upgraded {
                    ticket: 7,
                    result: Ok(_)
                }
            )
        ),
        "{told:?}"
    );
    assert_eq!(told[1], (A, &ToHost::HandedOver));
    assert_eq!(done.last(), Some(&Action::ReplaceSelf { binary: named }));
}

#[test]
fn a_supervisor_does_not_become_a_binary_that_cannot_read_its_record() {
    let mut supervision = serving();
    let greeted = r#"{"says":"hello","protocol":1,"version":"0.1.0","load_ms":1000}"#;
    let greeted = said(B, serde_json::from_str(greeted).unwrap());
    play(&mut supervision, [upgrade(), greeted]);
    play(&mut supervision, steps().into_iter().skip(1).flatten());
    let done = play(&mut supervision, [said(B, FromHost::Accepting)]);
    let version = "0.1.0".to_owned();
    assert_eq!(done.last(), Some(&Action::StaySelf { version }), "{done:?}");
}

#[test]
fn hosts_are_described_only_while_one_accepts_and_nothing_is_under_way() {
    let mut supervision = serving();
    assert!(supervision.is_settled());
    play(&mut supervision, steps().into_iter().flatten());
    assert!(!supervision.is_settled());
    play(&mut supervision, [said(B, FromHost::Accepting)]);
    assert!(supervision.is_settled());
    let roles = [A, B].map(|host| supervision.host(host).role);
    assert_eq!(roles, [HostRole::Draining, HostRole::Accepting]);
    play(&mut supervision, [exited(B, LONG)]);
    assert!(!supervision.is_settled(), "nobody accepts");
}

#[test]
fn what_a_record_describes_goes_on() {
    let record = r#"{ "version": 1, "listener": 3, "lock": 4, "numbers": { "current": 7, "newest": 8 }, "hosts": [
        { "id": 1, "pid": 10, "stream": 7, "role": "draining" },
        { "id": 2, "pid": 11, "stream": 8, "role": "accepting" },
        { "id": 3, "pid": 12, "stream": 9, "role": "ending" }] }"#;
    let me = SupervisorLine {
        pid: 1,
        version: "2".to_owned(),
    };
    let record = HandoverRecord::read(record).unwrap();
    let (mut supervision, actions) = Supervision::adopt(me, LONG, &record);
    let told = orders(&actions);
    assert!(matches!(told[..], [(B, ToHost::Hosts { .. })]), "{told:?}");
    let deadlines = actions.iter().filter_map(|action| match action {
        Action::Deadline(host, _) => Some(*host),
        _ => None,
    });
    assert_eq!(deadlines.collect::<Vec<_>>(), [A, C]);
    // The supervisor goes on with the numbers when the host that accepts dies, and gives no id twice.
    let died = play(&mut supervision, [exited(B, LONG)]);
    assert!(died.contains(&Action::RestartIn(Duration::ZERO)), "{died:?}");
    let risen = play(&mut supervision, [Event::RestartDue]);
    let d = HostId(4);
    assert!(
        risen.contains(&Action::Spawn {
            host: d,
            binary: Binary::Same
        }),
        "{risen:?}"
    );
    let booted = play(&mut supervision, [hello(d), said(d, FromHost::Booted)]);
    assert_eq!(loads(&booted), [(d, Occasion::Restart, Some(GenerationId(7)))]);
}

/// Returns the steps of an upgrade, each with the event that it waits for.
fn steps() -> [Vec<Event>; 5] {
    let generation = GenerationId(5);
    [
        vec![upgrade(), hello(B)],
        vec![said(B, FromHost::Booted)],
        vec![said(A, FromHost::Frozen(frozen(4)))],
        vec![said(B, FromHost::Ready { generation })],
        vec![said(A, FromHost::Stopped)],
    ]
}

#[test]
fn a_candidate_that_fails_at_any_step_leaves_the_old_host_serving() {
    for step in 1..=5 {
        for failure in [exited(B, LONG), Event::Overdue(B), Event::Garbled(B, "?".to_owned())] {
            let mut supervision = serving();
            play(&mut supervision, steps().into_iter().take(step).flatten());
            let failed = play(&mut supervision, [failure.clone()]);
            assert_eq!(refusals(&failed).len(), 1, "step {step}, {failure:?}: {failed:?}");
            let resumed = orders(&failed)
                .iter()
                .any(|(host, order)| *host == A && matches!(order, ToHost::Resume { .. }));
            assert_eq!(resumed, step > 1, "step {step}, {failure:?}: {failed:?}");
            if !matches!(failure, Event::Exited { .. }) {
                assert!(
                    failed.contains(&Action::Kill(B)),
                    "step {step}, {failure:?}: {failed:?}"
                );
            }
            // The candidate's messages count no more, and the next upgrade may begin.
            assert_eq!(play(&mut supervision, [said(B, FromHost::Accepting)]), []);
            let next = play(&mut supervision, [upgrade()]);
            assert!(
                next.iter()
                    .any(|action| matches!(action, Action::Spawn { host: C, .. })),
                "{next:?}"
            );
        }
    }
}

#[test]
fn a_host_that_dies_during_its_upgrade_is_replaced_by_the_candidate() {
    for step in 1..=5 {
        let mut supervision = serving();
        let mut actions = play(&mut supervision, steps().into_iter().take(step).flatten());
        actions.extend(play(&mut supervision, [exited(A, LONG)]));
        actions.extend(play(&mut supervision, steps().into_iter().skip(step).flatten()));
        let accepts = orders(&actions)
            .iter()
            .filter(|(_, order)| **order == ToHost::Accept)
            .count();
        assert_eq!(accepts, 1, "step {step}: {actions:?}");
        assert_eq!(loads(&actions).len(), 1, "step {step}: {actions:?}");
        assert!(
            !actions.iter().any(|action| matches!(action, Action::RestartIn(_))),
            "step {step}: {actions:?}"
        );
        let done = play(&mut supervision, [said(B, FromHost::Accepting)]);
        assert!(
            matches!(done.last(), Some(Action::ReplaceSelf { .. })),
            "step {step}: {done:?}"
        );
    }
}

#[test]
fn one_upgrade_at_a_time() {
    let mut supervision = serving();
    play(&mut supervision, [upgrade()]);
    assert_eq!(
        refusals(&play(&mut supervision, [upgrade()])),
        [&UpgradeError::UnderWay]
    );
}

#[test]
fn a_host_that_dies_is_replaced_at_once_by_one_that_goes_on_with_its_code_and_numbers() {
    let mut supervision = serving();
    let died = play(&mut supervision, [exited(A, LONG)]);
    assert!(died.contains(&Action::RestartIn(Duration::ZERO)), "{died:?}");
    let again = play(
        &mut supervision,
        [Event::RestartDue, hello(B), said(B, FromHost::Booted)],
    );
    assert_eq!(loads(&again), [(B, Occasion::Restart, Some(GenerationId(3)))]);
}

#[test]
fn a_host_that_dies_before_it_has_loaded_leaves_what_the_one_before_it_served() {
    let mut supervision = serving();
    play(&mut supervision, [exited(A, LONG), Event::RestartDue]);
    play(
        &mut supervision,
        [hello(B), said(B, FromHost::Booted), said(B, FromHost::Accepting)],
    );
    let loading = FromHost::Numbers {
        current: None,
        newest: Some(GenerationId(4)),
        last_good: false,
    };
    play(&mut supervision, [said(B, loading), exited(B, Duration::ZERO)]);
    let again = play(
        &mut supervision,
        [Event::RestartDue, hello(C), said(C, FromHost::Booted)],
    );
    assert_eq!(loads(&again), [(C, Occasion::Restart, Some(GenerationId(3)))]);
    let newest = orders(&again).into_iter().find_map(|(_, order)| match order {
        ToHost::Load(beginning) => beginning.before.newest,
        _ => None,
    });
    assert_eq!(newest, Some(GenerationId(4)), "no number is given twice");
}

#[test]
fn a_first_host_that_cannot_start_ends_the_supervisor_with_its_code() {
    let mut supervision = new();
    play(&mut supervision, [Event::Begin, hello(A)]);
    let ended = Event::Exited {
        host: A,
        status: "exit code 78".to_owned(),
        code: Some(78),
        lived: Duration::ZERO,
    };
    assert!(play(&mut supervision, [ended]).contains(&Action::Exit(78)));
}

#[test]
fn a_signal_to_end_drains_all_a_second_one_ends_now() {
    let mut supervision = serving();
    let first = play(&mut supervision, [Event::Terminate]);
    assert_eq!(orders(&first), [(A, &ToHost::Drain)]);
    assert!(first.contains(&Action::ReleaseSocket));
    let second = play(&mut supervision, [Event::Terminate]);
    assert_eq!(orders(&second), [(A, &ToHost::EndNow)]);
    assert!(play(&mut supervision, [exited(A, LONG)]).contains(&Action::Exit(0)));
}

#[test]
fn a_signal_to_end_gives_an_upgrade_up() {
    for step in 1..=4 {
        let mut supervision = serving();
        play(&mut supervision, steps().into_iter().take(step).flatten());
        let ending = play(&mut supervision, [Event::Terminate]);
        assert_eq!(refusals(&ending), [&UpgradeError::Ending], "step {step}");
        assert!(ending.contains(&Action::Kill(B)), "step {step}: {ending:?}");
        assert!(
            orders(&ending).contains(&(A, &ToHost::Drain)),
            "step {step}: {ending:?}"
        );
    }
}

fn any_event() -> impl Strategy<Value = Event> {
    let host = (1..5_u64).prop_map(HostId);
    let message = prop_oneof![
        Just(FromHost::Booted),
        Just(FromHost::Accepting),
        Just(FromHost::Stopped),
        Just(FromHost::Leaving),
        Just(FromHost::Frozen(frozen(4))),
        Just(FromHost::Ready {
            generation: GenerationId(5)
        }),
        Just(FromHost::Failed { message: String::new() }),
    ];
    prop_oneof![
        1 => Just(Event::RestartDue),
        2 => Just(upgrade()),
        3 => host.clone().prop_map(hello),
        8 => (host.clone(), message).prop_map(|(host, message)| said(host, message)),
        1 => host.clone().prop_map(|host| exited(host, LONG)),
        1 => host.prop_map(Event::Overdue),
        2 => Just(Event::Look),
    ]
}

proptest! {
    /// Plays hosts that say anything at any time, but are honest about accepting: each says that it stopped only when
    /// it was told to, and that it accepts only when it was told to.
    #[test]
    fn never_are_two_hosts_told_to_accept_at_once(events in prop::collection::vec(any_event(), 0..80)) {
        let mut supervision = new();
        let mut may_accept: Vec<HostId> = Vec::new();
        let mut told_to_stop: Vec<HostId> = Vec::new();
        let mut queue = vec![Event::Begin];
        queue.extend(events);
        for event in queue {
            match &event {
                Event::Said(host, FromHost::Accepting) if !may_accept.contains(host) => continue,
                Event::Said(host, FromHost::Stopped) => {
                    if !told_to_stop.contains(host) {
                        continue;
                    }
                    may_accept.retain(|other| other != host);
                }
                Event::Said(host, FromHost::Leaving) | Event::Exited { host, .. } => {
                    may_accept.retain(|other| other != host);
                }
                _ => {}
            }
            for action in supervision.apply(event) {
                match action {
                    Action::Tell(host, ToHost::Accept | ToHost::Resume { .. }) => {
                        told_to_stop.retain(|other| *other != host);
                        if !may_accept.contains(&host) {
                            may_accept.push(host);
                        }
                    }
                    Action::Tell(host, ToHost::StopAccepting) => told_to_stop.push(host),
                    // A killed host accepts nothing; its exit comes later.
                    Action::Kill(host) => may_accept.retain(|other| *other != host),
                    _ => {}
                }
                prop_assert!(may_accept.len() <= 1, "{may_accept:?}");
            }
        }
    }
}

fn pings(actions: &[Action]) -> Vec<(HostId, u64)> {
    let pings = orders(actions).into_iter().filter_map(|(host, order)| match order {
        ToHost::Ping { number } => Some((host, *number)),
        _ => None,
    });
    pings.collect()
}

#[test]
fn a_host_that_answers_its_pings_is_left_alone_for_ever() {
    let mut supervision = serving();
    for number in 1..100 {
        let actions = play(&mut supervision, [Event::Look]);
        assert_eq!(pings(&actions), [(A, number)]);
        assert_eq!(actions.len(), 1);
        play(&mut supervision, [said(A, FromHost::Pong { number })]);
        assert!(supervision.is_answered());
    }
}

#[test]
fn a_host_that_owes_its_answers_is_killed_and_replaced_before_it_is_gone() {
    let mut supervision = serving();
    let mut looks = 0;
    let actions = loop {
        looks += 1;
        let actions = play(&mut supervision, [Event::Look]);
        if actions.contains(&Action::Kill(A)) {
            break actions;
        }
        // An old answer pays nothing.
        play(&mut supervision, [said(A, FromHost::Pong { number: looks - 1 })]);
    };
    assert_eq!(looks, 7, "six answers are owed by then");
    assert!(actions.contains(&Action::LogHung(A)) && actions.contains(&Action::RestartIn(Duration::ZERO)));
    let actions = play(
        &mut supervision,
        [Event::RestartDue, hello(B), said(B, FromHost::Booted)],
    );
    assert_eq!(loads(&actions), [(B, Occasion::Restart, Some(GenerationId(3)))]);
    let late = play(&mut supervision, [exited(A, LONG), said(B, FromHost::Accepting)]);
    assert!(
        late.iter().all(|action| !matches!(action, Action::RestartIn(_))),
        "{late:?}"
    );
    assert_eq!(pings(&play(&mut supervision, [Event::Look])), [(B, 1)]);
}

#[test]
fn a_host_that_does_not_know_pings_is_never_pinged_nor_taken_for_hung() {
    let mut supervision = new();
    let old = FromHost::Hello {
        protocol: PROTOCOL,
        version: "0".to_owned(),
        load_ms: 1000,
        record: 1,
        pings: false,
    };
    let events = [said(A, old), said(A, FromHost::Booted), said(A, FromHost::Accepting)];
    play(&mut supervision, [Event::Begin].into_iter().chain(events));
    for _ in 0..100 {
        assert_eq!(play(&mut supervision, [Event::Look]), []);
        assert!(supervision.is_answered());
    }
}

#[test]
fn an_upgrade_is_a_remedy_for_a_host_that_hangs() {
    let mut supervision = serving();
    play(
        &mut supervision,
        [Event::Look, upgrade(), hello(B), said(B, FromHost::Booted)],
    );
    play(&mut supervision, [Event::Look]);
    let actions = play(&mut supervision, [Event::Overdue(B)]);
    assert!(actions.contains(&Action::Kill(A)), "{actions:?}");
    let mut supervision = serving();
    play(
        &mut supervision,
        [Event::Look, upgrade(), hello(B), said(B, FromHost::Booted)],
    );
    play(&mut supervision, [said(A, FromHost::Frozen(frozen(3)))]);
    play(
        &mut supervision,
        [
            said(
                B,
                FromHost::Ready {
                    generation: GenerationId(4),
                },
            ),
            Event::Look,
        ],
    );
    let actions = play(&mut supervision, [Event::Overdue(B)]);
    assert!(
        actions.contains(&Action::Kill(A)) && !actions.contains(&Action::Kill(B)),
        "{actions:?}"
    );
    assert!(orders(&actions).contains(&(B, &ToHost::Accept)), "{actions:?}");
}
