//! `inngest [SIGNING_KEY]`: the stand-in of an Inngest server with Connect, to be tried by hand. It prints its address, and
//! reads commands from its input, one a line:
//!
//! ```text
//! APP-FUNCTION [DATA]   begin a run, without retries; its end is printed
//! cut                   cut all connections
//! refuse MESSAGE        refuse all functions that are new
//! accept                accept them again
//! ```

use std::process::ExitCode;

use harness::gateway::{FakeConnect, Options, Timing};
use harness::{Kind, Run};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options {
        timing: Timing::REAL,
        kind: std::env::args().nth(1).map_or(Kind::Dev, Kind::SelfHosted),
        ..Options::default()
    };
    let variable = match &options.kind {
        Kind::Dev => "INNGEST_DEV",
        Kind::SelfHosted(_) => "INNGEST_BASE_URL",
    };
    let server = FakeConnect::with(options).await;
    println!("{variable}={}", server.url());
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let (command, rest) = line.trim().split_once(' ').unwrap_or((line.trim(), ""));
        match (command, data(rest)) {
            ("", _) => {}
            ("cut", _) => server.cut_all(),
            ("refuse", _) => server.fault(|faults| faults.refuse_syncs("connect_invalid_function_config", rest)),
            ("accept", _) => server.fault(|faults| faults.refusal = None),
            (function, Ok(data)) => {
                let run = Run::of(function).with_data(data);
                let run = match server.trigger(function) {
                    Some(event) => run.on(&event),
                    None => run,
                };
                let run = server.begin(run, 0);
                tokio::spawn(async move {
                    let report = run.finish().await;
                    println!("{}: {:?}", report.run, report.end);
                });
            }
            (_, Err(error)) => println!("the data is no JSON: {error}"),
        }
    }
    ExitCode::SUCCESS
}

/// Reads the data of an event; nothing is an event without data.
fn data(text: &str) -> Result<Value, serde_json::Error> {
    match text.trim() {
        "" => Ok(Value::Object(serde_json::Map::new())),
        text => serde_json::from_str(text),
    }
}
