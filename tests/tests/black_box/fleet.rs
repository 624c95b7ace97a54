//! Several hosts behind one address: the newest code is registered, and the others leave it.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use harness::{Balancer, Baton, Executor, FakeInngest, Op, Project, Run, Sdk, Status};
use serde_json::{Value, json};

fn function(id: &str) -> String {
    format!(
        r#"import {{ Inngest }} from "inngest";
const inngest = new Inngest({{ id: "shop" }});
export const {id} = inngest.createFunction(
  {{ id: "{id}", triggers: [{{ event: "shop/{id}" }}], retries: 0 }},
  async ({{ step }}) => step.run("answer", () => "{id}"),
);
"#
    )
}

/// A function with two parallel steps, each of which writes a line when it runs.
fn packing(version: u32) -> String {
    format!(
        r#"import {{ appendFileSync }} from "node:fs";
import {{ Inngest }} from "inngest";
const inngest = new Inngest({{ id: "shop" }});
export const pack = inngest.createFunction(
  {{ id: "pack", triggers: [{{ event: "shop/pack" }}], retries: 0 }},
  async ({{ step, runId }}) => {{
    const names = ["left-{version}", "right-{version}"];
    const parts = names.map((name) =>
      step.run(name, () => appendFileSync(process.env.RAN!, `${{runId}} ${{name}}\n`)),
    );
    return (await Promise.all(parts)).length;
  }},
);
"#
    )
}

/// Hosts of the same project, each with its own folder, behind a balancer.
struct Fleet {
    balancer: Balancer,
    inngest: FakeInngest,
    hosts: Vec<(Project, Baton)>,
}

impl Fleet {
    /// Starts three hosts, whose project has the functions `order` and `refund`.
    async fn start() -> Self {
        let (balancer, inngest) = (Balancer::start().await, FakeInngest::start().await);
        let mut hosts = Vec::new();
        for _ in 0..3 {
            let project = Project::without_functions(Sdk::V4);
            project.write("functions/order.ts", function("order"));
            project.write("functions/refund.ts", function("refund"));
            project.write("functions/pack.ts", packing(1));
            let ran = record_of_steps(hosts.first().map_or(&project, |(first, _)| first));
            let launch = Baton::dev(&project).inngest(&inngest).registering();
            let launch = launch.env("INNGEST_SERVE_ORIGIN", balancer.url()).env("RAN", ran);
            let baton = launch.ready().await;
            balancer.add(baton.port());
            registered(&baton).await;
            hosts.push((project, baton));
        }
        Self {
            balancer,
            inngest,
            hosts,
        }
    }

    fn baton(&self, which: usize) -> &Baton {
        &self.hosts[which].1
    }

    /// Gives a host code with one more function and one less.
    async fn update(&self, which: usize) {
        let (project, baton) = &self.hosts[which];
        project.write("functions/ship.ts", function("ship"));
        project.remove("functions/refund.ts");
        project.write("functions/pack.ts", packing(2));
        assert_eq!(baton.reload().await.status(), "activated");
    }

    /// Begins runs: each has planned its steps then.
    async fn begun_runs(&self, count: usize) -> Vec<(Run, Vec<Op>)> {
        let executor = self.balancer.executor();
        let begun = (0..count).map(|_| (executor.clone(), Run::of("shop-pack")));
        at_once(begun.map(|(executor, mut run)| async move {
            run.max_attempts = 1;
            let answer = executor.discover(&run).await.expect("an answer");
            assert_eq!(answer.status, 206, "{answer}");
            run.version = answer
                .header("x-inngest-req-version")
                .and_then(|version| version.parse().ok())
                .expect("a version");
            let ops = Op::all(answer.json());
            assert!(ops.iter().all(|op| op.code() == "StepPlanned"), "{ops:?}");
            (run.planned(), ops)
        }))
        .await
    }

    async fn holds(&self, ids: &[&str]) {
        let what = format!("{ids:?} to be held");
        self.inngest.wait_until(&what, |fake| fake.holds() == ids).await;
    }
}

/// The file in which the steps write that they ran.
fn record_of_steps(first: &Project) -> PathBuf {
    first.scratch().join("ran")
}

/// Does all this at once, and returns the results in order.
async fn at_once<F>(all: impl Iterator<Item = F>) -> Vec<F::Output>
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    let tasks: Vec<_> = all.map(tokio::spawn).collect();
    let mut results = Vec::new();
    for task in tasks {
        results.push(task.await.expect("no failure"));
    }
    results
}

/// Runs the planned steps of runs.
async fn run_steps(executor: &Executor, runs: Vec<(Run, Vec<Op>)>) -> Vec<Run> {
    let runs = runs.into_iter().map(|(run, ops)| (executor.clone(), run, ops));
    at_once(runs.map(|(executor, mut run, ops)| async move {
        let calls = ops.iter().map(|op| (executor.clone(), run.clone(), op.clone()));
        let answers = at_once(calls.map(|(executor, run, op)| async move {
            let answer = executor.call_step(&run, op.id()).await.expect("an answer");
            assert_eq!(answer.status, 206, "{}: {answer}", op.display_name());
            answer
        }));
        for (op, answer) in ops.iter().zip(answers.await) {
            run.memoise(op.id(), json!({ "data": answer.json()[0]["data"] }));
        }
        run
    }))
    .await
}

