//! The generation that serves a call: the one that planned its step, the one on which its run began
//! if runs are pinned, and otherwise the newest one that has its function.

use harness::{Baton, Executor, Project, Run, step_id};
use serde_json::{Value, json};

use crate::calls::{gated, start, version_of};

/// Makes a project with two steps in parallel, and ten in a row; each step answers with the version
/// of the code that ran it.
fn project(second: &str) -> Project {
    let project = Project::new();
    write_functions(&project, second);
    project
}

fn write_functions(project: &Project, second: &str) {
    let text = r#"import { inngest } from "../lib/client";
import { VERSION } from "../lib/version";
export const twins = inngest.createFunction(
  { id: "twins", retries: 2, checkpointing: false, triggers: [{ event: "fixture/twins" }] },
  async ({ step }) => Promise.all(["first", "SECOND"].map((name) => step.run(name, () => VERSION))),
);
export const ten = inngest.createFunction(
  { id: "ten", retries: 2, checkpointing: false, triggers: [{ event: "fixture/ten" }] },
  async ({ step }) => {
    const versions: string[] = [];
    for (let i = 0; i < 10; i++) versions.push(await step.run(`step-${i}`, () => VERSION));
    return versions;
  },
);
"#;
    project.write("functions/runs.ts", text.replace("SECOND", second));
}

/// Returns the answer of a planned step.
async fn called(executor: &Executor, run: &Run, step: &str) -> (u16, Value) {
    let answer = executor.call_step(run, &step_id(step)).await.expect("an answer");
    (answer.status, answer.json())
}

#[tokio::test]
async fn a_planned_step_runs_on_the_generation_that_planned_it_though_it_was_renamed() {
    let project = project("second");
    let baton = Baton::dev(&project).ready().await;
    let executor = baton.executor();
    let mut run = Run::of("fixture-twins");
    let plan = executor.discover(&run).await.expect("a plan");
    assert_eq!(plan.json()[0]["op"], "StepPlanned", "{plan}");
    run.version = plan
        .header("x-inngest-req-version")
        .and_then(|version| version.parse().ok())
        .expect("a version");

    write_functions(&project, "renamed");
    project.set_version("2");
    assert_eq!(baton.reload().await.activated(), 2);
    let status = baton.status().await;
    assert_eq!(status.state(1), "draining", "it waits for the steps that it planned");
    assert_eq!(status.generation(1)["expected"], json!({ "plans": 2, "runs": 0 }));

    let (status, body) = called(&executor, &run, "second").await;
    assert_eq!((status, &body[0]["data"]), (206, &json!("1")), "{body}");
    run.memoise(&step_id("second"), json!({ "data": "1" }));
    let (status, body) = called(&executor, &run, "first").await;
    assert_eq!((status, &body[0]["data"]), (206, &json!("1")), "{body}");
    baton.wait_for("generation retired", json!({ "generation": 1 })).await;
    assert_eq!(version_of(&baton, "version").await, "2");
}

/// Drives a run of ten steps and edits the code after every second one; returns the function's
/// result.
async fn ten_steps_across_five_reloads(baton: &Baton, project: &Project) -> Value {
    let executor = baton.executor();
    let mut run = Run::of("fixture-ten");
    for step in 0..10 {
        let answer = executor.discover(&run).await.expect("an answer");
        assert_eq!(answer.status, 206, "{answer}");
        run.version = answer
            .header("x-inngest-req-version")
            .and_then(|version| version.parse().ok())
            .expect("a version");
        run.memoise(
            &step_id(&format!("step-{step}")),
            json!({ "data": answer.json()[0]["data"] }),
        );
        if step % 2 == 1 {
            project.set_version(&format!("{}", step + 2));
            let _ = baton.reload().await.activated();
        }
    }
    executor.discover(&run).await.expect("the run's end").json()
}

#[tokio::test]
async fn a_pinned_run_ends_on_the_generation_on_which_it_began() {
    let project = project("second");
    let baton = Baton::dev(&project).argument("--pin=run").ready().await;
    let versions = ten_steps_across_five_reloads(&baton, &project).await;
    assert_eq!(versions, json!(vec!["1"; 10]));
    assert_eq!(baton.status().await.current(), 6);
    baton.wait_for("generation retired", json!({ "generation": 1 })).await;
}

#[tokio::test]
async fn without_a_pin_each_step_runs_on_the_code_of_its_time() {
    let project = project("second");
    let baton = Baton::dev(&project).ready().await;
    let versions = ten_steps_across_five_reloads(&baton, &project).await;
    assert_eq!(versions, json!(["1", "1", "3", "3", "5", "5", "7", "7", "9", "9"]));
}

#[tokio::test]
async fn pins_end_where_there_are_too_many_generations() {
    let project = project("second");
    let baton = Baton::dev(&project)
        .argument("--pin=run")
        .argument("--max-generations=2")
        .ready()
        .await;
    let run = Run::of("fixture-ten");
    let answer = baton.executor().discover(&run).await.expect("an answer");
    assert_eq!(answer.json()[0]["data"], "1", "{answer}");
    for version in ["2", "3"] {
        project.set_version(version);
        let _ = baton.reload().await.activated();
        // This run holds the generation, so that there are as many generations as there can be.
        let other = Run::of("fixture-ten");
        let _ = baton.executor().discover(&other).await.expect("an answer");
    }
    baton.wait_for("generation retired", json!({ "generation": 1 })).await;
    let answer = baton.executor().discover(&run).await.expect("an answer");
    assert_eq!(answer.json()[0]["data"], "3", "by the current one: {answer}");
}

#[tokio::test]
async fn a_function_that_the_current_generation_lost_is_served_by_the_newest_that_has_it() {
    let project = project("second");
    let baton = Baton::dev(&project).ready().await;
    let gate = project.gate("finish");
    let running = start(&baton, &gated(&gate));
    baton.in_flight(1, 1).await;
    project.remove("functions/runs.ts");
    project.set_version("2");
    assert_eq!(baton.reload().await.activated(), 2);

    let answer = baton
        .executor()
        .discover(&Run::of("fixture-ten"))
        .await
        .expect("an answer");
    assert_eq!(
        (answer.status, &answer.json()[0]["data"]),
        (206, &json!("1")),
        "{answer}"
    );
    let warned = "the current generation has no such function: an older one serves the call";
    baton
        .wait_for(warned, json!({ "function": "fixture-ten", "generation": 1 }))
        .await;
    gate.open();
    assert_eq!(running.version(&baton).await, "1");
    baton.wait_for("generation retired", json!({ "generation": 1 })).await;
    assert_eq!(version_of(&baton, "version").await, "2");
}
