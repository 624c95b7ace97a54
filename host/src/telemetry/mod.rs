//! The telemetry of a host: log lines and metrics.

mod log_file;
pub mod logs;
mod metrics;
mod recent;
pub mod terminal;
mod traces;
mod writer;

pub use log_file::{LogFile, LogFileError, LogFileSettings};
pub use metrics::Metrics;
pub use recent::{Level, LineFilter};
pub use traces::{CallSpan, Traces, TracesError};
