//! Shows reports as they come: lines for people, with the remaining time of waits on a terminal, or JSON.

#![allow(clippy::print_stderr, reason = "a command answers on its terminal")]

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use super::text;
use crate::runner::run_report::{RunEnding, RunOrigin, RunReport};

/// Goes to the beginning of the line and empties it.
const CLEAR: &str = "\r\x1b[2K";

/// Shows reports until the result, or until nobody reads them any more.
pub(super) async fn show(mut reports: mpsc::UnboundedReceiver<RunReport>, json: bool) {
    let countdown = !json && std::io::stdout().is_terminal();
    let mut waits = BTreeMap::new();
    let mut asked = 0;
    let mut seconds = tokio::time::interval(Duration::from_secs(1));
    seconds.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        let report = tokio::select! {
            report = reports.recv() => report,
            _ = seconds.tick(), if countdown && !waits.is_empty() => {
                if write(&format!("{CLEAR}{}", left(&waits))).is_err() {
                    return;
                }
                continue;
            }
        };
        let Some(report) = report else {
            return;
        };
        if countdown && !waits.is_empty() && write(CLEAR).is_err() {
            return;
        }
        note_waits(&mut waits, &report);
        asked += usize::from(matches!(
            &report,
            RunReport::Run {
                origin: RunOrigin::Asked,
                ..
            }
        ));
        let shown = if json {
            serde_json::to_string(&report).map(|line| write(&format!("{line}\n")))
        } else {
            Ok(text::line(&report, asked == 1).map_or(Ok(()), |line| write(&line)))
        };
        if !matches!(shown, Ok(Ok(()))) {
            return;
        }
        if let RunReport::Result { function, ending, ms } = report {
            let text = text::result(&ending, &function, ms);
            match ending {
                _ if json => {}
                RunEnding::Completed { .. } => {
                    // Nobody is left to be told of a failure.
                    let _ = write(&text);
                }
                RunEnding::Failed { .. } | RunEnding::Cancelled { .. } => eprint!("{text}"),
            }
            return;
        }
    }
}

/// The waits, by run and step, each with the name of its step and its end.
type Waits = BTreeMap<(String, String), (String, Timestamp)>;

fn note_waits(waits: &mut Waits, report: &RunReport) {
    match report {
        RunReport::Waiting {
            of,
            step,
            id,
            until: Some(until),
            ..
        } => {
            waits.insert((of.run.clone(), id.clone()), (step.clone(), *until));
        }
        RunReport::Waited { of, id, .. } => {
            waits.remove(&(of.run.clone(), id.clone()));
        }
        RunReport::Ended { of, .. } => waits.retain(|(run, _), _| *run != of.run),
        _ => {}
    }
}

fn left(waits: &Waits) -> String {
    let now = Timestamp::now();
    let waits = waits.values().map(|(step, until)| {
        let seconds = until.duration_since(now).as_secs().max(0);
        let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        match (hours, minutes) {
            (0, 0) => format!("{step} {seconds} s"),
            (0, minutes) => format!("{step} {minutes}:{seconds:02}"),
            (hours, minutes) => format!("{step} {hours}:{minutes:02}:{seconds:02}"),
        }
    });
    format!("  … {}", waits.collect::<Vec<_>>().join(", "))
}

fn write(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}
