//! The error that the process ends with.

use host::cli::invoke::InvokeError;
use host::cli::push::PushError;
use host::life::ServeError;
use js_runtime::startup_snapshot::SnapshotError;

pub(super) struct Failure {
    pub(super) code: u8,
    pub(super) report: miette::Report,
}

impl Failure {
    pub(super) fn new(code: u8, error: impl Into<miette::Report>) -> Self {
        let report = error.into();
        Self { code, report }
    }
}

impl From<ServeError> for Failure {
    fn from(error: ServeError) -> Self {
        Self::new(error.exit_code(), error)
    }
}

impl From<PushError> for Failure {
    fn from(error: PushError) -> Self {
        Self::new(error.exit_code(), error)
    }
}

impl From<InvokeError> for Failure {
    fn from(error: InvokeError) -> Self {
        Self::new(error.exit_code(), error)
    }
}

impl From<SnapshotError> for Failure {
    fn from(error: SnapshotError) -> Self {
        Self::new(1, miette::miette!("{error}"))
    }
}
