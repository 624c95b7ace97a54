//! Log lines on stderr: for people on a terminal, JSON otherwise. `BATON_LOG` filters them, in the
//! syntax of tracing's `EnvFilter`.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt as _;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::debug_fn;

/// Fields as people read them: what takes more than a line comes below.
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

/// Of a host that runs for a command: what the host does is no news, what user code says is.
const QUIET_FILTER: &str = "warn,notify=error,host::generation::keeper::loads=error,user=info";

/// Starts logging; called once, by commands that are a host.
pub fn start() {
    start_with(DEFAULT_FILTER);
}

/// Starts logging; called once, by a command that has a host of its own.
pub fn start_quietly() {
    start_with(QUIET_FILTER);
}

fn start_with(default: &str) {
    let filter = EnvFilter::try_from_env("BATON_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() {
        subscriber.compact().with_target(false).fmt_fields(for_people()).init();
    } else {
        subscriber
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false)
            .init();
    }
}
