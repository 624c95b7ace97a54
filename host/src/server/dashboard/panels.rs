//! What of the page changes, rendered from the status that everybody reads. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use maud::{Markup, html};
use serde_json::Value;

use crate::generation::{Last, Outcome, Reloaded};
use crate::registration::{Words, in_words};

/// Of as many colours.
const HUES: u32 = 8;
/// How many files are named that differ from what is loaded.
const FILES_SHOWN: usize = 8;
const GENERATIONS_SHOWN: usize = 10;
const RELOADS_SHOWN: usize = 12;

/// What changes. Each has an id, by which the script puts it in its place.
pub(super) struct Panels {
    pub(super) live: Markup,
    pub(super) attention: Markup,
    pub(super) functions: Markup,
    pub(super) generations: Markup,
    pub(super) reloads: Markup,
}

impl Panels {
    pub(super) fn new(status: &Value, reloads: &[Reloaded], last: &BTreeMap<String, Last>) -> Self {
        Self {
            live: live(status),
            attention: attention(status),
            functions: functions(status, last),
            generations: generations(status),
            reloads: reload_list(reloads),
        }
    }

    /// One after the other.
    pub(super) fn all(&self) -> Markup {
        html! { (self.live) (self.attention) (self.functions) (self.generations) (self.reloads) }
    }
}

fn live(status: &Value) -> Markup {
    let current = &status["current"];
    let generation = generations_of(status).find(|generation| generation["id"] == *current);
    html! {
        section #live data-panel aria-labelledby="live-title" {
            @match generation {
                None => {
                    h2 #live-title { "No generation serves yet" }
                    p.quiet { "Calls are held until one does." }
                }
                Some(generation) => {
                    h2 #live-title { "Generation " b { (number(current)) } " serves" }
                    dl {
                        div { dt { "since" } dd { (time(&generation["loaded_at"])) } }
                        div { dt { "code" } dd { code title=(text(&generation["hash"])) { (short(&generation["hash"])) } } }
                        div { dt { "commit" } dd { (commit(&generation["git"])) } }
                        div { dt { "why" } dd { (reason(generation)) } }
                        div { dt { "functions" } dd { (list(&status["functions"]).len()) } }
                        div { dt { "reloads by" } dd { (watching(&status["watch"])) } }
                        @if let Some(words) = in_words(&status["registration"]) {
                            div { dt { "Inngest" } dd { (words.headline) } }
                        }
                        div { dt { "host" } dd { "Baton " (text(&status["version"])) ", process " (number(&status["pid"])) } }
                    }
                }
            }
        }
    }
}

/// What wants to be looked at. Empty, it takes no room.
fn attention(status: &Value) -> Markup {
    let source = &status["source"];
    let rejected = &source["last_rejected"];
    let changed = list(&source["changed"]);
    let blocked: Vec<(&Value, &Value)> = generations_of(status)
        .flat_map(|generation| {
            list(&generation["isolates"])
                .iter()
                .map(move |isolate| (generation, isolate))
        })
        .filter(|(_, isolate)| isolate["blocked_ms"].as_u64().unwrap_or_default() > 0 || isolate["condemned"] == true)
        .collect();
    html! {
        section #attention data-panel aria-label="Wants attention" {
            @if !rejected.is_null() {
                article.notice.bad {
                    h2 { "The newest code cannot be served" }
                    (load_error(&rejected["error"]))
                }
            } @else if !changed.is_empty() {
                article.notice {
                    h2 { "The code on the disk is newer than what serves" }
                    ul.files {
                        @for file in changed.iter().take(FILES_SHOWN) { li { code { (text(file)) } } }
                        @if changed.len() > FILES_SHOWN { li { "and " (changed.len() - FILES_SHOWN) " more" } }
                    }
                }
            }
            @for (generation, isolate) in blocked {
                article.notice.bad {
                    h2 {
                        "Isolate " (number(&isolate["id"])) " of generation " (number(&generation["id"]))
                        @if isolate["condemned"] == true { " is nearly out of memory" } @else { " is blocked by user code" }
                    }
                    @if isolate["condemned"] == true {
                        p { "It finishes its calls and is replaced." }
                    } @else {
                        p { "for " (seconds(isolate["blocked_ms"].as_f64().unwrap_or_default())) }
                    }
                }
            }
            @if let Some(words) = in_words(&status["registration"]).filter(|words| words.wrong) { (registration(&words)) }
            @for host in list(&status["hosts"]).iter().filter(|host| host["pid"] != status["pid"]) { (other_host(host)) }
            @for warning in list(&status["warnings"]) { (warning_notice(warning)) }
        }
    }
}

