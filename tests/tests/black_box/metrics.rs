//! The metrics of `/-/metrics`, read by Prometheus' own client library, and their documentation in docs/metrics.md.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Stdio;

use harness::gateway::FakeConnect;
use harness::{Baton, Project, Run};
use serde::Deserialize;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::calls::{gated, start, version_of};

#[derive(Debug, Deserialize)]
struct Family {
    name: String,
    r#type: String,
    help: String,
    samples: Vec<Sample>,
}

#[derive(Debug, Deserialize)]
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

/// A scrape, read by the library.
struct Scrape(Vec<Family>);

impl Scrape {
    async fn of(baton: &Baton) -> Self {
        let answer = baton.get("/-/metrics").await;
        assert_eq!(answer.status, 200, "{answer}");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scrape.py");
        let mut child = python_with_client()
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("python3 starts");
        let mut input = child.stdin.take().expect("its standard input");
        input.write_all(answer.text().as_bytes()).await.expect("a reader");
        drop(input);
        let output = child.wait_with_output().await.expect("its output");
        let why = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "the scrape is not understood: {why}\n{answer}");
        Self(serde_json::from_slice(&output.stdout).expect("JSON"))
    }

    /// Returns the value of the one sample with these labels, 0 when there is none.
    fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let samples = self.0.iter().flat_map(|family| &family.samples);
        let mut found = samples.filter(|sample| {
            let fits = |(label, value): &(&str, &str)| sample.labels.get(*label).is_some_and(|is| is == value);
            sample.name == name && labels.iter().all(fits)
        });
        let value = found.next().map_or(0.0, |sample| sample.value);
        assert!(found.next().is_none(), "more than one {name} {labels:?}");
        value
    }
}

/// The variable with the folder into which `bin/test` has put Prometheus' client from PyPI.
const PACKAGES: &str = "BATON_TEST_PYTHONPATH";

/// Returns a Python that imports Prometheus' client, from that folder or from its own packages. Debian's package is
/// for Debian's Python.
fn python_with_client() -> Command {
    let python = |program: &str| {
        let mut command = std::process::Command::new(program);
        if let Some(packages) = std::env::var_os(PACKAGES) {
            command.env("PYTHONPATH", packages);
        }
        command
    };
    let found = ["python3", "/usr/bin/python3"].into_iter().find(|program| {
        let imports = python(program).args(["-c", "import prometheus_client"]).output();
        imports.is_ok_and(|output| output.status.success())
    });
    let found = found.expect(
        "Prometheus' client library for Python is missing: run `bin/test`, which fetches it, or \
         `python3 -m pip install prometheus-client`",
    );
    Command::from(python(found))
}

