//! Edits while a load runs.

use super::*;

#[tokio::test]
async fn reloads_during_a_load_share_the_next_one() {
    let host = Host::serving("one").await;
    host.engine.hold_loads();
    host.engine.write(Code::Good("two"));
    let first = tokio::spawn({
        let keeper = host.keeper.clone();
        async move { keeper.request(RELOAD, Reason::Api).await }
    });
    host.engine.loads_are(2).await;
    // The disk has nothing newer than the code that is being loaded, so that load goes on.
    let later: Vec<_> = (0..10)
        .map(|_| {
            let keeper = host.keeper.clone();
            tokio::spawn(async move { keeper.request(WantedCode::reload(true), Reason::Api).await })
        })
        .collect();
    // They are queued in order, so once this one is answered for, so are they.
    tokio::task::yield_now().await;
    host.engine.loads_allowed.add_permits(2);
    assert_eq!(first.await.unwrap().outcome.serving(), Some(GenerationId(2)));
    for report in later {
        let report = report.await.unwrap();
        assert_eq!(report.outcome.serving(), Some(GenerationId(3)), "{report:?}");
    }
    assert_eq!(host.engine.loads(), 3);
    assert_eq!(text(host.call(quick()).await), "two");
}

#[tokio::test]
async fn a_newer_edit_supersedes_a_load_and_everybody_hears_of_the_newest() {
    let host = Host::serving("one").await;
    host.engine.hold_loads();
    host.engine.write(Code::Good("two"));
    let noticed = |reason| {
        let keeper = host.keeper.clone();
        tokio::spawn(async move { keeper.request(NOTICED, reason).await })
    };
    let first = noticed(Reason::Api);
    host.engine.loads_are(2).await;
    host.engine.write(Code::Good("three"));
    let second = noticed(Reason::File);
    host.until(2, State::Abandoned).await;
    host.engine.loads_allowed.add_permits(1);
    for report in [first.await.unwrap(), second.await.unwrap()] {
        assert_eq!(report.outcome.serving(), Some(GenerationId(3)), "{report:?}");
    }
    assert_eq!(text(host.call(quick()).await), "three");
}

#[tokio::test]
async fn a_load_that_failed_while_the_disk_changed_is_done_again_and_not_told() {
    let host = Host::serving("one").await;
    host.engine.hold_loads();
    host.engine.write(Code::Broken("half written"));
    let reload = tokio::spawn({
        let keeper = host.keeper.clone();
        async move { keeper.request(RELOAD, Reason::Api).await }
    });
    host.engine.loads_are(2).await;
    host.engine.write(Code::Good("whole"));
    host.engine.loads_allowed.add_permits(2);
    let report = reload.await.unwrap();
    assert_eq!(report.outcome.serving(), Some(GenerationId(3)), "{report:?}");
    assert_eq!(text(host.call(quick()).await), "whole");
    assert!(host.table.view().last_rejected.is_none());
}

/// Asks for a reload, as a saved file does or a person.
#[tokio::test]
async fn edits_without_end_supersede_so_many_loads_and_the_next_one_serves() {
    const IN_A_ROW: usize = 10;
    let host = Host::serving("one").await;
    host.engine.hold_loads();
    let mut reports = Vec::new();
    for edit in 0..=IN_A_ROW {
        host.engine.write(Code::Good(edit.to_string().leak()));
        reports.push(asked(&host, NOTICED, Reason::File));
        host.engine.loads_are(2 + edit).await;
    }
    // The load of the last edit is not given up.
    host.engine.write(Code::Good("later"));
    let later = asked(&host, NOTICED, Reason::File);
    host.engine.loads_allowed.add_permits(1);
    for report in reports {
        let report = report.await.unwrap();
        let newest = GenerationId(2 + IN_A_ROW as u64);
        assert_eq!(report.outcome.serving(), Some(newest), "{report:?}");
    }
    host.engine.loads_allowed.add_permits(1);
    let report = later.await.unwrap();
    assert_eq!(
        report.outcome.serving(),
        Some(GenerationId(3 + IN_A_ROW as u64)),
        "{report:?}"
    );
    assert_eq!(text(host.call(quick()).await), "later");
}

#[tokio::test]
async fn a_check_that_hangs_is_done_again_when_the_disk_changes_and_keeps_no_reload_waiting() {
    let host = Host::serving("one").await;
    host.engine.hold_loads();
    host.engine.write(Code::Good("hangs"));
    let check = asked(&host, WantedCode::Check, Reason::Check);
    host.engine.loads_are(2).await;
    host.engine.write(Code::Good("mended"));
    let reload = asked(&host, RELOAD, Reason::Api);
    host.until(2, State::Abandoned).await;
    host.engine.loads_allowed.add_permits(2);
    let checked = check.await.unwrap();
    assert!(matches!(checked.outcome, Outcome::Checked { .. }), "{checked:?}");
    assert_eq!(reload.await.unwrap().outcome.serving(), Some(GenerationId(4)));
    assert_eq!(text(host.call(quick()).await), "mended");
}

#[tokio::test]
async fn last_good_code_that_hangs_keeps_no_edit_waiting() {
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
    // The last good code waits for something, too. A request that tells of no edit does not make its load be given
    // up.
    host.engine.loads_are(2).await;
    let nothing_new = asked(&host, NOTICED, Reason::File);
    tokio::task::yield_now().await;
    host.engine.write(Code::Good("mended"));
    let edited = asked(&host, NOTICED, Reason::File);
    host.engine.loads_are(3).await;
    host.engine.loads_allowed.add_permits(1);
    assert!(edited.await.unwrap().outcome.serving().is_some());
    let _ = nothing_new.await;
    assert_eq!(text(host.call(quick()).await), "mended");
}
