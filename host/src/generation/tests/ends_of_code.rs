//! The end of generations and of hosts: their code has the time that is left.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_call_is_cut_only_when_its_generation_has_drained_for_too_long() {
    let host = Host::serving("one").await;
    let running = host.begin_slow_call().await;
    host.edit("two").await;
    tokio::time::advance(DRAIN - Duration::from_secs(1)).await;
    tokio::task::yield_now().await;
    assert!(!running.is_finished());
    assert_eq!(running.await.unwrap().err(), Some(CallError::IsolateDied));
    host.until(1, State::Retired).await;
}

#[tokio::test(start_paused = true)]
async fn what_code_does_after_its_calls_has_the_deadline_of_the_calls() {
    let host = Host::serving("one").await;
    host.call(linger()).await.unwrap();
    let began = tokio::time::Instant::now();
    host.edit("two").await;
    host.until(1, State::Closing).await;
    host.until(1, State::Retired).await;
    let elapsed = began.elapsed();
    assert!(elapsed >= DRAIN && elapsed < DRAIN + HURRIED, "{elapsed:?}");
}

#[tokio::test(start_paused = true)]
async fn code_that_spins_after_its_calls_is_ended_soon() {
    let host = Host::serving("one").await;
    host.call(spin()).await.unwrap();
    let began = tokio::time::Instant::now();
    host.edit("two").await;
    host.until(1, State::Closing).await;
    host.until(1, State::Retired).await;
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn of_too_many_generations_one_whose_code_does_not_end_has_less_time() {
    let host = Host::serving("v1").await;
    let began = tokio::time::Instant::now();
    for code in ["v2", "v3", "v4"] {
        host.call(linger()).await.unwrap();
        host.edit(code).await;
    }
    host.until(1, State::Retired).await;
    let elapsed = began.elapsed();
    assert!(elapsed >= HURRIED && elapsed < DRAIN, "{elapsed:?}");
}

#[tokio::test(start_paused = true)]
async fn a_host_that_ends_waits_for_its_code_but_not_for_code_that_spins() {
    for (request, at_least, at_most) in [
        (linger(), DRAIN, DRAIN + HURRIED),
        (spin(), Duration::ZERO, Duration::from_secs(60)),
    ] {
        let host = Host::serving("one").await;
        host.call(request).await.unwrap();
        let began = tokio::time::Instant::now();
        host.keeper.stop().await;
        let elapsed = began.elapsed();
        assert!(elapsed >= at_least && elapsed <= at_most, "{elapsed:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn of_too_many_generations_the_oldest_has_less_time() {
    let host = Host::serving("v1").await;
    let began = tokio::time::Instant::now();
    let oldest = host.begin_slow_call().await;
    host.edit("v2").await;
    let second = host.begin_slow_call().await;
    host.edit("v3").await;
    assert!(!oldest.is_finished());
    host.edit("v4").await;
    // `v3` is idle and retires; with `v1`, `v2` and `v4` there are three again.
    assert_eq!(oldest.await.unwrap().err(), Some(CallError::IsolateDied));
    let elapsed = began.elapsed();
    assert!(elapsed >= HURRIED && elapsed < DRAIN, "{elapsed:?}");
    assert!(!second.is_finished());
}

#[tokio::test]
async fn the_end_closes_every_isolate_and_answers_whoever_waits() {
    let host = Host::serving("one").await;
    host.engine.hold_loads();
    host.engine.write(Code::Good("two"));
    let reload = tokio::spawn({
        let keeper = host.keeper.clone();
        async move { keeper.request(RELOAD, Reason::Api).await }
    });
    host.until(2, State::Loading).await;
    host.keeper.stop().await;
    assert_eq!(reload.await.unwrap().outcome, Outcome::ShuttingDown);
    assert_eq!(host.engine.alive.load(Ordering::SeqCst), 0);
}
