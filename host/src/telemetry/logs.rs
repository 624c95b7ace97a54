//! Log lines on stderr: for people on a terminal, JSON otherwise. `BATON_LOG` filters them, in the
//! syntax of tracing's `EnvFilter`.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

const DEFAULT_FILTER: &str = "warn,host=info,js_runtime=info,baton=info,audit=info";

/// Starts logging; called once, by commands that run a host.
pub fn start() {
    let filter = EnvFilter::try_from_env("BATON_LOG").unwrap_or_else(|_| EnvFilter::new(DEFAULT_FILTER));
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() {
        subscriber.compact().with_target(false).init();
    } else {
        subscriber.json().flatten_event(true).with_current_span(false).with_span_list(false).init();
    }
}