fn warning_notice(warning: &Value) -> Markup {
    html! {
        article.notice {
            h2 { (text(&warning["message"])) }
            p.quiet {
                code { (text(&warning["code"])) }
                @if let Some(function) = warning["function"].as_str() { " · " (function_name(function)) }
                @if let Some(file) = warning["file"].as_str() {
                    " · " (file) @if let Some(line) = warning["line"].as_u64() { ":" (line) }
                }
            }
            @if let Some(help) = warning["help"].as_str() { p.quiet { (help) } }
        }
    }
}

/// What is wrong with it.
fn registration(words: &Words) -> Markup {
    html! {
        article.notice.bad {
            h2 { "Inngest may not call these functions" }
            p { (words.headline) }
            ul { @for difference in &words.differences { li { (difference) } } }
        }
    }
}

/// A host of the project that is not this one.
fn other_host(host: &Value) -> Markup {
    let calls = list(&host["in_flight"]);
    html! {
        article.notice {
            h2 { "Process " (number(&host["pid"])) " " (words(&text(&host["state"]))) }
            @if !calls.is_empty() {
                p { "It has " (calls.len()) " call(s) of before an upgrade:" }
                ul { @for call in calls {
                    li { (function_name(&text(&call["function"]))) " for " (seconds(call["since_ms"].as_f64().unwrap_or_default())) }
                } }
            }
        }
    }
}

fn functions(status: &Value, last: &BTreeMap<String, Last>) -> Markup {
    let functions = list(&status["functions"]);
    html! {
        section #functions data-panel aria-labelledby="functions-title" {
            h2 #functions-title { "Functions " span.count { (functions.len()) } }
            div.scroll tabindex="0" role="group" aria-labelledby="functions-title" {
                table {
                    thead { tr {
                        th scope="col" { "function" } th scope="col" { "triggers" } th scope="col" .n { "calls" }
                        th scope="col" { "last call" } th scope="col" { span.hidden { "actions" } }
                    } }
                    tbody {
                        @for function in functions {
                            @let id = text(&function["id"]);
                            tr {
                                th scope="row" { (function_name(&id)) }
                                td { (triggers(function)) }
                                td.n data-calls=(id) { (last.get(&id).map_or(0, |last| last.calls)) }
                                td data-last=(id) { @if let Some(last) = last.get(&id) { (last_call(last)) } @else { "–" } }
                                td {
                                    button.small type="button" data-invoke=(id) id={ "invoke-" (id) }
                                        aria-label={ "Invoke " (id) } { "Invoke" }
                                }
                            }
                        }
                    }
                }
            }
            datalist #known-functions {
                @for function in functions { option value=(text(&function["id"])) {} }
            }
        }
    }
}

fn triggers(function: &Value) -> Markup {
    html! {
        @for trigger in list(&function["triggers"]) {
            @if let Some(event) = trigger["event"].as_str() { code.tag { (event) } " " }
            @if let Some(cron) = trigger["cron"].as_str() { code.tag { "cron " (cron) } " " }
            @if let Some(expression) = trigger["expression"].as_str() { span.quiet { "if " (expression) } }
        }
    }
}

fn last_call(last: &Last) -> Markup {
    let class = match (last.answer.status, last.answer.error) {
        (Some(..400), _) => "ok",
        _ => "bad",
    };
    let what = match (last.answer.status, last.answer.error) {
        (Some(status), _) => status.to_string(),
        (None, error) => error.unwrap_or("not answered").to_owned(),
    };
    html! {
        time data-ago=(last.at) { (clock(last.at)) } " · " (duration(last.ms)) " · " span class=(class) { (what) }
    }
}

fn generations(status: &Value) -> Markup {
    let mut all: Vec<&Value> = generations_of(status).collect();
    all.reverse();
    // Those that work are never left out for ones that are over.
    let over =
        |generation: &&&Value| matches!(generation["state"].as_str(), Some("retired" | "rejected" | "abandoned"));
    let (ended, lives): (Vec<&Value>, Vec<&Value>) = all.into_iter().partition(|generation| over(&generation));
    let room = GENERATIONS_SHOWN.saturating_sub(lives.len());
    let shown = lives.into_iter().chain(ended.into_iter().take(room));
    html! {
        section #generations data-panel aria-labelledby="generations-title" {
            h2 #generations-title { "Generations" }
            div.scroll tabindex="0" role="group" aria-labelledby="generations-title" {
                table {
                    thead { tr {
                        th scope="col" .n { "#" } th scope="col" { "state" } th scope="col" { "since" }
                        th scope="col" { "code" } th scope="col" { "commit" } th scope="col" { "why" }
                        th scope="col" .n { "in flight" } th scope="col" { "isolates" }
                        th scope="col" { span.hidden { "actions" } }
                    } }
                    tbody { @for generation in shown { (generation_row(generation)) } }
                }
            }
        }
    }
}

