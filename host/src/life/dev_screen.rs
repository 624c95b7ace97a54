//! The terminal of `baton dev`: where the host serves once it does, then a line a reload.

use std::sync::Arc;
use std::time::{Duration, Instant};

use js_runtime_api::{LoadStage, Warning};
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::watch;

use super::announcement::how_to_edit;
use super::serving::Host;
use crate::config::WatchMode;
use crate::generation::{FunctionChanges, GenerationId, HostEvent, Outcome, Report, View, report_words};
use crate::status::{FailureKind, RegistrationState, RegistrationStatus};
use crate::telemetry::terminal::{Sign, Terminal, TextLook};

/// The time that the first screen waits for Inngest's answer.
const INNGEST_WITHIN: Duration = Duration::from_secs(1);
/// The number of functions that a line names.
const NAMED: usize = 3;

/// The screen, and the sources of its news.
pub(super) struct Screen {
    terminal: Terminal,
    began: Instant,
    /// The folder or file of the project, as the person knows it.
    project: String,
    url: String,
    dashboard: String,
    watch: WatchMode,
    events: broadcast::Receiver<HostEvent>,
    views: watch::Receiver<Arc<View>>,
    registration: watch::Receiver<Arc<RegistrationStatus>>,
    progress: StoryProgress,
}

/// The part of the story that was told.
#[derive(Debug, Default)]
struct StoryProgress {
    welcomed: bool,
    /// The stage that a long load was in when it was told last.
    stage: Option<(GenerationId, LoadStage)>,
    /// Tells whether the code on the disk was rejected last.
    rejected: bool,
    inngest: Option<RegistrationState>,
    /// The warnings about the code that serves.
    warnings: Vec<Warning>,
}

impl Screen {
    pub(super) fn new(terminal: Terminal, host: &Host, project: String, serve_path: &str, watch: WatchMode) -> Self {
        let origin = format!("http://{}", host.address);
        Self {
            terminal,
            began: Instant::now(),
            project,
            url: format!("{origin}{serve_path}"),
            dashboard: format!("{origin}/-/"),
            watch,
            events: host.table.events(),
            views: host.table.views(),
            registration: host.registration.changes(),
            progress: StoryProgress::default(),
        }
    }

    /// Shows what happens, until the host has ended.
    pub(super) async fn show(mut self) {
        let name = self
            .terminal
            .paint(TextLook::Strong, &format!("BATON v{}", env!("CARGO_PKG_VERSION")));
        let loading = self
            .terminal
            .paint(TextLook::Faint, &format!("loading {}", self.project));
        self.terminal.print(&format!("\n  {name}  {loading}\n\n"));
        loop {
            tokio::select! {
                event = self.events.recv() => match event {
                    Ok(HostEvent::Reload(report)) => self.reloaded(&report).await,
                    Ok(HostEvent::Generation { .. } | HostEvent::Canary(_) | HostEvent::Registration { .. }) | Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return,
                },
                Ok(()) = self.views.changed() => self.tell_long_load(),
                Ok(()) = self.registration.changed() => self.tell_inngest(),
            }
        }
    }

    async fn reloaded(&mut self, report: &Report) {
        let text = match &report.outcome {
            Outcome::Activated {
                functions, warnings, ..
            } if !self.progress.welcomed => {
                self.progress.welcomed = true;
                let welcome = self.welcome(functions.count).await;
                welcome + self.new_warnings(warnings).as_str()
            }
            Outcome::Activated { warnings, .. } => {
                self.terminal.line(Sign::Good, &self.swapped(report)) + self.new_warnings(warnings).as_str()
            }
            Outcome::Rejected { generation, error } => {
                let still = match generation {
                    Some(generation) => format!("generation {generation} still serves\n"),
                    None => "nothing serves yet: calls wait until the code loads\n".to_owned(),
                };
                self.terminal
                    .line(Sign::Bad, &format!("{}{still}", report_words::rejection(error)))
            }
            Outcome::Unchanged { generation, .. } if self.progress.rejected => self.terminal.line(
                Sign::Good,
                &format!("generation {generation} still serves, and has the code on the disk again"),
            ),
            Outcome::NotKept { error, .. } => self.terminal.line(Sign::Bad, &error.message),
            Outcome::Canary { .. }
            | Outcome::Unchanged { .. }
            | Outcome::Checked { .. }
            | Outcome::ShuttingDown
            | Outcome::HandedOver => return,
        };
        self.progress.rejected = matches!(report.outcome, Outcome::Rejected { .. });
        self.terminal.print(&text);
    }

    /// The first screen, once the code serves and Inngest was looked for.
    async fn welcome(&mut self, functions: usize) -> String {
        let answered = |status: &Arc<RegistrationStatus>| {
            !matches!(status.state, RegistrationState::Registering)
                && (status.state != RegistrationState::Unregistered || status.failed_attempts > 0)
                && status.generation.is_some()
        };
        // Without an answer in time the screen says that Inngest is looked for.
        let _ = tokio::time::timeout(INNGEST_WITHIN, self.registration.wait_for(answered)).await;
        let status = self.registration.borrow_and_update().clone();
        self.progress.inngest = Some(status.state);
        let ready = self
            .terminal
            .paint(TextLook::Strong, &format!("ready in {}", took(self.began.elapsed())));
        let rows = [
            ("Serving", self.terminal.paint(TextLook::Link, &self.url)),
            ("Dashboard", self.terminal.paint(TextLook::Link, &self.dashboard)),
            ("Inngest", self.inngest(&status)),
            ("Editing", how_to_edit(self.watch).to_owned()),
        ];
        let arrow = self.terminal.sign(Sign::Arrow);
        let rows = rows.map(|(name, value)| {
            format!(
                "  {arrow} {}  {value}\n",
                self.terminal.paint(TextLook::Strong, &format!("{name:<9}"))
            )
        });
        let functions = match functions {
            1 => "1 function".to_owned(),
            count => format!("{count} functions"),
        };
        format!("  {ready}: {functions} of {}\n\n{}\n", self.project, rows.concat())
    }

