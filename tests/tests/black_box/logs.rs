//! The log keeps the promises of docs/logs.md (README, promise 7): each line of a busy run is an event of
//! its table, with the promised fields and no others.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use harness::{Baton, Project, Run, Sdk, deadline};
use serde_json::{Value, json};

use crate::calls::{start, version_of};

/// A row of the table.
struct Event {
    level: String,
    target: String,
    /// The message, split at `…`.
    message: Vec<String>,
    needed: BTreeSet<String>,
    optional: BTreeSet<String>,
}

/// Reads the table of events in docs/logs.md.
fn table() -> Vec<Event> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/logs.md");
    let text = std::fs::read_to_string(file).expect("docs/logs.md");
    let events = text.split("## Events").nth(1).expect("a section of events");
    let rows = events.lines().filter(|line| line.starts_with("| `"));
    let quoted = |text: &str| -> BTreeSet<String> {
        let parts = text.split('`').skip(1).step_by(2);
        parts.map(str::to_owned).collect()
    };
    let table: Vec<Event> = rows
        .map(|row| {
            let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
            let [level, target, message, fields] = cells[..] else {
                panic!("a row of four cells: {row}");
            };
            let (needed, optional) = fields.split_once('[').unwrap_or((fields, ""));
            Event {
                level: level.trim_matches('`').to_owned(),
                target: target.to_owned(),
                message: message.trim_matches('`').split('…').map(str::to_owned).collect(),
                needed: quoted(needed),
                optional: quoted(optional),
            }
        })
        .collect();
    assert!(table.len() > 40, "the table was read: {} rows", table.len());
    table
}

impl Event {
    fn says(&self, message: &str) -> bool {
        let (first, rest) = self.message.split_first().expect("a part");
        let Some((last, middle)) = rest.split_last() else {
            return message == first;
        };
        let Some(mut left) = message
            .strip_prefix(first.as_str())
            .and_then(|left| left.strip_suffix(last.as_str()))
        else {
            return false;
        };
        middle.iter().all(|part| match left.split_once(part.as_str()) {
            Some((_, after)) => {
                left = after;
                true
            }
            None => false,
        })
    }

    fn fits(&self, line: &Value) -> bool {
        let text = |name: &str| line[name].as_str().unwrap_or_default();
        let of_target = text("target").split("::").next() == Some(self.target.as_str());
        if text("level") != self.level || !of_target || !self.says(text("message")) {
            return false;
        }
        let fields: BTreeSet<String> = line.as_object().expect("an object").keys().cloned().collect();
        let promised = ["timestamp", "level", "target", "message"].map(str::to_owned);
        let own: BTreeSet<String> = fields.difference(&promised.clone().into()).cloned().collect();
        promised.iter().all(|name| fields.contains(name))
            && self.needed.is_subset(&own)
            && own.difference(&self.needed).all(|name| self.optional.contains(name))
    }
}

const TROUBLE: &str = r#"import { Inngest } from "inngest";
const inngest = new Inngest({ id: "fixture" });
const define = (id: string, act: () => unknown) =>
  inngest.createFunction({ id, retries: 1, triggers: [{ event: `fixture/${id}` }] }, async () => act());
export const busy = define("busy", () => {
  const end = Date.now() + 2500;
  while (Date.now() < end);
  console.warn("was busy");
});
export const says = define("says", () => { console.log("hello"); console.error("oh"); console.debug("psst"); return 1; });
export const exits = define("exits", () => process.exit(3));
"#;

#[tokio::test]
async fn each_line_of_a_busy_run_is_an_event_of_the_table() {
    let project = Project::of(Sdk::V4);
    project.write("functions/trouble.ts", TROUBLE);
    let file = project.scratch().join("logs/baton.log");
    let launch = Baton::dev(&project).argument("--verbose").argument("--slow-call=1ms");
    let mut baton = launch.argument("--log-file").argument(file.clone()).ready().await;
    for function in ["says", "busy"] {
        let answer = start(&baton, &Run::of(&format!("fixture-{function}")))
            .answer(&baton)
            .await;
        assert!(answer.status < 300, "{answer}");
    }
    baton.wait_for("isolate free again", json!({})).await;
    let exited = start(&baton, &Run::of("fixture-exits")).answer(&baton).await;
    assert_eq!(exited.status, 500, "{exited}");
    project.set_version("2");
    assert_eq!(baton.reload().await.activated(), 2);
    assert_eq!(version_of(&baton, "version").await, "2");
    project.write("functions/broken.ts", "export const = 1;");
    assert_eq!(baton.reload().await.http, 422);
    project.remove("functions/broken.ts");
    assert_eq!(baton.rollback(None).await.status, 200);
    let refused = harness::http::Call::new("PUT", "/api/reload").header("origin", "https://evil.example");
    assert_eq!(refused.answer(&baton.door()).await.status, 403);
    baton.signal("TERM").await;
    assert_eq!(baton.ended().await.code(), Some(0));
    baton.stderr().end().await;

    let text = baton.stderr().text();
    let table = table();
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for line in text.lines() {
        let json: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("no JSON ({error}): {line}"));
        assert!(
            table.iter().any(|event| event.fits(&json)),
            "docs/logs.md has no such event: {line}"
        );
        *seen
            .entry(json["message"].as_str().unwrap_or_default().to_owned())
            .or_default() += 1;
    }
    for message in [
        "listening",
        "generation activated",
        "generation rejected",
        "generation retired",
        "call answered",
        "call was slow",
        "call failed",
        "isolate blocked",
        "isolate free again",
        "isolate ended",
        "admin action",
        "admin request refused",
        "was busy",
        "hello",
        "oh",
        "ended",
    ] {
        assert!(seen.contains_key(message), "no {message:?} among {seen:#?}");
    }
    let written = std::fs::read_to_string(&file).expect("the log file");
    let messages = |text: &str| -> Vec<String> {
        let lines = text
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        let mut messages: Vec<String> = lines.map(|line| line["message"].to_string()).collect();
        // Lines of two threads that log at once may come in either order.
        messages.sort();
        messages
    };
    assert_eq!(messages(&written), messages(&text), "the file has the same lines");
}

