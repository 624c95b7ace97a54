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
    let headline = match state {
        "registered" if registration["verified"] == true => format!("registered at {inngest}, which says so"),
        "registered" => format!("registered at {inngest}, which does not tell what it holds"),
        "drifted" => format!("registered at {inngest}, which holds something else than the code:"),
        "registering" => format!("registering at {inngest}"),
        "unregistered" => {
            let error = field("error").unwrap_or("not told yet");
            format!("not registered at {inngest}: {error} ({attempts} attempt(s), trying again)")
        }
        "off" => format!("not registered: {}", field("reason").unwrap_or_default()),
        _ => return None,
    };
    let differences = registration["drift"].as_array().into_iter().flatten();
    // A dev server that was not started yet is nobody's trouble.
    let awaited = registration["dev"] == true && field("error_kind") == Some("unreachable");
    Some(Words {
        headline,
        differences: differences.map(difference).collect(),
        wrong: state == "drifted" || state == "unregistered" && attempts > 0 && !awaited,
    })
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
