//! The side that answers calls: the SDK behind a host, or a fake in tests.

use futures::FutureExt as _;
use futures::future::BoxFuture;

use super::op::HttpRequest;
use super::request::Request;
use crate::net::{HttpAnswer, http};

/// The two kinds of requests that a run leads to.
pub trait Sdk: Send + Sync + 'static {
    /// Calls the project's SDK.
    fn call(&self, request: Request) -> BoxFuture<'static, Result<Answered, Lost>>;
    /// Makes a request to somewhere else, on behalf of `step.fetch` and `step.ai`.
    fn fetch(&self, request: HttpRequest) -> BoxFuture<'static, Result<HttpAnswer, Lost>> {
        fetch(request).boxed()
    }
}

async fn fetch(request: HttpRequest) -> Result<HttpAnswer, Lost> {
    let HttpRequest {
        url,
        method,
        headers,
        body,
        ..
    } = request;
    http::fetch(&url, &method, &headers, body.into())
        .await
        .map_err(|error| Lost(format!("{url} does not answer: {error}")))
}

/// An answer, and the generation that gave it.
#[derive(Debug, Clone)]
pub struct Answered {
    pub raw: HttpAnswer,
    /// The generation whose code answered.
    pub generation: Option<u64>,
}

/// The lack of an answer; the text says why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Lost(pub String);
