//! The reason why Inngest was not told, or does not tell.

use crate::status::FailureKind;

/// A failure of Inngest, for people, and its kind, for machines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InngestFailure {
    pub kind: FailureKind,
    pub text: String,
}

impl InngestFailure {
    pub(super) fn new(kind: FailureKind, text: impl Into<String>) -> Self {
        Self {
            kind,
            text: text.into(),
        }
    }
}
