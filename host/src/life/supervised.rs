//! A host that its supervisor has started (the hidden command `baton host`). The host loads, accepts, hands over and
//! ends as the supervisor says.

use std::sync::Arc;
use std::time::Duration;

use js_runtime_api::Engine;
use tokio::signal::unix::SignalKind;
use tracing::{info, warn};

use super::ServeError;
use super::ending::Ending;
use super::plan::Plan;
use super::serving::{Host, SupervisorParts};
use super::signals::{SIGQUIT, Signals};
use crate::config::WatchMode;
use crate::connect::Connection;
use crate::generation::{GenerationId, Keeper, Outcome, Reason, Table, WantedCode};
use crate::posix::signals;
use crate::supervisor::{
    FromHost, HANDOVER_RECORD_VERSION, HostStart, Link, Occasion, Orders, PROTOCOL, SupervisorHandle, SupervisorView,
    ToHost,
};
use crate::tasks::{OwnedTask, TaskSet};

/// The longest time for which an upgrade waits for the new host's connection to Inngest.
const PRESENTED_WITHIN: Duration = Duration::from_secs(30);

/// Sends the first message to the supervisor.
///
/// # Errors
/// When it is gone.
pub fn greet(link: &Link, plan: &Plan) -> std::io::Result<()> {
    link.say(&FromHost::Hello {
        protocol: PROTOCOL,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        load_ms: u64::try_from(plan.load_timeout().as_millis()).unwrap_or(u64::MAX),
        record: HANDOVER_RECORD_VERSION,
        pings: true,
    })
}

/// Serves as the supervisor says, until the last call is answered.
///
/// # Errors
/// When the state folder cannot be written.
pub async fn supervised(plan: Plan, engine: Arc<dyn Engine>, link: Link) -> Result<(), ServeError> {
    let (drain, watch) = (plan.limits.drain, plan.watching.mode);
    // The signal of a terminal is for the supervisor.
    signals::swallow(&[SignalKind::hangup()]);
    let mut signals = Signals::listen()?;
    let (supervised, listener, mut orders) = link.start()?;
    supervised.say(FromHost::Booted);
    let Some(beginning) = first_order(&mut orders, &mut signals).await else {
        return Ok(());
    };
    let host = Host::supervised(
        plan,
        engine,
        SupervisorParts {
            supervised: supervised.clone(),
            listener,
            beginning,
        },
    )?;
    let numbers = tell_numbers(host.table.clone(), supervised.clone());
    host.table.tasks().keep("numbers for the supervisor", numbers);
    let loading = load(
        host.keeper.clone(),
        host.connection.clone(),
        beginning,
        watch,
        supervised.clone(),
    );
    let loading = OwnedTask::spawn("first load", loading);
    let answers = TaskSet::new("answers to the supervisor");
    let ending = serve(&host, beginning, &supervised, &answers, &mut orders, &mut signals).await;
    loading.end().await;
    let table = host.table.clone();
    let leaving = || supervised.say(FromHost::Leaving);
    let cut_short = told_to_end(&table, &supervised, &mut orders, &mut signals);
    host.end(ending, drain, leaving, cut_short).await;
    answers.end().await;
    supervised.fall_silent().await;
    Ok(())
}

/// Waits for the order of the first load.
async fn first_order(orders: &mut Orders, signals: &mut Signals) -> Option<HostStart> {
    loop {
        tokio::select! {
            order = orders.next() => match order {
                Some(ToHost::Load(beginning)) => return Some(beginning),
                Some(ToHost::Drain | ToHost::EndNow) | None => return None,
                Some(_) => {}
            },
            _ = signals.end() => return None,
        }
    }
}

/// Does as the supervisor says while the host has work.
async fn serve(
    host: &Host,
    beginning: HostStart,
    supervised: &Arc<SupervisorHandle>,
    answers: &TaskSet,
    orders: &mut Orders,
    signals: &mut Signals,
) -> Ending {
    loop {
        let order = tokio::select! {
            order = orders.next() => order,
            signal = signals.end() => return match signal {
                SIGQUIT => Ending::Now(signal),
                signal => Ending::Leave(signal),
            },
            _ = host.table.tasks().failure() => return Ending::Leave("a task of the host failed"),
            () = host.table.losses.too_much() => return Ending::Leave("too much memory is lost"),
        };
        match order {
            Some(ToHost::Accept) => {
                host.accepts().await;
                if beginning.occasion == Occasion::Upgrade {
                    info!(
                        url = format!("http://{}", host.address),
                        pid = std::process::id(),
                        "accepting"
                    );
                }
                supervised.say(FromHost::Accepting);
            }
            Some(ToHost::Ping { number }) => {
                let (goes_on, supervised) = (host.keeper.goes_on(), supervised.clone());
                answers.spawn(async move {
                    if goes_on.await {
                        supervised.say(FromHost::Pong { number });
                    }
                });
            }
            Some(ToHost::Freeze) => {
                let (frozen, supervised) = (host.keeper.freeze(), supervised.clone());
                // The answer may have to wait for a load, and the host may be told to go on meanwhile.
                answers.spawn(async move {
                    if let Some(frozen) = frozen.await {
                        supervised.say(FromHost::Frozen(frozen));
                    }
                });
            }
            Some(ToHost::StopAccepting) => {
                host.stops_accepting().await;
                supervised.say(FromHost::Stopped);
            }
            Some(ToHost::Resume { given }) => {
                host.keeper.resume(given);
                host.accepts().await;
                supervised.say(FromHost::Accepting);
            }
            Some(ToHost::HandedOver) => return Ending::HandedOver,
            Some(ToHost::Drain) => return Ending::Drain("the supervisor is ending"),
            Some(ToHost::EndNow) => return Ending::Now("the supervisor was told to end now"),
            None => {
                supervised.orphaned();
                warn!("the supervisor is gone");
                return Ending::Leave("the supervisor is gone");
            }
            Some(other) => note(supervised, other),
        }
    }
}

