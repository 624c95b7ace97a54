//! Reloads under traffic: callers notice nothing, except that the answers get
//! newer (README, promises 1, 2 and 4).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use harness::{Baton, Executor, Project, Run};
use tokio::task::JoinSet;

const CALLERS: usize = 20;
const RELOADS: usize = 50;

/// One answer: its version, and the time of its call.
struct Served {
    version: usize,
    began: Instant,
    ended: Instant,
}

/// The time in which a version may have been current. Between the request for a
/// reload and its answer, both the old and the new version may serve.
struct Interval {
    from: Instant,
    until: Option<Instant>,
}

/// Calls one function after another, each over a connection of its own, until
/// `enough` is set. Returns the answers, and the calls that failed.
async fn call_on(executor: Executor, enough: Arc<AtomicBool>) -> (Vec<Served>, Vec<String>) {
    let mut served = Vec::new();
    let mut failed = Vec::new();
    while !enough.load(Ordering::Relaxed) {
        // The one function answers at once, the other has a step that yields.
        let function = if served.len() % 2 == 0 {
            "fixture-version"
        } else {
            "fixture-brisk"
        };
        let began = Instant::now();
        let answer = executor.discover(&Run::of(function)).await;
        let ended = Instant::now();
        let version = match &answer {
            Ok(answer) => match answer.status {
                200 => answer.json()["version"].as_str().and_then(|v| v.parse().ok()),
                206 => answer.json()[0]["data"]["version"]
                    .as_str()
                    .and_then(|v| v.parse().ok()),
                _ => None,
            },
            Err(_) => None,
        };
        match (version, answer) {
            (Some(version), _) => served.push(Served { version, began, ended }),
            (None, Ok(answer)) => failed.push(format!("{function}: {answer}")),
            (None, Err(lost)) => failed.push(format!("{function}: {lost}")),
        }
    }
    (served, failed)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_fifty_reloads_under_twenty_callers_fail_no_call_and_serve_no_stale_code() {
    let project = Project::new();
    let baton = Baton::dev(&project).ready().await;
    let enough = Arc::new(AtomicBool::new(false));
    let mut intervals = vec![
        // There is no version 0; version 1 is current from the beginning.
        Interval {
            from: Instant::now(),
            until: Some(Instant::now()),
        },
        Interval {
            from: Instant::now(),
            until: None,
        },
    ];

    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        callers.spawn(call_on(baton.executor(), Arc::clone(&enough)));
    }
    for version in 2..RELOADS + 2 {
        project.set_version(&version.to_string());
        let asked = Instant::now();
        let report = baton.reload().await;
        let _ = report.activated();
        intervals[version - 1].until = Some(Instant::now());
        intervals.push(Interval {
            from: asked,
            until: None,
        });
    }
    enough.store(true, Ordering::Relaxed);

    let mut answers = 0;
    let mut versions = vec![false; intervals.len()];
    while let Some(caller) = callers.join_next().await {
        let (served, failed) = caller.expect("the caller lives");
        assert!(
            failed.is_empty(),
            "{} failed calls, the first: {}",
            failed.len(),
            failed[0]
        );
        let mut newest = 0;
        for call in &served {
            let version = call.version;
            let interval = intervals.get(version).expect("a version that was written");
            let began_in_time = interval.until.is_none_or(|until| call.began <= until);
            assert!(
                began_in_time && call.ended >= interval.from,
                "version {version} answered a call that ran at another time"
            );
            assert!(version >= newest, "version {version} answered after version {newest}");
            newest = version;
            versions[version] = true;
        }
        answers += served.len();
    }
    // The callers were there all the time, so they have seen most versions.
    let seen = versions.iter().filter(|seen| **seen).count();
    assert!(answers >= CALLERS * 2, "only {answers} calls were served");
    assert!(
        seen > RELOADS / 2,
        "only {seen} of {} versions served a call",
        RELOADS + 1
    );

    let last = baton.status().await;
    assert_eq!(last.current(), RELOADS as u64 + 1, "{:#}", last.0);
    baton
        .status_when("all old generations are gone", |status| {
            let generations = status.0["generations"].as_array().expect("generations");
            generations
                .iter()
                .all(|generation| matches!(generation["state"].as_str(), Some("current" | "retired")))
        })
        .await;
}
