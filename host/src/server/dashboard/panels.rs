//! The parts of the page that change, rendered from the status that everybody reads. Pure.

use std::collections::BTreeMap;

use js_runtime_api::{LoadError, Warning};
use maud::{Markup, html};

use super::canary_panel::canary_panel;
use super::values::{clock, commit, duration, function_name, seconds, time, words};
use crate::config::WatchMode;
use crate::generation::{GenerationId, LastCall, Outcome, PublicState, Reason, ReloadRecord};
use crate::status::{FunctionStatus, GenerationStatus, HostStatus, IsolateStatus, RegistrationWords, Status};

/// The most files that are named; more files may differ from the loaded code.
const FILES_SHOWN: usize = 8;
const GENERATIONS_SHOWN: usize = 10;
const RELOADS_SHOWN: usize = 12;

/// The parts of the page that change. Each has an id, by which the script puts it in its place.
pub(super) struct Panels {
    pub(super) live: Markup,
    pub(super) attention: Markup,
    pub(super) canary: Markup,
    pub(super) functions: Markup,
    pub(super) generations: Markup,
    pub(super) reloads: Markup,
}

impl Panels {
    pub(super) fn new(status: &Status, reloads: &[ReloadRecord], last: &BTreeMap<String, LastCall>) -> Self {
        Self {
            live: live(status),
            attention: attention(status),
            canary: canary_panel(status.canary.as_ref()),
            functions: functions(status, last),
            generations: generations(status),
            reloads: reload_list(reloads),
        }
    }

    /// Returns all panels, one after the other.
    pub(super) fn all(&self) -> Markup {
        html! { (self.live) (self.attention) (self.canary) (self.functions) (self.generations) (self.reloads) }
    }
}

fn live(status: &Status) -> Markup {
    let generation = status
        .generations
        .iter()
        .find(|generation| Some(generation.id) == status.current);
    html! {
        section #live data-panel aria-labelledby="live-title" {
            @match generation {
                None => {
                    h2 #live-title { "No generation serves yet" }
                    p.quiet { "Calls are held until a generation serves." }
                }
                Some(generation) => {
                    h2 #live-title { "Generation " b { (generation.id) } " serves" }
                    dl {
                        div { dt { "since" } dd { (time(generation.loaded_at)) } }
                        div { dt { "code" } dd { code title=(generation.hash.as_deref().unwrap_or_default()) { (short(generation)) } } }
                        div { dt { "commit" } dd { (commit(generation.git.as_deref())) } }
                        @if let Some(release) = &generation.release {
                            div {
                                dt { "release" }
                                dd {
                                    code title=(release.digest) { (release.digest.short()) }
                                    ", " (release.reference) ", pushed " (time(Some(release.pushed)))
                                }
                            }
                        }
                        div { dt { "why" } dd { (reason(generation)) } }
                        div { dt { "functions" } dd { (status.functions.len()) } }
                        div { dt { "reloads by" } dd { (watching(status.watch)) } }
                        @if let Some(headline) = status.connection.as_ref().and_then(|connection| connection.headline()) {
                            div { dt { "Inngest" } dd { (headline) } }
                        } @else if let Some(words) = status.registration.words() {
                            div { dt { "Inngest" } dd { (words.headline) } }
                        }
                        @if let Some(error) = status.release.as_ref().and_then(|release| release.error.as_deref()) {
                            div { dt { "tag" } dd.bad { (error) } }
                        }
                        div { dt { "host" } dd { "Baton " (status.version) ", process " (status.pid) } }
                    }
                }
            }
        }
    }
}

/// The things that want to be looked at. Without any, the panel takes no room.
fn attention(status: &Status) -> Markup {
    let changed = &status.source.changed;
    let isolates = status
        .generations
        .iter()
        .flat_map(|generation| generation.isolates.iter().map(move |isolate| (generation, isolate)));
    let blocked = isolates.filter(|(_, isolate)| is_blocked(isolate) || isolate.condemned);
    html! {
        section #attention data-panel aria-label="Needs attention" {
            @if let Some(rejected) = &status.source.last_rejected {
                (notice(
                    Severity::Bad,
                    "The newest code cannot be served",
                    rejected.error.help.as_deref().unwrap_or("Correct the code there."),
                    &load_error(&rejected.error),
                ))
            } @else if !changed.is_empty() {
                (notice(
                    Severity::Hint,
                    "The code on the disk is newer than the code that serves",
                    "Press Reload, or run `baton reload`.",
                    &html! { ul.files {
                        @for file in changed.iter().take(FILES_SHOWN) { li { code { (file) } } }
                        @if changed.len() > FILES_SHOWN { li { "and " (changed.len() - FILES_SHOWN) " more" } }
                    } },
                ))
            }
            @for (generation, isolate) in blocked { (isolate_notice(generation.id, isolate)) }
            @if let Some(words) = status.registration.words().filter(|words| words.wrong) { (registration(&words)) }
            @if let Some(connection) = status.connection.as_ref().filter(|connection| connection.is_wrong()) {
                (notice(
                    Severity::Bad,
                    "Inngest gives this host no calls",
                    "Run `baton doctor`: it says what to do.",
                    &html! { p { (connection.headline().unwrap_or_default()) } },
                ))
            }
            @for host in status.hosts.iter().filter(|host| host.line.pid != status.pid) { (other_host(host)) }
            @for warning in &status.warnings { (warning_notice(warning)) }
        }
    }
}

