//! Crons, read as Inngest reads them: five fields or a descriptor, after `TZ=` if they name a time zone
//! (inngest/inngest: `pkg/execution/cron/cron.go`).

use croner::parser::{CronParser, Seconds};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use js_runtime_api::{Function, Warning};

use super::warning::warning;

enum CronError {
    Never,
    Invalid(String),
}

pub(super) fn look(function: &Function) -> Vec<Warning> {
    let crons = function.triggers.iter().filter_map(|trigger| trigger["cron"].as_str());
    crons.filter_map(|cron| one(function, cron)).collect()
}

fn one(function: &Function, cron: &str) -> Option<Warning> {
    let id = &function.id;
    Some(match check(cron)? {
        CronError::Never => warning(
            "cron_never",
            function,
            Some(cron),
            format!("{id} has the cron {cron:?}, which is never due: there is no such day"),
            "Write a day that exists; for the end of a month use the first day of the next: `0 0 1 * *`.".to_owned(),
        ),
        CronError::Invalid(reason) => warning(
            "cron_invalid",
            function,
            Some(cron),
            format!("{id} has the cron {cron:?}, which Inngest does not understand: {reason}"),
            "Write minute, hour, day, month and weekday, `0 7 * * 1`, after a time zone if it matters: \
             `TZ=Europe/Berlin 0 7 * * 1`."
                .to_owned(),
        ),
    })
}

fn check(cron: &str) -> Option<CronError> {
    let (zone, fields) = match cron.strip_prefix("CRON_").unwrap_or(cron).strip_prefix("TZ=") {
        Some(rest) => rest.split_once(' ').unwrap_or((rest, "")),
        None => ("UTC", cron),
    };
    let fields = fields.trim();
    let Ok(zone) = TimeZone::get(zone) else {
        return Some(CronError::Invalid(format!("unknown time zone {zone}")));
    };
    if fields.starts_with("@every ") {
        return None;
    }
    let parser = CronParser::builder().seconds(Seconds::Disallowed).build();
    let parsed = match parser.parse(&fields.replace('?', "*")) {
        Ok(parsed) => parsed,
        Err(error) => return Some(CronError::Invalid(error.to_string())),
    };
    let now = Timestamp::now().to_zoned(zone);
    parsed
        .find_next_occurrence(&now, false)
        .is_err()
        .then_some(CronError::Never)
}
