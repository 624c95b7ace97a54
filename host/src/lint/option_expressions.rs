//! Expressions in a function's options: CEL over `event`, `async` and `vars`
//! (inngest/inngest: `pkg/expressions/exprenv/exprenv.go`).

use js_runtime_api::{Function, Warning};
use serde_json::Value;

use super::warning::warning;
use crate::expressions::with_program;

const KNOWN: [&str; 3] = ["event", "async", "vars"];

pub(super) fn look(function: &Function) -> Vec<Warning> {
    let written = written(function).into_iter();
    let wrong = written.filter_map(|(place, expression)| Some((place, expression, check(expression)?)));
    wrong
        .map(|(place, expression, reason)| {
            let message = format!(
                "{} has {place} {expression:?}, which cannot be evaluated: {reason}",
                function.id
            );
            let help =
                "Write an expression over the event, `event.data.userId`; put a string in inner quotes, `\"'all'\"`.";
            warning(
                "expression_invalid",
                function,
                Some(expression),
                message,
                help.to_owned(),
            )
        })
        .collect()
}

/// Finds the expressions in a function's options, and returns each with the name of its place.
fn written(function: &Function) -> Vec<(&'static str, &str)> {
    let mut found = Vec::new();
    let keys = [
        ("concurrency", "key", "the concurrency key"),
        ("throttle", "key", "the throttle key"),
        ("rateLimit", "key", "the rate limit's key"),
        ("debounce", "key", "the debounce key"),
        ("singleton", "key", "the singleton's key"),
        ("batchEvents", "key", "the batch key"),
        ("batchEvents", "if", "the batch condition"),
        ("priority", "run", "the priority"),
        ("cancel", "if", "the cancel condition"),
    ];
    for (setting, field, name) in keys {
        let setting = function.config.get(setting);
        let values = match setting {
            Some(Value::Array(values)) => values.iter().collect(),
            Some(value) => vec![value],
            None => Vec::new(),
        };
        let expressions = values.into_iter().filter_map(|value| value[field].as_str());
        found.extend(expressions.map(|expression| (name, expression)));
    }
    let idempotency = function.config.get("idempotency").and_then(Value::as_str);
    found.extend(idempotency.map(|expression| ("the idempotency key", expression)));
    let conditions = function
        .triggers
        .iter()
        .filter_map(|trigger| trigger["expression"].as_str());
    found.extend(conditions.map(|expression| ("the trigger's condition", expression)));
    found
}

/// Returns the reason why an expression cannot be evaluated.
fn check(expression: &str) -> Option<String> {
    with_program(expression, |program| {
        let references = match program {
            Ok(program) => program.references(),
            Err(reason) => return Some(reason),
        };
        let mut unknown: Vec<_> = references.variables();
        unknown.retain(|name| !KNOWN.contains(name) && !name.starts_with('@'));
        unknown.sort_unstable();
        let first = unknown.first()?;
        Some(format!("unknown name {first:?}, expected {}", KNOWN.join(", ")))
    })
}
