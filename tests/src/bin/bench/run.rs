//! Which measurements there are; what becomes of their rows.

use std::fs;
use std::pin::Pin;
use std::process::ExitCode;

use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};

use crate::arguments::{Arguments, Effort};
use crate::machine::Machine;
use crate::row::{Row, table};
use crate::{blocked, edits, memory};

type Rows = Pin<Box<dyn Future<Output = Vec<Row>>>>;

/// Starts the Batons it needs, and ends them.
struct Measurement {
    name: &'static str,
    measure: fn(Effort) -> Rows,
}

const MEASUREMENTS: [Measurement; 4] = [
    Measurement {
        name: "isolation/calls",
        measure: |effort| Box::pin(blocked::calls(effort)),
    },
    Measurement {
        name: "isolation/operator",
        measure: |effort| Box::pin(blocked::operator(effort)),
    },
    Measurement {
        name: "isolation/memory",
        measure: |effort| Box::pin(memory::generations(effort)),
    },
    Measurement {
        name: "edits/saves",
        measure: |effort| Box::pin(edits::saves(effort)),
    },
];

pub(crate) async fn bench() -> ExitCode {
    let arguments = match Arguments::parse(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(wrong) => {
            eprintln!("{wrong}");
            return ExitCode::from(2);
        }
    };
    let machine = Machine::this();
    println!("{machine}");
    // Whoever ends this ends what it started, too: a Baton is killed when its future is dropped.
    let rows = tokio::select! {
        rows = measure(&arguments) => rows,
        () = ended() => return ExitCode::FAILURE,
    };
    print!("{}", table(&rows));
    if let Some(file) = &arguments.json
        && let Err(error) = fs::write(file, format!("{:#}\n", report(&machine, &rows)))
    {
        eprintln!("cannot write {}: {error}", file.display());
        return ExitCode::FAILURE;
    }
    if arguments.check && rows.iter().any(Row::missed) {
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

async fn measure(arguments: &Arguments) -> Vec<Row> {
    let mut rows = Vec::new();
    for Measurement { name, measure } in MEASUREMENTS {
        if arguments.want(name) {
            eprintln!("measuring {name} …");
            rows.extend(measure(arguments.effort).await);
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
