//! `baton mcp` (README), as an agent has it: the client is that of the protocol's own npm package (`tests/mcp`).

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use harness::{Baton, Project, baton_binary, clean_environment, mismatch};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// The time for one answer: doctor starts a process of its own.
const DEADLINE: Duration = Duration::from_secs(120);
/// The most bytes of a result that a model has to read.
const LARGEST: usize = 16 << 10;

/// An agent with its server, which end with their guard.
struct Agent {
    _child: Child,
    questions: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    /// The words of the server about itself.
    server: Value,
}

impl Agent {
    async fn start(project: &Project, arguments: &[&str]) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("mcp");
        assert!(
            folder.join("node_modules/@modelcontextprotocol/sdk").is_dir(),
            "packages are missing: run `npm ci` in {}",
            folder.display()
        );
        let mut command = Command::new("node");
        clean_environment(&mut command);
        command
            .arg(folder.join("client.mjs"))
            .arg(baton_binary())
            .arg("mcp")
            .args(arguments);
        command
            .env("BATON_STATE_DIR", project.state_dir())
            .current_dir(project.root());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().expect("node starts");
        let mut agent = Self {
            questions: child.stdin.take().expect("its standard input"),
            answers: BufReader::new(child.stdout.take().expect("its standard output")).lines(),
            _child: child,
            server: Value::Null,
        };
        agent.server = agent.next().await["value"].take();
        agent
    }

    async fn next(&mut self) -> Value {
        let line = tokio::time::timeout(DEADLINE, self.answers.next_line()).await;
        let line = line
            .expect("an answer in time")
            .expect("its answer")
            .expect("a client that runs");
        serde_json::from_str(&line).expect("JSON")
    }

    async fn ask(&mut self, question: &Value) -> Value {
        let line = format!("{question}\n");
        self.questions
            .write_all(line.as_bytes())
            .await
            .expect("a client that runs");
        self.next().await
    }

    /// Calls a tool, and returns whether it did well, and its text.
    async fn text(&mut self, tool: &str, arguments: &Value) -> (bool, String) {
        let answer = self.ask(&json!({"call": tool, "arguments": arguments})).await;
        let result = &answer["value"];
        let text = result["content"][0]["text"]
            .as_str()
            .unwrap_or_else(|| panic!("no text in {answer}"));
        assert!(text.len() <= LARGEST, "{} bytes of {tool}", text.len());
        (result["isError"] != true, text.to_owned())
    }

    /// Calls a tool that does well.
    async fn call(&mut self, tool: &str, arguments: &Value) -> Value {
        let (good, text) = self.text(tool, arguments).await;
        assert!(good, "{tool}: {text}");
        serde_json::from_str(&text).expect("JSON")
    }

    /// Calls a tool that has to tell of a failure; returns it.
    async fn fails(&mut self, tool: &str, arguments: &Value) -> String {
        let (good, text) = self.text(tool, arguments).await;
        assert!(!good, "{tool}: {text}");
        text
    }
}

fn fits(value: &Value, pattern: &Value) {
    assert_eq!(mismatch(value, pattern), None, "{value}");
}

#[tokio::test]
async fn an_agent_learns_of_every_tool_what_it_does_and_whether_it_changes_anything() {
    let project = Project::new();
    let mut agent = Agent::start(&project, &[]).await;
    assert_eq!(agent.server["server"]["name"], "baton");
    assert!(
        agent.server["instructions"]
            .as_str()
            .is_some_and(|text| text.contains("generation"))
    );
    let listed = agent.ask(&json!({"list": true})).await;
    let tools = listed["value"]["tools"].as_array().expect("tools");
    let names = |read_only: bool| -> Vec<&str> {
        let tools = tools
            .iter()
            .filter(|tool| tool["annotations"]["readOnlyHint"] == read_only);
        tools.map(|tool| tool["name"].as_str().expect("a name")).collect()
    };
    assert_eq!(
        names(true),
        ["status", "functions", "check", "errors", "logs", "doctor"]
    );
    assert_eq!(names(false), ["reload", "invoke", "rollback"]);
    for tool in tools {
        assert!(
            tool["description"].as_str().is_some_and(|text| text.len() > 80),
            "{tool}"
        );
        assert_eq!(tool["inputSchema"]["type"], "object", "{tool}");
        assert!(tool["annotations"]["destructiveHint"].is_boolean(), "{tool}");
    }
    // All of it is read before anything is asked.
    assert!(
        listed["value"].to_string().len() < 12_000,
        "{}",
        listed["value"].to_string().len()
    );
}

