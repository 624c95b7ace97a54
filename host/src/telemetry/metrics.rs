//! Prometheus metrics. Counters are kept here; the values of the table are read when somebody asks.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use super::writer;
use crate::generation::{CallResult, Report, Table};

/// The name for functions that the project does not have: a caller may name any.
const UNKNOWN: &str = "unknown";
/// The most functions with labels of their own, over all generations of a host.
const MOST_FUNCTIONS: usize = 1000;

/// All metrics of a host; docs/metrics.md lists them.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    calls: Family<CallLabels, Counter>,
    call_duration: Family<FunctionLabel, Histogram, fn() -> Histogram>,
    /// The functions that have labels.
    labels: Mutex<HashSet<Arc<str>>>,
    reloads: Family<OutcomeLabel, Counter>,
    reload_duration: Family<OutcomeLabel, Histogram, fn() -> Histogram>,
    blocked: Counter<f64, std::sync::atomic::AtomicU64>,
    current: Gauge,
    live: Family<StateLabel, Gauge>,
    in_flight: Family<GenerationLabel, Gauge>,
    queued: Family<GenerationLabel, Gauge>,
    leases: Family<GenerationLabel, Gauge>,
    info: Family<InfoLabels, Gauge>,
    isolates: Family<IsolateStateLabels, Gauge>,
    heap: Family<IsolateLabels, Gauge>,
    buffers: Family<IsolateLabels, Gauge>,
    registration: Family<StateLabel, Gauge>,
    canary: Family<StateLabel, Gauge>,
    canary_runs: Family<LaneLabel, Gauge>,
    canary_failed_runs: Family<LaneLabel, Gauge>,
    connection: Family<StateLabel, Gauge>,
    connection_events: Family<ConnectionEventLabel, Counter>,
    connection_in_flight: Gauge,
    connection_replies: Gauge,
    log_lines_dropped: Counter,
    lost_threads: Gauge,
    lost_memory: Gauge,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    function: Arc<str>,
    outcome: CallOutcome,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FunctionLabel {
    function: Arc<str>,
}

