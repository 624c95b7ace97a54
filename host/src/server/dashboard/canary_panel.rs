//! The canary that is on, or that failed: both lanes with their shares and runs, and the evidence against the canary, the
//! strongest first. Pure.

use maud::{Markup, html};

use super::values::time;
use crate::canary::Tally;
use crate::generation::{CanarySummary, GenerationId, SignalEvidence};

/// The most lines of evidence that are shown.
const EVIDENCE_SHOWN: usize = 8;

/// Renders the panel. Without a canary that wants attention, the panel takes no room.
pub(super) fn canary_panel(canary: Option<&CanarySummary>) -> Markup {
    html! {
        section #canary data-panel aria-label="Canary" {
            @if let Some(canary) = canary.filter(|canary| canary.wants_attention()) { (content(canary)) }
        }
    }
}

fn content(canary: &CanarySummary) -> Markup {
    let percent = canary.share.map_or(0, u8::from);
    let evidence = strongest_first(canary);
    html! {
        h2 { "Canary " span.state.bad[canary.end.is_some()] { (canary.state.as_str().replace('_', " ")) } }
        p { (canary.words()) }
        @if canary.began.is_some() { p.quiet { "since " (time(canary.began)) } }
        div.lanes {
            (lane("canary", canary.generation, percent, canary.ended_runs.canary, Some(canary.least)))
            (lane("current", canary.current, 100 - percent.min(100), canary.ended_runs.current, None))
        }
        @if !evidence.is_empty() {
            div #canary-evidence .scroll tabindex="0" role="group" aria-label="Evidence on the canary" {
                table {
                    thead {
                        tr {
                            th scope="col" { "function" }
                            th scope="col" { "runs" }
                            th scope="col" { "canary" }
                            th scope="col" { "current" }
                            th scope="col" { "evidence" }
                            th scope="col" { "e-value of " (format!("{:.0}", canary.wanted_e_value)) }
                        }
                    }
                    tbody {
                        @for line in evidence.iter().take(EVIDENCE_SHOWN) { (row(line, canary.wanted_e_value)) }
                    }
                }
            }
            @if evidence.len() > EVIDENCE_SHOWN {
                p.quiet { "and " (evidence.len() - EVIDENCE_SHOWN) " more in " code { "baton canary" } }
            }
        }
    }
}

/// One generation of the canary: its part of the new runs, and what became of its runs.
fn lane(name: &str, generation: GenerationId, percent: u8, ended: Tally, least: Option<u32>) -> Markup {
    let Tally { bad, total } = ended;
    html! {
        div.lane {
            p { b { (generation) } " " (name) span.quiet { ", " (percent) " % of the new runs" } }
            (bar(f64::from(percent) / 100.0, name))
            p {
                (total) @if let Some(least) = least { " of " (least) } " runs ended, "
                span.bad[bad > 0] { (bad) " failed" }
            }
        }
    }
}

fn row(line: &SignalEvidence, wanted: f64) -> Markup {
    let way = way_to_failure(line.e_value, wanted);
    let percent = (way * 100.0).round();
    html! {
        tr {
            th scope="row" { code { (line.function) } }
            td { (line.signal.words()) }
            td { (line.canary.bad) " of " (line.canary.total) }
            td { (line.current.bad) " of " (line.current.total) }
            td {
                (bar(way, if way >= 1.0 { "failed" } else { "evidence" }))
                span.hidden { (percent) " % of the way to being taken back" }
            }
            td.n { (format!("{:.3}", line.e_value)) }
        }
    }
}

/// A bar that is filled to this part. The text beside it says the same.
fn bar(part: f64, kind: &str) -> Markup {
    html! {
        svg.bar data-kind=(kind) viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true" {
            rect width="100" height="6" {}
            rect.fill width=(format!("{:.1}", part * 100.0)) height="6" {}
        }
    }
}

/// The part of the way to the e-value that fails a canary. E-values multiply, so that the way is in their logarithms.
fn way_to_failure(e_value: f64, wanted: f64) -> f64 {
    (e_value.max(1.0).ln() / wanted.max(2.0).ln()).clamp(0.0, 1.0)
}

/// The evidence of signals that the canary's runs have, the strongest first.
fn strongest_first(canary: &CanarySummary) -> Vec<&SignalEvidence> {
    let mut evidence: Vec<_> = canary.evidence.iter().filter(|line| line.canary.total > 0).collect();
    evidence.sort_by(|one, other| other.e_value.total_cmp(&one.e_value));
    evidence
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{canary_panel, way_to_failure};
    use crate::generation::CanarySummary;

    fn panel(end: &serde_json::Value) -> String {
        let line = |function: &str, bad: u32, e_value: f64| {
            json!({"function": function, "signal": "attempt_failed", "canary": {"bad": bad, "total": 4},
                "current": {"bad": 0, "total": 31}, "e_value": e_value})
        };
        let canary = json!({"state": "running", "generation": 8, "current": 7, "share": 10, "least": 20,
            "evidence": [line("app-mild", 0, 0.9), line("app-pay", 3, 40.0)], "wanted_e_value": 1600.0,
            "ended_runs": {"canary": {"bad": 3, "total": 4}, "current": {"bad": 0, "total": 31}}, "end": end});
        let canary: CanarySummary = serde_json::from_value(canary).unwrap();
        canary_panel(Some(&canary)).into_string()
    }

    #[test]
    fn both_lanes_have_their_share_and_the_strongest_evidence_is_first() {
        let html = panel(&json!(null));
        for part in [
            "10 % of the new runs",
            "90 % of the new runs",
            "4 of 20 runs ended",
            "3 failed",
            "3 of 4",
        ] {
            assert!(html.contains(part), "{part}: {html}");
        }
        assert!(html.find("app-pay") < html.find("app-mild"), "{html}");
        assert!(html.contains("50 % of the way to being taken back"), "{html}");
    }

    #[test]
    fn a_canary_that_ended_well_takes_no_room() {
        assert!(!panel(&json!({"by": "passed"})).contains("<h2>"));
        assert!(!canary_panel(None).into_string().contains("<h2>"));
    }

    #[test]
    fn evidence_is_a_way_from_nothing_to_failure() {
        for (e_value, way) in [(0.2, 0.0), (1.0, 0.0), (40.0, 0.5), (1600.0, 1.0), (1e9, 1.0)] {
            assert!((way_to_failure(e_value, 1600.0) - way).abs() < 0.01, "{e_value}");
        }
    }
}
