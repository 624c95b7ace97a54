//! Each kind of misbehaviour, while code is loaded, during a call, and while its generation drains. A
//! well-behaved function beside it is answered all the time, either at once or after it was tried again as
//! Inngest does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use harness::{Baton, Gate, Project, Run};
use serde_json::json;
use tokio::task::JoinHandle;

use crate::calls::{Running, start, version_of};

/// The names of misbehaviours, their code, and the message that the log has about them; no message if only a
/// limit ends the code.
const MISBEHAVIOURS: [(&str, &str, Option<&str>); 9] = [
    ("spins", "for (;;);", None),
    ("exits", "process.exit(1);", Some("isolate ended")),
    ("aborts", "process.abort();", Some("isolate ended")),
    (
        "kills its process",
        "process.kill(process.pid, \"SIGKILL\");",
        Some("isolate ended"),
    ),
    (
        "takes memory without end",
        "const all: unknown[] = [];\nfor (;;) {\n  all.push(new Array(1000).fill({}));\n  await null;\n}",
        Some("isolate ended"),
    ),
    (
        "takes array buffers without end",
        "const all: unknown[] = [];\nfor (;;) all.push(new Uint8Array(4096));",
        Some("isolate ended"),
    ),
    ("throws", "throw new Error(\"thrown\");", None),
    ("leaves a rejection", "Promise.reject(new Error(\"left\"));", None),
    (
        "throws in a timer",
        "setTimeout(() => {\n  throw new Error(\"late\");\n}, 0);",
        None,
    ),
];

/// Returns a function that waits until its gate is open and then runs `body`.
fn misbehaving(body: &str) -> String {
    format!(
        "import {{ Inngest }} from \"inngest\";\nimport {{ untilThereIs }} from \"../lib/work\";\n\
         const inngest = new Inngest({{ id: \"fixture\" }});\n\
         export const bad = inngest.createFunction(\n  \
         {{ id: \"bad\", retries: 1, triggers: [{{ event: \"fixture/bad\" }}], checkpointing: false }},\n  \
         async ({{ event }}) => {{\n    await untilThereIs(event.data.gate);\n{body}\n  }},\n);\n"
    )
}

/// A well-behaved function that is called again and again. A call may be lost if it shares its isolate with a
/// call that kills the isolate, and must then be told to try again. Any other failure ends the test.
struct Neighbour {
    stop: Arc<AtomicBool>,
    task: JoinHandle<usize>,
}

/// The time after which a call without an answer is known to share its isolate's thread with a function that
/// spins.
const SHARED: std::time::Duration = std::time::Duration::from_secs(10);

impl Neighbour {
    fn beside(baton: &Baton) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, executor) = (stop.clone(), baton.executor());
        let task = tokio::spawn(async move {
            let (mut answered, mut shared) = (0, 0);
            while !stopped.load(Ordering::Relaxed) {
                let run = Run::of("fixture-version");
                let Ok(answer) = tokio::time::timeout(SHARED, executor.discover(&run)).await else {
                    // The call had begun in the isolate whose thread is held from then on. No other call goes
                    // there.
                    shared += 1;
                    assert_eq!(shared, 1, "calls wait for a function that spins");
                    continue;
                };
                let answer = answer.expect("an answer");
                match answer.status {
                    200 => answered += 1,
                    _ => {
                        assert_eq!(answer.header("x-inngest-no-retry"), Some("false"), "{answer}");
                        assert_eq!(answer.header("retry-after"), Some("1"), "{answer}");
                    }
                }
            }
            answered
        });
        Self { stop, task }
    }

    async fn was_answered(self) {
        self.stop.store(true, Ordering::Relaxed);
        let answered = self.task.await.expect("every call was answered");
        assert!(answered > 0);
    }
}

fn baton(project: &Project) -> harness::Launch {
    Baton::dev(project)
        .argument("--isolates=2")
        .argument("--heap-limit=96")
        .argument("--buffer-limit=96")
        .argument("--load-timeout=2")
        .argument("--drain-timeout=2")
}

/// Starts a call that runs, and misbehaves once its gate is open.
async fn call_behind_a_gate(project: &Project, baton: &Baton) -> (Gate, Running) {
    let gate = project.gate("bad");
    let run = Run::of("fixture-bad").with_data(json!({ "gate": gate.path() }));
    let bad = start(baton, &run);
    baton.in_flight(1, 1).await;
    (gate, bad)
}

#[tokio::test]
async fn slow_whatever_code_does_while_it_is_loaded_the_current_generation_serves() {
    let project = Project::new();
    let baton = baton(&project).ready().await;
    for (what, body, _) in MISBEHAVIOURS {
        let neighbour = Neighbour::beside(&baton);
        project.write("functions/bad.ts", format!("{body}\nexport {{}};\n"));
        let report = baton.reload().await;
        let harmless = what.starts_with("leaves") || what.ends_with("timer");
        let expected = if harmless { "activated" } else { "rejected" };
        assert_eq!(report.status(), expected, "{what}: {report}");
        assert_eq!(version_of(&baton, "version").await, "1", "{what}");
        neighbour.was_answered().await;
    }
}

#[tokio::test]
async fn slow_whatever_a_call_does_the_others_are_answered() {
    for (what, body, heard) in MISBEHAVIOURS {
        let project = Project::new();
        project.write("functions/bad.ts", misbehaving(body));
        let baton = baton(&project).ready().await;
        let (gate, bad) = call_behind_a_gate(&project, &baton).await;
        let neighbour = Neighbour::beside(&baton);
        gate.open();
        match (what, heard) {
            (_, Some(message)) => drop(baton.wait_for(message, json!({ "generation": 1 })).await),
            ("spins", _) => drop(
                baton
                    .wait_for("isolate blocked", json!({ "function": "fixture-bad" }))
                    .await,
            ),
            _ => drop(bad.answer(&baton).await),
        }
        assert_eq!(version_of(&baton, "version").await, "1", "{what}");
        neighbour.was_answered().await;
    }
}

#[tokio::test]
async fn slow_whatever_a_call_does_while_its_generation_drains_the_next_one_serves() {
    for (what, body, _) in MISBEHAVIOURS {
        let project = Project::new();
        project.write("functions/bad.ts", misbehaving(body));
        let baton = baton(&project).ready().await;
        let (gate, bad) = call_behind_a_gate(&project, &baton).await;
        project.set_version("2");
        assert_eq!(baton.reload().await.activated(), 2, "{what}");
        let neighbour = Neighbour::beside(&baton);
        gate.open();
        let answer = bad.answer(&baton).await;
        assert!([200, 500].contains(&answer.status), "{what}: {answer}");
        baton.wait_for("generation retired", json!({ "generation": 1 })).await;
        assert_eq!(version_of(&baton, "version").await, "2", "{what}");
        neighbour.was_answered().await;
    }
}