#[tokio::test]
async fn a_log_file_is_rotated_while_the_host_runs_and_one_that_cannot_be_written_is_said() {
    let project = Project::of(Sdk::V4);
    project.write(
        "functions/chatty.ts",
        r#"import { Inngest } from "inngest";
const inngest = new Inngest({ id: "fixture" });
export const chatty = inngest.createFunction(
  { id: "chatty", retries: 1, triggers: [{ event: "fixture/chatty" }] },
  async () => { for (let at = 0; at < 1500; at++) console.log(`line ${at} ${"x".repeat(1000)}`); });
"#,
    );
    let file = project.scratch().join("baton.log");
    let launch = Baton::dev(&project).argument("--log-file").argument(file.clone());
    let baton = launch.argument("--log-size=1").argument("--log-keep=1").ready().await;
    for _ in 0..2 {
        let answer = start(&baton, &Run::of("fixture-chatty")).answer(&baton).await;
        assert!(answer.status < 300, "{answer}");
    }
    let older = project.scratch().join("baton.log.1");
    let size = |path: &Path| std::fs::metadata(path).map_or(0, |file| file.len());
    // A thread of its own writes the log.
    let rotated = async || (size(&older) > 1 << 19).then_some(());
    deadline::until("a full log file", || baton.stderr().tail(), rotated).await;
    assert!(size(&older) <= 1 << 20, "{} bytes", size(&older));
    assert!(size(&file) <= 1 << 20, "{} bytes", size(&file));
    assert!(!project.scratch().join("baton.log.2").exists(), "one is kept");

    let taken = Project::of(Sdk::V4);
    let launch = Baton::dev(&taken).argument("--log-file").argument(taken.functions());
    let refused = launch.to_the_end().await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("cannot write the log file"), "{refused:?}");
}

/// The pipe is full, because its reader hangs or somebody has pressed Ctrl-S.
#[tokio::test]
async fn a_log_that_nobody_reads_stops_nobody_and_what_was_dropped_is_told_later() {
    let project = Project::of(Sdk::V4);
    project.write(
        "functions/loud.ts",
        r#"import { Inngest } from "inngest";
const inngest = new Inngest({ id: "fixture" });
export const loud = inngest.createFunction(
  { id: "loud", retries: 1, triggers: [{ event: "fixture/loud" }] },
  async () => { for (let at = 0; at < 24; at++) console.log("x".repeat(1 << 19)); });
"#,
    );
    for launch in [Baton::dev(&project), Baton::start(&project)] {
        let mut baton = launch.ready().await;
        let be_loud = async || {
            let answer = start(&baton, &Run::of("fixture-loud")).answer(&baton).await;
            assert!(answer.status < 300, "{answer}");
            assert_eq!(baton.get("/-/live").await.status, 200);
            assert_eq!(version_of(&baton, "version").await, "1");
        };
        baton.stderr().reads(false);
        be_loud().await;
        let metrics = baton.get("/-/metrics").await.text();
        let dropped = metrics
            .lines()
            .find_map(|line| line.strip_prefix("baton_log_lines_dropped_total "));
        assert!(dropped.is_some_and(|lines| lines != "0"), "{metrics}");
        baton.stderr().reads(true);
        let told = "lines of the log were dropped: they were not read in time";
        let line = baton.wait_for(told, json!({ "place": "standard error" })).await;
        assert!(
            line.json["lines"].as_u64().is_some_and(|lines| lines > 0),
            "{}",
            line.text
        );
        baton.stderr().reads(false);
        be_loud().await;
        baton.signal("TERM").await;
        assert_eq!(baton.ended().await.code(), Some(0));
    }
}
