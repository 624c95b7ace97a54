//! `baton invoke` (docs/invoke.md): it runs a function to its end without an Inngest server, in a host of
//! its own or in the running one.

use harness::{Baton, Cli, FakeInngest, Finished, Project, Sdk, deadline, mismatch};
use serde_json::{Value, json};

/// Functions that the fixtures lack, in v4's form. Retries are few, sleeps long.
const MORE: &str = r#"
import { NonRetriableError } from "inngest";
import { inngest } from "../lib/client";

export const failing = inngest.createFunction(
  {
    id: "failing",
    retries: 0,
    triggers: [{ event: "more/failing" }],
    onFailure: async ({ error, event, step }) =>
      step.run("tell", () => `${error.message} on ${event.data.event.data.n}`),
  },
  async () => {
    throw new Error("boom for good");
  },
);

export const hopeless = inngest.createFunction(
  { id: "hopeless", retries: 3, triggers: [{ event: "more/hopeless" }] },
  async ({ step }) =>
    step.run("try", () => {
      throw new NonRetriableError("no use in trying");
    }),
);

export const told = inngest.createFunction(
  { id: "told", retries: 0, triggers: [{ event: "fixture/told" }] },
  async ({ event, step }) => step.run("hear", () => event.data.n),
);

export const cancelled = inngest.createFunction(
  {
    id: "cancelled",
    retries: 0,
    cancelOn: [{ event: "more/stop", if: "async.data.id == event.data.id" }],
    triggers: [{ event: "more/cancelled" }],
  },
  async ({ step }) => step.sleep("long", "1d"),
);

export const branches = inngest.createFunction(
  { id: "branches", retries: 0, triggers: [{ event: "more/branches" }] },
  async ({ step }) => {
    const branch = async (name: string) => {
      const one = await step.run(`${name}-1`, () => 1);
      await step.sleep(`${name}-nap`, "1h");
      return one + (await step.run(`${name}-2`, () => 2));
    };
    const sums = await Promise.all([branch("left"), branch("right")]);
    return step.run("sum", () => sums[0] + sums[1]);
  },
);

export const large = inngest.createFunction(
  { id: "large", retries: 0, triggers: [{ event: "more/large" }] },
  async ({ step }) => {
    const one = await step.run("one", () => "x".repeat(3_000_000));
    const two = await step.run("two", () => "y".repeat(3_000_000));
    return one.length + two.length;
  },
);

export const fetching = inngest.createFunction(
  { id: "fetching", retries: 0, triggers: [{ event: "more/fetching" }] },
  async ({ event, step }) => {
    const response = await step.fetch(event.data.url);
    return { status: response.status, answer: await response.json() };
  },
);

export const signalled = inngest.createFunction(
  { id: "signalled", retries: 0, triggers: [{ event: "more/signalled" }] },
  async ({ step }) => {
    const [signal] = await Promise.all([
      step.waitForSignal("wait", { signal: "go", timeout: "1h" }),
      step.sendSignal("send", { signal: "go", data: { n: 1 } }),
    ]);
    return signal;
  },
);
"#;

fn project(sdk: Sdk) -> Project {
    let project = Project::of(sdk);
    if sdk == Sdk::V4 {
        project.write("functions/more.ts", MORE);
    }
    project
}

/// Returns commands in the project, which has no host unless a test starts one.
fn cli(project: &Project) -> Cli {
    Cli::within(project.root()).env("BATON_STATE_DIR", project.state_dir())
}

/// Runs `baton invoke --json` and reads its lines.
async fn invoke(project: &Project, arguments: &[&str]) -> Lines {
    let arguments: Vec<&str> = ["invoke", "--json"]
        .into_iter()
        .chain(arguments.iter().copied())
        .collect();
    Lines::of(cli(project).baton(&arguments).await)
}

struct Lines {
    finished: Finished,
    lines: Vec<Value>,
}

