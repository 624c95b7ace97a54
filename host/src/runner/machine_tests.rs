use proptest::prelude::*;
use serde_json::{Value, json};

use super::{CallTarget, Effect, Machine, RunOutcome, SdkCall, StepEnding};
use crate::runner::answer::Answer;
use crate::runner::op::{Op, Step};

fn ops(version: i64, ops: &[Value]) -> Answer {
    Answer::Ops {
        version: Some(version),
        ops: ops.iter().map(Op::read).collect(),
        after: None,
    }
}

fn planned(id: &str) -> Value {
    json!({"op": "StepPlanned", "id": id, "displayName": id})
}

fn ran(id: &str) -> Value {
    json!({"op": "StepRun", "id": id, "displayName": id, "data": id})
}

fn threw(id: &str) -> Value {
    json!({"op": "StepError", "id": id, "displayName": id, "error": {"message": "boom"}})
}

fn calls(effects: &[Effect]) -> Vec<SdkCall> {
    let calls = effects.iter().filter_map(|effect| match effect {
        Effect::Call { call, .. } => Some(call.clone()),
        _ => None,
    });
    calls.collect()
}

/// Checks the targets of the calls, and their attempts.
fn check_calls(effects: &[Effect], expected: &[(&str, u32)]) {
    let found = calls(effects);
    let found: Vec<(&str, u32)> = found.iter().map(|call| (call.target.step_id(), call.attempt)).collect();
    assert_eq!(found, expected, "{effects:?}");
}

fn discovery(attempt: u32) -> SdkCall {
    SdkCall {
        target: CallTarget::Discovery,
        attempt,
    }
}

fn step(id: &str, attempt: u32) -> SdkCall {
    let step = Step {
        id: id.to_owned(),
        name: id.to_owned(),
        ..Step::default()
    };
    SdkCall {
        target: CallTarget::Step(step),
        attempt,
    }
}

#[test]
fn one_step_after_the_other() {
    let mut machine = Machine::new(3);
    check_calls(&machine.begin(), &[("step", 0)]);
    let effects = machine.answered(&discovery(0), ops(2, &[ran("a")]));
    check_calls(&effects, &[("step", 0)]);
    assert!(matches!(&effects[0], Effect::Tell { ending: StepEnding::Done(data), .. } if data == "a"));
    assert_eq!(machine.memory(), [("a".to_owned(), json!({"data": "a"}))]);
    assert_eq!(machine.version(), 2);
    let effects = machine.answered(&discovery(0), Answer::Returned(json!(1)));
    assert_eq!(effects, [Effect::End(RunOutcome::Completed(json!(1)))]);
}

#[test]
fn version_2_discovers_when_all_parallel_steps_have_ended() {
    let mut machine = Machine::new(3);
    let _ = machine.begin();
    let effects = machine.answered(&discovery(0), ops(2, &[planned("a"), planned("b")]));
    check_calls(&effects, &[("a", 0), ("b", 0)]);
    assert!(machine.plan_only());
    check_calls(&machine.answered(&step("b", 0), ops(2, &[ran("b")])), &[]);
    check_calls(&machine.answered(&step("a", 0), ops(2, &[ran("a")])), &[("step", 0)]);
    assert!(!machine.plan_only());
}

#[test]
fn version_1_discovers_after_each_parallel_step_one_discovery_at_a_time() {
    let mut machine = Machine::new(3);
    let _ = machine.begin();
    let both = [planned("a"), planned("b")];
    check_calls(&machine.answered(&discovery(0), ops(1, &both)), &[("a", 0), ("b", 0)]);
    check_calls(&machine.answered(&step("b", 0), ops(1, &[ran("b")])), &[("step", 0)]);
    // The other step ends while the discovery runs, which does not know of that end.
    check_calls(&machine.answered(&step("a", 0), ops(1, &[ran("a")])), &[]);
    check_calls(&machine.answered(&discovery(0), ops(1, &[])), &[("step", 0)]);
    assert!(machine.plan_only());
}

#[test]
fn what_races_lets_the_function_go_on_with_the_first() {
    let mut machine = Machine::new(3);
    let _ = machine.begin();
    let race = |id: &str| json!({"op": "StepPlanned", "id": id, "opts": {"parallelMode": "race"}});
    let _ = machine.answered(&discovery(0), ops(2, &[race("a"), race("b")]));
    check_calls(&machine.answered(&step("b", 0), ops(2, &[ran("b")])), &[("step", 0)]);
}

#[test]
fn what_is_under_way_is_not_begun_again() {
    let mut machine = Machine::new(3);
    let _ = machine.begin();
    let sleep = json!({"op": "Sleep", "id": "s", "name": "1h"});
    let effects = machine.answered(&discovery(0), ops(1, &[sleep.clone(), planned("a")]));
    assert!(matches!(effects[0], Effect::Begin { .. }));
    check_calls(&machine.answered(&step("a", 0), ops(1, &[ran("a")])), &[("step", 0)]);
    assert_eq!(machine.answered(&discovery(0), ops(1, &[sleep])), []);
    check_calls(&machine.resolved("s", Value::Null), &[("step", 0)]);
}

