//! The functions of a project, as `GET /-/status` lists them.

use serde::Deserialize;
use serde_json::Value;

use super::expression::{Verdict, evaluate};
use super::sdk_request::encoded;
use crate::status::FunctionStatus;

/// The retries of a function that says nothing (inngest/inngest: `pkg/consts`).
const DEFAULT_RETRIES: u32 = 4;
/// The number of names that are offered for an unknown one.
const MOST_NEAR: usize = 3;

#[derive(Debug, Clone, Deserialize)]
pub struct CatalogueFunction {
    /// `<app>-<function>`.
    pub id: String,
    pub app: String,
    #[serde(default)]
    pub triggers: Vec<Value>,
    #[serde(default)]
    pub retries: Option<u32>,
    #[serde(default)]
    pub config: Value,
}

/// All functions of a project.
#[derive(Debug, Clone, Default)]
pub struct Catalogue(Vec<CatalogueFunction>);

/// The reason why a name means no function.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, miette::Diagnostic)]
pub enum FunctionNotFound {
    #[error("there is no function {name:?}{}", did_you_mean(.near))]
    #[diagnostic(help("The project has: {}", list(.known)))]
    Unknown {
        name: String,
        near: Vec<String>,
        known: Vec<String>,
    },
    #[error("{name:?} is a function of several apps")]
    #[diagnostic(help("Name one of them: {}", .ids.join(", ")))]
    Ambiguous { name: String, ids: Vec<String> },
    #[error("no function is triggered by the event {event:?}{}", did_you_mean(.near))]
    #[diagnostic(help("Events that trigger one: {}", list(.known)))]
    NoTrigger {
        event: String,
        near: Vec<String>,
        known: Vec<String>,
    },
}

fn did_you_mean(names: &[String]) -> String {
    match names {
        [] => String::new(),
        names => format!(", did you mean {}?", names.join(" or ")),
    }
}

fn list(names: &[String]) -> String {
    match names {
        [] => "none".to_owned(),
        names => names.join(", "),
    }
}

impl From<FunctionStatus> for CatalogueFunction {
    fn from(status: FunctionStatus) -> Self {
        Self {
            id: status.id,
            app: status.app,
            triggers: status.triggers,
            retries: status.retries,
            config: Value::Object(status.config.into_iter().collect()),
        }
    }
}

impl CatalogueFunction {
    /// The function's id without the app's.
    #[must_use]
    pub fn short_id(&self) -> &str {
        let short = self.id.strip_prefix(&self.app).and_then(|rest| rest.strip_prefix('-'));
        short.unwrap_or(&self.id)
    }

    #[must_use]
    pub fn max_attempts(&self) -> u32 {
        self.retries.unwrap_or(DEFAULT_RETRIES) + 1
    }

    /// The event of a run for which nobody names an event.
    #[must_use]
    pub fn usual_event(&self) -> String {
        let named = self.events().find(|event| !event.contains('*'));
        match named {
            Some(event) => event.to_owned(),
            None if self.triggers.iter().any(|trigger| trigger["cron"].is_string()) => {
                "inngest/scheduled.timer".to_owned()
            }
            None => "inngest/function.invoked".to_owned(),
        }
    }

    fn events(&self) -> impl Iterator<Item = &str> {
        self.triggers.iter().filter_map(|trigger| trigger["event"].as_str())
    }

    /// Tells whether the event begins a run of the function. An expression that is not understood does not prevent
    /// the run.
    #[must_use]
    pub fn is_triggered_by(&self, event: &Value) -> bool {
        let name = event["name"].as_str().unwrap_or_default();
        self.triggers.iter().any(|trigger| {
            let pattern = trigger["event"].as_str().unwrap_or_default();
            let named = match pattern.strip_suffix('*') {
                Some(beginning) => name.starts_with(beginning),
                None => name == pattern,
            };
            named
                && trigger["expression"]
                    .as_str()
                    .is_none_or(|expression| evaluate(expression, event, event) != Verdict::Fails)
        })
    }

    /// Tells whether the event `came` cancels a run of the function that began on `began`.
    #[must_use]
    pub fn is_cancelled_by(&self, came: &Value, began: &Value) -> bool {
        let cancels = self.config["cancel"].as_array().into_iter().flatten();
        cancels.filter(|cancel| cancel["event"] == came["name"]).any(|cancel| {
            cancel["if"]
                .as_str()
                .is_none_or(|expression| evaluate(expression, began, came) != Verdict::Fails)
        })
    }
}

impl Catalogue {
    /// The functions that a host lists.
    #[must_use]
    pub fn of(functions: impl IntoIterator<Item = FunctionStatus>) -> Self {
        Self::new(functions.into_iter().map(CatalogueFunction::from).collect())
    }

    /// The ids of all functions.
    #[must_use]
    pub fn ids(&self) -> Vec<String> {
        self.0.iter().map(|function| function.id.clone()).collect()
    }

    #[must_use]
    pub const fn new(functions: Vec<CatalogueFunction>) -> Self {
        Self(functions)
    }

    /// The path at which the function is called: an app that is not alone has a path of its own.
    #[must_use]
    pub fn path_of(&self, function: &CatalogueFunction) -> String {
        if self.0.iter().all(|other| other.app == function.app) {
            "/api/inngest".to_owned()
        } else {
            format!("/api/inngest/{}", encoded(&function.app))
        }
    }

