//! Registries, networks, disks and processes that fail while a host pulls: what serves goes on, the reason is told, and
//! the host mends itself when the cause is gone.

use std::fs;
use std::path::PathBuf;

use harness::http::Call;
use harness::{Baton, Project, Registry, RegistryRelay, RelayMood, deadline};
use serde_json::{Value, json};

use super::{code, project, pushed, told, until_it_tells};

/// Bytes that no compression makes smaller.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    std::iter::repeat_with(&mut next).flatten().take(length).collect()
}

fn error_of(report: &Value) -> &str {
    report["error"]["message"].as_str().unwrap_or_default()
}

/// A host that serves "one" through a relay.
struct Behind {
    project: Project,
    registry: Registry,
    relay: RegistryRelay,
    host: Project,
}

const NAME: &str = "acme/jobs:production";

impl Behind {
    async fn a_relay() -> Option<Self> {
        let project = project();
        let registry = Registry::start(project.scratch()).await?;
        pushed(&project, &registry.reference(NAME)).await;
        let relay = RegistryRelay::before(&registry).await;
        Some(Self {
            project,
            registry,
            relay,
            host: Project::without_packages(),
        })
    }

    async fn serving(&self, poll: &str) -> Baton {
        let launch = Baton::start_release(&self.host, &self.relay.reference(NAME));
        launch.env("BATON_RELEASE_POLL", poll).ready().await
    }

    /// Pushes code that says its version, past the relay.
    async fn push(&self, version: &str) -> Value {
        self.project.write("app.ts", code(version));
        pushed(&self.project, &self.registry.reference(NAME)).await
    }
}

#[tokio::test]
async fn slow_a_registry_that_refuses_or_fails_is_told_and_the_next_look_mends_it() {
    let Some(behind) = Behind::a_relay().await else {
        return;
    };
    let baton = behind.serving("1h").await;
    let mut before = "one";
    for (status, said, version) in [
        (401, "refused the login", "two"),
        (403, "refused the login", "three"),
        (404, "not found", "four"),
        (429, "is busy: it answered 429", "five"),
        (500, "is busy: it answered 500", "six"),
    ] {
        behind.push(version).await;
        behind.relay.set(RelayMood::Failing(status));
        let refused = baton.reload().await;
        assert_eq!(refused.body["error"]["kind"], "release", "{}", refused.body);
        assert!(error_of(&refused.body).contains(said), "{}", refused.body);
        assert!(refused.body["error"]["help"].is_string(), "{}", refused.body);
        let status = baton.status().await;
        let shown = status.0["release"]["error"].as_str().unwrap_or_default();
        assert!(shown.contains(said), "{shown}");
        assert_eq!(told(&baton).await, before);
        behind.relay.set(RelayMood::Passing);
        assert_eq!(baton.reload().await.body["status"], "activated");
        assert_eq!(told(&baton).await, version);
        assert_eq!(baton.status().await.0["release"]["error"], Value::Null);
        before = version;
    }
}

#[tokio::test]
async fn slow_a_host_that_follows_mends_itself_after_failures() {
    let Some(behind) = Behind::a_relay().await else {
        return;
    };
    let baton = behind.serving("0.1").await;
    behind.relay.set(RelayMood::CuttingBlobs(10));
    behind.push("two").await;
    let line = baton
        .wait_for(
            "release cannot be pulled: the current generation goes on serving",
            json!({}),
        )
        .await;
    assert!(
        line.json["error"]
            .as_str()
            .is_some_and(|error| error.contains("was lost")),
        "{}",
        line.text
    );
    assert_eq!(told(&baton).await, "one");
    behind.relay.set(RelayMood::Passing);
    until_it_tells(&baton, "two").await;
    baton.wait_for("registry answers again", json!({})).await;
}

#[tokio::test]
async fn slow_a_download_that_was_cut_goes_on_where_it_ended() {
    let Some(behind) = Behind::a_relay().await else {
        return;
    };
    let baton = behind.serving("1h").await;
    behind.project.write("node_modules/unused/noise", noise(5 << 20));
    behind.push("two").await;
    behind.relay.set(RelayMood::CuttingBlobs(3 << 20));
    let cut = baton.reload().await;
    assert!(error_of(&cut.body).contains("was lost"), "{}", cut.body);
    assert_eq!(told(&baton).await, "one");
    behind.relay.set(RelayMood::Passing);
    assert_eq!(baton.reload().await.body["status"], "activated");
    assert_eq!(told(&baton).await, "two");
    let ranges: Vec<_> = behind
        .relay
        .requests()
        .into_iter()
        .filter_map(|request| request.range)
        .collect();
    let from = ranges
        .first()
        .and_then(|range| range.strip_prefix("bytes="))
        .and_then(|range| range.strip_suffix('-'));
    let from: usize = from
        .and_then(|from| from.parse().ok())
        .unwrap_or_else(|| panic!("{ranges:?}"));
    assert!(from >= 2 << 20, "{ranges:?}");
}