fn generation_row(generation: &Value) -> Markup {
    let state = text(&generation["state"]);
    let id = number(&generation["id"]);
    let isolates = list(&generation["isolates"]);
    let queued = generation["queued"].as_u64().unwrap_or_default();
    let served = matches!(&*state, "retired" | "draining") && !generation["hash"].is_null();
    html! {
        tr {
            th scope="row" .n { (id) }
            td { span class={ "state " (state) } { (state) } }
            td { (time(&generation["loaded_at"])) }
            td { code { (short(&generation["hash"])) } }
            td { (commit(&generation["git"])) }
            td { (reason(generation)) }
            td.n {
                (list(&generation["in_flight"]).len())
                @if queued > 0 { span.bad { ", " (queued) " wait" } }
            }
            td {
                @for isolate in isolates {
                    span.isolate .bad[isolate["blocked_ms"].as_u64().unwrap_or_default() > 0] {
                        @match isolate["heap_mb"].as_f64() {
                            // Not looked at yet.
                            None | Some(0.0) => "–",
                            Some(heap) => { (heap.round()) " MB" }
                        }
                        @if isolate["blocked_ms"].as_u64().unwrap_or_default() > 0 { " blocked" }
                    }
                }
            }
            td {
                @if served {
                    button.small type="button" data-roll-back=(id) id={ "roll-back-" (id) }
                        aria-label={ "Roll back to generation " (id) } { "Roll back" }
                }
            }
        }
    }
}

fn reload_list(reloads: &[Reloaded]) -> Markup {
    html! {
        section #reloads data-panel aria-labelledby="reloads-title" {
            h2 #reloads-title { "Reloads" }
            @if reloads.is_empty() { p.quiet { "None yet." } }
            ol.reloads {
                @for reloaded in reloads.iter().take(RELOADS_SHOWN) { (reload(reloaded)) }
            }
        }
    }
}

fn reload(reloaded: &Reloaded) -> Markup {
    let outcome = &reloaded.report.outcome;
    let word = outcome.word();
    html! {
        li {
            p {
                (time(&Value::String(reloaded.at.to_string()))) " "
                span class={ "state " (word) } { (words(word)) }
                @match (outcome, outcome.serving()) {
                    (_, None) => {}
                    (Outcome::Activated { .. }, Some(id)) => { " generation " b { (id) } }
                    (_, Some(id)) => { " " (id) " serves on" }
                }
                " " span.quiet { (duration(reloaded.report.took_ms)) }
            }
            @match outcome {
                Outcome::Activated { functions, warnings, restored_from, .. } => {
                    @if let Some(id) = restored_from { p.quiet { "with the code of generation " (id) } }
                    (changes(functions))
                    @for warning in warnings { p.warning { (warning.message) } }
                }
                Outcome::Checked { functions, warnings, .. } => {
                    (changes(functions))
                    @for warning in warnings { p.warning { (warning.message) } }
                }
                Outcome::Rejected { error, .. } => {
                    details {
                        summary { (error.message) }
                        (load_error(&serde_json::to_value(error).unwrap_or_default()))
                    }
                }
                Outcome::NotKept { error, .. } => { p { (error.message) } p.quiet { (error.help) } }
                _ => {}
            }
        }
    }
}

fn changes(functions: &crate::generation::FunctionChanges) -> Markup {
    let kinds = [
        ("added", "+", &functions.added),
        ("changed", "~", &functions.changed),
        ("removed", "−", &functions.removed),
    ];
    html! {
        @for (word, sign, ids) in kinds {
            @if !ids.is_empty() {
                p class={ "change " (word) } {
                    span.sign aria-hidden="true" { (sign) } span.hidden { (word) ": " }
                    @for id in ids.iter().take(6) { (function_name(id)) " " }
                    @if ids.len() > 6 { "and " (ids.len() - 6) " more" }
                }
            }
        }
    }
}

/// With the lines around the position.
fn load_error(error: &Value) -> Markup {
    let place = error["file"].as_str().map(|file| {
        let at =
            [&error["line"], &error["column"]].map(|at| at.as_u64().map(|at| format!(":{at}")).unwrap_or_default());
        format!("{file}{}{}", at[0], at[1])
    });
    html! {
        p { span.state.rejected { (words(&text(&error["kind"]))) } " " (text(&error["message"])) }
        @if let Some(place) = place { p { code { (place) } } }
        @if let Some(frame) = error["frame"].as_str() {
            pre tabindex="0" role="group" aria-label="The lines around it" { (frame) }
        }
        @if let Some(help) = error["help"].as_str() { p.quiet { (help) } }
    }
}

