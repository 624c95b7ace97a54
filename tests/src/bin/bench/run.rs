//! The list of all measurements, and the output of their rows.

use std::fs;
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::LocalSet;

use crate::arguments::Arguments;
use crate::machine::Machine;
use crate::row::Row;
use crate::stage::Stage;
use crate::{
    blocked, boot, canary, connect, held, isolates, kept, lost, memory, page, rate, request, saves, spinning, storm,
    table,
};

type Rows = Pin<Box<dyn Future<Output = Vec<Row>>>>;

/// A measurement, which starts what it needs and ends it.
struct Measurement {
    name: &'static str,
    /// Tells whether it is too slow for a quick look, unless its name is asked for.
    slow: bool,
    measure: fn(Arc<Stage>) -> Rows,
}

const MEASUREMENTS: [Measurement; 18] = [
    Measurement {
        name: "reload/saves",
        slow: false,
        measure: |stage| Box::pin(saves::saves(stage)),
    },
    Measurement {
        name: "reload/storm",
        slow: false,
        measure: |stage| Box::pin(storm::saves(stage)),
    },
    Measurement {
        name: "reload/request",
        slow: false,
        measure: |stage| Box::pin(request::reloads(stage)),
    },
    Measurement {
        name: "reload/lost",
        slow: false,
        measure: |stage| Box::pin(lost::calls(stage)),
    },
    Measurement {
        name: "calls/rate",
        slow: false,
        measure: |stage| Box::pin(rate::calls(stage)),
    },
    Measurement {
        name: "calls/spinning",
        slow: false,
        measure: |stage| Box::pin(spinning::calls(stage)),
    },
    Measurement {
        name: "calls/held",
        slow: false,
        measure: |stage| Box::pin(held::calls(stage)),
    },
    Measurement {
        name: "calls/canary",
        slow: false,
        measure: |stage| Box::pin(canary::cost(stage)),
    },
    Measurement {
        name: "connect/rate",
        slow: false,
        measure: |stage| Box::pin(connect::calls(stage)),
    },
    Measurement {
        name: "connect/idle",
        slow: false,
        measure: |stage| Box::pin(connect::idle(stage)),
    },
    Measurement {
        name: "boot",
        slow: false,
        measure: |stage| Box::pin(boot::answers(stage)),
    },
    Measurement {
        name: "memory/reloads",
        slow: false,
        measure: |stage| Box::pin(kept::memory(stage)),
    },
    Measurement {
        name: "isolates/parallel",
        slow: false,
        measure: |stage| Box::pin(isolates::parallel(stage)),
    },
    Measurement {
        name: "isolates/share",
        slow: false,
        measure: |stage| Box::pin(isolates::share(stage)),
    },
    Measurement {
        name: "dashboard/page",
        slow: false,
        measure: |stage| Box::pin(page::cost(stage)),
    },
    Measurement {
        name: "isolation/calls",
        slow: false,
        measure: |stage| Box::pin(blocked::calls(stage)),
    },
    Measurement {
        name: "isolation/operator",
        slow: false,
        measure: |stage| Box::pin(blocked::operator(stage.effort)),
    },
    Measurement {
        name: "isolation/memory",
        slow: true,
        measure: |stage| Box::pin(memory::generations(stage.effort)),
    },
];

pub(crate) async fn bench() -> ExitCode {
    let names = MEASUREMENTS.map(|measurement| measurement.name);
    let arguments = match Arguments::parse(std::env::args().skip(1), &names) {
        Ok(arguments) => arguments,
        Err(wrong) => {
            eprintln!("{wrong}");
            return ExitCode::from(2);
        }
    };
    let machine = Machine::this();
    println!("{machine}");
    // A person who ends the benchmark ends all processes that it started, too: they are killed when
    // the future is dropped.
    let Measured { rows, failed } = tokio::select! {
        measured = measure(&arguments) => measured,
        () = ended() => return ExitCode::FAILURE,
    };
    if !rows.is_empty() {
        print!("{}", table::text(&rows));
    }
    let json = || format!("{:#}\n", report(&machine, &rows));
    let markdown = || format!("{}\n{}", machine.markdown(), table::markdown(&rows));
    let files = [
        arguments.json.as_ref().map(|file| (file, json())),
        arguments.markdown.as_ref().map(|file| (file, markdown())),
    ];
    for (file, text) in files.into_iter().flatten() {
        if let Err(error) = fs::write(file, text) {
            eprintln!("cannot write {}: {error}", file.display());
            return ExitCode::FAILURE;
        }
    }
    if !failed.is_empty() {
        eprintln!("could not be measured: {}", failed.join(", "));
        return ExitCode::FAILURE;
    }
    if arguments.check && rows.iter().any(Row::missed) {
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// The rows that were measured, and the names of the measurements that failed.
struct Measured {
    rows: Vec<Row>,
    failed: Vec<&'static str>,
}

/// Runs the measurements. One that fails does not take the others with it: they may have taken an
/// hour.
async fn measure(arguments: &Arguments) -> Measured {
    let stage = Arc::new(Stage::new(arguments));
    let (mut rows, mut failed) = (Vec::new(), Vec::new());
    for Measurement { name, slow, measure } in MEASUREMENTS {
        if !arguments.want(name, slow) {
            continue;
        }
        eprint!("measuring {name} …");
        let began = Instant::now();
        let tasks = LocalSet::new();
        let task = tasks.spawn_local(measure(stage.clone()));
        match tasks.run_until(task).await {
            Ok(measured) => rows.extend(measured),
            // The panic's message has been printed.
            Err(_) => failed.push(name),
        }
        eprintln!(" {:.0} s", began.elapsed().as_secs_f64());
    }
    Measured { rows, failed }
}

async fn ended() {
    let mut terminated = signal(SignalKind::terminate()).expect("a handler of SIGTERM");
    let mut interrupted = signal(SignalKind::interrupt()).expect("a handler of SIGINT");
    tokio::select! {
        _ = terminated.recv() => {}
        _ = interrupted.recv() => {}
    }
}

fn report(machine: &Machine, rows: &[Row]) -> Value {
    let rows: Vec<_> = rows.iter().map(Row::json).collect();
    json!({ "machine": machine.json(), "rows": rows })
}
