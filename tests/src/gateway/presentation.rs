//! A worker's presentation as the server understands it: one group for each app, told apart by a hash
//! (inngest/inngest: `pkg/connect/state/group.go`).

use connect_wire::message::{AppConfiguration, WorkerConnectRequestData};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::canonical;

/// One app of a worker.
#[derive(Clone, Debug)]
pub(super) struct Group {
    pub(super) app: String,
    pub(super) functions: Vec<Value>,
    /// Equal for workers that present the same code by the same SDK.
    pub(super) hash: String,
}

impl Group {
    /// Reads the groups of a presentation; `None` where the functions are not a JSON array.
    pub(super) fn all(data: &WorkerConnectRequestData) -> Option<Vec<Self>> {
        data.apps.iter().map(|app| Self::of(data, app)).collect()
    }

    fn of(data: &WorkerConnectRequestData, app: &AppConfiguration) -> Option<Self> {
        let functions: Value = serde_json::from_slice(&app.functions).ok()?;
        let base = format!(
            "{}:{}:{}:{}:{}",
            data.sdk_language,
            data.sdk_version,
            data.platform.as_deref().unwrap_or("-"),
            canonical::to_string(&functions),
            app.app_version.as_deref().unwrap_or_default(),
        );
        let Value::Array(functions) = functions else {
            return None;
        };
        Some(Self {
            app: app.app_name.clone(),
            functions,
            hash: Sha256::digest(base).iter().map(|byte| format!("{byte:02x}")).collect(),
        })
    }

    pub(super) fn has(&self, slug: &str) -> bool {
        self.functions.iter().any(|function| function["id"] == slug)
    }
}