#[tokio::test]
async fn slow_a_rollback_waits_for_no_download_and_a_tag_may_move_while_one_runs() {
    let Some(behind) = Behind::a_relay().await else {
        return;
    };
    let baton = behind.serving("0.1").await;
    let second = behind.push("two").await;
    until_it_tells(&baton, "two").await;
    behind.relay.set(RelayMood::HoldingBlobs);
    let before = behind.relay.requests().len();
    behind.push("three").await;
    deadline::until(
        "a request for a blob",
        || baton.stderr().tail(),
        async || {
            let requests = behind.relay.requests();
            let later = requests.get(before..).unwrap_or_default();
            later
                .iter()
                .any(|request| request.path.contains("/blobs/"))
                .then_some(())
        },
    )
    .await;
    let digest = second["digest"]
        .as_str()
        .expect("a digest")
        .trim_start_matches("sha256:");
    let first = baton.status().await.0["release"]["unpacked"]
        .as_array()
        .expect("releases")
        .iter()
        .find_map(|release| {
            let hex = release["digest"].as_str()?.trim_start_matches("sha256:").to_owned();
            (hex != digest).then_some(hex)
        })
        .expect("the first release");
    let rolled = roll_back(&baton, &first[..12]).await;
    assert_eq!(rolled["status"], "activated", "{rolled}");
    assert_eq!(told(&baton).await, "one");
    // The tag moves once more before the download goes on.
    behind.push("four").await;
    behind.relay.set(RelayMood::Passing);
    until_it_tells(&baton, "four").await;
}

async fn roll_back(baton: &Baton, digits: &str) -> Value {
    let call = baton.admin("POST", "/-/rollback").json(&json!({ "release": digits }));
    call.answer(&baton.door()).await.json()
}

#[tokio::test]
async fn a_rollback_to_a_release_lasts_until_a_reload_and_an_unknown_digest_is_refused() {
    let Some(behind) = Behind::a_relay().await else {
        return;
    };
    let baton = behind.serving("1h").await;
    let first = baton.status().await.0["release"]["unpacked"][0]["digest"].clone();
    behind.push("two").await;
    assert_eq!(baton.reload().await.body["status"], "activated");
    let unknown = roll_back(&baton, "ffffffffffffff").await;
    assert!(
        unknown["error"]["message"]
            .as_str()
            .is_some_and(|message| message.contains("no unpacked release")),
        "{unknown}"
    );
    let rolled = roll_back(&baton, first.as_str().expect("a digest")).await;
    assert_eq!(
        (&rolled["status"], &rolled["release"]["digest"]),
        (&json!("activated"), &first)
    );
    assert_eq!(told(&baton).await, "one");
    assert_eq!(baton.reload().await.body["status"], "activated");
    assert_eq!(told(&baton).await, "two");
}

/// The folder of releases in a host's state folder.
fn releases(host: &Project) -> PathBuf {
    host.state_dir().join("releases")
}

/// The names in the folder of releases that are not those of whole releases.
fn unfinished(host: &Project) -> Vec<String> {
    let entries = fs::read_dir(releases(host)).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with(".partial")).collect()
}