impl Lines {
    fn of(finished: Finished) -> Self {
        let line = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line:?} of {finished}"));
        let lines = finished.stdout.lines().map(line).collect();
        Self { finished, lines }
    }

    /// Asserts the exit code and the last line.
    fn ends(&self, code: i32, result: Value) -> &Self {
        assert_eq!(self.finished.code, Some(code), "{}", self.finished);
        let last = self.lines.last().unwrap_or(&Value::Null);
        assert_eq!(last["type"], "result", "{}", self.finished);
        assert_eq!(mismatch(last, &result), None, "{}", self.finished);
        self
    }

    fn of_type<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Value> {
        self.lines.iter().filter(move |line| line["type"] == kind)
    }

    /// Asserts that there is a line like this.
    fn tells(&self, pattern: Value) -> &Self {
        let found = self.lines.iter().any(|line| mismatch(line, &pattern).is_none());
        assert!(found, "no line {pattern} in {}", self.finished);
        self
    }

    /// Returns `[name, status]` of the steps, in order.
    fn steps(&self) -> Vec<[&str; 2]> {
        self.of_type("step")
            .map(|line| ["step", "status"].map(|name| line[name].as_str().unwrap_or_default()))
            .collect()
    }
}

#[tokio::test]
async fn a_function_runs_in_a_host_of_its_own() {
    for sdk in [Sdk::V4, Sdk::V3] {
        let project = project(sdk);
        let lines = invoke(&project, &["one-step", "--data", r#"{"name":"Ada"}"#]).await;
        lines
            .ends(
                0,
                json!({"status": "completed", "function": "fixture-one-step", "output": {"greeting": "Hello Ada"}}),
            )
            .tells(json!({"type": "run", "origin": "asked", "depth": 0, "event": {"name": "fixture/one-step"}}))
            .tells(
                json!({"type": "step", "step": "greet", "generation": 1, "attempt": 0, "max_attempts": 3,
                          "output": "Hello Ada"}),
            );
        assert!(!project.state_dir().exists(), "its state is elsewhere, and gone");
    }
}

#[tokio::test]
async fn people_read_a_line_a_step_and_the_result() {
    let project = project(Sdk::V4);
    project.write("data.json", r#"{"name":"Bob"}"#);
    let finished = cli(&project)
        .baton(&["invoke", "fixture-one-step", "functions", "--data", "@data.json"])
        .await;
    assert_eq!(finished.code, Some(0), "{finished}");
    for words in [
        "✓ greet",
        "generation 1",
        "\"Hello Bob\"",
        "completed in",
        "\"greeting\": \"Hello Bob\"",
    ] {
        assert!(finished.stdout.contains(words), "{words:?}: {finished}");
    }
    assert_eq!(finished.stderr, "", "{finished}");
}

#[tokio::test]
async fn a_running_host_is_used_and_its_generation_shown() {
    for sdk in [Sdk::V4, Sdk::V3] {
        let project = project(sdk);
        let baton = Baton::dev(&project).ready().await;
        project.set_version("2");
        baton.reload().await;
        let lines = invoke(&project, &["brisk"]).await;
        lines
            .ends(0, json!({"status": "completed", "output": {"version": "2"}}))
            .tells(json!({"type": "step", "step": "turn", "generation": 2}));
        // Inngest was not told of the run.
        let answer = baton
            .executor()
            .discover(&harness::Run::of("fixture-brisk"))
            .await
            .expect("an answer");
        assert_eq!(answer.header("baton-generation"), None, "{answer}");
    }
}

#[tokio::test]
async fn parallel_steps_run_side_by_side() {
    for sdk in [Sdk::V4, Sdk::V3] {
        let project = project(sdk);
        let lines = invoke(&project, &["parallel"]).await;
        lines.ends(0, json!({"output": {"both": "lr"}}));
        let mut steps = lines.steps();
        steps.sort_unstable();
        assert_eq!(
            steps,
            [["left", "completed"], ["right", "completed"]],
            "{}",
            lines.finished
        );
    }
    let lines = invoke(&project(Sdk::V4), &["branches", "--skip-sleep"]).await;
    lines.ends(0, json!({"output": 6}));
    assert_eq!(lines.steps().len(), 5, "each once: {}", lines.finished);
}

#[tokio::test]
async fn steps_that_throw_are_tried_again_and_then_seen_by_the_function() {
    for sdk in [Sdk::V4, Sdk::V3] {
        let project = project(sdk);
        let lines = invoke(&project, &["caught-step", "--retry-delay", "0s"]).await;
        lines
            .ends(0, json!({"output": {"caught": "boom to be caught"}}))
            .tells(json!({"type": "step", "status": "retrying", "attempt": 0, "retry_in_ms": 0}))
            .tells(json!({"type": "step", "status": "failed", "attempt": 2}));
        let lines = invoke(&project, &["failing-function", "--retry-delay", "1ms"]).await;
        lines.ends(
            1,
            json!({"status": "failed", "error": {"message": "boom outside of steps"}}),
        );
        let delays: Vec<&Value> = lines.of_type("retry").map(|line| &line["retry_in_ms"]).collect();
        assert_eq!(delays, [1, 2], "{}", lines.finished);
        let lines = invoke(&project, &["retry-after", "--skip-sleep"]).await;
        lines.ends(1, json!({"status": "failed"}));
        assert_eq!(lines.of_type("retry").count(), 2, "{}", lines.finished);
    }
}

#[tokio::test]
async fn what_is_not_to_be_tried_again_fails_with_its_message_and_place() {
    for sdk in [Sdk::V4, Sdk::V3] {
        let finished = cli(&project(sdk)).baton(&["invoke", "non-retriable"]).await;
        finished.refuses(1, &["never again", "functions/errors.ts:", "> "]);
    }
    let lines = invoke(&project(Sdk::V4), &["hopeless"]).await;
    lines.ends(1, json!({"status": "failed", "error": {"message": "no use in trying"}}));
    assert_eq!(lines.steps(), [["try", "failed"]], "{}", lines.finished);
}

#[tokio::test]
async fn sleeps_can_be_skipped() {
    for sdk in [Sdk::V4, Sdk::V3] {
        let lines = invoke(&project(sdk), &["nap", "--skip-sleep"]).await;
        lines
            .ends(0, json!({"output": "rested"}))
            .tells(json!({"type": "waiting", "kind": "sleep", "step": "short-nap"}))
            .tells(json!({"type": "waited", "kind": "sleep"}));
    }
}

#[tokio::test]
async fn a_step_with_a_mock_is_answered_and_its_code_does_not_run() {
    for sdk in [Sdk::V4, Sdk::V3] {
        let project = project(sdk);
        let ada = ["--data", r#"{"name":"Ada"}"#];
        let lines = invoke(&project, &[&["one-step", "--mock", r#"greet="Hi""#], &ada[..]].concat()).await;
        lines
            .ends(0, json!({"output": {"greeting": "Hi"}}))
            .tells(json!({"type": "step", "step": "greet", "status": "completed", "mocked": true, "generation": null}));
        let lines = invoke(&project, &["caught-step", "--mock", r#"explode=error:"refused""#]).await;
        lines.ends(0, json!({"output": {"caught": "refused"}}));
        assert_eq!(lines.steps(), [["explode", "failed"]], "tried once: {}", lines.finished);
        let lines = invoke(&project, &["parallel", "--mock", r#"left="L""#]).await;
        lines
            .ends(0, json!({"output": {"both": "Lr"}}))
            .tells(json!({"type": "step", "step": "right", "generation": 1}));
        let lines = invoke(&project, &["notify", "--mock", r#"tell={"ids":["a"]}"#]).await;
        lines.ends(0, json!({"output": {"sent": 1}}));
        assert_eq!(
            lines.of_type("event").count(),
            0,
            "nothing was sent: {}",
            lines.finished
        );
    }
}

#[tokio::test]
async fn a_wait_with_a_mock_is_over_at_once() {
    for sdk in [Sdk::V4, Sdk::V3] {
        let project = project(sdk);
        let mock = |outcome: &str| format!("wait-for-approval={outcome}");
        let lines = invoke(&project, &["approval", "--mock", &mock(r#"{"data":{"by":"Ada"}}"#)]).await;
        lines.ends(0, json!({"output": {"by": "Ada"}}));
        let lines = invoke(&project, &["approval", "--mock", &mock("null")]).await;
        lines.ends(0, json!({"output": {"by": null}}));
        let lines = invoke(&project, &["approval", "--retry-delay", "0s", "--mock", &mock("7")]).await;
        lines
            .ends(1, json!({"status": "failed"}))
            .tells(json!({"type": "waited", "mocked": true, "error": {"name": "MockError"}}));
        let lines = invoke(&project, &["caller", "--mock", r#"call-one-step={"greeting":"Hi"}"#]).await;
        lines.ends(0, json!({"output": {"answer": {"greeting": "Hi"}}}));
        assert_eq!(
            lines.of_type("run").count(),
            1,
            "nobody was invoked: {}",
            lines.finished
        );
        // A mock holds for the runs that a run begins.
        let lines = invoke(&project, &["caller", "--mock", r#"greet="Hi""#]).await;
        lines.ends(0, json!({"output": {"answer": {"greeting": "Hi"}}}));
        let lines = invoke(&project, &["nap", "--mock", "short-nap=null"]).await;
        lines.ends(0, json!({"output": "rested"}));
    }
}

#[tokio::test]
async fn a_mock_that_no_step_used_is_told_and_a_malformed_one_refused() {
    let project = project(Sdk::V4);
    let lines = invoke(&project, &["parallel", "--mock", "lefd=1"]).await;
    lines.ends(0, json!({"output": {"both": "lr"}})).tells(json!({
        "type": "note",
        "message": r#"no step used the mock of "lefd"; steps that ran without a mock: "left", "right""#,
    }));
    for wrong in ["left", "left=x", "left=error:1"] {
        let finished = cli(&project).baton(&["invoke", "parallel", "--mock", wrong]).await;
        finished.refuses(2, &["--mock"]);
    }
    // The running host's code is planned first, too.
    let _baton = Baton::dev(&project).ready().await;
    let lines = invoke(
        &project,
        &["parallel", "--mock", r#"left="L""#, "--mock", r#"right="R""#],
    )
    .await;
    lines.ends(0, json!({"output": {"both": "LR"}}));
}

#[tokio::test]
async fn an_event_that_is_waited_for_is_sent_or_does_not_come() {
    for sdk in [Sdk::V4, Sdk::V3] {
        let project = project(sdk);
        let data = ["approval", "--data", r#"{"id":7}"#];
        let right = r#"fixture/approved:{"id":7,"by":"Ada"}"#;
        let lines = invoke(&project, &[&data[..], &["--send-event", right]].concat()).await;
        lines
            .ends(0, json!({"output": {"by": "Ada"}}))
            .tells(json!({"type": "waiting", "kind": "event", "for": "fixture/approved"}));
        let wrong = r#"fixture/approved:{"id":8,"by":"Bob"}"#;
        let lines = invoke(
            &project,
            &[&data[..], &["--skip-sleep", "--send-event", wrong]].concat(),
        )
        .await;
        lines
            .ends(0, json!({"output": {"by": null}}))
            .tells(json!({"type": "note"}));
    }
}

#[tokio::test]
async fn invoked_functions_are_run_within() {
    for sdk in [Sdk::V4, Sdk::V3] {
        let lines = invoke(&project(sdk), &["caller"]).await;
        lines
            .ends(0, json!({"output": {"answer": {"greeting": "Hello Ada"}}}))
            .tells(json!({"type": "run", "origin": "invoked", "function": "fixture-one-step", "depth": 1}))
            .tells(json!({"type": "ended", "function": "fixture-one-step", "status": "completed"}));
    }
}

#[tokio::test]
async fn events_that_are_sent_are_shown_and_delivered_when_asked() {
    for sdk in [Sdk::V4, Sdk::V3] {
        let lines = invoke(&project(sdk), &["notify"]).await;
        lines
            .ends(0, json!({"output": {"sent": 2}}))
            .tells(json!({"type": "event", "event": {"name": "fixture/told", "data": {"n": 2}}}));
    }
    let lines = invoke(&project(Sdk::V4), &["notify", "--deliver"]).await;
    lines
        .ends(0, json!({"function": "fixture-notify", "output": {"sent": 2}}))
        .tells(json!({"type": "ended", "function": "fixture-told", "origin": "delivered", "output": 1}))
        .tells(json!({"type": "ended", "function": "fixture-told", "origin": "delivered", "output": 2}));
}

#[tokio::test]
async fn what_a_running_host_sends_goes_where_its_environment_says() {
    let project = project(Sdk::V4);
    let inngest = FakeInngest::start().await;
    let _baton = Baton::dev(&project).inngest(&inngest).ready().await;
    let lines = invoke(&project, &["notify"]).await;
    lines
        .ends(0, json!({"status": "completed"}))
        .tells(json!({"type": "note"}));
    assert_eq!(lines.of_type("event").count(), 0, "{}", lines.finished);
}

#[tokio::test]
async fn a_failure_handler_runs_after_the_failure() {
    let lines = invoke(&project(Sdk::V4), &["failing", "--data", r#"{"n":3}"#]).await;
    lines
        .ends(1, json!({"status": "failed", "error": {"message": "boom for good"}}))
        .tells(json!({"type": "run", "origin": "on_failure"}))
        .tells(json!({"type": "step", "step": "tell", "output": "boom for good on 3"}));
}

#[tokio::test]
async fn an_event_cancels_a_run_that_waits() {
    let arguments = [
        "cancelled",
        "--data",
        r#"{"id":1}"#,
        "--send-event",
        r#"more/stop:{"id":1}"#,
    ];
    let lines = invoke(&project(Sdk::V4), &arguments).await;
    lines.ends(1, json!({"status": "cancelled"}));
}

#[tokio::test]
async fn an_event_runs_every_function_that_it_triggers() {
    let project = project(Sdk::V4);
    let lines = invoke(
        &project,
        &["--event", "fixture/told", "functions/", "--data", r#"{"n":5}"#],
    )
    .await;
    lines.ends(0, json!({"function": "fixture-told", "output": 5}));
    let finished = cli(&project).baton(&["invoke", "--event", "fixture/tol"]).await;
    finished.refuses(2, &["fixture/tol", "did you mean fixture/told?"]);
}

#[tokio::test]
async fn state_that_is_too_large_for_a_call_is_fetched() {
    let lines = invoke(&project(Sdk::V4), &["large"]).await;
    lines.ends(0, json!({"output": 6_000_000}));
}

#[tokio::test]
async fn requests_are_made_for_the_function() {
    let project = project(Sdk::V4);
    let other = Project::new();
    let baton = Baton::dev(&other).ready().await;
    let data = json!({"url": format!("http://127.0.0.1:{}/-/live", baton.port())}).to_string();
    let lines = invoke(&project, &["fetching", "--data", &data]).await;
    lines
        .ends(0, json!({"output": {"status": 200, "answer": {"live": true}}}))
        .tells(json!({"type": "waiting", "kind": "http"}));
}

#[tokio::test]
async fn signals_reach_who_waits_for_them() {
    let lines = invoke(&project(Sdk::V4), &["signalled"]).await;
    lines.ends(0, json!({"output": {"signal": "go", "data": {"n": 1}}}));
}

#[tokio::test]
async fn wrong_questions_are_answered_with_what_would_be_right() {
    let project = project(Sdk::V4);
    let cli = cli(&project);
    let finished = cli.baton(&["invoke", "one-stpe"]).await;
    finished.refuses(2, &["one-stpe", "did you mean one-step?"]);
    let finished = cli.baton(&["invoke", "one-step", "--data", "{\"name\": Ada}"]).await;
    finished.refuses(2, &["line 1, column 10", "{\"name\": Ada}", "here"]);
    let finished = cli.baton(&["invoke", "one-step", "--data", "@nowhere.json"]).await;
    finished.refuses(2, &["nowhere.json"]);
    let finished = cli.baton(&["invoke", "one-step", "--send-event", "go:{x}"]).await;
    finished.refuses(2, &["--send-event", "line 1"]);
    cli.baton(&["invoke"]).await.refuses(2, &["FUNCTION"]);
    project.write("functions/broken.ts", "export const broken = ;\n");
    let finished = cli.baton(&["invoke", "one-step"]).await;
    finished.refuses(1, &["functions/broken.ts:1", "export const broken = ;"]);
}

#[tokio::test]
async fn a_host_that_was_killed_is_told_of_and_replaced_for_the_run() {
    let project = project(Sdk::V4);
    let mut baton = Baton::dev(&project).ready().await;
    baton.signal("KILL").await;
    let _ = baton.ended().await;
    let lines = invoke(&project, &["version"]).await;
    lines.ends(0, json!({"status": "completed"}));
    assert!(lines.finished.stderr.contains("is down"), "{}", lines.finished);
}

#[tokio::test]
async fn ctrl_c_cancels_the_run_and_says_so() {
    let project = project(Sdk::V4);
    let baton = Baton::dev(&project).ready().await;
    let gate = project.gate("step");
    let data = json!({"gate": gate.path()}).to_string();
    let invoking = cli(&project).start(&["invoke", "gated", "--json", "--data", &data]);
    baton.in_flight(1, 1).await;
    invoking.signal("INT").await;
    let lines = Lines::of(invoking.finished().await);
    lines.ends(1, json!({"status": "cancelled", "reason": "interrupted"}));
    gate.open();
}

#[tokio::test]
async fn it_is_run_again_after_each_reload() {
    let project = project(Sdk::V4);
    let baton = Baton::dev(&project).ready().await;
    let mut invoking = cli(&project).start(&["invoke", "version", "--json", "--watch"]);
    let pattern = |version: &str| json!({"type": "result", "output": {"version": version}});
    invoking.line(&pattern("1")).await;
    project.write("functions/broken.ts", "export const broken = ;\n");
    assert_eq!(baton.reload().await.http, 422);
    project.remove("functions/broken.ts");
    project.set_version("2");
    baton.reload().await;
    invoking.line(&pattern("2")).await;
    invoking.signal("INT").await;
    let finished = invoking.finished().await;
    finished.refuses(0, &["functions/broken.ts:1"]);
}

#[tokio::test]
async fn a_host_of_its_own_watches_the_files() {
    let project = project(Sdk::V3);
    let _running = Baton::dev(&project).ready().await;
    let mut invoking = cli(&project).start(&["invoke", "version", "--json", "--own", "--watch"]);
    invoking
        .line(&json!({"type": "result", "output": {"version": "1"}}))
        .await;
    project.set_version("2");
    invoking
        .line(&json!({"type": "result", "output": {"version": "2"}}))
        .await;
    invoking.signal("INT").await;
    let lines = Lines::of(invoking.finished().await);
    assert_eq!(lines.of_type("result").count(), 2, "once a reload: {}", lines.finished);
}

#[tokio::test]
async fn the_story_pipeline_runs_through_a_reload_in_the_middle_of_its_long_step() {
    let project = Project::example();
    let repository = project.repository();
    let baton = Baton::dev(&project)
        .env("STORY_AGENT", "stand-in")
        .env("STORY_STAND_IN_SECONDS", "2")
        .ready()
        .await;
    let data = json!({"prdPath": "prd.json", "storyId": "S-1", "cwd": repository}).to_string();
    let mut invoking = cli(&project).start(&["invoke", "story-pipeline", "--json", "--data", &data]);
    invoking.line(&json!({"type": "step", "step": "get-pre-sha"})).await;
    baton.in_flight(1, 1).await;
    project.edit("functions/story-pipeline.ts", "`story(${", "`feat(${");
    let report = baton.reload().await;
    assert_eq!(report.http, 200);
    let lines = Lines::of(invoking.finished().await);
    lines.ends(0, json!({"status": "completed", "output": {"status": "passed"}}));
    let generations: Vec<(&Value, &Value)> = lines
        .of_type("step")
        .map(|line| (&line["step"], &line["generation"]))
        .collect();
    let expected = [
        ("load-prd", 1),
        ("gateway-progress", 1),
        ("get-pre-sha", 1),
        ("implement", 1),
        ("check-and-commit", 2),
        ("prove", 2),
        ("judge", 2),
    ];
    assert_eq!(generations.len(), expected.len(), "{}", lines.finished);
    for ((step, generation), expected) in generations.into_iter().zip(expected) {
        assert_eq!(
            (step.as_str(), generation.as_u64()),
            (Some(expected.0), Some(expected.1)),
            "{}",
            lines.finished
        );
    }
}

#[tokio::test]
async fn the_story_pipeline_tries_again_in_a_host_of_its_own() {
    let project = Project::example();
    let repository = project.repository();
    let data = json!({"prdPath": "prd.json", "storyId": "S-2", "cwd": repository}).to_string();
    let cli = cli(&project)
        .env("STORY_AGENT", "stand-in")
        .env("STORY_STAND_IN_SECONDS", "1");
    let cli = cli.at(project.functions());
    let invoking = cli.start(&["invoke", "story-pipeline", ".", "--json", "--deliver", "--data", &data]);
    let lines = Lines::of(deadline::within("the story", String::new, invoking.finished()).await);
    lines
        .ends(0, json!({"output": {"status": "trying-again", "attempt": 1}}))
        .tells(json!({"type": "ended", "origin": "delivered", "output": {"status": "passed", "attempt": 2}}));
}

#[tokio::test]
async fn an_environment_file_is_for_the_run_also_beside_a_host_that_runs() {
    let project = Project::new();
    project.write(
        "functions/variable.ts",
        r#"import { inngest } from "../lib/client";
export const variable = inngest.createFunction(
  { id: "variable", retries: 1, triggers: [{ event: "fixture/variable" }] },
  async ({ step }) => step.run("read", () => process.env.OF_FILE ?? null),
);
"#,
    );
    project.write("of-run.env", "OF_FILE=read\n");
    let _baton = Baton::dev(&project).ready().await;
    let cli = Cli::within(project.root()).env("BATON_STATE_DIR", project.state_dir());
    let arguments = ["invoke", "variable", "--json"];
    for (more, expected) in [(&[][..], Value::Null), (&["--env-file", "of-run.env"], json!("read"))] {
        let finished = cli.baton(&[&arguments[..], more].concat()).await;
        assert_eq!(finished.code, Some(0), "{finished}");
        let last = finished.stdout.lines().last().unwrap_or_default();
        let result: Value = serde_json::from_str(last).expect("a result");
        assert_eq!(result["output"], expected, "{finished}");
    }
    let missing = cli.baton(&["invoke", "variable", "--env-file", "missing.env"]).await;
    assert!(
        missing.code != Some(0) && missing.stderr.contains("missing.env"),
        "{missing}"
    );
}