/// The outcome of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
enum CallOutcome {
    /// The function, or the request, is done.
    #[allow(non_camel_case_types, reason = "the label's value")]
    completed,
    /// Steps ran or were planned: Inngest calls again.
    #[allow(non_camel_case_types, reason = "the label's value")]
    stepped,
    /// The project's answer is an error.
    #[allow(non_camel_case_types, reason = "the label's value")]
    failed,
    /// The project had no answer: its isolate ended, or its handler threw or never settles.
    #[allow(non_camel_case_types, reason = "the label's value")]
    lost,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabel {
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LaneLabel {
    lane: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ConnectionEventLabel {
    event: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct GenerationLabel {
    generation: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct InfoLabels {
    version: &'static str,
    generation: u64,
    hash: String,
    git: String,
    /// The digest of the release, empty where there is none.
    release: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct IsolateStateLabels {
    generation: u64,
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct IsolateLabels {
    generation: u64,
    isolate: u64,
}

/// Makes a histogram from a millisecond to more than the two hours that Inngest allows a call.
fn durations() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 4.0, 13))
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::default(),
            calls: Family::default(),
            call_duration: Family::new_with_constructor(durations),
            labels: Mutex::default(),
            reloads: Family::default(),
            reload_duration: Family::new_with_constructor(durations),
            blocked: Counter::default(),
            current: Gauge::default(),
            live: Family::default(),
            in_flight: Family::default(),
            queued: Family::default(),
            leases: Family::default(),
            info: Family::default(),
            isolates: Family::default(),
            heap: Family::default(),
            buffers: Family::default(),
            registration: Family::default(),
            canary: Family::default(),
            canary_runs: Family::default(),
            canary_failed_runs: Family::default(),
            connection: Family::default(),
            connection_events: Family::default(),
            connection_in_flight: Gauge::default(),
            connection_replies: Gauge::default(),
            log_lines_dropped: Counter::default(),
            lost_threads: Gauge::default(),
            lost_memory: Gauge::default(),
        };
        metrics.registry = metrics.registered();
        metrics
    }
}

impl Metrics {
    fn registered(&self) -> Registry {
        let mut registry = Registry::with_prefix("baton");
        registry.register_with_unit(
            "call_duration",
            "Time from a call to its answer, by function",
            Unit::Seconds,
            self.call_duration.clone(),
        );
        registry.register_with_unit(
            "reload_duration",
            "Time that a reload or rollback took, by outcome",
            Unit::Seconds,
            self.reload_duration.clone(),
        );
        registry.register_with_unit(
            "isolate_blocked",
            "Time for which user code held isolates' threads, of all isolates together",
            Unit::Seconds,
            self.blocked.clone(),
        );
        let mut bytes = |name: &str, help: &str, metric: &Family<IsolateLabels, Gauge>| {
            registry.register_with_unit(name, help, Unit::Bytes, metric.clone());
        };
        bytes("isolate_heap", "JavaScript heap in use, by isolate", &self.heap);
        bytes("isolate_buffers", "Memory of array buffers, by isolate", &self.buffers);
        registry.register("calls", "Calls answered, by function and outcome", self.calls.clone());
        registry.register(
            "reloads",
            "Reloads and rollbacks answered, by outcome",
            self.reloads.clone(),
        );
        registry.register(
            "generation_current",
            "Number of the generation that gets new calls, 0 for none",
            self.current.clone(),
        );
        registry.register(
            "generation",
            "1 for the current generation, with its code and commit",
            self.info.clone(),
        );
        registry.register("generations", "Generations by state", self.live.clone());
        let mut by_generation = |name: &str, help: &str, metric: &Family<GenerationLabel, Gauge>| {
            registry.register(name, help, metric.clone());
        };
        by_generation("calls_in_flight", "Calls that run, by generation", &self.in_flight);
        by_generation(
            "calls_queued",
            "Calls that no isolate has begun, by generation",
            &self.queued,
        );
        by_generation(
            "generation_leases",
            "Leases of a generation: its calls, steps that it planned, runs that are pinned to it",
            &self.leases,
        );
        registry.register(
            "isolates",
            "Isolates by generation and state: free, blocked by user code, or condemned for their memory",
            self.isolates.clone(),
        );
        registry.register(
            "registration",
            "1 for the state of the registration at Inngest: off, unregistered, registering, registered, drifted",
            self.registration.clone(),
        );
        registry.register(
            "canary",
            "1 for the state of the canary that is on, or was on last: none, running, held, promoted, taken_back",
            self.canary.clone(),
        );
        registry.register(
            "canary_ended_runs",
            "Runs that began while the canary was on and have ended, by lane: canary, current",
            self.canary_runs.clone(),
        );
        registry.register(
            "canary_failed_runs",
            "Those of them that failed for good",
            self.canary_failed_runs.clone(),
        );
        registry.register(
            "connection",
            "1 for the state of the connection to Inngest: connecting, active, reconnecting, refused, paused, closed",
            self.connection.clone(),
        );
        registry.register(
            "connection_events",
            "What happened on the connection to Inngest, by event",
            self.connection_events.clone(),
        );
        registry.register(
            "connection_calls_in_flight",
            "Calls that hold a lease of Inngest",
            self.connection_in_flight.clone(),
        );
        registry.register(
            "connection_replies",
            "Replies that Inngest has not acknowledged",
            self.connection_replies.clone(),
        );
        registry.register(
            "log_lines_dropped",
            "Lines of the log that were dropped, since they were not read in time",
            self.log_lines_dropped.clone(),
        );
        registry.register(
            "lost_threads",
            "Threads of isolates that V8 could not end",
            self.lost_threads.clone(),
        );
        registry.register_with_unit(
            "lost_memory",
            "Memory that the heaps of these threads may hold",
            Unit::Bytes,
            self.lost_memory.clone(),
        );
        registry
    }

    /// Counts a call that was answered. `function` is that of the call, if its generation has it.
    pub fn call_answered(&self, function: Option<&str>, answer: CallResult, took: Duration) {
        let function = function.and_then(|function| self.label(function));
        let function: Arc<str> = function.unwrap_or_else(|| UNKNOWN.into());
        let outcome = match answer.status {
            Some(206) => CallOutcome::stepped,
            Some(..400) => CallOutcome::completed,
            Some(_) => CallOutcome::failed,
            None => CallOutcome::lost,
        };
        let labels = CallLabels {
            function: function.clone(),
            outcome,
        };
        self.calls.get_or_create(&labels).inc();
        let duration = self.call_duration.get_or_create(&FunctionLabel { function });
        duration.observe(took.as_secs_f64());
    }

    /// The label of a function; `None` where [`MOST_FUNCTIONS`] have one, most of which are renamed or gone by then.
    fn label(&self, function: &str) -> Option<Arc<str>> {
        let mut labels = self.labels.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(label) = labels.get(function) {
            return Some(label.clone());
        }
        let label: Arc<str> = function.into();
        (labels.len() < MOST_FUNCTIONS && labels.insert(label.clone())).then_some(label)
    }

    /// Counts a reload or rollback that was answered.
    pub fn reload_answered(&self, report: &Report) {
        let label = OutcomeLabel {
            outcome: report.outcome.word(),
        };
        self.reloads.get_or_create(&label).inc();
        self.reload_duration
            .get_or_create(&label)
            .observe(report.took_ms / 1000.0);
    }

    /// Notes the state of the registration.
    pub fn registration_is(&self, state: &'static str) {
        self.registration.clear();
        self.registration.get_or_create(&StateLabel { state }).set(1);
    }

    /// Notes the state of the connection to Inngest.
    pub fn connection_is(&self, state: &'static str, in_flight: usize, replies: usize, events: &[(&'static str, u64)]) {
        let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        self.connection.clear();
        self.connection.get_or_create(&StateLabel { state }).set(1);
        self.connection_in_flight.set(count(in_flight));
        self.connection_replies.set(count(replies));
        for &(event, total) in events {
            let counter = self.connection_events.get_or_create(&ConnectionEventLabel { event });
            counter.inc_by(total.saturating_sub(counter.get()));
        }
    }

