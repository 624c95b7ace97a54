//! The server as a test holds it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use connect_wire::Frame;
use connect_wire::message::SdkResponse;
use serde_json::Value;

use super::api;
use super::book::{Book, Mail};
use super::executor::{Executor, Outside};
use super::faults::Faults;
use super::queue::Ticket;
use super::record::{ConnectionReport, Extension, FrameReport, Phase, Sync};
use super::timing::Timing;
use crate::deadline;
use crate::fake_inngest::{FakeInngest, Kind as ServerKind};
use crate::http::Door;
use crate::op::Op;
use crate::run::Run;

/// The way to start a server.
#[derive(Clone, Debug)]
pub struct Options {
    /// Its intervals.
    pub timing: Timing,
    /// Its kind: with a signing key, or without.
    pub kind: ServerKind,
    /// The names of its gateways.
    pub gateways: Vec<String>,
    /// The most connections at a time, where there is a limit.
    pub most_connections: Option<usize>,
}

impl Default for Options {
    /// A server without a key, with one gateway.
    fn default() -> Self {
        Self {
            timing: Timing::default(),
            kind: ServerKind::Dev,
            gateways: vec!["gw-dev".to_owned()],
            most_connections: None,
        }
    }
}

/// A running server with Connect.
#[derive(Debug)]
pub struct FakeConnect {
    book: Arc<Book>,
    inngest: Arc<FakeInngest>,
}

impl FakeConnect {
    /// Starts a server with the usual options.
    pub async fn start() -> Self {
        Self::with(Options::default()).await
    }

    /// Starts a server.
    pub async fn with(options: Options) -> Self {
        let book = Book::new(
            options.timing,
            options.kind.clone(),
            &options.gateways,
            options.most_connections,
        );
        let book = Arc::new(book);
        let inngest = FakeInngest::beside(api::routes(Arc::clone(&book)), options.kind).await;
        Self {
            book,
            inngest: Arc::new(inngest),
        }
    }

    /// Returns the value for `INNGEST_DEV`, or for `INNGEST_BASE_URL` where the server has a key.
    #[must_use]
    pub fn url(&self) -> &str {
        self.inngest.url()
    }

    /// The address of the server.
    #[must_use]
    pub fn door(&self) -> Door {
        let address = self
            .url()
            .strip_prefix("http://")
            .and_then(|address| address.parse().ok());
        Door::Tcp(address.expect("an address of ours"))
    }

    /// The rest of the server: events, checkpoints, registrations over HTTP.
    #[must_use]
    pub fn inngest(&self) -> &FakeInngest {
        &self.inngest
    }

    /// The server's intervals.
    #[must_use]
    pub fn timing(&self) -> &Timing {
        &self.book.timing
    }

    /// Begins a run, with retries or without: it waits in the queue until a worker is there. Sleeps are over at once,
    /// waits and invocations come to nothing.
    #[must_use]
    pub fn begin(&self, run: Run, retries: u32) -> Ticket {
        self.begin_with(run, retries, |_| Value::Null)
    }

    /// Begins a run as [`FakeConnect::begin`] does; `outside` says what its sleeps, waits and invocations come to.
    #[must_use]
    pub fn begin_with(
        &self,
        mut run: Run,
        retries: u32,
        outside: impl Fn(&Op) -> Value + Send + std::marker::Sync + 'static,
    ) -> Ticket {
        run.max_attempts = retries + 1;
        let attempts = Arc::new(Mutex::new(Vec::new()));
        let outside: Outside = Arc::new(outside);
        Ticket {
            run: run.id.clone(),
            attempts: Arc::clone(&attempts),
            task: tokio::spawn(self.executor().drive(run, outside, attempts)),
        }
    }

    fn executor(&self) -> Executor {
        Executor {
            book: Arc::clone(&self.book),
            inngest: Arc::clone(&self.inngest),
        }
    }

