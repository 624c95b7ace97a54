//! Compares the apps that Inngest holds with the current generation.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use js_runtime_api::Function;
use serde_json::{Value, json};

use super::subject::AppSubject;
use crate::status::{Difference, DifferenceKind};

/// The number of retries that Inngest gives to a function that sets none (inngest/inngest: `pkg/consts/consts.go`).
const DEFAULT_RETRIES: u64 = 4;

/// An app as Inngest holds it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct RegisteredApp {
    pub(super) url: Option<String>,
    pub(super) error: Option<String>,
    pub(super) functions: BTreeMap<String, RegisteredFunction>,
}

/// A function as Inngest holds it; a field that Inngest does not tell is `None`.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct RegisteredFunction {
    pub(super) triggers: Option<BTreeSet<String>>,
    pub(super) retries: Option<u64>,
    /// The limit and the key of each entry.
    pub(super) concurrency: Option<BTreeSet<String>>,
}

impl Difference {
    fn of_app(app: &str, kind: DifferenceKind, expected: Value, held: Value) -> Self {
        Self {
            app: app.to_owned(),
            function: None,
            kind,
            expected,
            held,
        }
    }

    pub(super) fn app_missing(app: &str) -> Self {
        Self::of_app(app, DifferenceKind::Missing, json!(app), Value::Null)
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = self.function.as_deref().unwrap_or(&self.app);
        let (expected, held) = (&self.expected, &self.held);
        match self.kind {
            DifferenceKind::Missing => write!(f, "Inngest does not know {what}"),
            DifferenceKind::Extra => write!(f, "Inngest still has {what}, which the code does not have"),
            DifferenceKind::Url => write!(f, "Inngest calls {what} at {held}, not at {expected}"),
            DifferenceKind::Triggers => write!(f, "Inngest has other triggers for {what}: {held}, not {expected}"),
            DifferenceKind::Retries => write!(f, "Inngest has {held} retries for {what}, not {expected}"),
            DifferenceKind::Concurrency => {
                write!(f, "Inngest has another concurrency for {what}: {held}, not {expected}")
            }
            DifferenceKind::Error => write!(f, "Inngest says of {what}: {held}"),
        }
    }
}

/// Returns every difference between an app and the app that Inngest holds.
pub(super) fn compare(app: &AppSubject, held: Option<&RegisteredApp>) -> Vec<Difference> {
    let Some(held) = held else {
        return vec![Difference::app_missing(&app.id)];
    };
    let mut found = Vec::new();
    if let Some(url) = held.url.as_ref().filter(|url| normal_url(url) != normal_url(&app.url)) {
        found.push(Difference::of_app(
            &app.id,
            DifferenceKind::Url,
            json!(app.url),
            json!(url),
        ));
    }
    if let Some(error) = &held.error {
        found.push(Difference::of_app(
            &app.id,
            DifferenceKind::Error,
            Value::Null,
            json!(error),
        ));
    }
    let of = |function: &str, kind, expected, held| Difference {
        function: Some(function.to_owned()),
        ..Difference::of_app(&app.id, kind, expected, held)
    };
    for function in &app.functions {
        let id = function.id.as_str();
        let Some(held) = held.functions.get(id) else {
            found.push(of(id, DifferenceKind::Missing, json!(id), Value::Null));
            continue;
        };
        let expected = expected(function);
        if let Some(triggers) = held
            .triggers
            .as_ref()
            .filter(|held| Some(*held) != expected.triggers.as_ref())
        {
            found.push(of(
                id,
                DifferenceKind::Triggers,
                json!(expected.triggers),
                json!(triggers),
            ));
        }
        if let Some(retries) = held.retries.filter(|held| Some(*held) != expected.retries) {
            found.push(of(id, DifferenceKind::Retries, json!(expected.retries), json!(retries)));
        }
        if let Some(limits) = held
            .concurrency
            .as_ref()
            .filter(|held| Some(*held) != expected.concurrency.as_ref())
        {
            found.push(of(
                id,
                DifferenceKind::Concurrency,
                json!(expected.concurrency),
                json!(limits),
            ));
        }
    }
    let known: BTreeSet<_> = app.functions.iter().map(|function| function.id.as_str()).collect();
    for id in held.functions.keys().filter(|id| !known.contains(id.as_str())) {
        found.push(of(id, DifferenceKind::Extra, Value::Null, json!(id)));
    }
    found
}

fn expected(function: &Function) -> RegisteredFunction {
    let text = |value: &Value, name: &str| value[name].as_str().map(str::to_owned);
    let triggers = function
        .triggers
        .iter()
        .filter_map(|trigger| match text(trigger, "cron") {
            Some(cron) => Some(trigger_text("cron", &cron, None)),
            None => Some(trigger_text(
                "event",
                &text(trigger, "event")?,
                text(trigger, "expression").as_deref(),
            )),
        });
    let limits = match function.config.get("concurrency") {
        Some(Value::Array(limits)) => limits.iter().map(limit_of).collect(),
        Some(limit) => BTreeSet::from([limit_of(limit)]),
        None => BTreeSet::new(),
    };
    RegisteredFunction {
        triggers: Some(triggers.collect()),
        retries: Some(function.retries.map_or(DEFAULT_RETRIES, u64::from)),
        concurrency: Some(limits),
    }
}