    /// The metrics in OpenMetrics text.
    ///
    /// # Errors
    /// When a value cannot be written as text.
    pub fn render(&self, table: &Table) -> Result<String, fmt::Error> {
        self.read(table);
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }

    /// Reads the values of the table, as somebody asks for them.
    fn read(&self, table: &Table) {
        let by_generation = [&self.in_flight, &self.queued, &self.leases];
        by_generation.iter().for_each(|family| family.clear());
        [&self.heap, &self.buffers].iter().for_each(|family| family.clear());
        self.live.clear();
        self.info.clear();
        self.isolates.clear();
        self.current.set(0);
        let dropped = writer::dropped();
        self.log_lines_dropped
            .inc_by(dropped.saturating_sub(self.log_lines_dropped.get()));
        let lost = table.losses.lost();
        self.lost_threads.set(gauge(lost.threads));
        self.lost_memory.set(gauge(lost.memory));
        let blocked = table.timeline.blocked().as_secs_f64();
        self.blocked.inc_by(blocked - self.blocked.get());
        let canary = table.canary();
        let state = canary.as_ref().map_or("none", |canary| canary.state.as_str());
        self.canary.clear();
        self.canary.get_or_create(&StateLabel { state }).set(1);
        let ended = canary.map(|canary| canary.ended_runs).unwrap_or_default();
        for (lane, tally) in [("canary", ended.canary), ("current", ended.current)] {
            let label = LaneLabel { lane };
            self.canary_runs.get_or_create(&label).set(i64::from(tally.total));
            self.canary_failed_runs.get_or_create(&label).set(i64::from(tally.bad));
        }
        for entry in &table.view().entries {
            let state = entry.state.public().as_str();
            self.live.get_or_create(&StateLabel { state }).inc();
            let generation = entry.id.0;
            let Some(live) = &entry.live else {
                continue;
            };
            if state == "current" {
                self.current.set(gauge(generation));
                let labels = InfoLabels {
                    version: env!("CARGO_PKG_VERSION"),
                    generation,
                    hash: live.hash.clone(),
                    git: entry.git.clone().unwrap_or_default(),
                    release: entry
                        .release
                        .as_ref()
                        .map(|release| release.digest.to_string())
                        .unwrap_or_default(),
                };
                self.info.get_or_create(&labels).set(1);
            }
            let label = GenerationLabel { generation };
            let values = [live.count() as u64, live.pool.queued() as u64, live.lease_count()];
            for (family, value) in by_generation.iter().zip(values) {
                family.get_or_create(&label).set(gauge(value));
            }
            for isolate in live.pool.observed() {
                let state = match (isolate.vitals.condemned, isolate.blocked) {
                    (true, _) => "condemned",
                    (false, true) => "blocked",
                    (false, false) => "free",
                };
                self.isolates
                    .get_or_create(&IsolateStateLabels { generation, state })
                    .inc();
                let isolate_label = IsolateLabels {
                    generation,
                    isolate: isolate.id.0,
                };
                self.heap
                    .get_or_create(&isolate_label)
                    .set(gauge(isolate.vitals.heap_used));
                self.buffers
                    .get_or_create(&isolate_label)
                    .set(gauge(isolate.vitals.buffers_used));
            }
        }
    }
}

fn gauge(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{MOST_FUNCTIONS, Metrics};
    use crate::generation::{CallResult, Outcome, Pin, Report, Table};

    #[test]
    fn functions_that_are_renamed_again_and_again_share_a_label_in_the_end() {
        let metrics = Metrics::default();
        for renamed in 0..=MOST_FUNCTIONS {
            let label = metrics.label(&format!("app-{renamed}"));
            assert_eq!(label.is_some(), renamed < MOST_FUNCTIONS);
        }
        assert_eq!(
            metrics.label("app-7").as_deref(),
            Some("app-7"),
            "whoever has one keeps it"
        );
    }

    #[tokio::test]
    async fn what_was_counted_is_rendered_and_functions_that_are_not_there_are_one() {
        let metrics = Metrics::default();
        let answer = CallResult {
            status: Some(206),
            error: None,
        };
        for function in [Some("app-hello"), None, None] {
            metrics.call_answered(function, answer, Duration::from_millis(5));
        }
        metrics.reload_answered(&Report {
            outcome: Outcome::ShuttingDown,
            took_ms: 5.0,
        });
        let text = metrics.render(&Table::new(Pin::Nothing)).unwrap();
        for line in [
            "baton_calls_total{function=\"app-hello\",outcome=\"stepped\"} 1",
            "baton_calls_total{function=\"unknown\",outcome=\"stepped\"} 2",
            "baton_call_duration_seconds_count{function=\"app-hello\"} 1",
            "baton_reloads_total{outcome=\"shutting_down\"} 1",
            "baton_generation_current 0",
        ] {
            assert!(text.contains(line), "{line} is not in {text}");
        }
    }
}
