//! One host hands over to the next.

use futures::FutureExt as _;

use super::*;

fn waiting(host: &Host) -> JoinHandle<Result<Response, CallError>> {
    tokio::spawn(call(host.table.clone(), quick()))
}

#[tokio::test]
async fn a_frozen_host_serves_and_loads_nothing_until_it_goes_on() {
    let host = Host::serving("one").await;
    let frozen = host.keeper.freeze().await.unwrap();
    assert_eq!(
        (frozen.current, frozen.newest),
        (Some(GenerationId(1)), Some(GenerationId(1)))
    );
    host.engine.write(Code::Good("two"));
    let reload = tokio::spawn({
        let keeper = host.keeper.clone();
        async move { keeper.request(RELOAD, Reason::Api).await.outcome.serving() }
    });
    assert_eq!(text(host.call(quick()).await), "one");
    assert_eq!(host.table.view().entries.len(), 1, "nothing is loaded");
    host.keeper.resume(Some(GenerationId(6)));
    assert_eq!(
        reload.await.unwrap(),
        Some(GenerationId(7)),
        "the other host gave numbers up to 6"
    );
    assert_eq!(text(host.call(quick()).await), "two");
}

#[tokio::test]
async fn a_freeze_waits_for_the_load_that_runs() {
    let host = Host::serving("one").await;
    host.engine.hold_loads();
    host.engine.write(Code::Good("two"));
    let reload = tokio::spawn({
        let keeper = host.keeper.clone();
        async move { keeper.request(RELOAD, Reason::Api).await }
    });
    host.until(2, State::Loading).await;
    let frozen = host.keeper.freeze();
    host.engine.loads_allowed.add_permits(1);
    assert_eq!(frozen.await.unwrap().current, Some(GenerationId(2)));
    assert_eq!(reload.await.unwrap().outcome.serving(), Some(GenerationId(2)));
}

#[tokio::test]
async fn a_call_that_comes_while_nobody_accepts_waits_for_whoever_does() {
    let host = Host::serving("one").await;
    host.table.set_role(Role::Stopped);
    let held = waiting(&host);
    tokio::task::yield_now().await;
    assert!(!held.is_finished() && host.table.current().unwrap().in_flight().is_empty());
    host.table.set_role(Role::Accepting);
    assert_eq!(text(held.await.unwrap()), "one");

    host.table.set_role(Role::Stopped);
    let lease = tokio::spawn({
        let table = host.table.clone();
        async move { table.lease(CallInfo::default(), HOLD).await.err() }
    });
    host.table.set_role(Role::HandedOver);
    assert_eq!(lease.await.unwrap(), Some(LeaseRefusal::HandedOver));
}

#[tokio::test]
async fn a_host_that_has_handed_over_finishes_its_calls_and_refers_the_rest_to_the_other() {
    let host = Host::serving("one").await;
    let running = host.begin_slow_call().await;
    host.keeper.freeze().await.unwrap();
    let reload = tokio::spawn({
        let keeper = host.keeper.clone();
        async move { keeper.request(RELOAD, Reason::Api).await.outcome.clone() }
    });
    host.table.set_role(Role::HandedOver);
    host.keeper.hand_over();
    assert_eq!(reload.await.unwrap(), Outcome::HandedOver);
    assert_eq!(host.reload().await, Outcome::HandedOver);
    assert!(!running.is_finished());
    host.engine.answers_allowed.add_permits(1);
    assert_eq!(text(running.await.unwrap()), "one");
}

#[tokio::test]
async fn the_next_host_goes_on_with_the_same_code_whatever_is_on_the_disk() {
    let first = Host::serving("one").await;
    first.edit("two").await;
    assert!(matches!(first.reload().await, Outcome::Unchanged { .. }));
    let frozen = first.keeper.freeze().await.unwrap();
    let next = Host::after(first.folder.clone(), Code::Good("three"), Pin::Nothing);
    let want = WantedCode::Continue(frozen.current.unwrap());
    let report = next.keeper.request(want, Reason::Upgrade).await;
    assert_eq!(report.outcome.serving(), Some(GenerationId(3)), "{report:?}");
    assert_eq!(text(next.call(quick()).await), "two");
    // All of the history went along.
    let back = next
        .keeper
        .request(WantedCode::Rollback(Some(GenerationId(1))), Reason::Rollback)
        .await;
    assert_eq!(back.outcome.serving(), Some(GenerationId(4)), "{back:?}");
    assert_eq!(text(next.call(quick()).await), "one");
}

#[tokio::test]
async fn where_the_code_that_served_was_not_kept_the_next_host_loads_the_disk() {
    let next = Host::new(Code::Good("disk"));
    let report = next
        .keeper
        .request(WantedCode::Continue(GenerationId(9)), Reason::Restart)
        .await;
    assert_eq!(report.outcome.serving(), Some(GenerationId(1)), "{report:?}");
    assert_eq!(text(next.call(quick()).await), "disk");
}

#[tokio::test]
async fn a_reload_is_answered_once_the_next_host_would_find_its_generation() {
    let host = Host::serving("one").await;
    host.engine.write(Code::Good("two"));
    host.engine.hold_writes();
    let answer = host.keeper.request(RELOAD, Reason::Api);
    tokio::pin!(answer);
    // The new code serves at once; the answer waits for the disk.
    tokio::select! {
        report = &mut answer => panic!("answered before the disk took it: {report:?}"),
        () = host.until(2, State::Current) => {}
    }
    assert_eq!(text(host.call(quick()).await), "two");
    assert!(host.keeper.goes_on().await);
    assert!(answer.as_mut().now_or_never().is_none());

    host.engine.writes_allowed.add_permits(1);
    assert_eq!(answer.await.outcome.serving(), Some(GenerationId(2)));
    // This host is not stopped: it may as well have been killed.
    let next = Host::after(host.folder.clone(), Code::Broken("disk"), Pin::Nothing);
    let report = next
        .keeper
        .request(WantedCode::Continue(GenerationId(2)), Reason::Restart)
        .await;
    assert_eq!(report.outcome.serving(), Some(GenerationId(3)), "{report:?}");
    assert_eq!(text(next.call(quick()).await), "two");
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_hangs_holds_no_answer_for_long() {
    let host = Host::serving("one").await;
    host.engine.hold_writes();
    let answer = tokio::spawn({
        let keeper = host.keeper.clone();
        async move {
            keeper
                .request(WantedCode::reload(true), Reason::Api)
                .await
                .outcome
                .serving()
        }
    });
    host.until(2, State::Current).await;
    assert!(host.keeper.goes_on().await);
    tokio::time::advance(Duration::from_secs(3)).await;
    assert_eq!(answer.await.unwrap(), Some(GenerationId(2)));
    host.engine.writes_allowed.add_permits(1);
}
