//! Values as the page shows them: functions, commits, times. Pure.

use std::time::Duration;

use jiff::Timestamp;
use maud::{Markup, html};

/// The number of colours.
const HUES: u32 = 8;

pub(super) fn function_name(id: &str) -> Markup {
    html! { span.function { i class={ "hue-" (hue(id)) } aria-hidden="true" {} (id) } }
}

/// Returns the colour of a function by FNV-1a, as the script does: a function has one colour on the whole page.
fn hue(id: &str) -> u32 {
    id.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    }) % HUES
}

pub(super) fn commit(git: Option<&str>) -> Markup {
    match git {
        None => html! { span.quiet { "none" } },
        Some(git) => {
            let (commit, dirty) = git.strip_suffix("-dirty").map_or((git, false), |commit| (commit, true));
            html! {
                code { (commit) }
                @if dirty { " " span.state.dirty title="files differ from the commit" { "dirty" } }
            }
        }
    }
}

pub(super) fn time(at: Option<Timestamp>) -> Markup {
    match at {
        Some(moment) => html! { time datetime=(moment) { (moment.strftime("%H:%M:%S")) } },
        None => html! { "–" },
    }
}

pub(super) fn clock(millis: f64) -> String {
    #[allow(clippy::cast_possible_truncation, reason = "milliseconds of our time")]
    let moment = Timestamp::from_millisecond(millis as i64);
    moment.map_or_else(|_| "–".to_owned(), |moment| moment.strftime("%H:%M:%S").to_string())
}

pub(super) fn duration(ms: f64) -> String {
    if ms >= 1000.0 {
        format!("{:.1} s", ms / 1000.0)
    } else {
        format!("{ms} ms")
    }
}

pub(super) fn seconds(ms: u64) -> String {
    format!("{:.1} s", Duration::from_millis(ms).as_secs_f64())
}

/// Writes a word such as `not_kept` as people write it.
pub(super) fn words(word: &str) -> String {
    word.replace('_', " ")
}
