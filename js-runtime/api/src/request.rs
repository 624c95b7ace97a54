//! Requests to a project, and its answers.

use crate::{Body, CallEnd, CallSubject, Caller};

/// An HTTP request as the project's handler sees it.
#[derive(Debug)]
pub struct Request {
    /// The method, in capitals: `POST`.
    pub method: String,
    /// The absolute URL: `http://127.0.0.1:3111/api/inngest?fnId=…`. Its path is that of the request line, its host a
    /// name or an address, with a port or without.
    pub url: String,
    /// The headers, with names in lower case. Values are bytes, each of them a character
    /// ([`header_text`](crate::header_text)).
    pub headers: Vec<(String, String)>,
    /// The body, which may still come.
    pub body: Body,
    /// The function, run and step that the request is about.
    pub subject: CallSubject,
    /// The handler that is asked.
    pub target: Target,
    /// The caller, and whether it still waits.
    pub caller: Caller,
}

/// One of a project's handlers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// The SDK's handler of this Inngest app (client id).
    App(String),
    /// The SDK's handler of this app, for a call that came over the host's connection to Inngest: nobody signs it,
    /// and it may run as long as the SDK's own connection lets it.
    Connection(String),
    /// The project's own app.
    Fetch,
    /// The same as for this app, or as the fetch export where there is none, for a request of the host's own that
    /// asks the project to register: such a request is given up soon, and at once when its generation drains.
    Sync(Option<String>),
}

/// The handler's answer, byte for byte.
#[derive(Debug)]
pub struct Response {
    /// The status code: 206.
    pub status: u16,
    /// The headers. Values are bytes, each of them a character ([`header_text`](crate::header_text)).
    pub headers: Vec<(String, String)>,
    /// The body, which may still come.
    pub body: Body,
    /// Resolves when the call is over; `None`: the call is over with this answer.
    pub over: Option<CallEnd>,
}

/// The reason why a call has no answer of the project's own.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The isolate ended before it answered: terminated, out of memory, or a panic.
    #[error("the isolate ended before it answered the call")]
    IsolateDied,
    /// The handler threw instead of answering; the text is the mapped stack.
    #[error("the handler threw: {0}")]
    Threw(String),
    /// Nothing is left that could ever settle the handler's promise.
    #[error("the handler never answers: its promise is pending, and nothing is left that could settle it")]
    NeverSettles,
    /// Nobody waits for the answer any more.
    #[error("the caller hung up")]
    HungUp,
    /// The app listens no more, or its answer is no HTTP.
    #[error("the app did not answer: {0}")]
    NoAnswer(String),
}
