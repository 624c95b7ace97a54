//! Log lines on stderr: for people on a terminal, JSON otherwise; and in a file, if one is named, always JSON.
//! `BATON_LOG` filters the lines, in the syntax of tracing's `EnvFilter`. docs/logs.md lists them. A thread that logs
//! never waits for a reader (`writer.rs`).

use std::io::{IsTerminal as _, Write as _};
use std::sync::OnceLock;
use std::time::Instant;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt as _;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::format::{Format, Json, JsonFields, debug_fn};
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::log_file::{LogFile, LogFileError, LogFileSettings};
use super::writer::{LAST_LINES, LogWriter, standard_error};

/// Writes fields as people read them: a value of more than a line comes below.
fn for_people() -> impl for<'writer> FormatFields<'writer> {
    debug_fn(|writer, field, value| match field.name() {
        "message" => write!(writer, "{value:?}"),
        "frame" | "stack" => write!(writer, "\n{value:?}"),
        "help" => write!(writer, "\nhelp: {value:?}"),
        name => write!(writer, "{name}={value:?}"),
    })
    .delimited(" ")
}

// (notify warns of each folder that is removed while it is watched.)
const DEFAULT_FILTER: &str = "warn,notify=error,host=info,js_runtime=info,baton=info,audit=info,user=info";

/// The filter of a host that runs for a command: the lines of user code are news, and the lines of the host are not.
const QUIET_FILTER: &str = "warn,notify=error,host::generation::keeper::loads=error,user=info";

/// The part of the filter that adds a line for each call.
const CALLS: &str = ",host::server::calls=debug";

/// The time as the person at the terminal has it.
struct WallClock;

impl FormatTime for WallClock {
    fn format_time(&self, writer: &mut Writer<'_>) -> std::fmt::Result {
        write!(writer, "{}", jiff::Zoned::now().strftime("%H:%M:%S"))
    }
}

/// The content of the log, and its places besides standard error.
#[derive(Debug, Clone, Default)]
pub struct LogSettings {
    /// Tells whether each call is logged too.
    pub verbose: bool,
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
    start_with(&format!("{DEFAULT_FILTER}{calls}"), file);
    Ok(())
}

/// Starts logging; called once, by a command that has a host of its own.
pub fn start_quietly() {
    start_with(QUIET_FILTER, None);
}

/// The writers of this process, one for each place that lines go to.
static WRITERS: OnceLock<Vec<LogWriter>> = OnceLock::new();

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

fn start_with(default: &str, file: Option<LogFile>) {
    let named = std::env::var("BATON_LOG").ok().filter(|named| !named.trim().is_empty());
    let filter = named.as_deref().map(EnvFilter::try_new);
    let mistake = filter
        .as_ref()
        .and_then(|filter| filter.as_ref().err().map(ToString::to_string));
    let filter = filter.and_then(Result::ok).unwrap_or_else(|| EnvFilter::new(default));
    let terminal = std::io::stderr().is_terminal();
    let stderr = LogWriter::new("standard error", standard_error());
    let file = file.map(|file| LogWriter::new("log file", file));
    let _ = WRITERS.set([Some(stderr.clone()), file.clone()].into_iter().flatten().collect());
    // (Colours are left out where NO_COLOR says so.)
    let for_people = terminal.then(|| {
        let layer = tracing_subscriber::fmt::layer().with_writer(stderr.clone());
        let layer = layer.compact().with_target(false).with_timer(WallClock);
        layer.fmt_fields(for_people())
    });
    let for_machines = (!terminal).then(|| json_lines().with_writer(stderr));
    let into_file = file.map(|file| json_lines().with_writer(file));
    tracing_subscriber::registry()
        .with(filter)
        .with(for_people)
        .with(for_machines)
        .with(into_file)
        .init();
    if let Some(error) = mistake {
        tracing::warn!(
            error,
            help = "Write it as `warn,user=info`.",
            "BATON_LOG is malformed, so the usual lines are logged"
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