    /// Calls a function once, as soon as its app has a place, and returns the worker's reply; panics if the server gives
    /// the call up.
    pub async fn call(&self, run: &Run) -> SdkResponse {
        let app = self.book.read().app_of(&run.function);
        let (request, _, reply) = self.executor().call(&app, run, "step").await;
        reply.unwrap_or_else(|code| panic!("{request} of {} has no reply: {code}", run.function))
    }

    /// Changes the faults to come.
    pub fn fault<T>(&self, change: impl FnOnce(&mut Faults) -> T) -> T {
        self.book.change(|state| change(&mut state.faults))
    }

    /// Returns every connection that ever was, in order.
    #[must_use]
    pub fn connections(&self) -> Vec<ConnectionReport> {
        let state = self.book.read();
        state
            .connections
            .iter()
            .map(|connection| connection.report.clone())
            .collect()
    }

    /// Returns the connections that take requests.
    #[must_use]
    pub fn ready(&self) -> Vec<ConnectionReport> {
        let all = self.connections().into_iter();
        all.filter(|connection| connection.phase == Phase::Ready).collect()
    }

    /// Returns the ids of all connections over which requests went.
    #[must_use]
    pub fn used(&self) -> BTreeSet<String> {
        let frames = self.frames();
        let requests = frames
            .iter()
            .filter(|frame| frame.kind == connect_wire::Kind::GatewayExecutorRequest);
        requests.map(|frame| frame.connection.clone()).collect()
    }

    /// Returns every frame that came or went, in order.
    #[must_use]
    pub fn frames(&self) -> Vec<FrameReport> {
        self.book.read().frames.clone()
    }

    /// Returns every extension of a lease that workers asked for.
    #[must_use]
    pub fn extensions(&self) -> Vec<Extension> {
        self.book.read().extensions.clone()
    }

    /// Returns the requests that were sent twice.
    #[must_use]
    pub fn duplicated(&self) -> Vec<String> {
        self.book.read().duplicated.clone()
    }

    /// Returns the replies that came without a socket.
    #[must_use]
    pub fn flushed(&self) -> Vec<SdkResponse> {
        self.book.read().flushed.clone()
    }

    /// Returns the statuses of the answers to workers that wanted a connection.
    #[must_use]
    pub fn starts(&self) -> Vec<u16> {
        self.book.read().starts.clone()
    }

    /// The number of statuses that workers have sent.
    #[must_use]
    pub fn statuses(&self) -> usize {
        self.book.read().statuses
    }

    /// Returns the registrations of functions, in order; workers that present what is known make none.
    #[must_use]
    pub fn syncs(&self) -> Vec<Sync> {
        self.book.read().syncs.clone()
    }

    /// Returns the ids of an app's functions, as they were registered last.
    #[must_use]
    pub fn functions(&self, app: &str) -> Vec<String> {
        let state = self.book.read();
        let functions = state.apps.get(app).into_iter().flatten();
        functions
            .filter_map(|function| function["id"].as_str().map(str::to_owned))
            .collect()
    }

    /// Returns the event that triggers a function, as it was registered last.
    #[must_use]
    pub fn trigger(&self, function: &str) -> Option<String> {
        let state = self.book.read();
        let functions = state.apps.get(&state.app_of(function)).into_iter().flatten();
        let mut events = functions
            .filter(|known| known["id"] == function)
            .filter_map(|known| known["triggers"][0]["event"].as_str());
        events.next().map(str::to_owned)
    }

    /// The number of requests that an app may have at a time.
    #[must_use]
    pub fn capacity(&self, app: &str) -> usize {
        self.book.read().capacity(app)
    }

    /// The number of requests of an app that are executed.
    #[must_use]
    pub fn executing(&self, app: &str) -> usize {
        self.book.read().executing.get(app).copied().unwrap_or_default()
    }

