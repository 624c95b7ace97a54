//! A system that has no thread or descriptor left for a moment: new requests are refused or wait, running calls go
//! on, and afterwards everything is as before (README, promise 6).

use std::time::Duration;

use harness::{Baton, Chance, Launch, Project, Resource, Run, Shortage, deadline};
use serde_json::json;

use crate::calls::{start, version_of};

/// A function whose call ends its isolate.
const EXITS: &str = r#"import { inngest } from "../lib/client";
export const exits = inngest.createFunction(
  { id: "exits", retries: 0, checkpointing: false, triggers: [{ event: "fixture/exits" }] },
  async () => process.exit(1),
);
"#;

const KINDS: [Resource; 2] = [Resource::Threads, Resource::Descriptors];

fn project() -> Project {
    let project = Project::new();
    project.write("functions/exits.ts", EXITS);
    project
}

fn both(project: &Project) -> [Launch; 2] {
    [Baton::dev(project), Baton::start(project)].map(Launch::whose_threads_can_run_short)
}

/// Waits until calls are served by this version of the code, without asking for a reload.
async fn serves(baton: &Baton, version: &str) {
    deadline::until(
        &format!("version {version} serves"),
        || baton.stderr().tail(),
        async || (version_of(baton, "version").await == version).then_some(()),
    )
    .await;
}

#[tokio::test]
async fn slow_a_reload_while_nothing_more_can_be_had_is_made_up_for() {
    for kind in KINDS {
        let project = project();
        for launch in both(&project) {
            project.set_version("1");
            let baton = launch.ready().await;
            let host = baton.host().await;
            let door = baton.control_socket();
            for version in ["2", "3"] {
                let short = Shortage::of(kind, host).expect("the host lives");
                project.set_version(version);
                let reload = baton.admin("PUT", "/api/reload").header("x-test", version).send(&door);
                // Without a descriptor not even a request can come in.
                let answer = tokio::time::timeout(Duration::from_secs(2), reload).await;
                if let Ok(Ok(answer)) = answer {
                    let status = answer.json()["status"].clone();
                    assert!(
                        status == "activated" || answer.json()["error"]["kind"] == "system",
                        "{answer}"
                    );
                }
                drop(short);
                if kind == Resource::Descriptors {
                    let _ = baton.reload().await;
                }
                serves(&baton, version).await;
            }
            assert_eq!(baton.get("/-/ready").await.status, 200);
            project.set_version("4");
            assert_eq!(baton.reload().await.status(), "activated");
        }
    }
}

#[tokio::test]
async fn slow_an_isolate_that_ends_while_nothing_more_can_be_had_is_replaced_afterwards() {
    for kind in KINDS {
        let project = project();
        let baton = Baton::dev(&project)
            .argument("--no-spare")
            .whose_threads_can_run_short()
            .ready()
            .await;
        let ended = start(&baton, &Run::of("fixture-exits"));
        let short = Shortage::of(kind, baton.pid()).expect("the host lives");
        let heard = baton.wait_for("isolate ended", json!({}));
        let _ = tokio::time::timeout(Duration::from_secs(2), heard).await;
        drop(short);
        drop(ended.answer(&baton).await);
        assert_eq!(version_of(&baton, "version").await, "1");
        assert_eq!(baton.reload().await.status(), "unchanged");
    }
}

#[tokio::test]
async fn slow_shortages_at_any_moment_of_calls_reloads_and_upgrades_pass_without_a_trace() {
    const ROUNDS: u64 = 40;
    let project = project();
    let baton = Baton::start(&project).whose_threads_can_run_short().ready().await;
    let mut chance = Chance(0x5eed);
    for round in 0..ROUNDS {
        let version = format!("r{round}");
        project.set_version(&version);
        let host = baton.host().await;
        let act = async {
            match round % 8 {
                7 => drop(baton.upgrade(&[]).await),
                _ => drop(baton.admin("PUT", "/api/reload").send(&baton.door()).await),
            }
        };
        let call = async { baton.executor().discover(&Run::of("fixture-version")).await };
        let (kind, before, during) = (KINDS[chance.below(2) as usize], chance.below(40), chance.below(250));
        let shortage = async {
            tokio::time::sleep(Duration::from_millis(before)).await;
            let short = Shortage::of(kind, host);
            tokio::time::sleep(Duration::from_millis(during)).await;
            drop(short);
        };
        let all = async { tokio::join!(act, call, shortage) };
        let ((), answer, ()) = deadline::within("a call and a reload", || baton.stderr().tail(), all).await;
        let status = answer.map(|answer| answer.status).expect("an answer");
        assert!(status == 200 || status == 500 || status == 503, "{status}");
    }
    project.set_version("last");
    let report = baton.reload().await;
    assert!(
        ["activated", "unchanged"].contains(&report.status()),
        "{report}\n{}",
        baton.stderr().tail()
    );
    serves(&baton, "last").await;
    let upgraded = baton.upgrade(&[]).await;
    assert_eq!(upgraded.code, Some(0), "{upgraded}");
    serves(&baton, "last").await;
    assert_eq!(baton.stderr().count("a task of the host failed", &json!({})), 0);
}
