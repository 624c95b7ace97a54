//! The act: two confined isolates, and each kept call replayed in both.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use js_runtime_api::{
    App, Body, CallQueue, Engine, Function, Isolate, LoadError, LoadProgress, LoadRequest, Manifest, MemoryLimits,
    Reach, Sources,
};
use serde_json::Value;
use tokio::time::{Instant, timeout};

use super::comparison::{Comparison, PlanDifference, compare};
use super::kept_calls::{KeptCall, KeptRuns};
use super::replay_report::ReplayReport;
use super::replayed_plan::ReplayedPlan;
use crate::wire::{DISCOVERY, FUNCTION_PARAMETER, RUN, STEP, STEP_PARAMETER, SdkAnswer, connection_call};

/// The most runs that are replayed at a reload.
const MOST_REPLAYS: usize = 64;
/// The time for all replays of a reload.
const REPLAYED_WITHIN: Duration = Duration::from_secs(2);
/// The time for one replay.
const ANSWERED_WITHIN: Duration = Duration::from_millis(500);

/// The code of a generation, as it is replayed.
pub struct ReplayedCode {
    /// Names the isolate, for example `replay-in-generation-3`.
    name: String,
    sources: Arc<dyn Sources>,
    functions: KnownFunctions,
}

/// The functions of a generation, by id.
type KnownFunctions = HashMap<String, KnownFunction>;

/// A function of a generation.
#[derive(Debug, Clone, PartialEq, Eq)]
struct KnownFunction {
    app: String,
    /// The digest of all code that it is made of; `None`: unknown.
    source_hash: Option<String>,
}

/// The limits of the isolates in which calls are replayed.
#[derive(Debug, Clone, Copy)]
pub struct ReplayLimits {
    pub load: Duration,
    pub memory: MemoryLimits,
}

impl ReplayedCode {
    /// The code of the generation of this number.
    #[must_use]
    pub fn new(generation: u64, sources: Arc<dyn Sources>, manifest: &Manifest) -> Self {
        let known = |(app, function): (&App, &Function)| {
            let (app, source_hash) = (app.id.clone(), function.source_hash.clone());
            (function.id.clone(), KnownFunction { app, source_hash })
        };
        Self {
            name: format!("replay-in-generation-{generation}"),
            sources,
            functions: manifest.functions().map(known).collect(),
        }
    }
}

/// Replays calls in the code that serves and in new code, and compares the plans.
pub async fn replay(
    engine: &Arc<dyn Engine>,
    (before, after): (&ReplayedCode, &ReplayedCode),
    kept: KeptRuns,
    limits: ReplayLimits,
) -> ReplayReport {
    let mut report = ReplayReport {
        live: kept.calls.len() + kept.without_body,
        ..ReplayReport::default()
    };
    report.leave_out("their calls are too large to be kept", kept.without_body);
    let mut replayable = Vec::new();
    for call in kept.calls {
        match prepare(&call, &before.functions, &after.functions) {
            Ok(body) if replayable.len() < MOST_REPLAYS => replayable.push((call, body)),
            Ok(_) => report.leave_out("only the newest 64 runs are replayed", 1),
            Err(comparison) => report.add(&call.function, &call.run, comparison),
        }
    }
    if replayable.is_empty() {
        return report;
    }
    let isolates = tokio::join!(
        ConfinedIsolate::load(engine, before, limits),
        ConfinedIsolate::load(engine, after, limits)
    );
    let (before, after) = match isolates {
        (Ok(before), Ok(after)) => (before, after),
        (Err(error), _) | (_, Err(error)) => {
            let reason = format!(
                "the code cannot be loaded where nothing leaves the isolate: {}",
                error.message
            );
            report.leave_out(&reason, replayable.len());
            return report;
        }
    };
    let until = Instant::now() + REPLAYED_WITHIN;
    for (id, (call, body)) in (0..).zip(replayable) {
        if Instant::now() >= until {
            report.leave_out("the time for replays was up", 1);
            continue;
        }
        let plans = tokio::join!(before.plan(id, &call, &body), after.plan(id, &call, &body));
        report.add(&call.function, &call.run, compare(plans.0, plans.1));
    }
    report
}

/// Makes the body of a replay.
///
/// # Errors
/// With the outcome, where it is known without a replay.
fn prepare(call: &KeptCall, before: &KnownFunctions, after: &KnownFunctions) -> Result<String, Comparison> {
    let incomparable = |reason: &str| Err(Comparison::Incomparable(reason.to_owned()));
    let Some(old) = before.get(&call.function) else {
        return incomparable("the code that serves does not tell that it has their functions");
    };
    if after.is_empty() {
        return incomparable("the new code does not tell its functions");
    }
    let Some(new) = after.get(&call.function) else {
        return Err(Comparison::Differs(PlanDifference::FunctionGone));
    };
    if old.source_hash.is_some() && old == new {
        return Err(Comparison::Same);
    }
    let body = serde_json::from_slice(&call.body);
    let Ok(Value::Object(mut body)) = body else {
        return incomparable("their calls cannot be read");
    };
    if body.get("version") == Some(&Value::from(0)) {
        return incomparable("their execution version, 0, does not plan steps without a run of them");
    }
    let uses_api = |value: Option<&Value>| value == Some(&Value::Bool(true));
    let Some(Value::Object(context)) = body.get_mut("ctx") else {
        return incomparable("their calls cannot be read");
    };
    let is_cut = uses_api(context.get("use_api"));
    context.insert("disable_immediate_execution".to_owned(), true.into());
    context.insert("step_id".to_owned(), DISCOVERY.into());
    context.insert("attempt".to_owned(), 0.into());
    if is_cut || uses_api(body.get("use_api")) {
        return incomparable("their steps are too large for a call's body");
    }
    Ok(Value::Object(body).to_string())
}