    /// Finds a function by its whole id, as code names it.
    #[must_use]
    pub fn by_id(&self, id: &str) -> Option<&CatalogueFunction> {
        self.0.iter().find(|function| function.id == id)
    }

    /// Finds a function by its id, with or without the app's.
    ///
    /// # Errors
    /// When there is none, or more than one.
    pub fn named(&self, name: &str) -> Result<&CatalogueFunction, FunctionNotFound> {
        if let Some(function) = self.by_id(name) {
            return Ok(function);
        }
        let found: Vec<&CatalogueFunction> = self.0.iter().filter(|function| function.short_id() == name).collect();
        match found.as_slice() {
            [only] => Ok(only),
            [] => Err(FunctionNotFound::Unknown {
                near: nearest(name, self.0.iter().map(CatalogueFunction::short_id)),
                known: self.0.iter().map(|function| function.short_id().to_owned()).collect(),
                name: name.to_owned(),
            }),
            several => Err(FunctionNotFound::Ambiguous {
                name: name.to_owned(),
                ids: several.iter().map(|function| function.id.clone()).collect(),
            }),
        }
    }

    /// The functions that an event begins.
    pub fn triggered_by<'a>(&'a self, event: &'a Value) -> impl Iterator<Item = &'a CatalogueFunction> {
        self.0.iter().filter(|function| function.is_triggered_by(event))
    }

    /// The reason why an event begins nothing.
    #[must_use]
    pub fn nothing_for(&self, event: &str) -> FunctionNotFound {
        let mut known: Vec<String> = self
            .0
            .iter()
            .flat_map(CatalogueFunction::events)
            .map(str::to_owned)
            .collect();
        known.sort();
        known.dedup();
        FunctionNotFound::NoTrigger {
            near: nearest(event, known.iter().map(String::as_str)),
            event: event.to_owned(),
            known,
        }
    }

    /// The function that runs when another function has failed for good.
    #[must_use]
    pub fn failure_handler_of(&self, function: &CatalogueFunction) -> Option<&CatalogueFunction> {
        self.by_id(&format!("{}-failure", function.id))
    }
}

fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut scored: Vec<(f64, &str)> = known
        .map(|known| (strsim::jaro_winkler(name, known), known))
        .filter(|(score, _)| *score > 0.75)
        .collect();
    scored.sort_by(|one, other| other.0.total_cmp(&one.0));
    scored.dedup();
    let best = scored.first().map_or(0.0, |(score, _)| *score);
    // Names of one event family begin alike: a name that is far behind the best one is not meant.
    let near = scored.into_iter().take_while(|(score, _)| *score > best - 0.05);
    near.take(MOST_NEAR).map(|(_, known)| known.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Catalogue, CatalogueFunction, FunctionNotFound};

    fn catalogue() -> Catalogue {
        let functions = json!([
            {"id": "shop-hello", "app": "shop", "triggers": [{"event": "demo/hello"}], "retries": 3},
            {"id": "shop-daily", "app": "shop", "triggers": [{"cron": "0 8 * * *"}]},
            {"id": "shop-any", "app": "shop", "triggers": [{"event": "demo/*", "expression": "event.data.n == 1"}],
             "config": {"cancel": [{"event": "demo/stop", "if": "async.data.n == event.data.n"}]}},
        ]);
        Catalogue::new(serde_json::from_value::<Vec<CatalogueFunction>>(functions).unwrap())
    }

    #[test]
    fn functions_are_found_with_and_without_their_app() {
        let catalogue = catalogue();
        for name in ["hello", "shop-hello"] {
            assert_eq!(catalogue.named(name).unwrap().id, "shop-hello");
        }
        let error = catalogue.named("helo").unwrap_err();
        assert!(
            matches!(&error, FunctionNotFound::Unknown { near, .. } if *near == ["hello"]),
            "{error}"
        );
        assert!(error.to_string().contains("did you mean hello?"), "{error}");
    }

    #[test]
    fn events_begin_what_they_trigger_and_cancel_what_they_should() {
        let catalogue = catalogue();
        let ids = |event| {
            let functions = catalogue.triggered_by(&event).map(|function| function.id.clone());
            functions.collect::<Vec<_>>()
        };
        assert_eq!(
            ids(json!({"name": "demo/hello", "data": {"n": 1}})),
            ["shop-hello", "shop-any"]
        );
        assert_eq!(ids(json!({"name": "demo/hello", "data": {"n": 2}})), ["shop-hello"]);
        let any = catalogue.named("any").unwrap();
        let began = json!({"name": "demo/x", "data": {"n": 1}});
        assert!(any.is_cancelled_by(&json!({"name": "demo/stop", "data": {"n": 1}}), &began));
        assert!(!any.is_cancelled_by(&json!({"name": "demo/stop", "data": {"n": 2}}), &began));
        assert!(!any.is_cancelled_by(&json!({"name": "demo/go", "data": {"n": 1}}), &began));
    }

    #[test]
    fn what_is_not_said_is_as_inngest_has_it() {
        let catalogue = catalogue();
        assert_eq!(catalogue.named("hello").unwrap().max_attempts(), 4);
        assert_eq!(catalogue.named("daily").unwrap().max_attempts(), 5);
        assert_eq!(
            catalogue.named("daily").unwrap().usual_event(),
            "inngest/scheduled.timer"
        );
        assert_eq!(
            catalogue.named("any").unwrap().usual_event(),
            "inngest/function.invoked"
        );
    }
}
