//! The gate of a canary: functions that the configuration names run to their ends in the new code, before it gets a run.
//! One that fails has the code rejected.
//!
//! The functions run in the isolate that was loaded for the generation, as `baton invoke` would run them: their steps
//! have their effects. Sleeps are over at once. Whatever a function throws, and however it ends its isolate, nothing
//! else notices: nobody else calls the isolate yet, and code that is rejected takes it along.
//!
//! # Files
//!
//! - `isolate_sdk.rs` the SDK in an isolate, for the runner
//! - `gate_error.rs` the reasons to reject code, in words

mod gate_error;
mod isolate_sdk;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use js_runtime_api::{Isolate, LoadError};
use serde_json::json;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::info;

use self::gate_error::GateError;
use self::isolate_sdk::IsolateSdk;
use crate::generation::{Candidate, Gate, GenerationId, RunsWanted};
use crate::runner::catalogue::Catalogue;
use crate::runner::run_report::{RunEnding, RunOrigin};
use crate::runner::session::{Options, Order, Script, Session};
use crate::status::FunctionStatus;

/// The pause before an attempt is made again, which doubles each time.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// The gate of canaries.
#[derive(Debug)]
pub struct CanaryGate {
    functions: Vec<String>,
    /// The time for all of the functions together.
    limit: Duration,
}

/// The course of the functions of one gate.
struct GateCourse {
    id: GenerationId,
    functions: Vec<String>,
    limit: Duration,
    catalogue: Catalogue,
    sdk: Arc<IsolateSdk>,
    isolate: Arc<dyn Isolate>,
    root: PathBuf,
}

impl CanaryGate {
    /// A gate with these functions, which are named as for `baton invoke`.
    #[must_use]
    pub const fn new(functions: Vec<String>, limit: Duration) -> Self {
        Self { functions, limit }
    }
}

impl Gate for CanaryGate {
    fn admit(&self, candidate: Candidate<'_>) -> BoxFuture<'static, Result<(), LoadError>> {
        if candidate.runs != RunsWanted::Canary || self.functions.is_empty() {
            return async { Ok(()) }.boxed();
        }
        let course = GateCourse {
            id: candidate.id,
            functions: self.functions.clone(),
            limit: self.limit,
            catalogue: Catalogue::of(FunctionStatus::all(candidate.manifest)),
            sdk: Arc::new(IsolateSdk::new(candidate)),
            isolate: candidate.isolate.clone(),
            root: candidate.root.to_owned(),
        };
        async move {
            course.pass().await.map_err(|error| {
                // A call may hold the isolate's thread.
                course.isolate.terminate();
                error.into_load_error(&course.root)
            })
        }
        .boxed()
    }
}

impl GateCourse {
    /// Runs one function after the other.
    async fn pass(&self) -> Result<(), GateError> {
        let until = tokio::time::Instant::now() + self.limit;
        for name in &self.functions {
            let began = Instant::now();
            let run = tokio::time::timeout_at(until, self.run(name)).await;
            run.unwrap_or_else(|_| {
                let (function, limit) = (name.clone(), self.limit);
                Err(GateError::TooSlow { function, limit })
            })?;
            let (generation, ms) = (self.id.0, began.elapsed().as_millis());
            info!(generation, function = name, ms, "function of the gate completed");
        }
        Ok(())
    }

    /// Runs a function to its end.
    async fn run(&self, name: &str) -> Result<(), GateError> {
        let function = self.catalogue.named(name)?.clone();
        let order = Order {
            event: Session::event(&function.usual_event(), json!({})),
            function,
            origin: RunOrigin::Asked,
            depth: 0,
            busy: None,
        };
        let options = Options {
            skip_sleep: true,
            retry_delay: RETRY_DELAY,
            deliver: false,
            reached: false,
        };
        // Nobody reads the reports: the end of the run says it all.
        let (reports, _) = mpsc::unbounded_channel();
        let (session, deliveries) = Session::new(
            self.sdk.clone(),
            self.catalogue.clone(),
            options,
            Script::default(),
            reports,
            CancellationToken::new(),
        );
        let function = name.to_owned();
        tokio::select! {
            biased;
            end = self.isolate.ended() => Err(GateError::IsolateEnded { function, end }),
            (_, ending) = session.conduct(vec![order], deliveries) => match ending {
                RunEnding::Completed { .. } => Ok(()),
                RunEnding::Failed { error } => Err(GateError::Failed { function, error }),
                RunEnding::Cancelled { reason } => Err(GateError::Cancelled { function, reason }),
            },
        }
    }
}