fn function_name(id: &str) -> Markup {
    html! { span.function { i class={ "hue-" (hue(id)) } aria-hidden="true" {} (id) } }
}

/// FNV-1a, as the script has it: a function has one colour on the whole page.
fn hue(id: &str) -> u32 {
    id.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    }) % HUES
}

fn commit(git: &Value) -> Markup {
    match git.as_str() {
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

fn reason(generation: &Value) -> Markup {
    let why = match generation["reason"].as_str().unwrap_or_default() {
        "start" => "start",
        "api" => "asked for",
        "file" => "a file changed",
        "git" => "another commit",
        "rollback" => "roll back",
        "last_good" => "last good code",
        "retry" => "tried again",
        "check" => "dry run",
        other => other,
    };
    html! {
        (why)
        @if let Some(from) = generation["restored_from"].as_u64() { ", code of " (from) }
    }
}

fn watching(watch: &Value) -> &'static str {
    match watch.as_str() {
        Some("files") => "saving a file",
        Some("git-ref" | "git_ref") => "checking out a commit",
        _ => "asking for it",
    }
}

fn time(at: &Value) -> Markup {
    let at = at.as_str().unwrap_or_default();
    match at.parse::<Timestamp>() {
        Ok(moment) => html! { time datetime=(at) { (moment.strftime("%H:%M:%S")) } },
        Err(_) => html! { "–" },
    }
}

fn clock(millis: f64) -> String {
    #[allow(clippy::cast_possible_truncation, reason = "milliseconds of our time")]
    let moment = Timestamp::from_millisecond(millis as i64);
    moment.map_or_else(|_| "–".to_owned(), |moment| moment.strftime("%H:%M:%S").to_string())
}

fn duration(ms: f64) -> String {
    if ms >= 1000.0 { seconds(ms) } else { format!("{ms} ms") }
}

fn seconds(ms: f64) -> String {
    format!("{:.1} s", ms / 1000.0)
}

fn generations_of(status: &Value) -> impl Iterator<Item = &Value> {
    list(&status["generations"]).iter()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_default()
}

fn short(hash: &Value) -> String {
    text(hash).chars().take(8).collect()
}

/// `not_kept` as people write it.
fn words(word: &str) -> String {
    word.replace('_', " ")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::Panels;

    #[test]
    fn what_serves_what_is_wrong_and_where_is_rendered_and_nothing_is_markup() {
        let status = json!({"current": 3, "functions": [{"id": "app-<b>", "triggers": [{"event": "demo/hello"}]}],
            "generations": [
                {"id": 2, "state": "draining", "hash": "0123456789", "git": "46c2113-dirty", "in_flight": [{}],
                 "isolates": [{"id": 0, "heap_mb": 15.2, "blocked_ms": 4200}]},
                {"id": 3, "state": "current", "hash": "9876543210", "loaded_at": "2026-01-02T03:04:05Z", "reason": "file"}],
            "source": {"changed": [], "last_rejected": {"generation": 4, "error":
                {"kind": "syntax", "message": "Expected ident", "file": "functions/a.ts", "line": 12, "column": 7,
                 "frame": "> 12 | export const = 1;"}}},
            "registration": {"state": "drifted", "apps": [{"inngest": "http://localhost:8288"}],
                "drift": [{"kind": "missing", "function": "app-x", "expected": "app-x", "held": null}]},
            "pid": 1, "hosts": [{"pid": 1, "state": "serving"},
                {"pid": 2, "state": "draining", "in_flight": [{"function": "app-old", "since_ms": 1500}]}],
            "warnings": [{"code": "retries_zero", "function": "app-x", "message": "a step is tried once",
                "file": "functions/x.ts", "line": 7, "help": "say retries: 2"}]});
        let html = Panels::new(&status, &[], &BTreeMap::new()).all().into_string();
        for part in [
            "Generation <b>3</b> serves",
            "03:04:05",
            "functions/a.ts:12:7",
            "&gt; 12 | export const = 1;",
            "Isolate 0 of generation 2 is blocked",
            "dirty",
            "Roll back to generation 2",
            "registered at http://localhost:8288, which holds something else than the code",
            "app-x: missing",
            "Process 2 draining",
            "a step is tried once",
            "functions/x.ts:7",
            "say retries: 2",
        ] {
            assert!(html.contains(part), "{part:?} is not in {html}");
        }
        assert!(html.contains("app-&lt;b&gt;") && !html.contains("app-<b>"), "{html}");
    }
}