    /// Waits until something is so; `what` says it in the message of a failure.
    pub async fn wait_until(&self, what: &str, wanted: impl Fn(&Self) -> bool) {
        let context = || {
            let connections: Vec<_> = self
                .connections()
                .iter()
                .map(|connection| {
                    format!(
                        "{} at {} by {:?}: {:?}, {:?}",
                        connection.id,
                        connection.gateway,
                        connection.instance(),
                        connection.phase,
                        connection.ending
                    )
                })
                .collect();
            let frames = self.frames();
            let last: Vec<_> = frames.iter().rev().take(20).rev().collect();
            format!("connections: {connections:#?}\nlast frames: {last:#?}")
        };
        deadline::until(what, context, async || wanted(self).then_some(())).await;
    }

    /// Waits until exactly `count` connections take requests, and returns them.
    pub async fn ready_connections(&self, count: usize) -> Vec<ConnectionReport> {
        let what = format!("{count} connections that take requests");
        self.wait_until(&what, |server| server.ready().len() == count).await;
        self.ready()
    }

    /// Cuts a connection: its socket ends without a word.
    pub fn cut(&self, connection: &str) {
        self.mail(connection, Mail::Cut);
    }

    /// Cuts every connection.
    pub fn cut_all(&self) {
        for connection in &self.book.read().connections {
            let _ = connection.outbox.send(Mail::Cut);
        }
    }

    /// Closes a connection.
    pub fn close(&self, connection: &str, code: u16, reason: &str) {
        self.mail(connection, Mail::Close(code, reason.to_owned()));
    }

    /// Sends any bytes as a frame.
    pub fn send_bytes(&self, connection: &str, bytes: impl Into<Bytes>) {
        self.mail(connection, Mail::Binary(bytes.into()));
    }

    /// Sends any frame.
    pub fn send(&self, connection: &str, frame: &Frame) {
        let number = self.number(connection);
        self.book.send(number, frame);
    }

    /// Has a gateway drain: its workers are told to go to another one, and closed if they stay.
    pub fn drain_gateway(&self, name: &str) {
        let numbers = self.book.change(|state| {
            for gateway in state.gateways.iter_mut().filter(|gateway| gateway.name == name) {
                gateway.draining = true;
            }
            let open = (0..state.connections.len()).filter(|number| {
                let report = &state.connections[*number].report;
                report.gateway == name && (Phase::Connected..Phase::Gone).contains(&report.phase)
            });
            let open: Vec<_> = open.collect();
            for number in &open {
                // Requests that are not acknowledged yet are given back; the router sees no change.
                state.release(*number);
                state.send(*number, &Frame::GatewayClosing);
            }
            open
        });
        for number in numbers {
            let book = Arc::clone(&self.book);
            tokio::spawn(async move {
                tokio::time::sleep(book.timing.leave).await;
                book.change(|state| {
                    if state.connections[number].report.phase < Phase::Gone {
                        state.drain(number);
                        let close = Mail::Close(1001, "connect_gateway_closing".to_owned());
                        let _ = state.connections[number].outbox.send(close);
                    }
                });
            });
        }
    }

    /// Has a gateway take connections again.
    pub fn activate_gateway(&self, name: &str) {
        self.book.change(|state| {
            for gateway in state.gateways.iter_mut().filter(|gateway| gateway.name == name) {
                gateway.draining = false;
            }
        });
    }

    /// Restarts empty: leases, registrations, replies and connections are gone. Runs go on waiting for what they have
    /// asked for.
    pub fn restart_empty(&self) {
        self.book.change(|state| {
            state.leases.forget();
            state.groups.clear();
            state.apps.clear();
            state.replies.clear();
            state.tokens.clear();
            for number in 0..state.connections.len() {
                let _ = state.connections[number].outbox.send(Mail::Cut);
            }
        });
    }

    fn mail(&self, connection: &str, mail: Mail) {
        let number = self.number(connection);
        // A writer that has ended has closed the connection.
        let _ = self.book.read().connections[number].outbox.send(mail);
    }

    fn number(&self, connection: &str) -> usize {
        let state = self.book.read();
        let found = state.connections.iter().position(|known| known.report.id == connection);
        found.unwrap_or_else(|| panic!("no connection {connection}"))
    }
}

impl Drop for FakeConnect {
    fn drop(&mut self) {
        self.cut_all();
    }
}
