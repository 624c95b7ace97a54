//! What a host tells about itself: log lines and metrics.

pub mod logs;
mod metrics;

pub use metrics::Metrics;
