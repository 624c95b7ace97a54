//! The state of the registration in words for people.

use super::registration::{
    Difference, DifferenceKind, FailureKind, HolderStatus, NewerHostStatus, RegistrationState, RegistrationStatus,
};

/// The text that a person reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistrationWords {
    /// One line.
    pub headline: String,
    /// The differences between Inngest's copy and the code, one text each.
    pub differences: Vec<String>,
    /// Tells whether somebody has to look after the registration.
    pub wrong: bool,
}

impl RegistrationStatus {
    /// Describes the registration; `None` for a state that this version does not know.
    #[must_use]
    pub fn words(&self) -> Option<RegistrationWords> {
        use RegistrationState::{Drifted, Off, Registered, Registering, Unknown, Unregistered};
        let inngest = self.apps.first().map_or("Inngest", |app| &app.inngest);
        let attempts = self.failed_attempts;
        let waits = self.holder.as_ref().is_some_and(|holder| holder.error.is_none());
        if let Some(newer) = self.newer.as_ref().filter(|_| self.failed_attempts == 0) {
            return Some(RegistrationWords {
                headline: left_to(inngest, newer),
                differences: self.drift.iter().map(difference).collect(),
                wrong: false,
            });
        }
        let headline = match (self.state, &self.holder) {
            (Registered, _) if self.verified => format!("registered at {inngest}, and verified there"),
            (Registered, _) => format!("registered at {inngest}, which does not show its functions"),
            (Drifted, Some(holder)) => elsewhere(inngest, holder),
            (Drifted, None) => format!("registered at {inngest}, which has other functions than the code:"),
            (Registering, _) => format!("registering at {inngest}"),
            (Unregistered, _) => {
                let error = self.error.as_deref().unwrap_or("not tried yet");
                let place = match error.contains(inngest) {
                    true => String::new(),
                    false => format!(" at {inngest}"),
                };
                format!("not registered{place}: {error} ({attempts} attempt(s), trying again)")
            }
            (Off, _) => format!("not registered: {}", self.reason.as_deref().unwrap_or_default()),
            (Unknown, _) => return None,
        };
        // The URL is in the headline.
        let shown = |one: &&Difference| self.holder.is_none() || one.kind != DifferenceKind::Url;
        // A dev server that was not started yet is nobody's trouble.
        let awaited = self.dev == Some(true) && self.error_kind == Some(FailureKind::Unreachable);
        Some(RegistrationWords {
            headline,
            differences: self.drift.iter().filter(shown).map(difference).collect(),
            wrong: self.state == Drifted && !waits || self.state == Unregistered && attempts > 0 && !awaited,
        })
    }
}

/// Describes the registration of another host.
fn elsewhere(inngest: &str, holder: &HolderStatus) -> String {
    let urls = holder.urls.join(", ");
    let error = holder.error.as_deref().unwrap_or_default();
    let condition = match holder.answers {
        None => "this host is checking whether it answers".to_owned(),
        Some(true) => "it answers; this host registers when it does not".to_owned(),
        Some(false) if holder.silences == 0 => {
            format!("this host cannot reach it and leaves it registered: {error}")
        }
        Some(false) => {
            let since = holder.silent_since.map(|since| since.to_string()).unwrap_or_default();
            format!("it has not answered since {since}: {error}")
        }
    };
    format!("another host is registered at {inngest}: {urls}; {condition}")
}

/// Describes the registration by a host at the same address.
fn left_to(inngest: &str, newer: &NewerHostStatus) -> String {
    let (host, time) = (&newer.host, newer.code_time.strftime("%Y-%m-%d %H:%M:%SZ"));
    format!("host {host} at the same address has newer code (of {time}) and registers it at {inngest}")
}

fn difference(difference: &Difference) -> String {
    let of = difference.function.as_ref().unwrap_or(&difference.app);
    let kind = difference.kind.as_str();
    let (expected, held) = (&difference.expected, &difference.held);
    format!("{of}: {kind}: Inngest has {held}, the code has {expected}")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{RegistrationStatus, RegistrationWords};

    fn words(said: Value) -> RegistrationWords {
        let status: RegistrationStatus = serde_json::from_value(said).unwrap();
        status.words().unwrap()
    }

    #[test]
    fn another_host_that_is_registered_is_nothing_wrong_while_it_answers() {
        let status = |answers: Option<bool>, error: Option<&str>| {
            json!({"state": "drifted", "apps": [{"inngest": "http://inngest"}],
                   "drift": [{"app": "a", "kind": "url", "expected": "http://here", "held": "http://there"}],
                   "holder": {"urls": ["http://there"], "answers": answers, "error": error, "silences": 1,
                              "silent_since": error.map(|_| "2026-01-01T00:00:00Z")}})
        };
        let answering = words(status(Some(true), None));
        assert_eq!(
            answering.headline,
            "another host is registered at http://inngest: http://there; it answers; this host registers when it does not"
        );
        assert_eq!((answering.differences.len(), answering.wrong), (0, false));
        let silent = words(status(Some(false), Some("connection refused")));
        assert_eq!(
            silent.headline,
            "another host is registered at http://inngest: http://there; it has not answered since \
             2026-01-01T00:00:00Z: connection refused"
        );
        assert!(silent.wrong);
        let mut unreachable = status(Some(false), Some("no such host"));
        unreachable["holder"]["silences"] = 0.into();
        let headline = words(unreachable).headline;
        let text = "cannot reach it and leaves it registered: no such host";
        assert!(headline.ends_with(text), "{headline}");
    }

    #[test]
    fn a_host_at_the_same_address_with_newer_code_is_nothing_wrong() {
        let status = words(json!({"state": "drifted", "apps": [{"inngest": "http://inngest"}],
                                  "drift": [{"app": "a", "function": "a-b", "kind": "missing"}],
                                  "newer": {"host": "0f", "code_time": "2026-01-02T03:04:05Z"}}));
        assert_eq!(
            status.headline,
            "host 0f at the same address has newer code (of 2026-01-02 03:04:05Z) and registers it at http://inngest"
        );
        assert_eq!((status.differences.len(), status.wrong), (1, false));
    }

    #[test]
    fn a_dev_server_that_is_not_there_is_told_and_is_nothing_wrong() {
        let status = |dev: bool, kind: &str| {
            words(json!({"state": "unregistered", "failed_attempts": 3, "error": "no", "error_kind": kind, "dev": dev}))
        };
        let awaited = status(true, "unreachable");
        assert_eq!(
            awaited.headline,
            "not registered at Inngest: no (3 attempt(s), trying again)"
        );
        assert!(!awaited.wrong);
        assert!(status(false, "unreachable").wrong);
        assert!(status(true, "unauthorized").wrong);
    }
}
