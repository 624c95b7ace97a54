//! Code of earlier generations: the last good code, rollbacks, and the way back to the disk.

use super::*;

#[tokio::test]
async fn rolling_back_serves_what_an_earlier_generation_was_made_of() {
    let host = Host::serving("one").await;
    host.edit("two").await;
    let report = host.keeper.request(WantedCode::Rollback(None), Reason::Rollback).await;
    assert_eq!(
        report.outcome.serving(),
        Some(GenerationId(3)),
        "under a number of its own"
    );
    assert_eq!(text(host.call(quick()).await), "one");
    let report = host
        .keeper
        .request(WantedCode::Rollback(Some(GenerationId(2))), Reason::Rollback)
        .await;
    assert_eq!(report.outcome.serving(), Some(GenerationId(4)));
    assert_eq!(text(host.call(quick()).await), "two");
    let report = host
        .keeper
        .request(WantedCode::Rollback(Some(GenerationId(99))), Reason::Rollback)
        .await;
    assert!(matches!(report.outcome, Outcome::NotKept { .. }));
}

#[tokio::test]
async fn a_host_that_starts_on_broken_code_serves_what_the_last_one_served_and_says_so() {
    let first = Host::serving("one").await;
    first.edit("two").await;
    first.keeper.stop().await;

    let next = Host::after(first.folder.clone(), Code::Broken("of today"), Pin::Nothing);
    let report = next.keeper.request(RELOAD, Reason::Start).await;
    assert!(
        matches!(&report.outcome, Outcome::Rejected { generation: None, .. }),
        "{report:?}"
    );
    assert_eq!(text(next.call(quick()).await), "two");
    let current = next.table.current().unwrap().id;
    assert_eq!(current, GenerationId(4), "numbers go on: 3 was rejected");
    let view = next.table.view();
    let entry = view.entries.iter().find(|entry| entry.id == current).unwrap();
    assert_eq!(entry.reason, Reason::LastGood);
    assert_eq!(entry.restored_from, Some(GenerationId(2)));
    assert!(view.last_rejected.is_some(), "what is on the disk is still broken");

    next.edit("three").await;
    assert_eq!(text(next.call(quick()).await), "three");
    assert!(next.table.view().last_rejected.is_none());
}

#[tokio::test]
async fn a_rollback_reaches_what_an_earlier_host_served() {
    let first = Host::serving("one").await;
    first.edit("two").await;
    first.keeper.stop().await;
    let next = Host::after(first.folder.clone(), Code::Good("three"), Pin::Nothing);
    next.reload().await;
    let report = next.keeper.request(WantedCode::Rollback(None), Reason::Rollback).await;
    assert!(
        matches!(
            &report.outcome,
            Outcome::Activated {
                restored_from: Some(GenerationId(2)),
                ..
            }
        ),
        "{report:?}"
    );
    assert_eq!(text(next.call(quick()).await), "two");
}

#[tokio::test]
async fn after_a_rollback_only_a_change_brings_the_disk_back() {
    let host = Host::serving("one").await;
    host.edit("two").await;
    host.keeper.request(WantedCode::Rollback(None), Reason::Rollback).await;
    let noticed = host.keeper.request(NOTICED, Reason::File).await;
    assert!(matches!(noticed.outcome, Outcome::Unchanged { .. }), "{noticed:?}");
    assert_eq!(text(host.call(quick()).await), "one");
    host.engine.write(Code::Good("three"));
    host.keeper.request(NOTICED, Reason::File).await;
    assert_eq!(text(host.call(quick()).await), "three");
}

#[tokio::test]
async fn after_a_rollback_a_reload_that_is_asked_for_brings_the_disk_back() {
    let host = Host::serving("one").await;
    host.edit("two").await;
    host.keeper.request(WantedCode::Rollback(None), Reason::Rollback).await;
    host.reload().await;
    assert_eq!(text(host.call(quick()).await), "two");
}

#[tokio::test]
async fn broken_code_is_not_loaded_again_until_it_changes() {
    let host = Host::serving("one").await;
    host.engine.write(Code::Broken("no"));
    host.keeper.request(NOTICED, Reason::File).await;
    let loads = host.engine.loads();
    host.keeper.request(NOTICED, Reason::File).await;
    assert_eq!(host.engine.loads(), loads);
    assert!(host.table.view().last_rejected.is_some());
    host.engine.write(Code::Good("one"));
    let noticed = host.keeper.request(NOTICED, Reason::File).await;
    assert!(
        matches!(noticed.outcome, Outcome::Unchanged { .. }),
        "as it was: {noticed:?}"
    );
    assert!(host.table.view().last_rejected.is_none(), "the disk is as what serves");
}

