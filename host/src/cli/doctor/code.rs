//! The checks of the project's code: they tell whether it can be served, and which parts deserve attention.

use std::sync::Arc;

use js_runtime_api::{CallQueue, Engine, LoadError, LoadProgress, LoadRequest, Reach, Sources, Warning};

use super::check::{Check, Finding};
use crate::life::Plan;
use crate::lint;
use crate::registration;
use crate::status::{RegistrationStatus, Status};

/// Returns the checks of the running host's code.
pub(super) fn of_host(status: &Status) -> Vec<Check> {
    let code = match (&status.source.last_rejected, status.current) {
        (Some(rejected), _) => rejection(&rejected.error),
        (None, None) => {
            let fix = "Wait, or read the host's log.";
            Check::failed("code", Finding::new("loading", "no generation serves yet", fix))
        }
        (None, Some(_)) if status.source.newer_than_loaded => {
            let message = "the code on the disk is newer than the code that serves";
            Check::warning("code", Finding::new("newer_on_disk", message, "Run `baton reload`."))
        }
        (None, Some(current)) => {
            let functions = status.functions.len();
            Check::good("code", format!("generation {current} serves {functions} function(s)"))
        }
    };
    [code].into_iter().chain(status.warnings.iter().map(warned)).collect()
}

/// Loads the code here, and checks it. Also returns the registration that there would be.
pub(super) async fn load(
    plan: &Plan,
    engine: &Arc<dyn Engine>,
    sources: Arc<dyn Sources>,
) -> (Vec<Check>, RegistrationStatus) {
    let request = LoadRequest {
        name: "doctor".to_owned(),
        sources: sources.clone(),
        timeout: plan.limits.load,
        queue: Arc::new(CallQueue::default()),
        memory: plan.limits.memory,
        progress: LoadProgress::default(),
        reach: Reach::World,
    };
    let loaded = match engine.load(request).await {
        Ok(loaded) => loaded,
        Err(error) => {
            let registration = RegistrationStatus {
                reason: Some("the code cannot be loaded".to_owned()),
                ..RegistrationStatus::default()
            };
            return (vec![rejection(&error)], registration);
        }
    };
    loaded.isolate.close();
    loaded.isolate.ended().await;
    let mut warnings: Vec<Warning> = loaded.manifest.warnings.clone();
    warnings.extend(lint::look(&loaded.manifest, None));
    let code = match lint::denied(&warnings, &plan.limits.deny) {
        Some(denied) => rejection(&denied),
        None => {
            let count = loaded.manifest.functions().count();
            Check::good("code", format!("{count} function(s) load"))
        }
    };
    let warnings = warnings.iter().map(warned);
    let registration = registration::preview(&loaded.manifest, |name| sources.variable(name), &plan.settings());
    ([code].into_iter().chain(warnings).collect(), registration)
}

fn rejection(error: &LoadError) -> Check {
    let place = match (&error.file, error.line) {
        (Some(file), Some(line)) => format!(" ({file}:{line})"),
        (Some(file), None) => format!(" ({file})"),
        _ => String::new(),
    };
    let fix = error.help.as_deref().unwrap_or("Fix the code there.");
    let message = format!("the code cannot be served: {}{place}", error.message);
    Check::failed("code", Finding::new(error.kind.as_str(), message, fix))
}

fn warned(warning: &Warning) -> Check {
    let place = match (&warning.file, warning.line) {
        (Some(file), Some(line)) => format!(" ({file}:{line})"),
        _ => String::new(),
    };
    let message = format!("{}{place}", warning.message);
    let help = warning.help.as_deref().unwrap_or_default();
    Check::warning("functions", Finding::new(&*warning.code, message, help))
}
