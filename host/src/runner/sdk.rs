//! Who answers calls: the SDK behind a host, or a fake in tests.

use futures::future::BoxFuture;

use super::answer::Raw;
use super::op::HttpRequest;
use super::request::Request;

/// The two kinds of requests that a run leads to.
pub trait Sdk: Send + Sync + 'static {
    /// Calls the project's SDK.
    fn call(&self, request: Request) -> BoxFuture<'static, Result<Answered, Lost>>;
    /// Makes a request to somewhere else, on behalf of `step.fetch` and `step.ai`.
    fn fetch(&self, request: HttpRequest) -> BoxFuture<'static, Result<Raw, Lost>>;
}

/// An answer, and who gave it.
#[derive(Debug, Clone)]
pub struct Answered {
    pub raw: Raw,
    /// The generation whose code answered.
    pub generation: Option<u64>,
}

/// There is no answer; the text says why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Lost(pub String);
