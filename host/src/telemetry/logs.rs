//! Log lines on stderr: for people on a terminal, JSON otherwise; and in a file, if one is named, always JSON.
//! `BATON_LOG` filters the lines, in the syntax of tracing's `EnvFilter`. docs/logs.md lists them. A thread that logs
//! never waits for a reader (`writer.rs`). A host keeps its newest lines for whoever asks (`recent.rs`).

use std::io::{IsTerminal as _, Write as _};
use std::sync::OnceLock;
use std::time::Instant;

use serde_json::Value;
use tracing_subscriber::fmt::format::{Format, Json, JsonFields};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

use super::log_file::{LogFile, LogFileError, LogFileSettings};
use super::recent::{LineFilter, RecentLines};
use super::terminal::{Form, Terminal};
use super::writer::{LAST_LINES, LogWriter, standard_error};

// (notify warns of each folder that is removed while it is watched.)
const DEFAULT_FILTER: &str = "warn,notify=error,host=info,js_runtime=info,baton=info,audit=info,user=info";

/// The filter of a host that runs for a command: the lines of user code are news, and the lines of the host are not.
const QUIET_FILTER: &str = "warn,notify=error,host::generation::keeper::loads=error,user=info";

/// The lines that the screen of `baton dev` shows in its own form, left out beside it.
const BESIDE_THE_SCREEN: &str = ",host::generation::keeper=warn,host::generation::keeper::loads=error,\
                                 host::life::announcement=warn,host::registration=warn,audit=warn";

/// The part of the filter that adds a line for each call.
const CALLS: &str = ",host::calls=debug";

/// The content of the log, and its places besides standard error.
#[derive(Debug, Clone, Default)]
pub struct LogSettings {
    /// Tells whether each call is logged too.
    pub verbose: bool,
    /// Tells whether a terminal has a screen of its own (`life/screen.rs`).
    pub screen: bool,
    /// The file that lines go to as well.
    pub file: Option<LogFileSettings>,
}

/// Starts logging; called once, by commands that are a host.
///
/// # Errors
/// When the log file cannot be written.
pub fn start(settings: LogSettings) -> Result<(), LogFileError> {
    let calls = if settings.verbose { CALLS } else { "" };
    let file = settings.file.map(LogFile::open).transpose()?;
    let usual = format!("{DEFAULT_FILTER}{calls}");
    // Whoever names the lines gets them.
    let screen = settings.screen && named_filter().is_none();
    let beside = if screen { BESIDE_THE_SCREEN } else { "" };
    let recent = RECENT.get_or_init(RecentLines::default).clone();
    start_with(&usual, &format!("{usual}{beside}"), screen, file, Some(recent));
    Ok(())
}

/// Starts logging; called once, by a command that has a host of its own.
pub fn start_quietly() {
    start_with(QUIET_FILTER, QUIET_FILTER, false, None, None);
}

/// The newest lines of this process, if it is a host.
static RECENT: OnceLock<RecentLines> = OnceLock::new();

/// Returns the newest lines of this process that fit, at most so many, the oldest first.
#[must_use]
pub fn newest(filter: &LineFilter, most: usize) -> Vec<Value> {
    RECENT.get().map_or_else(Vec::new, |recent| recent.newest(filter, most))
}

/// The writers of this process, one for each place that lines go to.
static WRITERS: OnceLock<Vec<LogWriter>> = OnceLock::new();

/// The terminal that has a screen of its own.
static SCREEN: OnceLock<Terminal> = OnceLock::new();

/// Returns the terminal that is to have a screen, as the log's lines leave room for it.
pub fn screen() -> Option<Terminal> {
    SCREEN.get().cloned()
}

/// Has threads write lines from now on. It is to be called once V8 is up, or is not to come up.
pub fn flow() {
    WRITERS.get().into_iter().flatten().for_each(LogWriter::begin);
}

/// Waits until the last lines are written, for two seconds at most. It is to be called before the process ends, or
/// becomes another program.
pub fn flush() {
    let until = Instant::now() + LAST_LINES;
    WRITERS
        .get()
        .into_iter()
        .flatten()
        .for_each(|writer| writer.flush(until));
}

/// Does the same as [`flush`], and ends the threads that write. It is to be called at the end of the process.
pub fn end() {
    let until = Instant::now() + LAST_LINES;
    WRITERS.get().into_iter().flatten().for_each(|writer| writer.end(until));
}

/// Says on standard error why the process ends, behind the lines of the log.
#[allow(
    clippy::print_stderr,
    reason = "a process that cannot start says why on its terminal"
)]
pub fn say_last(text: &str) {
    match WRITERS.get().and_then(|writers| writers.first()) {
        Some(writer) => {
            let _ = writeln!(writer.clone(), "{text}");
            flush();
        }
        None => eprintln!("{text}"),
    }
}

/// Returns the filter that the environment names.
fn named_filter() -> Option<String> {
    std::env::var("BATON_LOG").ok().filter(|named| !named.trim().is_empty())
}

/// Starts logging with the usual lines, and on a terminal with those that are for it. `screen`: a terminal has a screen
/// beside its lines.
fn start_with(usual: &str, on_terminal: &str, screen: bool, file: Option<LogFile>, recent: Option<RecentLines>) {
    let named = named_filter().map(EnvFilter::try_new);
    let filter = |default: &str| match &named {
        Some(Ok(filter)) => filter.clone(),
        Some(Err(_)) | None => EnvFilter::new(default),
    };
    let is_terminal = std::io::stderr().is_terminal();
    let stderr = LogWriter::new("standard error", standard_error());
    let file = file.map(|file| LogWriter::new("log file", file));
    let _ = WRITERS.set([Some(stderr.clone()), file.clone()].into_iter().flatten().collect());
    let for_people = is_terminal.then(|| {
        let form = Form::of_standard_error();
        if screen {
            let _ = SCREEN.set(Terminal::new(stderr.clone(), form));
        }
        let layer = tracing_subscriber::fmt::layer().with_writer(stderr.clone());
        layer.event_format(form).with_filter(filter(on_terminal))
    });
    let for_machines = (!is_terminal).then(|| json_lines().with_writer(stderr).with_filter(filter(usual)));
    let into_file = file.map(|file| json_lines().with_writer(file).with_filter(filter(usual)));
    let kept = recent.map(|recent| json_lines().with_writer(recent).with_filter(filter(usual)));
    tracing_subscriber::registry()
        .with(for_people)
        .with(for_machines)
        .with(into_file)
        .with(kept)
        .init();
    if let Some(Err(error)) = named {
        tracing::warn!(
            %error,
            help = "Write it as `warn,user=info`.",
            "BATON_LOG is malformed: the usual lines are logged"
        );
    }
}

fn json_lines<S>() -> tracing_subscriber::fmt::Layer<S, JsonFields, Format<Json>> {
    tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
}