    /// The warnings that the code before had not.
    fn new_warnings(&mut self, warnings: &[Warning]) -> String {
        let before = std::mem::replace(&mut self.progress.warnings, warnings.to_vec());
        let new = warnings.iter().filter(|warning| !before.contains(warning));
        new.map(report_words::warning).collect()
    }

    /// A line on new code that serves.
    fn swapped(&self, report: &Report) -> String {
        let Outcome::Activated {
            generation,
            previous,
            restored_from,
            functions,
            draining,
            ..
        } = &report.outcome
        else {
            return String::new();
        };
        let mut line = format!("generation {generation} serves");
        match (restored_from, previous) {
            (Some(restored), Some(_)) => line.push_str(&format!(" with the code of generation {restored}")),
            (Some(restored), None) => line.push_str(&format!(
                " with the code of generation {restored}, until the code on the disk loads"
            )),
            (None, _) => {}
        }
        if let Some(changes) = changes(functions) {
            line.push_str(&format!(": {changes}"));
        }
        let running: usize = draining.iter().map(|draining| draining.in_flight).sum();
        if running > 0 {
            line.push_str(&format!("; calls that finish on older code: {running}"));
        }
        let took = self.terminal.paint(
            TextLook::Faint,
            &format!("({})", took(Duration::from_secs_f64(report.took_ms / 1000.0))),
        );
        format!("{line} {took}")
    }

    /// Tells the stage of a load that takes long, whenever it changes.
    fn tell_long_load(&mut self) {
        let loading = self.views.borrow_and_update().entries.iter().find_map(|entry| {
            let stage = entry.load_stage.clone()?;
            Some((entry.id, stage))
        });
        if let Some((id, stage)) = &loading
            && self.progress.stage != loading
        {
            let text = format!("generation {id} is still loading: {stage}\n");
            self.terminal
                .print(&format!("  {}", self.terminal.paint(TextLook::Faint, &text)));
            self.progress.stage = loading;
        }
    }

    /// Tells that Inngest was found, or is gone.
    fn tell_inngest(&mut self) {
        let status = self.registration.borrow_and_update().clone();
        let settled = matches!(
            status.state,
            RegistrationState::Registered | RegistrationState::Unregistered | RegistrationState::Off
        );
        if !self.progress.welcomed || !settled || self.progress.inngest == Some(status.state) {
            return;
        }
        let sign = match status.state {
            RegistrationState::Registered => Sign::Good,
            _ => Sign::Notice,
        };
        // A new generation is told to Inngest again; that is no news.
        if status.state == RegistrationState::Unregistered && status.failed_attempts == 0 {
            return;
        }
        self.progress.inngest = Some(status.state);
        let line = self.terminal.line(sign, &format!("Inngest: {}", self.inngest(&status)));
        self.terminal.print(&line);
    }

    fn inngest(&self, status: &RegistrationStatus) -> String {
        let inngest = status.apps.first().map_or("Inngest", |app| &app.inngest);
        let is_dev_server_awaited = status.dev == Some(true) && status.error_kind == Some(FailureKind::Unreachable);
        match status.state {
            RegistrationState::Unregistered if is_dev_server_awaited => format!(
                "no server at {inngest} yet. Start it: {}",
                self.terminal
                    .paint(TextLook::Strong, &format!("npx inngest-cli@latest dev -u {}", self.url))
            ),
            RegistrationState::Registered => format!("registered at {}", self.terminal.paint(TextLook::Link, inngest)),
            _ => status
                .words()
                .map_or_else(|| "looking for it".to_owned(), |words| words.headline),
        }
    }
}

/// The functions that changed, in a few words; `None` when all are as they were.
fn changes(functions: &FunctionChanges) -> Option<String> {
    let kinds = [
        ("added", &functions.added),
        ("changed", &functions.changed),
        ("removed", &functions.removed),
    ];
    let told = kinds.iter().filter(|(_, ids)| !ids.is_empty()).map(|(kind, ids)| {
        let named = ids
            .iter()
            .take(NAMED)
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join(", ");
        match ids.len().saturating_sub(NAMED) {
            0 => format!("{kind} {named}"),
            more => format!("{kind} {named} and {more} more"),
        }
    });
    let told: Vec<String> = told.collect();
    (!told.is_empty()).then(|| told.join("; "))
}

/// A duration of a load: milliseconds, or seconds where it is long.
fn took(duration: Duration) -> String {
    match duration.as_millis() {
        ms @ 0..10_000 => format!("{ms} ms"),
        ms => format!("{} s", ms / 1000),
    }
}

#[cfg(test)]
mod tests {
    use super::{FunctionChanges, changes};

    #[test]
    fn a_line_names_a_few_functions_and_counts_the_rest() {
        let ids = |ids: &[&str]| ids.iter().map(ToString::to_string).collect();
        let functions = FunctionChanges {
            count: 7,
            added: ids(&["app-new"]),
            removed: ids(&[]),
            changed: ids(&["app-a", "app-b", "app-c", "app-d", "app-e"]),
        };
        let expected = "added app-new; changed app-a, app-b, app-c and 2 more";
        assert_eq!(changes(&functions).as_deref(), Some(expected));
        assert_eq!(changes(&FunctionChanges::default()), None);
    }
}