#[test]
fn a_step_that_throws_is_tried_again_where_it_was_called_and_then_memoised_as_an_error() {
    let mut machine = Machine::new(2);
    let _ = machine.begin();
    check_calls(&machine.answered(&discovery(0), ops(2, &[threw("a")])), &[("step", 1)]);
    let effects = machine.answered(&discovery(1), ops(2, &[threw("a")]));
    check_calls(&effects, &[("step", 0)]);
    assert_eq!(
        machine.memory(),
        [("a".to_owned(), json!({"error": {"message": "boom"}}))]
    );

    let mut machine = Machine::new(2);
    let _ = machine.begin();
    let _ = machine.answered(&discovery(0), ops(2, &[planned("a"), planned("b")]));
    check_calls(&machine.answered(&step("a", 0), ops(2, &[threw("a")])), &[("a", 1)]);
    let failed = json!({"op": "StepFailed", "id": "b", "error": {"message": "never"}});
    check_calls(&machine.answered(&step("b", 0), ops(2, &[failed])), &[]);
    check_calls(&machine.answered(&step("a", 1), ops(2, &[ran("a")])), &[("step", 0)]);
}

#[test]
fn a_function_that_throws_is_called_again_unless_that_is_for_good() {
    let failed = |again| Answer::Failed {
        error: json!({"message": "boom"}),
        again,
        after: None,
    };
    let mut machine = Machine::new(2);
    let _ = machine.begin();
    check_calls(&machine.answered(&discovery(0), failed(true)), &[("step", 1)]);
    let end = [Effect::End(RunOutcome::Failed(json!({"message": "boom"})))];
    assert_eq!(machine.answered(&discovery(1), failed(true)), end);
    let mut machine = Machine::new(2);
    let _ = machine.begin();
    assert_eq!(machine.answered(&discovery(0), failed(false)), end);
}

#[test]
fn a_function_that_waits_for_nothing_fails_instead_of_hanging() {
    let mut machine = Machine::new(2);
    let _ = machine.begin();
    let effects = machine.answered(&discovery(0), ops(2, &[]));
    assert!(
        matches!(&effects[..], [Effect::End(RunOutcome::Failed(_))]),
        "{effects:?}"
    );
}

/// A made-up function: groups of steps, one group after the other. The number of a step tells how often the step
/// throws first.
type Function = Vec<Vec<u32>>;

fn name(group: usize, step: usize) -> String {
    format!("{group}.{step}")
}

/// Answers as the SDK does, with the first group that is not all memoised. A step that is alone in its group runs at
/// once, where it may.
fn answer(function: &Function, machine: &Machine, call: &SdkCall, version: i64) -> Answer {
    let knows = |id: &str| machine.memory().iter().any(|(known, _)| known == id);
    let run = |id: &str| {
        let mut parts = id.split('.').map(|part| part.parse::<usize>().unwrap());
        let throws = function[parts.next().unwrap()][parts.next().unwrap()];
        if call.attempt < throws { threw(id) } else { ran(id) }
    };
    if let CallTarget::Step(step) = &call.target {
        return ops(version, &[run(&step.id)]);
    }
    for (group, steps) in function.iter().enumerate() {
        let open: Vec<String> = (0..steps.len())
            .map(|step| name(group, step))
            .filter(|id| !knows(id))
            .collect();
        match open.as_slice() {
            [] => {}
            [only] if steps.len() == 1 && !machine.plan_only() => return ops(version, &[run(only)]),
            several => return ops(version, &several.iter().map(|id| planned(id)).collect::<Vec<_>>()),
        }
    }
    Answer::Returned(json!("done"))
}

proptest! {
    /// Checks that, in whatever order answers come, every step ends once, no call is made twice at a time, and the
    /// function returns.
    #[test]
    fn every_run_comes_to_its_end(
        function in prop::collection::vec(prop::collection::vec(0_u32..3, 1..4), 0..4),
        version in 1_i64..=2,
        order in prop::collection::vec(any::<prop::sample::Index>(), 200),
    ) {
        let mut machine = Machine::new(3);
        let mut open = calls(&machine.begin());
        let mut told = Vec::new();
        let mut ended = None;
        for index in order {
            if open.is_empty() {
                break;
            }
            let call = open.remove(index.index(open.len()));
            let answer = answer(&function, &machine, &call, version);
            for effect in machine.answered(&call, answer) {
                match effect {
                    Effect::Call { call, .. } => {
                        prop_assert!(open.iter().all(|other| other.target != call.target), "twice: {call:?}");
                        open.push(call);
                    }
                    Effect::Tell { step, ending: StepEnding::Done(_), .. } => told.push(step.id),
                    Effect::End(outcome) => ended = Some(outcome),
                    _ => {}
                }
            }
            if ended.is_some() {
                break;
            }
        }
        prop_assert_eq!(ended, Some(RunOutcome::Completed(json!("done"))));
        let mut all: Vec<String> = function
            .iter()
            .enumerate()
            .flat_map(|(group, steps)| (0..steps.len()).map(move |step| name(group, step)))
            .collect();
        told.sort();
        all.sort();
        prop_assert_eq!(told, all);
    }
}
