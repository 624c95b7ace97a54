//! Prometheus metrics. Counters are kept here; what the table knows is read when somebody asks.

use std::fmt;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use crate::generation::{Outcome, View};

/// All metrics of a host.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    calls: Family<StatusClass, Counter>,
    call_seconds: Histogram,
    reloads: Family<ReloadStatus, Counter>,
    current: Gauge,
    live: Family<GenerationState, Gauge>,
    in_flight: Family<GenerationLabel, Gauge>,
    queued: Family<GenerationLabel, Gauge>,
    isolates: Family<IsolateState, Gauge>,
    registration: Family<RegistrationState, Gauge>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RegistrationState {
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StatusClass {
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReloadStatus {
    status: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct GenerationState {
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct IsolateState {
    generation: u64,
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct GenerationLabel {
    generation: u64,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("baton");
        // From a millisecond to more than the two hours that Inngest allows a call.
        let call_seconds = Histogram::new(exponential_buckets(0.001, 4.0, 13));
        let metrics = Self {
            calls: Family::default(),
            call_seconds,
            reloads: Family::default(),
            current: Gauge::default(),
            live: Family::default(),
            in_flight: Family::default(),
            queued: Family::default(),
            isolates: Family::default(),
            registration: Family::default(),
            registry: Registry::default(),
        };
        registry.register("calls", "Calls answered, by HTTP status", metrics.calls.clone());
        registry.register_with_unit(
            "call",
            "Time from a call to its answer",
            Unit::Seconds,
            metrics.call_seconds.clone(),
        );
        registry.register(
            "reloads",
            "Reloads and rollbacks answered, by outcome",
            metrics.reloads.clone(),
        );
        registry.register(
            "generation_current",
            "Number of the generation that gets new calls, 0 for none",
            metrics.current.clone(),
        );
        registry.register("generations", "Generations by state", metrics.live.clone());
        registry.register(
            "calls_in_flight",
            "Calls that run, by generation",
            metrics.in_flight.clone(),
        );
        registry.register(
            "calls_queued",
            "Calls that no isolate has begun, by generation",
            metrics.queued.clone(),
        );
        registry.register(
            "isolates",
            "Isolates by generation and state: free, or blocked by user code",
            metrics.isolates.clone(),
        );
        registry.register(
            "registration",
            "1 for how the registration at Inngest stands: off, unregistered, registering, registered, drifted",
            metrics.registration.clone(),
        );
        Self { registry, ..metrics }
    }
}

impl Metrics {
    pub fn call_answered(&self, status: u16, took: Duration) {
        self.calls.get_or_create(&StatusClass { status }).inc();
        self.call_seconds.observe(took.as_secs_f64());
    }

    pub fn reload_answered(&self, outcome: &Outcome) {
        self.reloads
            .get_or_create(&ReloadStatus { status: outcome.word() })
            .inc();
    }

    /// How the registration stands.
    pub fn registration_is(&self, state: &'static str) {
        self.registration.clear();
        self.registration.get_or_create(&RegistrationState { state }).set(1);
    }

    /// The metrics in OpenMetrics text.
    ///
    /// # Errors
    /// When a value cannot be written as text.
    pub fn render(&self, view: &View) -> Result<String, fmt::Error> {
        self.live.clear();
        self.in_flight.clear();
        self.queued.clear();
        self.isolates.clear();
        self.current.set(0);
        for entry in &view.entries {
            let state = entry.state.word();
            self.live.get_or_create(&GenerationState { state }).inc();
            let generation = entry.id.0;
            if state == "current" {
                self.current.set(i64::try_from(generation).unwrap_or(i64::MAX));
            }
            if let Some(live) = &entry.live {
                let label = GenerationLabel { generation };
                self.in_flight.get_or_create(&label).set(gauge(live.in_flight().len()));
                self.queued.get_or_create(&label).set(gauge(live.pool.queued()));
                for isolate in live.pool.observed() {
                    let state = if isolate.blocked { "blocked" } else { "free" };
                    self.isolates.get_or_create(&IsolateState { generation, state }).inc();
                }
            }
        }
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

fn gauge(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Metrics;
    use crate::generation::{Outcome, View};

    #[test]
    fn what_was_counted_is_rendered() {
        let metrics = Metrics::default();
        metrics.call_answered(206, Duration::from_millis(5));
        metrics.reload_answered(&Outcome::ShuttingDown);
        let text = metrics.render(&View::default()).unwrap();
        assert!(text.contains("baton_calls_total{status=\"206\"} 1"), "{text}");
        assert!(
            text.contains("baton_reloads_total{status=\"shutting_down\"} 1"),
            "{text}"
        );
        assert!(text.contains("baton_call_seconds_count 1"), "{text}");
        assert!(text.contains("baton_generation_current 0"), "{text}");
    }
}