#[tokio::test]
async fn a_scrape_is_what_happened() {
    let project = Project::new();
    let baton = Baton::dev(&project).ready().await;
    for _ in 0..3 {
        assert_eq!(version_of(&baton, "version").await, "1");
    }
    let failed = start(&baton, &Run::of("fixture-failing-function")).answer(&baton).await;
    assert!(failed.status >= 400, "{failed}");
    for made_up in ["fixture-nobody", "fixture-nothing"] {
        let _ = start(&baton, &Run::of(made_up)).answer(&baton).await;
    }
    let gate = project.gate("slow");
    let slow = start(&baton, &gated(&gate));
    baton.in_flight(1, 1).await;
    project.set_version("2");
    assert_eq!(baton.reload().await.activated(), 2);
    project.write("functions/broken.ts", "export const = 1;");
    assert_eq!(baton.reload().await.http, 422);

    let scrape = Scrape::of(&baton).await;
    let calls = |function, outcome| scrape.value("baton_calls_total", &[("function", function), ("outcome", outcome)]);
    assert!((calls("fixture-version", "completed") - 3.0).abs() < 0.5);
    assert!((calls("fixture-failing-function", "failed") - 1.0).abs() < 0.5);
    assert!(
        (calls("unknown", "failed") - 2.0).abs() < 0.5,
        "made-up functions have no series of their own"
    );
    assert!((calls("fixture-nobody", "failed")).abs() < 0.5);
    let value = |name, labels: &[(&str, &str)]| scrape.value(name, labels);
    assert!((value("baton_call_duration_seconds_count", &[("function", "fixture-version")]) - 3.0).abs() < 0.5);
    assert!((value("baton_calls_in_flight", &[("generation", "1")]) - 1.0).abs() < 0.5);
    assert!((value("baton_generation_leases", &[("generation", "1")]) - 1.0).abs() < 0.5);
    assert!((value("baton_generation_current", &[]) - 2.0).abs() < 0.5);
    assert!((value("baton_generations", &[("state", "draining")]) - 1.0).abs() < 0.5);
    assert!((value("baton_generations", &[("state", "current")]) - 1.0).abs() < 0.5);
    // The first load counts, too.
    assert!((value("baton_reloads_total", &[("outcome", "activated")]) - 2.0).abs() < 0.5);
    assert!((value("baton_reloads_total", &[("outcome", "rejected")]) - 1.0).abs() < 0.5);
    assert!((value("baton_reload_duration_seconds_count", &[("outcome", "rejected")]) - 1.0).abs() < 0.5);
    assert!((value("baton_isolates", &[("generation", "2"), ("state", "free")]) - 1.0).abs() < 0.5);
    assert!((value("baton_generation", &[("generation", "2")]) - 1.0).abs() < 0.5);
    assert!(value("baton_isolate_heap_bytes", &[("generation", "1"), ("isolate", "0")]) > 1e6);

    gate.open();
    assert_eq!(slow.answer(&baton).await.status, 206);
    baton
        .status_when("one generation is left", |status| {
            status.generation(1)["state"] == "retired"
        })
        .await;
    let scrape = Scrape::of(&baton).await;
    let stepped = [("function", "fixture-gated"), ("outcome", "stepped")];
    assert!((scrape.value("baton_calls_total", &stepped) - 1.0).abs() < 0.5);
    assert!(scrape.value("baton_calls_in_flight", &[("generation", "1")]).abs() < 0.5);
}

#[tokio::test]
async fn each_metric_is_documented_and_the_dashboard_asks_for_no_other() {
    let (project, server) = (Project::new(), FakeConnect::start().await);
    let launch = Baton::dev(&project)
        .argument("--connect")
        .env("INNGEST_DEV", server.url());
    let baton = launch.registering().ready().await;
    // The reload, the call and the connection give their families a sample. (A family without a sample is left out.)
    project.set_version("2");
    assert_eq!(baton.reload().await.activated(), 2);
    assert_eq!(version_of(&baton, "version").await, "2");
    let scrape = Scrape::of(&baton).await;
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let text = std::fs::read_to_string(docs.join("metrics.md")).expect("docs/metrics.md");
    let rows = text.lines().filter(|line| line.starts_with("| `baton_"));
    let documented: BTreeMap<String, String> = rows
        .map(|row| {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            let name = cells[1].trim_matches('`');
            (
                name.strip_suffix("_total").unwrap_or(name).to_owned(),
                cells[2].to_owned(),
            )
        })
        .collect();
    let scraped: BTreeMap<String, String> = scrape
        .0
        .iter()
        .map(|family| (family.name.clone(), family.r#type.clone()))
        .collect();
    assert_eq!(documented, scraped, "docs/metrics.md and a scrape");
    assert!(scrape.0.iter().all(|family| !family.help.is_empty()));

    let dashboard = std::fs::read_to_string(docs.join("grafana-dashboard.json")).expect("the dashboard");
    let asked: BTreeSet<&str> = dashboard
        .split(|letter: char| !letter.is_ascii_lowercase() && letter != '_')
        .filter(|word| word.starts_with("baton_"))
        .collect();
    let known = |word: &str| {
        let family = ["_total", "_bucket"]
            .iter()
            .find_map(|suffix| word.strip_suffix(suffix))
            .unwrap_or(word);
        documented.contains_key(family)
    };
    assert!(asked.len() > 8 && asked.iter().all(|word| known(word)), "{asked:?}");
}
