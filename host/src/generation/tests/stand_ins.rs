//! Isolates that die, are blocked or busy, and the isolates that take their calls.

use super::*;

#[tokio::test]
async fn an_isolate_that_dies_loses_its_own_calls_and_is_replaced() {
    let host = Host::serving("one").await;
    let beside = host.begin_slow_call().await;
    host.isolates_have(&[1]).await;
    assert_eq!(host.call(die()).await.err(), Some(CallError::IsolateDied));
    assert_eq!(beside.await.unwrap().err(), Some(CallError::IsolateDied));
    assert_eq!(
        text(host.call(quick()).await),
        "one",
        "by its replacement, in the same generation"
    );
    assert_eq!(host.table.current().unwrap().id, GenerationId(1));
    assert_eq!(host.engine.loads(), 2);
}

#[tokio::test(start_paused = true)]
async fn while_every_isolate_is_blocked_another_one_takes_the_calls_up_to_the_limit() {
    let host = Host::serving("one").await;
    let blocking = tokio::spawn(call(host.table.clone(), block()));
    // Nobody takes the call for as long as the only isolate is blocked.
    assert_eq!(text(host.call(quick()).await), "one", "by a second isolate");
    assert!(!blocking.is_finished());
    let second = tokio::spawn(call(host.table.clone(), block()));
    host.isolates_have(&[1, 1]).await;
    let waiting = tokio::spawn(call(host.table.clone(), quick()));
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(!waiting.is_finished(), "two are the limit");
    assert!(host.table.current().unwrap().pool.all_blocked());
    assert_eq!(host.table.current().unwrap().pool.queued(), 1);
    host.engine.answers_allowed.add_permits(2);
    assert_eq!(text(waiting.await.unwrap()), "one");
    assert_eq!(text(blocking.await.unwrap()), "one");
    assert_eq!(text(second.await.unwrap()), "one");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_for_a_held_thread_is_taken_by_another_isolate_before_any_counts_as_blocked() {
    let host = Host::serving("one").await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    let began = tokio::time::Instant::now();
    let blocking = host.begin_call(block()).await;
    // The isolate has begun it.
    tokio::task::yield_now().await;
    assert_eq!(text(host.call(quick()).await), "one", "by a second isolate");
    assert!(began.elapsed() < Duration::from_millis(100), "{:?}", began.elapsed());
    let observed = host.table.current().unwrap().pool.observed();
    assert!(
        observed.len() == 2 && observed.iter().all(|isolate| !isolate.blocked),
        "{observed:?}"
    );
    host.engine.answers_allowed.add_permits(1);
    assert_eq!(text(blocking.await.unwrap()), "one");
}

#[tokio::test(start_paused = true)]
async fn each_thread_that_is_held_gets_a_stand_in_up_to_the_limit() {
    let limits = Limits {
        isolates: 4,
        cores: 1,
        ..limits()
    };
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let host = Host::with_limits(folder, Code::Good("one"), Pin::Nothing, limits);
    host.reload().await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    let mut blocking = Vec::new();
    for held in 1..=3 {
        blocking.push(host.begin_call(block()).await);
        tokio::task::yield_now().await;
        let began = tokio::time::Instant::now();
        assert_eq!(text(host.call(quick()).await), "one", "beside {held}");
        assert!(began.elapsed() < Duration::from_millis(100), "{:?}", began.elapsed());
    }
    let observed = host.table.current().unwrap().pool.observed();
    assert!(
        observed.len() == 4 && observed.iter().all(|isolate| !isolate.blocked),
        "{observed:?}"
    );
    host.engine.answers_allowed.add_permits(blocking.len());
    for blocking in blocking {
        assert_eq!(text(blocking.await.unwrap()), "one");
    }
}

#[tokio::test(start_paused = true)]
async fn while_calls_wait_for_busy_isolates_another_one_is_made_up_to_the_limit() {
    let host = Host::serving("one").await;
    let callers: Vec<_> = (0..8)
        .map(|_| {
            let table = host.table.clone();
            tokio::spawn(async move {
                loop {
                    assert_eq!(text(call(table.clone(), compute()).await), "one");
                }
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(900)).await;
    assert_eq!(host.engine.alive.load(Ordering::SeqCst), 1, "a peak is none yet");
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(host.engine.alive.load(Ordering::SeqCst), 2);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(host.engine.alive.load(Ordering::SeqCst), 2, "two are the limit");
    assert!(callers.iter().all(|caller| !caller.is_finished()));
    callers.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test(start_paused = true)]
async fn calls_that_merely_are_many_get_no_more_isolates_than_there_are_cores() {
    let limits = Limits {
        isolates: 4,
        ..limits()
    };
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let host = Host::with_limits(folder, Code::Good("one"), Pin::Nothing, limits);
    host.reload().await;
    let callers: Vec<_> = (0..16)
        .map(|_| {
            let table = host.table.clone();
            tokio::spawn(async move {
                loop {
                    assert_eq!(text(call(table.clone(), compute()).await), "one");
                }
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(host.engine.alive.load(Ordering::SeqCst), 2);
    callers.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test(start_paused = true)]
async fn an_isolate_that_answers_as_calls_come_stays_alone() {
    let host = Host::serving("one").await;
    let until = tokio::time::Instant::now() + Duration::from_secs(60);
    while tokio::time::Instant::now() < until {
        assert_eq!(text(host.call(compute()).await), "one");
    }
    assert_eq!(host.engine.alive.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_blocked_generation_does_not_keep_the_next_one_from_serving() {
    let host = Host::serving("one").await;
    let blocking = tokio::spawn(call(host.table.clone(), block()));
    host.isolates_have(&[1]).await;
    host.edit("two").await;
    assert_eq!(text(host.call(quick()).await), "two");
    assert!(!blocking.is_finished());
    host.engine.answers_allowed.add_permits(1);
    assert_eq!(text(blocking.await.unwrap()), "one");
    host.until(1, State::Retired).await;
    assert_eq!(host.engine.alive.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_takes_too_long_costs_its_isolate_which_is_replaced() {
    let host = Host::serving("one").await;
    let began = tokio::time::Instant::now();
    let running = host.begin_slow_call().await;
    assert_eq!(running.await.unwrap().err(), Some(CallError::IsolateDied));
    assert!(began.elapsed() > CALL, "{:?}", began.elapsed());
    assert_eq!(text(host.call(quick()).await), "one");
    assert_eq!(host.engine.alive.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_uses_too_much_processor_time_costs_its_isolate_which_is_replaced() {
    let host = Host::serving("one").await;
    let began = tokio::time::Instant::now();
    assert_eq!(host.call(burn()).await.err(), Some(CallError::IsolateDied));
    assert!(began.elapsed() > CPU && began.elapsed() < CALL, "{:?}", began.elapsed());
    assert_eq!(text(host.call(quick()).await), "one");
    assert_eq!(host.engine.alive.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn an_isolate_that_is_nearly_out_of_memory_finishes_its_calls_while_another_one_serves() {
    let host = Host::serving("one").await;
    let filling = host.begin_call(fill()).await;
    assert_eq!(text(host.call(quick()).await), "one", "by its replacement");
    assert_eq!(host.engine.alive.load(Ordering::SeqCst), 2);
    assert!(!filling.is_finished());
    host.engine.answers_allowed.add_permits(1);
    assert_eq!(text(filling.await.unwrap()), "one");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(host.engine.alive.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_call_whose_generation_was_ended_before_it_was_queued_is_answered() {
    let host = Host::serving("one").await;
    let lease = host.table.lease(CallInfo::default(), HOLD).await.unwrap();
    host.table.current().unwrap().pool.terminate();
    assert_eq!(lease.call(quick()).await.0.err(), Some(CallError::IsolateDied));
}
