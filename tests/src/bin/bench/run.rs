//! Which measurements there are; what becomes of their rows.

use std::fs;
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};

use crate::arguments::Arguments;
use crate::machine::Machine;
use crate::row::Row;
use crate::stage::Stage;
use crate::{blocked, boot, isolates, kept, lost, memory, page, rate, request, saves, spinning, table};

type Rows = Pin<Box<dyn Future<Output = Vec<Row>>>>;

/// Starts what it needs, and ends it.
struct Measurement {
    name: &'static str,
    measure: fn(Arc<Stage>) -> Rows,
}

const MEASUREMENTS: [Measurement; 13] = [
    Measurement {
        name: "reload/saves",
        measure: |stage| Box::pin(saves::saves(stage)),
    },
    Measurement {
        name: "reload/request",
        measure: |stage| Box::pin(request::reloads(stage)),
    },
    Measurement {
        name: "reload/lost",
        measure: |stage| Box::pin(lost::calls(stage)),
    },
    Measurement {
        name: "calls/rate",
        measure: |stage| Box::pin(rate::calls(stage)),
    },
    Measurement {
        name: "calls/spinning",
        measure: |stage| Box::pin(spinning::calls(stage)),
    },
    Measurement {
        name: "boot",
        measure: |stage| Box::pin(boot::answers(stage)),
    },
    Measurement {
        name: "memory/reloads",
        measure: |stage| Box::pin(kept::memory(stage)),
    },
    Measurement {
        name: "isolates/parallel",
        measure: |stage| Box::pin(isolates::parallel(stage)),
    },
    Measurement {
        name: "isolates/share",
        measure: |stage| Box::pin(isolates::share(stage)),
    },
    Measurement {
        name: "dashboard/page",
        measure: |stage| Box::pin(page::cost(stage)),
    },
    Measurement {
        name: "isolation/calls",
        measure: |stage| Box::pin(blocked::calls(stage.effort)),
    },
    Measurement {
        name: "isolation/operator",
        measure: |stage| Box::pin(blocked::operator(stage.effort)),
    },
    Measurement {
        name: "isolation/memory",
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
    // Whoever ends this ends what it started, too: all that runs is killed when its future is dropped.
    let rows = tokio::select! {
        rows = measure(&arguments) => rows,
        () = ended() => return ExitCode::FAILURE,
    };
    print!("{}", table::text(&rows));
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
    if arguments.check && rows.iter().any(Row::missed) {
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

async fn measure(arguments: &Arguments) -> Vec<Row> {
    let stage = Arc::new(Stage::new(arguments.effort, arguments.alone));
    let mut rows = Vec::new();
    for Measurement { name, measure } in MEASUREMENTS {
        if arguments.want(name) {
            eprint!("measuring {name} …");
            let began = Instant::now();
            rows.extend(measure(stage.clone()).await);
            eprintln!(" {:.0} s", began.elapsed().as_secs_f64());
        }
    }
    rows
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