/// Calls a function three times, so that each host gets a call.
async fn call_everywhere(executor: &Executor, function: &'static str) {
    let executors = (0..3).map(|_| executor.clone());
    at_once(executors.map(|executor| async move {
        let mut run = Run::of(function);
        run.max_attempts = 1;
        let answer = executor.discover(&run).await.expect("an answer");
        assert!(matches!(answer.status, 200 | 206), "{function}: {answer}");
    }))
    .await;
}

async fn registered(baton: &Baton) {
    let is = |status: &Status| status.0["registration"]["state"] == "registered";
    baton.status_when("the host to be registered", is).await;
}

/// Waits until a host leaves the registration to another one, and returns that one's id.
async fn stands_by(baton: &Baton) -> Value {
    let is = |status: &Status| status.0["registration"]["newer"].is_object();
    let status = baton.status_when("the host to stand by", is).await;
    status.0["registration"]["newer"]["host"].clone()
}

const OLD: [&str; 3] = ["shop-order", "shop-pack", "shop-refund"];
const NEW: [&str; 3] = ["shop-order", "shop-pack", "shop-ship"];

#[tokio::test]
async fn a_rolling_reload_of_three_hosts_registers_three_times_at_most() {
    let fleet = Fleet::start().await;
    fleet.holds(&OLD).await;
    let before = fleet.inngest.registrations().len();

    fleet.update(0).await;
    fleet.holds(&NEW).await;
    let ready = fleet.baton(0).get("/-/ready").await.json();
    assert!(ready["code_time"].is_string(), "{ready}");
    for which in [1, 2] {
        assert_eq!(stands_by(fleet.baton(which)).await, ready["host"]);
    }
    // They look again and leave it.
    let status = fleet.baton(1).status().await;
    assert_eq!(status.0["registration"]["state"], "drifted");
    assert_eq!(fleet.inngest.holds(), NEW);

    for which in [1, 2] {
        fleet.update(which).await;
    }
    for which in 0..3 {
        registered(fleet.baton(which)).await;
    }
    let registrations = fleet.inngest.registrations().len() - before;
    assert!(registrations <= 3, "{registrations} registrations");
    assert_eq!(fleet.inngest.holds(), NEW);
}

#[tokio::test]
async fn a_host_with_older_code_registers_once_the_newest_is_gone() {
    let mut fleet = Fleet::start().await;
    fleet.update(2).await;
    fleet.holds(&NEW).await;
    stands_by(fleet.baton(0)).await;
    stands_by(fleet.baton(1)).await;

    let (_project, mut newest) = fleet.hosts.remove(2);
    fleet.balancer.remove(newest.port());
    newest.signal("TERM").await;
    newest.ended().await;
    fleet.holds(&OLD).await;
    registered(fleet.baton(0)).await;
    registered(fleet.baton(1)).await;
}

#[tokio::test]
async fn a_host_that_registers_nothing_tells_no_id() {
    let (project, balancer) = (Project::without_functions(Sdk::V4), Balancer::start().await);
    project.write("functions/order.ts", function("order"));
    let baton = Baton::dev(&project).env("INNGEST_SERVE_ORIGIN", balancer.url());
    let ready = baton.ready().await.get("/-/ready").await.json();
    assert_eq!((&ready["host"], &ready["code_time"]), (&Value::Null, &Value::Null));
}

#[tokio::test]
async fn runs_without_retries_end_while_hosts_have_different_code_and_no_step_runs_twice() {
    let fleet = Fleet::start().await;
    let executor = fleet.balancer.executor();
    let mut runs = Vec::new();
    for (which, count) in [14, 13, 13].into_iter().enumerate() {
        let begun = fleet.begun_runs(count).await;
        fleet.update(which).await;
        runs.extend(run_steps(&executor, begun).await);
        call_everywhere(&executor, "shop-ship").await;
        call_everywhere(&executor, "shop-refund").await;
    }
    let ends = runs.into_iter().map(|run| (executor.clone(), run));
    let ends = at_once(ends.map(|(executor, run)| async move { executor.drive(run, &|_| Value::Null).await }));
    for finish in ends.await {
        let statuses: Vec<_> = finish.calls.iter().map(|(_, answer)| answer.status).collect();
        assert!(
            statuses.iter().all(|status| matches!(status, 200 | 206)),
            "{statuses:?}"
        );
        assert_eq!(finish.value(), 2);
    }
    let ran = fs::read_to_string(record_of_steps(&fleet.hosts[0].0)).expect("the record");
    let lines: Vec<_> = ran.lines().collect();
    let different: BTreeSet<_> = lines.iter().collect();
    assert_eq!(lines.len(), different.len(), "a step ran twice: {ran}");
    assert!(lines.len() >= 80, "{ran}");
}

#[tokio::test]
async fn a_reload_that_waits_for_the_older_code_lets_it_linger_no_longer() {
    let fleet = Fleet::start().await;
    fleet.update(0).await;
    assert_eq!(fleet.baton(0).status().await.state(1), "draining", "it lingers");
    fleet.hosts[0].0.write("functions/pack.ts", packing(3));
    let report = fleet.baton(0).reload_with("?wait=drained").await;
    assert_eq!(report.status(), "activated");
    assert_eq!(fleet.baton(0).status().await.state(1), "retired");
    assert_eq!(fleet.baton(0).status().await.state(2), "retired");
}