#[tokio::test]
async fn an_agent_breaks_a_function_reads_the_error_mends_it_invokes_it_and_rolls_back() {
    let project = Project::new();
    let baton = Baton::dev(&project).ready().await;
    let mut agent = Agent::start(&project, &[]).await;
    let status = agent.call("status", &json!({})).await;
    fits(
        &status,
        &json!({"serves": 1, "mode": "dev", "functions": 20, "rejected": null, "disk_is_newer": false}),
    );
    let functions = agent.call("functions", &json!({})).await;
    assert_eq!(functions["functions"].as_array().map(Vec::len), Some(20), "{functions}");
    let one = agent.call("functions", &json!({"function": "version"})).await;
    fits(&one, &json!({"id": "fixture-version", "app": "fixture"}));

    // It breaks a file.
    project.write("functions/broken.ts", "type Gone = 1;\n\nexport const broken = ;\n");
    for tool in ["check", "reload"] {
        let told: Value = serde_json::from_str(&agent.fails(tool, &json!({})).await).expect("JSON");
        let error = json!({"kind": "syntax", "file": "functions/broken.ts", "line": 3});
        fits(&told, &json!({"status": "rejected", "generation": 1, "error": error}));
        assert!(
            told["error"]["frame"]
                .as_str()
                .is_some_and(|frame| frame.contains("> 3 | export const broken = ;"))
        );
    }
    let errors = agent.call("errors", &json!({})).await;
    fits(
        &errors["rejected"]["error"],
        &json!({"file": "functions/broken.ts", "line": 3}),
    );
    let rejected = json!({"level": "WARN", "message": "generation rejected"});
    let lines = errors["lines"].as_array().expect("lines");
    assert!(lines.iter().any(|line| mismatch(line, &rejected).is_none()), "{errors}");
    fits(
        &agent.call("status", &json!({})).await,
        &json!({"serves": 1, "rejected": {"error": {"line": 3}}}),
    );

    // It mends the file; what it writes fails when it runs.
    let failing = "import { inngest } from \"../lib/client\";\n\
        export const broken = inngest.createFunction({ id: \"broken\", retries: 0, triggers: [{ event: \"x\" }] },\n\
        async ({ step, event }) => {\n  console.log(\"got\", event.data.n);\n\
        await step.run(\"first\", () => 1);\n  return step.run(\"add\", () => { throw new Error(\"no sum\"); });\n});\n";
    project.write("functions/broken.ts", failing);
    let checked = agent.call("check", &json!({})).await;
    fits(
        &checked,
        &json!({"status": "checked", "functions": {"added": ["fixture-broken"]}}),
    );
    fits(
        &agent.call("reload", &json!({})).await,
        &json!({"status": "activated", "previous": 1}),
    );
    let failed = agent
        .fails("invoke", &json!({"function": "broken", "data": {"n": 7}}))
        .await;
    let failed: Value = serde_json::from_str(&failed).expect("JSON");
    fits(
        &failed,
        &json!({"status": "failed", "function": "fixture-broken", "error": {"message": "no sum"}}),
    );
    fits(
        &failed["steps"][0],
        &json!({"step": "first", "status": "completed", "output": 1}),
    );
    fits(
        &failed["steps"][1],
        &json!({"step": "add", "status": "failed", "error": {"message": "no sum"}}),
    );
    let errors = agent.call("errors", &json!({"function": "broken"})).await;
    assert!(
        errors["lines"].to_string().contains("functions/broken.ts:6"),
        "{errors}"
    );
    let said = agent.call("logs", &json!({"function": "broken", "text": "got"})).await;
    fits(
        &said["lines"][0],
        &json!({"message": "got 7", "target": "user", "function": "fixture-broken"}),
    );

    // It mends that, too.
    project.edit(
        "functions/broken.ts",
        "{ throw new Error(\"no sum\"); }",
        "event.data.n + 1",
    );
    fits(
        &agent.call("reload", &json!({})).await,
        &json!({"status": "activated", "functions": {"changed": ["fixture-broken"]}}),
    );
    let served = baton.status().await.current();
    let done = agent
        .call("invoke", &json!({"function": "fixture-broken", "data": {"n": 7}}))
        .await;
    fits(&done, &json!({"status": "completed", "output": 8}));
    fits(
        &done["steps"][1],
        &json!({"step": "add", "output": 8, "generation": served}),
    );

    // And goes back to where it began.
    let back = agent.call("rollback", &json!({"generation": 1})).await;
    fits(
        &back,
        &json!({"status": "activated", "restored_from": 1, "functions": {"removed": ["fixture-broken"]}}),
    );
    let gone = agent.fails("invoke", &json!({"function": "broken"})).await;
    assert!(
        gone.contains("there is no function \"broken\"") && gone.contains("help: "),
        "{gone}"
    );
    let doctor = agent.text("doctor", &json!({})).await.1;
    let doctor: Value = serde_json::from_str(&doctor).expect("JSON");
    let code = json!({"check": "host", "status": "ok"});
    let checks = doctor["checks"].as_array().expect("checks");
    assert!(checks.iter().any(|check| mismatch(check, &code).is_none()), "{doctor}");
}

