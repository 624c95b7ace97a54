//! Retries: the number of times that Inngest repeats a call that failed, or that it could not deliver.

use std::time::Duration;

use js_runtime_api::{Function, Warning};

use super::warning::warning;
use crate::duration::parse_duration;

/// The time from which on a function is worth a thought about retries.
const LONG: Duration = Duration::from_mins(5);

pub(super) fn look(function: &Function) -> Option<Warning> {
    match function.retries {
        Some(0) if !function.retries_defaulted => Some(zero(function)),
        None => unsaid(function),
        Some(_) => None,
    }
}

fn zero(function: &Function) -> Warning {
    let message = format!(
        "{} has `retries: 0`: one call that is lost on the way fails its run for good",
        function.id
    );
    let help = "Write `retries: 2`; for a step that must not run twice, throw a NonRetriableError in it.";
    let mut warning = warning("retries_zero", function, None, message, help.to_owned());
    let written = function.definition.as_ref().and_then(|definition| definition.retries);
    warning.line = written.or(warning.line);
    warning
}

fn unsaid(function: &Function) -> Option<Warning> {
    let finish = function
        .config
        .get("timeouts")
        .and_then(|timeouts| timeouts["finish"].as_str());
    let finish = finish.filter(|finish| parse_duration(finish).is_ok_and(|finish| finish >= LONG));
    let program = function
        .definition
        .as_ref()
        .and_then(|definition| definition.starts_program.as_ref());
    let why = match (finish, program) {
        (Some(finish), _) => format!("it may take {finish}"),
        (None, Some((program, line))) => format!("it starts programs ({program}, line {line})"),
        (None, None) => return None,
    };
    let message = format!(
        "{} does not set retries, and {why}: Inngest's default is 4, so its work may be done five times",
        function.id
    );
    let help = "Set the number, such as `retries: 2`; for all functions, set default_retries below [functions] in \
                baton.toml.";
    Some(warning("retries_unsaid", function, None, message, help.to_owned()))
}