/// Resolves when the remaining calls are to be cut.
async fn told_to_end(
    table: &Table,
    supervised: &SupervisorHandle,
    orders: &mut Orders,
    signals: &mut Signals,
) -> &'static str {
    let mut alone = false;
    loop {
        tokio::select! {
            order = orders.next(), if !alone => match order {
                Some(ToHost::EndNow) => return "the supervisor was told to end now",
                // There will be no other host either.
                Some(ToHost::Drain) => table.drain(),
                Some(other) => note(supervised, other),
                None => {
                    supervised.orphaned();
                    alone = true;
                }
            },
            signal = signals.end() => return signal,
        }
    }
}

fn note(supervised: &SupervisorHandle, message: ToHost) {
    match message {
        ToHost::Upgraded { ticket, result } => supervised.upgraded(ticket, result),
        ToHost::Hosts { all, supervisor } => supervised.show(SupervisorView {
            hosts: all,
            supervisor: Some(supervisor),
        }),
        _ => {}
    }
}

/// Loads the first generation, and tells the supervisor the outcome.
async fn load(
    keeper: Keeper,
    connection: Connection,
    beginning: HostStart,
    watch: WatchMode,
    supervised: Arc<SupervisorHandle>,
) {
    let HostStart { occasion, before } = beginning;
    let reason = match occasion {
        Occasion::Start => Reason::Start,
        Occasion::Restart => Reason::Restart,
        Occasion::Upgrade => Reason::Upgrade,
    };
    let report = match before.current.filter(|_| occasion != Occasion::Start) {
        Some(current) => {
            let reason = if before.last_good { Reason::LastGood } else { reason };
            keeper.request(WantedCode::Continue(current), reason).await
        }
        None => keeper.request(WantedCode::reload(false), reason).await,
    };
    match &report.outcome {
        Outcome::Activated {
            generation, functions, ..
        } => {
            info!(generation = generation.0, "ready: {} function(s)", functions.count);
            if occasion == Occasion::Upgrade {
                // The host that accepts pauses its connection only once Inngest knows this one.
                let presented = connection.presented(*generation);
                if tokio::time::timeout(PRESENTED_WITHIN, presented).await.is_err() {
                    warn!("the new host accepts before its connection to Inngest is ready");
                }
            }
            supervised.say(FromHost::Ready {
                generation: *generation,
            });
        }
        Outcome::Rejected { error, .. } => supervised.say(FromHost::Failed {
            message: error.to_string(),
        }),
        other => supervised.say(FromHost::Failed {
            message: other.word().to_owned(),
        }),
    }
    if before.last_good {
        // The code on the disk may have been mended while nobody looked.
        keeper.request(WantedCode::reload(true), Reason::Retry).await;
    } else if occasion == Occasion::Restart && watch != WatchMode::Off {
        // The code may have been edited in the same time.
        keeper.request(WantedCode::reload(false), Reason::File).await;
    }
}

/// Tells the supervisor which generation serves: the next host goes on from its number.
async fn tell_numbers(table: Arc<Table>, supervised: Arc<SupervisorHandle>) {
    let mut views = table.views();
    let mut told = (None, None, false);
    loop {
        let view = views.borrow_and_update().clone();
        let current: Option<GenerationId> = table.current().map(|current| current.id);
        let entry = view.entries.iter().find(|entry| Some(entry.id) == current);
        let last_good = entry.is_some_and(|entry| entry.reason == Reason::LastGood);
        let now = (current, view.entries.last().map(|entry| entry.id), last_good);
        if now != told {
            told = now;
            let (current, newest, last_good) = now;
            supervised.say(FromHost::Numbers {
                current,
                newest,
                last_good,
            });
        }
        if views.changed().await.is_err() {
            return;
        }
    }
}
