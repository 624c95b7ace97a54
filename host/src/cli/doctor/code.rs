//! Whether the project's code can be served, and what deserves attention in it.

use std::sync::Arc;

use js_runtime_api::{CallQueue, Engine, LoadProgress, LoadRequest, Sources, Warning};
use serde_json::{Value, json};

use super::super::plan::Plan;
use super::check::{Check, Finding};
use crate::lint;
use crate::registration;

/// What the running host says of its code.
pub(super) fn of_host(status: &Value) -> Vec<Check> {
    let rejected = &status["source"]["last_rejected"]["error"];
    let functions = status["functions"].as_array().map_or(0, Vec::len);
    let code = if !rejected.is_null() {
        rejection(rejected)
    } else if status["current"].is_null() {
        let fix = "Wait, or look at its log.";
        Check::failed("code", Finding::new("loading", "no generation serves yet", fix))
    } else if status["source"]["newer_than_loaded"] == true {
        let message = "the code on the disk is newer than what serves";
        Check::warning("code", Finding::new("newer_on_disk", message, "baton reload"))
    } else {
        Check::good(
            "code",
            format!("generation {} serves {functions} function(s)", status["current"]),
        )
    };
    let warnings = status["warnings"].as_array().into_iter().flatten();
    [code].into_iter().chain(warnings.map(warned)).collect()
}

/// Loads it here; also says what there would be to register.
pub(super) async fn load(plan: &Plan, engine: &Arc<dyn Engine>, sources: Arc<dyn Sources>) -> (Vec<Check>, Value) {
    let request = LoadRequest {
        name: "doctor".to_owned(),
        sources: sources.clone(),
        timeout: plan.limits.load,
        queue: Arc::new(CallQueue::default()),
        memory: plan.limits.memory,
        progress: LoadProgress::default(),
    };
    let loaded = match engine.load(request).await {
        Ok(loaded) => loaded,
        Err(error) => return (vec![rejection(&json!(error))], Value::Null),
    };
    loaded.isolate.close();
    loaded.isolate.ended().await;
    let mut warnings: Vec<Warning> = loaded.manifest.warnings.clone();
    warnings.extend(lint::look(&loaded.manifest, None));
    let code = match lint::denied(&warnings, &plan.limits.deny) {
        Some(denied) => rejection(&json!(denied)),
        None => {
            let count = loaded.manifest.functions().count();
            Check::good("code", format!("{count} function(s) load"))
        }
    };
    let warnings = warnings.iter().map(|warning| warned(&json!(warning)));
    let registration = registration::preview(&loaded.manifest, |name| sources.variable(name), &plan.settings());
    ([code].into_iter().chain(warnings).collect(), json!(registration))
}

/// `error` is a `LoadError` as JSON.
fn rejection(error: &Value) -> Check {
    let text = |name: &str| error[name].as_str().unwrap_or_default();
    let place = match (error["file"].as_str(), error["line"].as_u64()) {
        (Some(file), Some(line)) => format!(" ({file}:{line})"),
        (Some(file), None) => format!(" ({file})"),
        _ => String::new(),
    };
    let fix = match error["help"].as_str() {
        Some(help) => help.to_owned(),
        None => "Mend it there.".to_owned(),
    };
    let message = format!("it cannot be served: {}{place}", text("message"));
    Check::failed("code", Finding::new(text("kind"), message, fix))
}

/// `warning` is a `Warning` as JSON.
fn warned(warning: &Value) -> Check {
    let text = |name: &str| warning[name].as_str().unwrap_or_default();
    let place = match (warning["file"].as_str(), warning["line"].as_u64()) {
        (Some(file), Some(line)) => format!(" ({file}:{line})"),
        _ => String::new(),
    };
    let message = format!("{}{place}", text("message"));
    Check::warning("functions", Finding::new(text("code"), message, text("help")))
}
