//! `baton canary`: the new code that is tried, the evidence, and a person's decision.

#![allow(clippy::print_stderr, reason = "a command answers on its terminal")]

use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};
use hyper::Method;

use super::client::{self, ClientError, HostArgs};
use super::output::say;
use crate::generation::{CanaryEnd, CanaryState, CanarySummary, GenerationId};
use crate::status::RouteAnswer;

pub(super) const HELP: &str = "Example:\n  baton canary             # how it does\n  baton canary promote     # it serves all runs from now on\n  baton canary abort       # the old code serves all runs";

/// The exit code of a canary without a verdict.
const INCONCLUSIVE: u8 = 3;
/// The pause between two looks of a command that waits for the verdict.
const LOOK_EVERY: Duration = Duration::from_millis(500);

#[derive(Debug, Args)]
pub struct CanaryArgs {
    /// Show the canary, or decide on it.
    #[arg(value_enum, default_value = "status", hide_default_value = true)]
    action: CanaryAction,
    #[command(flatten)]
    host: HostArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum CanaryAction {
    /// Show its runs and the evidence.
    Status,
    /// Have it serve all runs from now on.
    Promote,
    /// Have the old code serve all runs.
    Abort,
    /// Promote nothing until a person decides; a canary that fails is taken back all the same.
    Hold,
}

pub(super) fn run(args: &CanaryArgs) -> ExitCode {
    let (method, path) = match args.action {
        CanaryAction::Status => (Method::GET, "/-/canary"),
        CanaryAction::Promote => (Method::POST, "/-/canary/promote"),
        CanaryAction::Abort => (Method::POST, "/-/canary/abort"),
        CanaryAction::Hold => (Method::POST, "/-/canary/hold"),
    };
    match ask(&args.host, method, path) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{:?}", miette::Report::new(error));
            ExitCode::FAILURE
        }
    }
}

fn ask(host: &HostArgs, method: Method, path: &str) -> Result<ExitCode, ClientError> {
    let answer = client::ask(host, method, path, String::new())?;
    let succeeded = answer.status.is_success();
    if host.json {
        say(format_args!("{}\n", answer.body));
    } else if succeeded {
        let canary: Option<CanarySummary> = answer.read()?;
        say(canary.map_or_else(|| "no canary is on\n".to_owned(), |canary| text(&canary)));
    } else if let Ok(RouteAnswer::<()>::Refused { error }) = answer.read() {
        eprintln!("refused: {}\n{}", error.message, error.help);
    }
    Ok(match succeeded {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// Waits until the canary is decided, and tells how: exit code 0 when it passed or a person promoted it, 3 when there
/// was no verdict within its time, 1 otherwise.
pub(super) fn wait(host: &HostArgs, generation: GenerationId) -> ExitCode {
    loop {
        let canary = client::ask(host, Method::GET, "/-/canary", String::new());
        let canary: CanarySummary = match canary.and_then(|answer| answer.read()) {
            Ok(canary) => canary,
            Err(error) => {
                eprintln!("{:?}", miette::Report::new(error));
                return ExitCode::FAILURE;
            }
        };
        if let Some(code) = decided(&canary, generation) {
            if host.json {
                say(format_args!("{}\n", serde_json::json!(canary)));
            } else {
                say(text(&canary));
            }
            return ExitCode::from(code);
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// The exit code of a canary that is decided.
fn decided(canary: &CanarySummary, generation: GenerationId) -> Option<u8> {
    if canary.generation != generation {
        return Some(1);
    }
    match (&canary.end, canary.state) {
        (Some(CanaryEnd::Passed | CanaryEnd::Promoted), _) => Some(0),
        (Some(CanaryEnd::TimeUp(_)), _) | (None, CanaryState::Held) => Some(INCONCLUSIVE),
        (Some(_), _) => Some(1),
        (None, _) => None,
    }
}

/// One line about a canary that is on.
pub(super) fn line(canary: &CanarySummary) -> String {
    format!("canary: {}\n", canary.words())
}

fn text(canary: &CanarySummary) -> String {
    let mut text = match &canary.end {
        None => line(canary),
        Some(_) => format!("{}\n", canary.words()),
    };
    if !canary.evidence.is_empty() {
        let wanted = canary.wanted_e_value;
        let _ = writeln!(
            text,
            "  {:<28} {:<26} {:>9} {:>9}  e-value of {wanted:.0}",
            "function", "", "canary", "current"
        );
    }
    for evidence in &canary.evidence {
        let tally = |bad: u32, total: u32| format!("{bad}/{total}");
        let _ = writeln!(
            text,
            "  {:<28} {:<26} {:>9} {:>9}  {:.3}",
            evidence.function,
            evidence.signal.words(),
            tally(evidence.canary.bad, evidence.canary.total),
            tally(evidence.current.bad, evidence.current.total),
            evidence.e_value
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{decided, text};
    use crate::generation::{CanarySummary, GenerationId};

    fn canary(state: &str, end: serde_json::Value) -> CanarySummary {
        let evidence = json!([{"function": "app-pay", "signal": "attempt_failed", "canary": {"bad": 4, "total": 4},
            "current": {"bad": 0, "total": 31}, "e_value": 5200.0}]);
        let canary = json!({"state": state, "generation": 8, "current": 7, "share": 10, "least": 20, "evidence": evidence,
            "ended_runs": {"canary": {"bad": 2, "total": 2}}, "wanted_e_value": 1200.0, "end": end});
        serde_json::from_value(canary).unwrap()
    }

    #[test]
    fn the_evidence_is_a_table_and_the_end_says_why() {
        let failed = json!({"by": "failed", "function": "app-pay", "signal": "attempt_failed", "e_value": 5200.0,
            "canary": {"bad": 4, "total": 4}, "current": {"bad": 0, "total": 31}});
        let told = text(&canary("taken_back", failed.clone()));
        assert!(
            told.starts_with("taken back: the old code serves all runs, since app-pay is worse:"),
            "{told}"
        );
        assert!(
            told.contains("4/4") && told.contains("0/31") && told.contains("e-value of 1200"),
            "{told}"
        );
        let told = text(&canary("running", json!(null)));
        assert!(
            told.starts_with("canary: generation 8 gets 10 % of the new runs, 7 the others; 2 of its runs"),
            "{told}"
        );
        let (passed, time_up) = (
            json!({"by": "passed"}),
            json!({"by": "time_up", "doubt": "too_few_runs", "ended": 3, "least": 20}),
        );
        for (state, end, code) in [
            ("running", json!(null), None),
            ("held", json!(null), Some(3)),
            ("promoted", passed, Some(0)),
            ("promoted", time_up, Some(3)),
            ("taken_back", failed, Some(1)),
        ] {
            assert_eq!(decided(&canary(state, end), GenerationId(8)), code, "{state}");
        }
        assert_eq!(
            decided(&canary("running", json!(null)), GenerationId(9)),
            Some(1),
            "it was replaced"
        );
    }
}
