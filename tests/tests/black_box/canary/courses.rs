//! The ways that a canary ends, and what becomes of its runs and of whoever waits.

use std::fs;

use harness::{Baton, Cli, Project, Run, deadline};
use serde_json::{Value, json};

use super::{EXITS, GOOD, STEPS, THROWS, begin, canary, end_run, new_run, project, tell, write};

/// The first call of a run: its step is memoised.
async fn begin_run(baton: &Baton) -> (Run, Value) {
    let mut run = new_run(3);
    let first = baton.executor().discover(&run).await.expect("an answer").json();
    run.memoise(
        first[0]["id"].as_str().expect("a step"),
        json!({ "data": first[0]["data"] }),
    );
    (run, first[0]["data"].clone())
}

/// A run of the canary, whose code is version 2.
async fn begin_run_of_canary(baton: &Baton) -> Run {
    for _ in 0..200 {
        let (run, version) = begin_run(baton).await;
        if version == "2" {
            return run;
        }
    }
    panic!("no run was the canary's");
}

#[tokio::test]
async fn runs_of_a_canary_that_is_taken_back_go_on_with_the_old_code() {
    let project = project(STEPS);
    let baton = Baton::start(&project).ready().await;
    write(&project, &STEPS.replace("\"two\"", "\"added\", \"two\""), "2");
    let generation = begin(&baton, 50).await;
    let mut run = begin_run_of_canary(&baton).await;
    // The next step is one that the old code does not have.
    let next = baton.executor().discover(&run).await.expect("an answer").json();
    assert_eq!(
        (&next[0]["displayName"], &next[0]["data"]),
        (&json!("added"), &json!("2"))
    );
    run.memoise(next[0]["id"].as_str().expect("a step"), json!({ "data": "2" }));
    // The old code is known by its runs, which have all of its steps.
    while end_run(&baton, new_run(3)).await != json!(["1", "1", "1"]) {}
    assert_eq!(tell(&baton, "abort").await, 200);
    let told = json!({ "generation": generation, "moved": 1, "unknown_steps": 1 });
    baton.wait_for("canary taken back", told).await;
    assert_eq!(
        end_run(&baton, run).await,
        json!(["2", "1", "1"]),
        "the first step is not run again, and the unknown one is ignored"
    );
    baton
        .wait_for("generation retired", json!({ "generation": generation }))
        .await;
}

#[tokio::test]
async fn runs_of_a_canary_that_is_taken_back_end_where_they_began_if_the_configuration_says_so() {
    let project = project(STEPS);
    project.write("baton.toml", "[canary]\non_fail = \"finish\"\n");
    let baton = Baton::start(&project).ready().await;
    write(&project, STEPS, "2");
    let generation = begin(&baton, 50).await;
    let run = begin_run_of_canary(&baton).await;
    assert_eq!(tell(&baton, "abort").await, 200);
    assert_eq!(end_run(&baton, new_run(3)).await, json!(["1", "1", "1"]));
    assert_eq!(end_run(&baton, run).await, json!(["2", "2", "2"]));
    baton
        .wait_for("generation retired", json!({ "generation": generation }))
        .await;
}

#[tokio::test]
async fn runs_that_began_before_the_canary_stay_with_the_old_code() {
    let project = project(STEPS);
    let baton = Baton::start(&project).ready().await;
    let mut runs = Vec::new();
    for _ in 0..12 {
        runs.push(begin_run(&baton).await.0);
    }
    write(&project, STEPS, "2");
    begin(&baton, 90).await;
    for run in runs {
        assert_eq!(end_run(&baton, run).await, json!(["1", "1", "1"]));
    }
    assert_eq!(
        canary(&baton).await["ended_runs"]["current"]["total"],
        0,
        "they are not counted"
    );
}

/// Has runs end while a command waits for the verdict; returns its exit code.
async fn wait_for_verdict(baton: &Baton, project: &Project, share: &str, waits_for_time: bool) -> Option<i32> {
    let cli = Cli::within(project.root()).env("BATON_STATE_DIR", project.state_dir());
    let command = ["reload", "--canary", share, "--wait"];
    let waiting = cli.baton(&command);
    tokio::pin!(waiting);
    loop {
        tokio::select! {
            finished = &mut waiting => return finished.code,
            _ = end_run(baton, new_run(1)), if !waits_for_time => {}
        }
    }
}

#[tokio::test]
async fn whoever_waits_is_told_by_the_exit_code() {
    for (settings, body, code) in [
        ("least = 3", GOOD, 0),
        ("", THROWS, 1),
        ("", EXITS, 1),
        ("within = \"1s\"\non_time = \"hold\"", GOOD, 3),
        ("within = \"1s\"", GOOD, 3),
    ] {
        let project = project(GOOD);
        project.write("baton.toml", format!("[canary]\n{settings}\n"));
        let baton = Baton::start(&project).ready().await;
        write(&project, body, "2");
        let waits_for_time = settings.starts_with("within");
        let ended = wait_for_verdict(&baton, &project, "50", waits_for_time).await;
        assert_eq!(ended, Some(code), "{settings} {body}: {:#}", canary(&baton).await);
    }
}

/// Nothing bad was seen, since nothing was seen.
#[tokio::test]
async fn silence_is_no_pass() {
    for on_time in ["hold", "promote"] {
        let project = project(GOOD);
        project.write(
            "baton.toml",
            format!("[canary]\nleast = 1\nwithin = \"1s\"\non_time = \"{on_time}\"\n"),
        );
        let baton = Baton::start(&project).ready().await;
        write(&project, GOOD, "2");
        begin(&baton, 50).await;
        let decided = async || {
            let now = canary(&baton).await;
            (now["state"] != "running").then_some(now)
        };
        let now = deadline::until("the canary's time to be up", || baton.stderr().tail(), decided).await;
        if on_time == "hold" {
            assert_eq!((&now["state"], &now["end"]), (&json!("held"), &Value::Null), "{now:#}");
            let line = baton
                .wait_for("canary held: its time is up without a verdict", json!({}))
                .await;
            assert_eq!(line.json["doubt"], "0 of its runs have ended, 1 are wanted", "{line:?}");
            assert_eq!(tell(&baton, "promote").await, 200, "a person decides");
        } else {
            assert_eq!(now["end"]["by"], "time_up", "{now:#}");
            let line = baton.wait_for("canary promoted", json!({})).await;
            let because = line.json["because"].as_str().unwrap_or_default();
            assert!(because.contains("0 of its runs have ended"), "{because}");
        }
    }
}

/// A function of one generation alone is served by it, and so that there is something to compare, another is in both.
#[tokio::test]
async fn functions_that_one_generation_lacks_are_served_by_the_other() {
    let project = project(GOOD);
    let other = |id: &str| {
        format!(
            "import {{ inngest }} from \"../lib/client\";\nexport const {id} = inngest.createFunction(\n  \
             {{ id: \"{id}\", checkpointing: false, triggers: [{{ event: \"fixture/{id}\" }}] }}, async () => \"{id}\",\n);\n"
        )
    };
    project.write("functions/former.ts", other("former"));
    let baton = Baton::start(&project).ready().await;
    fs::remove_file(project.functions().join("former.ts")).expect("a file");
    project.write("functions/added.ts", other("added"));
    begin(&baton, 50).await;
    for _ in 0..6 {
        for id in ["former", "added"] {
            assert_eq!(end_run(&baton, Run::of(&format!("fixture-{id}"))).await, json!(id));
        }
    }
    let now = canary(&baton).await;
    assert_eq!(
        now["ended_runs"]["canary"]["total"], 0,
        "they are not compared: {now:#}"
    );
}
