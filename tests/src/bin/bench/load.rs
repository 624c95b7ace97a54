//! Many calls at once, from one thread.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::client::{Client, Lost, Reply, Requests};

/// The outcome of many calls.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// The milliseconds of each call that got the expected answer.
    pub(crate) answered: Vec<f64>,
    /// The number of calls that got another answer, or none.
    pub(crate) lost: usize,
    /// The answer, or the loss, of one of the lost calls.
    pub(crate) example: Option<String>,
    /// The time from the first call to the last answer, in seconds.
    pub(crate) seconds: f64,
}

impl Outcome {
    pub(crate) fn rate(&self) -> f64 {
        self.answered.len() as f64 / self.seconds
    }

    pub(crate) fn calls(&self) -> usize {
        self.answered.len() + self.lost
    }

    /// Panics when a call was lost, because then the figures are not what they seem.
    pub(crate) fn whole(self, of: &dyn std::fmt::Display) -> Self {
        let example = self.example.as_deref().unwrap_or_default();
        assert_eq!(self.lost, 0, "calls were lost: {example}\n{of}");
        self
    }

    /// Counts a call that did not get the expected answer.
    pub(crate) fn lose(&mut self, instead: impl FnOnce() -> String) {
        self.lost += 1;
        self.example.get_or_insert_with(instead);
    }

    fn count(&mut self, reply: Result<Reply, Lost>, status: u16) {
        match reply {
            Ok(reply) if reply.status == status => self.answered.push(reply.took),
            other => self.lose(|| format!("{other:?}")),
        }
    }

    fn join(&mut self, other: Self) {
        self.answered.extend(other.answered);
        self.lost += other.lost;
        self.example = self.example.take().or(other.example);
    }
}

/// The calls of a kind, and the status that answers them.
#[derive(Debug, Clone)]
pub(crate) struct Load {
    client: Client,
    requests: Arc<Requests>,
    status: u16,
}

impl Load {
    pub(crate) fn of(client: Client, requests: Requests, status: u16) -> Self {
        Self {
            client,
            requests: Arc::new(requests),
            status,
        }
    }

    /// Runs a number of callers. Each caller calls again as soon as it has an answer.
    pub(crate) async fn callers(&self, callers: usize, time: Duration) -> Outcome {
        let began = Instant::now();
        self.paced(callers, Duration::ZERO, move || began.elapsed() < time)
            .await
    }

    /// Runs callers as [`Load::callers`] does, for as long as `going` says so. No caller calls sooner than
    /// `pace` after its last call.
    pub(crate) async fn paced(
        &self,
        callers: usize,
        pace: Duration,
        going: impl Fn() -> bool + Clone + Send + 'static,
    ) -> Outcome {
        let began = Instant::now();
        let mut tasks = JoinSet::new();
        for _ in 0..callers {
            let (load, going) = (self.clone(), going.clone());
            tasks.spawn(async move {
                let mut outcome = Outcome::default();
                while going() {
                    let next = tokio::time::Instant::now() + pace;
                    let reply = load.client.ask(load.requests.next()).await;
                    outcome.count(reply, load.status);
                    if !pace.is_zero() {
                        tokio::time::sleep_until(next).await;
                    }
                }
                outcome
            });
        }
        all(tasks, began).await
    }

    /// Makes `a_second` calls a second, whether or not the calls before have their answers.
    pub(crate) async fn offered(&self, a_second: u32, time: Duration) -> Outcome {
        let began = Instant::now();
        let mut tick = tokio::time::interval(Duration::from_secs(1) / a_second);
        tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut tasks = JoinSet::new();
        for _ in 0..(f64::from(a_second) * time.as_secs_f64()) as usize {
            tick.tick().await;
            let load = self.clone();
            tasks.spawn(async move {
                let mut outcome = Outcome::default();
                outcome.count(load.client.ask(load.requests.next()).await, load.status);
                outcome
            });
        }
        all(tasks, began).await
    }
}

/// Adds up what callers have counted, the first of which began at `began`.
pub(crate) async fn all(mut tasks: JoinSet<Outcome>, began: Instant) -> Outcome {
    let mut all = Outcome::default();
    while let Some(outcome) = tasks.join_next().await {
        all.join(outcome.expect("a caller that lives"));
    }
    all.seconds = began.elapsed().as_secs_f64();
    all
}