/// The weight of a notice.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Severity {
    Hint,
    Bad,
}

/// A thing that wants to be looked at: its title, its details, and one thing to do about it.
fn notice(severity: Severity, title: &str, help: &str, details: &Markup) -> Markup {
    html! {
        article.notice.bad[severity == Severity::Bad] {
            h2 { (title) }
            (details)
            @if !help.is_empty() { p.quiet { (help) } }
        }
    }
}

fn isolate_notice(generation: GenerationId, isolate: &IsolateStatus) -> Markup {
    let id = isolate.id.0;
    if isolate.condemned {
        return notice(
            Severity::Bad,
            &format!("Isolate {id} of generation {generation} is nearly out of memory"),
            "Look for values that pile up, or give isolates more memory with --heap-limit.",
            &html! { p { "It finishes its calls and is replaced." } },
        );
    }
    notice(
        Severity::Bad,
        &format!("Isolate {id} of generation {generation} is blocked by user code"),
        "Look for a loop or a synchronous call in the step, and move it into a worker thread.",
        &html! { p { "for " (seconds(isolate.blocked_ms)) } },
    )
}

fn warning_notice(warning: &Warning) -> Markup {
    let details = html! {
        p.quiet {
            code { (warning.code) }
            @if let Some(function) = &warning.function { " · " (function_name(function)) }
            @if let Some(file) = &warning.file {
                " · " (file) @if let Some(line) = warning.line { ":" (line) }
            }
        }
    };
    let help = warning.help.as_deref().unwrap_or_default();
    notice(Severity::Hint, &warning.message, help, &details)
}

/// The fault of the registration.
fn registration(words: &RegistrationWords) -> Markup {
    notice(
        Severity::Bad,
        "Inngest may not call these functions",
        "Run `baton doctor`: it finds the cause.",
        &html! {
            p { (words.headline) }
            ul { @for difference in &words.differences { li { (difference) } } }
        },
    )
}

/// A host of the project that is not this one.
fn other_host(host: &HostStatus) -> Markup {
    let calls = &host.in_flight;
    html! {
        article.notice {
            h2 { "Process " (host.line.pid) " " (words(&host.line.state)) }
            @if !calls.is_empty() {
                p { "It has " (calls.len()) " call(s) from before an upgrade:" }
                ul { @for call in calls {
                    li { (function_name(call.function.as_deref().unwrap_or_default())) " for " (seconds(call.since_ms)) }
                } }
            }
        }
    }
}

fn functions(status: &Status, last: &BTreeMap<String, LastCall>) -> Markup {
    let functions = &status.functions;
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
                            @let id = &function.id;
                            tr {
                                th scope="row" { (function_name(id)) }
                                td { (triggers(function)) }
                                td.n data-calls=(id) { (last.get(id).map_or(0, |last| last.calls)) }
                                td data-last=(id) { @if let Some(last) = last.get(id) { (last_call(last)) } @else { "–" } }
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
                @for function in functions { option value=(function.id) {} }
            }
        }
    }
}

fn triggers(function: &FunctionStatus) -> Markup {
    html! {
        @for trigger in &function.triggers {
            @if let Some(event) = trigger["event"].as_str() { code.tag { (event) } " " }
            @if let Some(cron) = trigger["cron"].as_str() { code.tag { "cron " (cron) } " " }
            @if let Some(expression) = trigger["expression"].as_str() { span.quiet { "if " (expression) } }
        }
    }
}

