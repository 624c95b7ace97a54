//! Functions and their steps.

use crate::differential::scenario::{BOTH, Scenario, V3, V4, run, run_of, run_with};

pub(super) fn steps() -> Vec<Scenario> {
    vec![
        run("no-steps", "a function without steps", BOTH),
        run("step-run", "`step.run`", BOTH),
        run_with("step-run-planned", "`step.run`, planned first", BOTH, || {
            run_of("step-run").planned()
        }),
        run("step-run-input", "`step.run` with input", BOTH),
        run("step-options", "a step with id and name", BOTH),
        run("step-repeated", "the same id several times", BOTH),
        run("async-between", "asynchronous code between steps", BOTH),
        run("parallel-all", "`Promise.all` of steps", BOTH),
        run("parallel-race", "`Promise.race` of steps", BOTH),
        run("parallel-settled", "`Promise.allSettled`, one step fails", BOTH),
        run("parallel-chains", "chains of steps in parallel", BOTH),
        run("no-optimized-parallelism", "`optimizeParallelism: false`", V4),
        run("optimized-parallelism", "`optimizeParallelism: true`", V3),
        run("group-race", "`group.parallel({ mode: \"race\" })`", V4),
        run("group-experiment", "`group.experiment`", V4),
        run("imported-tools", "`step` and `group` imported from `inngest`", BOTH),
        run("defer", "`defer`", V4),
        run("context", "the context of a function", BOTH),
        run("batch", "a batch of events", BOTH),
        run("logged", "`logger`", BOTH),
    ]
}

pub(super) fn waits() -> Vec<Scenario> {
    vec![
        run("sleep", "`step.sleep`", BOTH),
        run("sleep-until", "`step.sleepUntil`", BOTH),
        run(
            "sleep-until-never",
            "`step.sleepUntil` with a value that is not a date",
            BOTH,
        ),
        run("wait-for-event", "`step.waitForEvent`: `match`, `if`, `timeout`", BOTH),
        run("typed-wait", "`step.waitForEvent` of an `eventType`", V4),
        run("wait-for-signal", "`step.waitForSignal`", BOTH),
        run("send-signal", "`step.sendSignal`", BOTH),
        run("send-event", "`step.sendEvent`: one, several, id, ts, v", BOTH),
        run("typed-send", "`step.sendEvent` of an `eventType`", V4),
        run("client-send", "`inngest.send`", BOTH),
        run("invoke", "`step.invoke`, `referenceFunction`, `timeout`", BOTH),
        run("invoke-by-name", "`step.invoke` with a function's name", V3),
        run(
            "invoke-nothing",
            "`step.invoke` of a value that is not a function",
            BOTH,
        ),
        run("ai-infer", "`step.ai.infer`", BOTH),
        run("ai-wrap", "`step.ai.wrap`", BOTH),
        run("step-fetch", "`step.fetch`", BOTH),
        run("imported-fetch", "`fetch` imported from `inngest`", BOTH),
        run("realtime-publish", "`step.realtime.publish`", BOTH),
        run("realtime-publish-client", "`inngest.realtime.publish`", V4),
    ]
}

pub(super) fn middleware() -> Vec<Scenario> {
    vec![
        run("middleware", "every hook, `dependencyInjectionMiddleware`", BOTH),
        run("middleware-error", "the hooks of an error", BOTH),
    ]
}

pub(super) fn checkpoints() -> Vec<Scenario> {
    vec![
        checkpointed("checkpointed", "`checkpointing: true`"),
        run("checkpoints-buffered", "`bufferedSteps`", V4),
        run("checkpointed-error", "an error after a checkpoint", V4),
    ]
}

pub(super) fn checkpointed(name: &'static str, covers: &'static str) -> Scenario {
    run_with(name, covers, BOTH, || run_of("checkpointed"))
}