#[tokio::test(start_paused = true)]
async fn code_that_throws_at_the_start_is_tried_again_until_it_loads() {
    let host = Host::new(Code::Throwing("the database is not up yet"));
    assert!(matches!(
        host.reload().await,
        Outcome::Rejected { generation: None, .. }
    ));
    let held = tokio::spawn(call(host.table.clone(), quick()));
    host.engine.loads_are(3).await;
    assert!(!held.is_finished());
    host.engine.write(Code::Good("up"));
    assert_eq!(text(held.await.unwrap()), "up");
}

#[tokio::test(start_paused = true)]
async fn a_load_at_which_the_engine_panics_is_rejected_and_tried_again_soon() {
    let host = Host::serving("one").await;
    host.engine.write(Code::PanicsEngine);
    let outcome = host.reload().await;
    let Outcome::Rejected { error, .. } = outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!(error.kind, LoadErrorKind::System);
    host.engine.write(Code::Good("two"));
    host.until(3, State::Current).await;
    assert_eq!(text(host.call(quick()).await), "two");
    assert_eq!(host.table.tasks().failed(), None);
}

#[tokio::test(start_paused = true)]
async fn while_older_code_of_the_disk_serves_nothing_is_tried_again() {
    let host = Host::serving("one").await;
    host.engine.write(Code::Throwing("no"));
    host.reload().await;
    let loads = host.engine.loads();
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(host.engine.loads(), loads);
    assert_eq!(text(host.call(quick()).await), "one");
}

#[tokio::test]
async fn last_good_code_is_not_given_up_where_nothing_is_edited() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let before = Host::after(folder.clone(), Code::Good("yesterday"), Pin::Nothing);
    before.reload().await;
    before.keeper.stop().await;
    let host = Host::after(folder, Code::Broken("no"), Pin::Nothing);
    host.engine.hold_loads();
    let rejected = asked(&host, RELOAD, Reason::Start);
    host.engine.loads_are(1).await;
    host.engine.loads_allowed.add_permits(1);
    assert!(matches!(rejected.await.unwrap().outcome, Outcome::Rejected { .. }));
    host.engine.loads_are(2).await;
    // A watcher tells once of what it begins to watch.
    let noticed = asked(&host, NOTICED, Reason::File);
    tokio::task::yield_now().await;
    host.engine.loads_allowed.add_permits(1);
    let _ = noticed.await.unwrap();
    assert_eq!(text(host.call(quick()).await), "yesterday");
}

#[tokio::test(start_paused = true)]
async fn another_release_is_loaded_though_no_file_reads_otherwise_and_a_reload_comes_back_to_it() {
    let release = UnpackedRelease {
        digest: Digest::of(b"release"),
        reference: "ghcr.io/acme/jobs:1".to_owned(),
        config: ReleaseConfig {
            name: "jobs".to_owned(),
            entry: "functions".to_owned(),
            git: Some("46c2113".to_owned()),
            functions: Vec::new(),
            inngest: None,
            addons: Vec::new(),
            baton: "0.1.0".to_owned(),
            created: jiff::Timestamp::UNIX_EPOCH,
        },
        layers: Vec::new(),
        unpacked_at: jiff::Timestamp::UNIX_EPOCH,
    };
    let host = Host::serving("one").await;
    assert!(matches!(host.reload().await, Outcome::Unchanged { .. }));
    host.keeper.move_to(ProjectPlace {
        project: project(),
        release: Some(Arc::new(release.clone())),
    });
    let released = |outcome: Outcome| match outcome {
        Outcome::Activated { release, git, .. } => (release.map(|release| release.digest), git),
        other => panic!("{other:?}"),
    };
    let of_release = (Some(release.digest), Some("46c2113".to_owned()));
    assert_eq!(released(host.reload().await), of_release);
    assert!(matches!(host.reload().await, Outcome::Unchanged { .. }));
    let back = host.keeper.request(WantedCode::Rollback(None), Reason::Rollback).await;
    assert_eq!(released(back.outcome.clone()).0, None);
    assert_eq!(released(host.reload().await), of_release);
}
