//! A function's request to the executor: one element of a 206 body
//! (inngest/inngest: `pkg/enums/opcode.go`).

use serde_json::Value;
use sha1::{Digest, Sha1};

/// The id that a step called `name` has on the wire: hexadecimal SHA-1.
#[must_use]
pub fn step_id(name: &str) -> String {
    Sha1::digest(name.as_bytes())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// One op of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Op(pub Value);

impl Op {
    /// Returns the ops of a body: a list, or one by itself.
    #[must_use]
    pub fn all(body: Value) -> Vec<Self> {
        match body {
            Value::Array(ops) => ops.into_iter().map(Self).collect(),
            op => vec![Self(op)],
        }
    }

    /// The opcode, such as `StepRun`.
    #[must_use]
    pub fn code(&self) -> &str {
        self.0["op"].as_str().unwrap_or_default()
    }

    /// The hashed id of the step.
    #[must_use]
    pub fn id(&self) -> &str {
        self.0["id"].as_str().unwrap_or_default()
    }

    /// Returns the step's name in the user's code.
    #[must_use]
    pub fn display_name(&self) -> &str {
        self.0["displayName"].as_str().unwrap_or_default()
    }

    /// Returns the step's answer.
    #[must_use]
    pub fn data(&self) -> &Value {
        &self.0["data"]
    }
}