fn limit_of(limit: &Value) -> String {
    let count = limit.as_u64().or_else(|| limit["limit"].as_u64()).unwrap_or_default();
    limit_text(count, limit["key"].as_str())
}

pub(super) fn trigger_text(kind: &str, value: &str, condition: Option<&str>) -> String {
    match condition.filter(|condition| !condition.is_empty()) {
        Some(condition) => format!("{kind} {value} if {condition}"),
        None => format!("{kind} {value}"),
    }
}

pub(super) fn limit_text(limit: u64, key: Option<&str>) -> String {
    match key.filter(|key| !key.is_empty()) {
        Some(key) => format!("{limit} by {key}"),
        None => limit.to_string(),
    }
}

/// Normalises a URL as Inngest does before it compares URLs (inngest/inngest: `pkg/util/normalize.go`).
pub(super) fn normal_url(url: &str) -> String {
    let (url, query) = url.split_once('?').unwrap_or((url, ""));
    let kept: Vec<_> = query
        .split('&')
        .filter(|pair| !pair.is_empty() && !pair.starts_with("deployId=") && !pair.starts_with("probe="))
        .collect();
    let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let default = if scheme == "https" { ":443" } else { ":80" };
    let authority = authority.strip_suffix(default).unwrap_or(authority);
    let (host, port) = authority.split_once(':').unwrap_or((authority, ""));
    let host = match host {
        "127.0.0.1" | "0.0.0.0" => "localhost",
        host => host,
    };
    format!(
        "{scheme}://{host}:{port}/{}?{}",
        path.trim_end_matches('/'),
        kept.join("&")
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use js_runtime_api::{Function, Target};
    use serde_json::json;

    use super::{DifferenceKind, RegisteredApp, RegisteredFunction, compare, expected, normal_url};
    use crate::registration::subject::AppSubject;

    fn function(id: &str) -> Function {
        Function {
            id: id.to_owned(),
            triggers: vec![
                json!({"event": "a", "expression": "event.data.x"}),
                json!({"cron": "0 7 * * *"}),
            ],
            config: BTreeMap::from([("concurrency".to_owned(), json!({"limit": 2, "key": "event.data.y"}))]),
            ..Function::default()
        }
    }

    fn app() -> AppSubject {
        AppSubject {
            id: "app".to_owned(),
            api: "http://localhost:8288".to_owned(),
            url: "http://127.0.0.1:3111/api/inngest".to_owned(),
            shared: false,
            target: Target::Sync(None),
            functions: vec![function("app-a"), function("app-b")],
        }
    }

    fn held() -> RegisteredApp {
        let functions = ["app-a", "app-b"].map(|id| (id.to_owned(), expected(&function(id))));
        RegisteredApp {
            url: Some("http://localhost:3111/api/inngest?deployId=1".to_owned()),
            error: None,
            functions: functions.into(),
        }
    }

    #[test]
    fn the_same_in_other_words_is_the_same() {
        assert_eq!(compare(&app(), Some(&held())), []);
        assert_eq!(
            normal_url("https://a.example:443/x/"),
            normal_url("https://a.example/x")
        );
        assert_ne!(normal_url("http://a.example/x"), normal_url("https://a.example/x"));
        assert_ne!(normal_url("http://localhost:1/x"), normal_url("http://localhost:2/x"));
    }

    #[test]
    fn what_a_server_does_not_tell_is_no_difference() {
        let functions = ["app-a", "app-b"].map(|id| (id.to_owned(), RegisteredFunction::default()));
        let told = RegisteredApp {
            functions: functions.into(),
            ..RegisteredApp::default()
        };
        assert_eq!(compare(&app(), Some(&told)), []);
    }

    #[test]
    fn each_difference_is_named() {
        let kinds = |held: Option<&RegisteredApp>| -> Vec<_> {
            let differences = compare(&app(), held);
            assert!(differences.iter().all(|difference| !difference.to_string().is_empty()));
            differences.iter().map(|difference| difference.kind).collect()
        };
        assert_eq!(kinds(None), [DifferenceKind::Missing]);
        let mut other = held();
        other.url = Some("http://localhost:4000/api/inngest".to_owned());
        other.error = Some("unreachable".to_owned());
        assert_eq!(kinds(Some(&other)), [DifferenceKind::Url, DifferenceKind::Error]);
        let mut other = held();
        let a = other.functions.remove("app-a").unwrap();
        other.functions.insert("app-old".to_owned(), a);
        assert_eq!(kinds(Some(&other)), [DifferenceKind::Missing, DifferenceKind::Extra]);
        let mut other = held();
        let a = other.functions.get_mut("app-a").unwrap();
        a.retries = Some(0);
        a.triggers.as_mut().unwrap().clear();
        a.concurrency.as_mut().unwrap().clear();
        let all = [
            DifferenceKind::Triggers,
            DifferenceKind::Retries,
            DifferenceKind::Concurrency,
        ];
        assert_eq!(kinds(Some(&other)), all);
    }
}
