//! The subject of a call.

use serde::Serialize;

/// The run and the step that a request is about, as far as it names them. The host reads it once; it goes with the
/// request.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct CallSubject {
    /// The composite id, `<app>-<function>`.
    pub function: Option<String>,
    /// The run's id.
    pub run: Option<String>,
    /// The hashed id of the step; `step` while steps are discovered.
    pub step: Option<String>,
}
