//! The SDK in one isolate, called through the isolate's queue.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use js_runtime_api::{CallQueue, Response};

use crate::generation::{Candidate, GenerationId};
use crate::net::HttpAnswer;
use crate::runner::sdk::{GenerationAnswer, LostAnswer, Sdk};
use crate::runner::sdk_request::SdkRequest;
use crate::wire;

/// The largest answer of a function that is read, in bytes: Inngest takes none of this size.
const LARGEST_ANSWER: usize = 32 << 20;

/// The SDK in the isolate of a candidate.
pub(super) struct IsolateSdk {
    generation: GenerationId,
    queue: Arc<CallQueue>,
    /// The app of each function, by the function's id.
    apps: HashMap<String, String>,
    calls: AtomicU64,
}

impl IsolateSdk {
    pub(super) fn new(candidate: Candidate<'_>) -> Self {
        let functions = candidate.manifest.functions();
        Self {
            generation: candidate.id,
            queue: candidate.queue.clone(),
            apps: functions
                .map(|(app, function)| (function.id.clone(), app.id.clone()))
                .collect(),
            calls: AtomicU64::default(),
        }
    }
}

impl Sdk for IsolateSdk {
    fn call(&self, request: SdkRequest) -> BoxFuture<'static, Result<GenerationAnswer, LostAnswer>> {
        let url = format!("http://localhost{}", request.path);
        let host = ("host".to_owned(), "localhost".to_owned());
        let headers: Vec<_> = request.headers.into_iter().chain([host]).collect();
        let function = wire::subject(&url, &headers).function;
        let Some(app) = function.as_ref().and_then(|function| self.apps.get(function)) else {
            return async { Err(LostAnswer("the code does not have the function".to_owned())) }.boxed();
        };
        let call = wire::connection_call(app, url, headers, request.body.into());
        let id = self.calls.fetch_add(1, Ordering::Relaxed);
        let answered = self.queue.push(id, function.as_deref(), call);
        let generation = Some(self.generation.0);
        async move {
            let raw = match answered.await {
                Ok(response) => read(response).await,
                Err(error) => Err(LostAnswer(error.to_string())),
            };
            raw.map(|raw| GenerationAnswer { raw, generation })
        }
        .boxed()
    }
}

async fn read(response: Response) -> Result<HttpAnswer, LostAnswer> {
    let lower = |(name, value): (String, String)| (name.to_ascii_lowercase(), value);
    let body = response.body.whole(LARGEST_ANSWER).await;
    Ok(HttpAnswer {
        status: response.status,
        headers: response.headers.into_iter().map(lower).collect(),
        body: body.map_err(|error| LostAnswer(error.to_string()))?.into(),
    })
}