/// An isolate that reads, and reaches nothing else. It ends when it is dropped.
struct ConfinedIsolate {
    isolate: Arc<dyn Isolate>,
    queue: Arc<CallQueue>,
    functions: KnownFunctions,
}

impl ConfinedIsolate {
    async fn load(engine: &Arc<dyn Engine>, code: &ReplayedCode, limits: ReplayLimits) -> Result<Self, LoadError> {
        let queue = Arc::new(CallQueue::default());
        let request = LoadRequest {
            name: code.name.clone(),
            sources: code.sources.clone(),
            timeout: limits.load,
            queue: queue.clone(),
            memory: limits.memory,
            progress: LoadProgress::default(),
            reach: Reach::Confined,
        };
        let loaded = engine.load(request).await?;
        Ok(Self {
            isolate: loaded.isolate,
            queue,
            functions: code.functions.clone(),
        })
    }

    /// Asks the SDK for the plan of a run.
    async fn plan(&self, id: u64, call: &KeptCall, body: &str) -> ReplayedPlan {
        let KeptCall { run, function, .. } = call;
        let Some(KnownFunction { app, .. }) = self.functions.get(function) else {
            return ReplayedPlan::Unknown("the code does not have the function".to_owned());
        };
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair(FUNCTION_PARAMETER, function)
            .append_pair(STEP_PARAMETER, DISCOVERY)
            .finish();
        let headers = [
            ("host", "localhost"),
            ("content-type", "application/json"),
            (RUN, run),
            (STEP, DISCOVERY),
        ];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let url = format!("http://localhost/api/inngest?{query}");
        let request = connection_call(app, url, headers.into(), body.to_owned().into());
        let denied = self.isolate.vitals().denied;
        let answer = timeout(ANSWERED_WITHIN, self.queue.push(id, Some(function), request)).await;
        if self.isolate.vitals().denied != denied {
            return ReplayedPlan::Unknown(
                "the code reaches outside beside its steps, which a replay denies".to_owned(),
            );
        }
        match answer {
            Err(_) => ReplayedPlan::Unknown(format!("there is no plan within {ANSWERED_WITHIN:?}")),
            Ok(Err(error)) => ReplayedPlan::Unknown(error.to_string()),
            Ok(Ok(response)) => match &response.body {
                Body::Full(body) => ReplayedPlan::read(&SdkAnswer::read((response.status, &response.headers), body)),
                Body::Stream(_) | Body::Upgraded(_) => ReplayedPlan::Unknown("the answer streams".to_owned()),
            },
        }
    }
}

impl Drop for ConfinedIsolate {
    fn drop(&mut self) {
        self.isolate.terminate();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Comparison, KeptCall, KnownFunction, KnownFunctions, PlanDifference, prepare};

    type Hashed<'a> = (&'a str, Option<&'a str>);

    fn functions(hashes: &[Hashed<'_>]) -> KnownFunctions {
        let known = |(id, hash): &Hashed<'_>| {
            let (app, source_hash) = ("app".to_owned(), hash.map(str::to_owned));
            ((*id).to_owned(), KnownFunction { app, source_hash })
        };
        hashes.iter().map(known).collect()
    }

    fn call(body: &Value) -> KeptCall {
        KeptCall {
            run: "01J".to_owned(),
            function: "app-f".to_owned(),
            body: body.to_string().into(),
        }
    }

    #[test]
    fn only_runs_whose_function_changed_are_replayed() {
        let call = call(&json!({"ctx": {"attempt": 2, "step_id": "hash"}, "version": 2, "steps": {}}));
        let outcome =
            |before: &[Hashed<'_>], after: &[Hashed<'_>]| prepare(&call, &functions(before), &functions(after));
        let (one, two) = (("app-f", Some("1")), ("app-f", Some("2")));
        assert_eq!(outcome(&[one], &[one]), Err(Comparison::Same));
        assert_eq!(
            outcome(&[one], &[("app-other", Some("1"))]),
            Err(Comparison::Differs(PlanDifference::FunctionGone))
        );
        for (before, after) in [(one, two), (("app-f", None), ("app-f", None))] {
            let body: Value = serde_json::from_str(&outcome(&[before], &[after]).unwrap()).unwrap();
            let context = json!({"attempt": 0, "step_id": "step", "disable_immediate_execution": true});
            assert_eq!(body["ctx"], context);
        }
        for (before, after) in [(&[][..], &[one][..]), (&[one], &[])] {
            assert!(matches!(outcome(before, after), Err(Comparison::Incomparable(_))));
        }
    }

    #[test]
    fn calls_that_the_sdk_would_not_only_plan_for_are_not_replayed() {
        let (before, after) = (functions(&[("app-f", Some("1"))]), functions(&[("app-f", Some("2"))]));
        for body in [
            json!({"ctx": {}, "version": 0}),
            json!({"ctx": {"use_api": true}, "version": 2}),
            json!({"ctx": {}, "use_api": true, "version": 2}),
            json!({"version": 2}),
            json!([]),
        ] {
            let outcome = prepare(&call(&body), &before, &after);
            assert!(matches!(outcome, Err(Comparison::Incomparable(_))), "{body}");
        }
    }
}