#[tokio::test]
async fn in_production_an_agent_may_look_and_changes_only_what_it_is_allowed_to() {
    let project = Project::new();
    let baton = Baton::start(&project).ready().await;
    let mut agent = Agent::start(&project, &[]).await;
    fits(
        &agent.call("status", &json!({})).await,
        &json!({"serves": 1, "mode": "start"}),
    );
    project.set_version("2");
    for (tool, arguments) in [
        ("reload", json!({})),
        ("rollback", json!({})),
        ("invoke", json!({"function": "version"})),
    ] {
        let refused = agent.fails(tool, &arguments).await;
        assert!(
            refused.contains("production") && refused.contains("--allow-changes"),
            "{refused}"
        );
    }
    fits(&agent.call("check", &json!({})).await, &json!({"status": "checked"}));
    assert_eq!(baton.status().await.current(), 1);
    drop(agent);

    let mut agent = Agent::start(&project, &["--allow-changes"]).await;
    fits(
        &agent.call("reload", &json!({})).await,
        &json!({"status": "activated", "previous": 1}),
    );
    fits(
        &agent.call("rollback", &json!({})).await,
        &json!({"status": "activated", "restored_from": 1}),
    );
}

#[tokio::test]
async fn without_a_host_a_tool_says_how_to_start_one_and_finds_it_once_it_runs() {
    let project = Project::new();
    let mut agent = Agent::start(&project, &[]).await;
    for (tool, arguments) in [
        ("status", json!({})),
        ("reload", json!({})),
        ("invoke", json!({"function": "version"})),
        ("logs", json!({})),
    ] {
        let told = agent.fails(tool, &arguments).await;
        assert!(
            told.contains("no host is running") && told.contains("baton dev"),
            "{tool}: {told}"
        );
    }
    // Doctor looks at the code by itself.
    let (_, doctor) = agent.text("doctor", &json!({})).await;
    assert!(
        doctor.contains("\"check\":\"project\",") || doctor.contains("\"check\":\"project\""),
        "{doctor}"
    );
    let baton = Baton::dev(&project).ready().await;
    fits(&agent.call("status", &json!({})).await, &json!({"serves": 1}));
    drop(baton);
}

#[tokio::test]
async fn results_are_small_and_say_where_they_are_cut() {
    let project = Project::new();
    project.write(
        "functions/large.ts",
        "import { inngest } from \"../lib/client\";\n\
         export const large = inngest.createFunction({ id: \"large\", retries: 0, triggers: [{ event: \"x\" }] },\n\
         async ({ step }) => {\n\
         for (let n = 0; n < 60; n++) await step.run(`step ${n}`, () => \"x\".repeat(4000));\n\
         console.log(\"y\".repeat(20_000));\n  return \"z\".repeat(100_000);\n});\n",
    );
    let _baton = Baton::dev(&project).ready().await;
    let mut agent = Agent::start(&project, &[]).await;
    let told = agent.call("invoke", &json!({"function": "large"})).await;
    assert_eq!(told["status"], "completed", "{told}");
    assert!(
        told["cut"].as_str().is_some_and(|text| text.contains("ask `logs`")),
        "{told}"
    );
    assert!(
        told["output"].as_str().is_some_and(|text| text.contains("more bytes")),
        "{told}"
    );
    let logs = agent.call("logs", &json!({"lines": 200})).await;
    assert!(logs["cut"].is_string(), "{logs}");
}

#[tokio::test]
async fn a_run_that_waits_is_stopped_in_time_and_tells_what_it_waits_for() {
    let project = Project::new();
    project.write(
        "functions/patient.ts",
        "import { inngest } from \"../lib/client\";\n\
         export const patient = inngest.createFunction({ id: \"patient\", retries: 0, triggers: [{ event: \"x\" }] },\n\
         async ({ step }) => step.waitForEvent(\"approval\", { event: \"demo/approved\", timeout: \"1h\" }));\n",
    );
    let _baton = Baton::dev(&project).ready().await;
    let mut agent = Agent::start(&project, &[]).await;
    let told = agent
        .fails(
            "invoke",
            &json!({"function": "patient", "skip_sleep": false, "timeout_s": 2}),
        )
        .await;
    let told: Value = serde_json::from_str(&told).expect("JSON");
    fits(&told, &json!({"status": "unfinished"}));
    fits(
        &told["waits_for"][0],
        &json!({"step": "approval", "kind": "event", "for": "demo/approved"}),
    );
    fits(
        &agent.call("invoke", &json!({"function": "patient"})).await,
        &json!({"status": "completed"}),
    );

    let wrong = agent.fails("invoke", &json!({"name": "patient"})).await;
    assert!(
        wrong.contains("the arguments of invoke are wrong") && wrong.contains("`name`"),
        "{wrong}"
    );
    let unknown = agent.ask(&json!({"call": "reboot", "arguments": {}})).await;
    assert!(
        unknown["error"]
            .as_str()
            .is_some_and(|text| text.contains("there is no tool")),
        "{unknown}"
    );
}
