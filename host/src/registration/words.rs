//! How the registration stands, in words: made of the status' JSON, which may come from another host.

use serde_json::Value;

/// What a person is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words {
    /// One line.
    pub headline: String,
    /// What Inngest holds otherwise, one each.
    pub differences: Vec<String>,
    /// Whether somebody has to look after it.
    pub wrong: bool,
}

/// Nothing of a status that does not tell.
#[must_use]
pub fn in_words(registration: &Value) -> Option<Words> {
    let field = |name: &str| registration[name].as_str();
    let inngest = registration["apps"][0]["inngest"].as_str().unwrap_or("Inngest");
    let attempts = registration["failed_attempts"].as_u64().unwrap_or_default();
    let state = field("state")?;
    let holder = Some(&registration["holder"]).filter(|holder| holder.is_object());
    let waits = holder.is_some_and(|holder| holder["error"].is_null());
    let headline = match (state, holder) {
        ("registered", _) if registration["verified"] == true => format!("registered at {inngest}, which says so"),
        ("registered", _) => format!("registered at {inngest}, which does not tell what it holds"),
        ("drifted", Some(holder)) => elsewhere(inngest, holder),
        ("drifted", None) => format!("registered at {inngest}, which holds something else than the code:"),
        ("registering", _) => format!("registering at {inngest}"),
        ("unregistered", _) => {
            let error = field("error").unwrap_or("not told yet");
            format!("not registered at {inngest}: {error} ({attempts} attempt(s), trying again)")
        }
        ("off", _) => format!("not registered: {}", field("reason").unwrap_or_default()),
        _ => return None,
    };
    let differences = registration["drift"].as_array().into_iter().flatten();
    // The URL is in the headline.
    let differences = differences.filter(|one| holder.is_none() || one["kind"] != "url");
    // A dev server that was not started yet is nobody's trouble.
    let awaited = registration["dev"] == true && field("error_kind") == Some("unreachable");
    Some(Words {
        headline,
        differences: differences.map(difference).collect(),
        wrong: state == "drifted" && !waits || state == "unregistered" && attempts > 0 && !awaited,
    })
}

/// Another host is registered.
fn elsewhere(inngest: &str, holder: &Value) -> String {
    let urls = holder["urls"].as_array().into_iter().flatten();
    let urls: Vec<_> = urls.filter_map(Value::as_str).collect();
    let urls = urls.join(", ");
    let field = |name: &str| holder[name].as_str().unwrap_or_default();
    let condition = match holder["answers"].as_bool() {
        None => "it is asked whether it answers".to_owned(),
        Some(true) => "it answers; this host registers when it does not".to_owned(),
        Some(false) if holder["silences"] == 0 => {
            format!("this host cannot reach it and leaves it registered: {}", field("error"))
        }
        Some(false) => format!(
            "it has not answered since {}: {}",
            field("silent_since"),
            field("error")
        ),
    };
    format!("another host is registered at {inngest}: {urls}; {condition}")
}

fn difference(difference: &Value) -> String {
    let field = |name: &str| difference[name].as_str();
    let what = field("function").or(field("app")).unwrap_or_default();
    let kind = field("kind").unwrap_or_default();
    let (expected, held) = (&difference["expected"], &difference["held"]);
    format!("{what}: {kind}: it holds {held}, the code says {expected}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::in_words;

    #[test]
    fn another_host_that_is_registered_is_nothing_wrong_while_it_answers() {
        let status = |answers: Option<bool>, error: Option<&str>| {
            json!({"state": "drifted", "apps": [{"inngest": "http://inngest"}],
                   "drift": [{"app": "a", "kind": "url", "expected": "http://here", "held": "http://there"}],
                   "holder": {"urls": ["http://there"], "answers": answers, "error": error,
                              "silent_since": error.map(|_| "2026-01-01T00:00:00Z")}})
        };
        let words = in_words(&status(Some(true), None)).unwrap();
        assert_eq!(
            words.headline,
            "another host is registered at http://inngest: http://there; it answers; this host registers when it does not"
        );
        assert_eq!((words.differences.len(), words.wrong), (0, false));
        let words = in_words(&status(Some(false), Some("connection refused"))).unwrap();
        assert_eq!(
            words.headline,
            "another host is registered at http://inngest: http://there; it has not answered since \
             2026-01-01T00:00:00Z: connection refused"
        );
        assert!(words.wrong);
        let mut unreachable = status(Some(false), Some("no such host"));
        unreachable["holder"]["silences"] = 0.into();
        let headline = in_words(&unreachable).unwrap().headline;
        let words = "cannot reach it and leaves it registered: no such host";
        assert!(headline.ends_with(words), "{headline}");
    }

    #[test]
    fn a_dev_server_that_is_not_there_is_told_and_is_nothing_wrong() {
        let status = |dev: bool, kind: &str| json!({"state": "unregistered", "failed_attempts": 3, "error": "no", "error_kind": kind, "dev": dev});
        let words = in_words(&status(true, "unreachable")).unwrap();
        assert_eq!(
            words.headline,
            "not registered at Inngest: no (3 attempt(s), trying again)"
        );
        assert!(!words.wrong);
        assert!(in_words(&status(false, "unreachable")).unwrap().wrong);
        assert!(in_words(&status(true, "unauthorized")).unwrap().wrong);
    }
}