#[tokio::test]
async fn slow_a_host_that_is_killed_while_it_unpacks_starts_whole() {
    let project = project();
    let Some(registry) = Registry::start(project.scratch()).await else {
        return;
    };
    for number in 0..5000 {
        project.write(&format!("node_modules/many/{}/{number}.js", number % 50), "");
    }
    let reference = registry.reference(NAME);
    pushed(&project, &reference).await;
    let host = Project::without_packages();
    let mut child = super::cli(&host).env("BATON_STATE_DIR", host.state_dir()).spawn(&[
        "start",
        &format!("oci://{reference}"),
        "--port",
        "0",
    ]);
    let context = || format!("{:?}", fs::read_dir(releases(&host)).map(Iterator::count));
    deadline::until("the unpacking", context, async || {
        (!unfinished(&host).is_empty()).then_some(())
    })
    .await;
    child.kill().await.expect("it is killed");
    let records = fs::read_dir(releases(&host)).expect("a folder").flatten();
    let records = records.filter(|entry| entry.file_name().to_string_lossy().len() > 60);
    assert!(
        records
            .into_iter()
            .all(|entry| entry.file_name().to_string_lossy().starts_with(".partial")),
        "the release was finished before the kill: the test needs more files"
    );
    let baton = Baton::start_release(&host, &reference).ready().await;
    assert_eq!(told(&baton).await, "one");
    assert_eq!(unfinished(&host), Vec::<String>::new());
    let digest = baton.status().await.0["release"]["unpacked"][0]["digest"].clone();
    let hex = digest
        .as_str()
        .expect("a digest")
        .trim_start_matches("sha256:")
        .to_owned();
    let files = fs::read_dir(releases(&host).join(hex).join("node_modules/many/7")).expect("a folder of the release");
    assert_eq!(files.count(), 100);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn slow_a_full_disk_leaves_what_serves_alone_and_is_told() {
    use harness::{Resource, Shortage};

    let Some(behind) = Behind::a_relay().await else {
        return;
    };
    let launch = Baton::start_release(&behind.host, &behind.relay.reference(NAME)).env("BATON_RELEASE_POLL", "1h");
    let baton = launch.whose_threads_can_run_short().ready().await;
    behind.push("two").await;
    let host = baton.host().await;
    let shortage = Shortage::of(Resource::FileSize, host).expect("a running host");
    let refused = baton.reload().await;
    assert!(error_of(&refused.body).contains("cannot write"), "{}", refused.body);
    assert!(
        refused.body["error"]["help"]
            .as_str()
            .is_some_and(|help| help.contains("disk")),
        "{}",
        refused.body
    );
    assert_eq!(told(&baton).await, "one");
    assert_eq!(unfinished(&behind.host), Vec::<String>::new());
    drop(shortage);
    assert_eq!(baton.reload().await.body["status"], "activated");
    assert_eq!(told(&baton).await, "two");
}

#[tokio::test]
async fn slow_twenty_callers_of_three_hosts_lose_no_call_while_another_release_is_activated() {
    let Some(behind) = Behind::a_relay().await else {
        return;
    };
    let folders = [(); 3].map(|()| Project::without_packages());
    let mut hosts = Vec::new();
    for folder in &folders {
        let launch = Baton::start_release(folder, &behind.relay.reference(NAME));
        hosts.push(launch.env("BATON_RELEASE_POLL", "0.2").ready().await);
    }
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let callers: Vec<_> = (0..20)
        .map(|caller: usize| {
            let doors: Vec<_> = hosts.iter().map(Baton::door).collect();
            let stopped = stopped.clone();
            tokio::spawn(async move {
                // The version of each host never goes back.
                let mut newest = ["one", "one", "one"].map(str::to_owned);
                let mut calls = 0;
                while !*stopped.borrow() {
                    let which = (caller + calls) % doors.len();
                    let answer = Call::new("GET", "/").answer(&doors[which]).await;
                    assert_eq!(answer.status, 200, "{answer}");
                    let version = answer.text();
                    let was = std::mem::replace(&mut newest[which], version.clone());
                    assert!(
                        version == was || (was, version.as_str()) == ("one".to_owned(), "two"),
                        "{version}"
                    );
                    calls += 1;
                }
                (calls, newest)
            })
        })
        .collect();
    behind.push("two").await;
    for host in &hosts {
        until_it_tells(host, "two").await;
    }
    // Each caller meets each host once more.
    let met = behind.relay.requests().len();
    assert!(met > 0);
    for host in &hosts {
        assert_eq!(told(host).await, "two");
    }
    stop.send_replace(true);
    for caller in callers {
        let (calls, _) = deadline::within("a caller's end", String::new, caller)
            .await
            .expect("no lost call");
        assert!(calls > 0);
    }
}

#[tokio::test]
async fn long_a_host_starts_beside_a_registry_that_never_answers_and_tells_the_reason() {
    let Some(behind) = Behind::a_relay().await else {
        return;
    };
    let mut baton = behind.serving("1h").await;
    baton.signal("TERM").await;
    baton.ended().await;
    behind.push("two").await;
    behind.relay.set(RelayMood::Silent);

    let baton = behind.serving("1h").await;
    assert_eq!(told(&baton).await, "one");
    // The registry has 30 s, which is as long as these tests wait for anything else.
    let door = baton.door();
    let asked = baton.admin("PUT", "/api/reload").send(&door);
    let refused = asked.await.expect("an answer").json();
    assert_eq!(refused["error"]["kind"], "release", "{refused}");
    assert!(error_of(&refused).contains("no answer within 30 seconds"), "{refused}");
    let shown = baton.status().await.0["release"]["error"].clone();
    assert!(
        shown.as_str().is_some_and(|error| error.contains("no answer")),
        "{shown}"
    );
    assert_eq!(told(&baton).await, "one");

    behind.relay.set(RelayMood::Passing);
    assert_eq!(baton.reload().await.body["status"], "activated");
    assert_eq!(told(&baton).await, "two");
}
