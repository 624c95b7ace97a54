//! A canary needs room beside the code that serves.

use super::*;
use crate::canary::CanaryWish;

const CANARY: WantedCode = WantedCode::Reload {
    force: false,
    canary: CanaryWish::On(None),
};

#[tokio::test(start_paused = true)]
async fn a_canary_that_does_not_fit_into_the_memory_is_refused_with_the_numbers_and_another_reload_is_not() {
    let host = Host::serving("one").await;
    let filling = host.begin_call(fill()).await;
    // The host has looked at its isolates.
    tokio::time::sleep(Duration::from_secs(1)).await;
    host.engine.write(Code::Good("two"));
    let report = host.keeper.request(CANARY, Reason::Api).await;
    let Outcome::Rejected { generation, error } = report.outcome.clone() else {
        panic!("{:?}", report.outcome);
    };
    assert_eq!(generation, Some(GenerationId(1)));
    assert!(error.message.contains("holds 1073741824 MiB"), "{}", error.message);
    assert!(matches!(host.reload().await, Outcome::Activated { .. }));
    host.engine.answers_allowed.add_permits(1);
    filling.await.unwrap().unwrap();
}
