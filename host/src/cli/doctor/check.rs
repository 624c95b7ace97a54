//! One check and its outcome, for people and for machines.

use serde::Serialize;
use serde_json::json;

use super::super::output::say;

/// A check that was made, or that could not be made.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Check {
    /// The subject of the check.
    check: &'static str,
    #[serde(flatten)]
    outcome: CheckOutcome,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "status", rename_all = "snake_case")]
enum CheckOutcome {
    Ok {
        message: String,
    },
    /// The subject works, and deserves attention.
    Warning(Finding),
    Failed(Finding),
    Skipped {
        message: String,
    },
}

/// A problem, and its remedy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    /// The stable name of the finding, for machines.
    pub(super) finding: String,
    pub(super) message: String,
    pub(super) fix: String,
}

impl Finding {
    pub(super) fn new(finding: impl Into<String>, message: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            finding: finding.into(),
            message: message.into(),
            fix: fix.into(),
        }
    }
}

impl Check {
    pub(super) fn good(check: &'static str, message: impl Into<String>) -> Self {
        let outcome = CheckOutcome::Ok {
            message: message.into(),
        };
        Self { check, outcome }
    }

    pub(super) fn skipped(check: &'static str, message: impl Into<String>) -> Self {
        let outcome = CheckOutcome::Skipped {
            message: message.into(),
        };
        Self { check, outcome }
    }

    pub(super) const fn warning(check: &'static str, finding: Finding) -> Self {
        let outcome = CheckOutcome::Warning(finding);
        Self { check, outcome }
    }

    pub(super) const fn failed(check: &'static str, finding: Finding) -> Self {
        let outcome = CheckOutcome::Failed(finding);
        Self { check, outcome }
    }

    pub(super) const fn is_bad(&self) -> bool {
        matches!(self.outcome, CheckOutcome::Failed(_))
    }

    fn line(&self) -> String {
        let (mark, message, fix) = match &self.outcome {
            CheckOutcome::Ok { message } => ("✓", message, None),
            CheckOutcome::Skipped { message } => ("-", message, None),
            CheckOutcome::Warning(finding) => ("!", &finding.message, Some(&finding.fix)),
            CheckOutcome::Failed(finding) => ("✗", &finding.message, Some(&finding.fix)),
        };
        let fix = fix.map(|fix| format!(" → {fix}")).unwrap_or_default();
        format!("{mark} {:<13} {message}{fix}", self.check).replace('\n', " ")
    }
}

pub(super) fn tell(checks: &[Check], as_json: bool) {
    if as_json {
        let ok = !checks.iter().any(Check::is_bad);
        say(format_args!("{}\n", json!({ "ok": ok, "checks": checks })));
        return;
    }
    say(checks.iter().map(|check| check.line() + "\n").collect::<String>());
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Check, Finding};

    #[test]
    fn a_check_is_a_line_with_its_fix() {
        let finding = Finding::new("port_taken", "port 3111 is node's", "Take another\none.");
        let check = Check::failed("port", finding);
        assert_eq!(check.line(), "✗ port          port 3111 is node's → Take another one.");
        assert_eq!(
            serde_json::to_value(&check).unwrap(),
            json!({"check": "port", "status": "failed", "finding": "port_taken",
                   "message": "port 3111 is node's", "fix": "Take another\none."})
        );
    }
}
