//! The side that answers calls: the SDK behind a host, or a fake in tests.

use futures::FutureExt as _;
use futures::future::BoxFuture;

use super::op::HttpRequest;
use super::sdk_request::SdkRequest;
use crate::net::{HttpAnswer, http};

/// The two kinds of requests that a run leads to.
pub trait Sdk: Send + Sync + 'static {
    /// Calls the project's SDK.
    fn call(&self, request: SdkRequest) -> BoxFuture<'static, Result<GenerationAnswer, LostAnswer>>;
    /// Makes a request to somewhere else, on behalf of `step.fetch` and `step.ai`.
    fn fetch(&self, request: HttpRequest) -> BoxFuture<'static, Result<HttpAnswer, LostAnswer>> {
        fetch(request).boxed()
    }
}

async fn fetch(request: HttpRequest) -> Result<HttpAnswer, LostAnswer> {
    let HttpRequest {
        url,
        method,
        headers,
        body,
        ..
    } = request;
    http::fetch(&url, &method, &headers, body.into())
        .await
        .map_err(|error| LostAnswer(format!("{url} does not answer: {error}")))
}

/// An answer, and the generation that gave it.
#[derive(Debug, Clone)]
pub struct GenerationAnswer {
    pub raw: HttpAnswer,
    /// The generation whose code answered.
    pub generation: Option<u64>,
}

/// The lack of an answer; the text says why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct LostAnswer(pub String);