fn last_call(last: &LastCall) -> Markup {
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

fn generations(status: &Status) -> Markup {
    let newest_first = status.generations.iter().rev();
    // Generations that work are never left out for ended ones.
    let (ended, lives): (Vec<_>, Vec<_>) = newest_first.partition(|generation| generation.state.is_final());
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

fn generation_row(generation: &GenerationStatus) -> Markup {
    let GenerationStatus { id, queued, .. } = generation;
    let state = generation.state.as_str();
    let served = matches!(generation.state, PublicState::Retired | PublicState::Draining) && generation.hash.is_some();
    html! {
        tr {
            th scope="row" .n { (id) }
            td { span class={ "state " (state) } { (state) } }
            td { (time(generation.loaded_at)) }
            td { code { (short(generation)) } }
            td { (commit(generation.git.as_deref())) }
            td { (reason(generation)) }
            td.n {
                (generation.in_flight.len())
                @if *queued > 0 { span.bad { ", " (queued) " wait" } }
            }
            td {
                @for isolate in &generation.isolates {
                    span.isolate .bad[is_blocked(isolate)] {
                        // (The heap was not looked at yet.)
                        @if isolate.heap_mb == 0.0 { "–" } @else { (isolate.heap_mb.round()) " MB" }
                        @if is_blocked(isolate) { " blocked" }
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

fn reload_list(reloads: &[ReloadRecord]) -> Markup {
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

fn reload(reloaded: &ReloadRecord) -> Markup {
    let outcome = &reloaded.report.outcome;
    let word = outcome.word();
    html! {
        li {
            p {
                (time(Some(reloaded.at))) " "
                span class={ "state " (word) } { (words(word)) }
                @match (outcome, outcome.serving()) {
                    (_, None) => {}
                    (Outcome::Activated { .. }, Some(id)) => { " generation " b { (id) } }
                    (_, Some(id)) => { " " (id) " still serves" }
                }
                " " span.quiet { (duration(reloaded.report.took_ms)) }
            }
            @match outcome {
                Outcome::Activated { functions, warnings, restored_from, .. } => {
                    @if let Some(id) = restored_from { p.quiet { "with the code of generation " (id) } }
                    (changes(functions))
                    @for warning in warnings { p.warning { (warning.message) } }
                }
                Outcome::Canary { generation, share, functions, warnings, gate, .. } => {
                    p { "generation " b { (generation) } " gets " (share) " of the new runs" }
                    @if !gate.is_empty() { p.quiet { "completed in it before: " (gate.join(", ")) } }
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
                        (load_error(error))
                        @if let Some(help) = &error.help { p.quiet { (help) } }
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

/// The error of a load, with the lines around its position, without its help.
fn load_error(error: &LoadError) -> Markup {
    let place = error.file.as_ref().map(|file| {
        let [line, column] = [error.line, error.column].map(|at| at.map(|at| format!(":{at}")).unwrap_or_default());
        format!("{file}{line}{column}")
    });
    html! {
        p { span.state.rejected { (words(error.kind.as_str())) } " " (error.message) }
        @if let Some(place) = place { p { code { (place) } } }
        @if let Some(frame) = &error.frame {
            pre tabindex="0" role="group" aria-label="The lines around it" { (frame) }
        }
    }
}

fn reason(generation: &GenerationStatus) -> Markup {
    let why = match generation.reason {
        Some(Reason::Start) => "start",
        Some(Reason::Api) => "asked for",
        Some(Reason::File) => "a file changed",
        Some(Reason::Git) => "another commit",
        Some(Reason::Release) => "another release was pulled",
        Some(Reason::Rollback) => "roll back",
        Some(Reason::LastGood) => "last good code",
        Some(Reason::Retry) => "tried again",
        Some(Reason::Check) => "dry run",
        Some(Reason::Upgrade) => "upgrade",
        Some(Reason::Restart) => "restart",
        None => "",
    };
    html! {
        (why)
        @if let Some(from) = generation.restored_from { ", code of " (from) }
    }
}

const fn watching(watch: Option<WatchMode>) -> &'static str {
    match watch {
        Some(WatchMode::Files) => "saving a file",
        Some(WatchMode::GitRef) => "checking out a commit",
        Some(WatchMode::Off) | None => "request",
    }
}

const fn is_blocked(isolate: &IsolateStatus) -> bool {
    isolate.blocked_ms > 0
}

fn short(generation: &GenerationStatus) -> String {
    generation.hash.iter().flat_map(|hash| hash.chars()).take(8).collect()
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
            "pid": 1, "hosts": [{"pid": 1, "version": "", "state": "serving"},
                {"pid": 2, "version": "", "state": "draining", "in_flight": [{"function": "app-old", "since_ms": 1500}]}],
            "warnings": [{"code": "retries_zero", "function": "app-x", "message": "a step is tried once",
                "file": "functions/x.ts", "line": 7, "help": "say retries: 2"}]});
        let html = Panels::new(&serde_json::from_value(status).unwrap(), &[], &BTreeMap::new())
            .all()
            .into_string();
        for part in [
            "Generation <b>3</b> serves",
            "03:04:05",
            "functions/a.ts:12:7",
            "&gt; 12 | export const = 1;",
            "Isolate 0 of generation 2 is blocked",
            "dirty",
            "Roll back to generation 2",
            "registered at http://localhost:8288, which has other functions than the code",
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
