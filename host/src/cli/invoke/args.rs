//! The arguments of `baton invoke`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::duration::parse_duration;
use crate::generation::GenerationChoice;

#[derive(Debug, Args)]
#[allow(missing_docs, reason = "clap would take it for a help text")]
pub struct InvokeArgs {
    /// The function's id, with or without the app's. Not needed with --event.
    #[arg(required_unless_present = "event")]
    pub(super) function: Option<String>,
    /// A folder of functions or an entry file, as for `baton dev`.
    pub(super) path: Option<PathBuf>,
    /// The event's data: a JSON object, or a file with one (@- is the standard input). [default: {}]
    #[arg(long, value_name = "JSON|@FILE")]
    pub(super) data: Option<String>,
    /// The event's name. Without FUNCTION each function that it triggers is run. [default: the first
    /// event that triggers the function]
    #[arg(long, value_name = "NAME")]
    pub(super) event: Option<String>,
    /// An event that is sent once the run waits for it, or once it waits and is cancelled by it
    /// (`cancelOn`). May be repeated; sent in this order.
    #[arg(long, value_name = "NAME[:JSON]")]
    pub(super) send_event: Vec<String>,
    /// Answer a step with this output, or with `error:JSON`, instead of running its code. STEP is the step's id or
    /// its name. May be repeated.
    #[arg(long, value_name = "STEP=JSON")]
    pub(super) mock: Vec<String>,
    /// Wait for nothing: sleeps are over at once, and so are waits for which nothing can come any more.
    #[arg(long)]
    pub(super) skip_sleep: bool,
    /// Wait this long before the first retry, and twice as long before each further one.
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = parse_duration)]
    pub(super) retry_delay: Duration,
    /// Run the functions that are triggered by the events that functions send. Needs a host of its own.
    #[arg(long)]
    pub(super) deliver: bool,
    /// Run the function again after each reload, until Ctrl-C.
    #[arg(long)]
    pub(super) watch: bool,
    /// Run the function in this live generation of the running host: `canary`, or a number of `baton status`.
    /// Such a run is not counted for the canary.
    #[arg(long, value_name = "GENERATION", conflicts_with_all = ["own", "deliver", "env_file"])]
    pub(super) generation: Option<GenerationChoice>,
    /// Start a host for this run, also when one is running.
    #[arg(long)]
    pub(super) own: bool,
    /// A file of NAME=value lines for the functions' process.env. Needs a host of its own.
    #[arg(long, value_name = "FILE")]
    pub(super) env_file: Option<PathBuf>,
    /// The state folder of the running host. [default: that of the project]
    #[arg(long, env = "BATON_STATE_DIR")]
    pub(super) state_dir: Option<PathBuf>,
    /// Print one JSON object a line; the last one is the result.
    #[arg(long)]
    pub(super) json: bool,
}

/// Examples, below the help text.
pub const HELP: &str = "\
Example:
  baton invoke hello --data '{\"name\":\"Ada\"}'
  baton invoke story-pipeline --data @story.json --watch
  baton invoke approval --send-event 'demo/approval.decided:{\"approved\":true}'
  baton invoke checkout --mock 'charge-card={\"ok\":true}' --mock 'refund=error:\"no money\"'
  baton invoke checkout --generation canary
  baton invoke --event demo/fan-out --data @order.json --deliver

With a host that runs (`baton dev`) the run goes through it, and a reload changes the code of its next
step. Without one, a host is started for this run, and events that functions send come to it.
State is in memory: this is a tool for one run, not an Inngest server.

Exit code: 0 when the run completed, 1 when it failed or was cancelled, 2 for wrong arguments.

With --mock each step of the run is planned before it runs, so that one with a mock never does; a wait with a
mock is over at once. The output is what the step returns: of step.waitForEvent the event ({\"data\":{…}}), or
null for a timeout. A mock holds for the runs that the run begins, too.

With --json each line has a `type`: `run`, `step` (status completed, retrying, failed; with generation,
attempt, ms, output or error), `retry`, `waiting`, `waited`, `event`, `note`, `ended`, and last `result`
(status completed, failed, cancelled; with output, error or reason).";
