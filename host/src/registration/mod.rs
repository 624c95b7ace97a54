//! Tells Inngest which functions there are, keeps telling it, and checks that Inngest knows them.
//!
//! ```text
//!               told                 it says so itself
//!  unregistered ────▶ registering ─────────▶ registered ◀──┐ looked at again and again,
//!       ▲  ▲               │ refused             │          │ told anew every few minutes
//!       │  └───────────────┘ again, later        │ something differs
//!       │                                        ▼          │
//!       └─────────────────────────────────── drifted ───────┘ told again
//! ```
//!
//! `state` decides and has no clock; `task` acts, by `exchange`; `subject` is the content of the registration and the
//! Inngest that is told, `inngest_server` asks for the apps that an Inngest holds, and `drift` compares them. The SDK
//! itself tells Inngest: a `PUT` goes into the current generation, as Inngest's own would. Nothing of this is in the
//! way of a call: a registration takes no lease, so that no generation lives longer for it, and it is given up after
//! some seconds.
//!
//! A host registers only while it is allowed to, which is while it is the host that takes calls: an old host never
//! overwrites the registration of a new one.
//!
//! Another host of the app, on another port or machine, may have told its URL since. That host stays registered while
//! it serves, which `holder` asks at each look:
//!
//! ```text
//!            Inngest calls another URL           it serves: left there
//! registered ────────────────────────▶ drifted ◀──────────────────────┐
//!      ▲                                  │  └── asked at each look ──┘
//!      │                                  │ it drains, or two looks in a row find nobody
//!      └─────────── registering ◀─────────┘
//! ```
//!
//! Several hosts may be behind one address, which somebody chose. Before such a host registers, `peers` asks the address
//! for hosts with newer code. Of these hosts the one with the newest code registers:
//!
//! ```text
//!               due, drifted          nobody has newer code
//! any state ──────────────────▶ asking ─────────────────────▶ registering
//!                                │  ▲
//!     a host with newer code     ▼  │ Inngest has other functions than this code: looked at more and more rarely
//!                              standing by ──────▶ registered, once Inngest has the functions of this code
//! ```
//!
//! A host that stands by registers when two looks in a row do not meet the newer host, or when its own code becomes
//! the newest. Hosts that a balancer keeps apart overwrite each other's functions, with a wait that doubles each time.

mod drift;
mod exchange;
mod holder;
mod inngest_failure;
mod inngest_server;
mod key;
mod peers;
mod state;
mod subject;
mod task;

use std::sync::Arc;
use std::time::Duration;

use js_runtime_api::Manifest;
use tokio::sync::{mpsc, oneshot, watch};

pub use inngest_server::Inngest;
pub use key::flaw;
pub use subject::{CLOUD, OffReason, RegistrationSettings, UnsignedReason, api_of, is_local};

use self::subject::Subject;
use crate::generation::Table;
use crate::status::RegistrationStatus;

/// The limit for an asker to wait for the result.
const ASKED_LIMIT: Duration = Duration::from_secs(30);

/// Returns the apps that a host with these settings would have to tell of, and the Inngest that it would tell.
#[must_use]
pub fn preview(
    manifest: &Manifest,
    variable: impl Fn(&str) -> Option<String>,
    settings: &RegistrationSettings,
) -> RegistrationStatus {
    subject::status(&Subject::of(manifest, variable, settings))
}

/// The running task, which shows the status and takes orders to register.
#[derive(Debug, Clone)]
pub struct Registration {
    shown: watch::Receiver<Arc<RegistrationStatus>>,
    asks: mpsc::UnboundedSender<oneshot::Sender<()>>,
    host: String,
}

impl Registration {
    /// Starts the task. The task ends with the sender of `allowed`.
    #[must_use]
    pub fn start(table: Arc<Table>, settings: RegistrationSettings, allowed: watch::Receiver<bool>) -> Self {
        let (shown_sender, shown) = watch::channel(Arc::new(subject::status(&Err(OffReason::NoGeneration))));
        let (asks, asked) = mpsc::unbounded_channel();
        let host = random_id();
        let tasks = table.tasks().clone();
        let task = task::run(table, settings, host.clone(), allowed, asked, shown_sender);
        tasks.keep("registration", task);
        Self { shown, asks, host }
    }

    /// Returns the random id of this host, by which hosts at one address tell each other apart.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns the status of the registration.
    #[must_use]
    pub fn shown(&self) -> Arc<RegistrationStatus> {
        self.shown.borrow().clone()
    }

    /// Returns the status as it changes.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<Arc<RegistrationStatus>> {
        self.shown.clone()
    }

    /// Registers now, and returns the status after that.
    pub async fn ask(&self) -> Arc<RegistrationStatus> {
        let (ticket, settled) = oneshot::channel();
        // A task that has ended drops the ticket.
        let _ = self.asks.send(ticket);
        let _ = tokio::time::timeout(ASKED_LIMIT, settled).await;
        self.shown()
    }
}

/// Returns an id that no other host has.
fn random_id() -> String {
    let mut bytes = [0_u8; 8];
    if getrandom::fill(&mut bytes).is_err() {
        bytes[..4].copy_from_slice(&std::process::id().to_le_bytes());
    }
    format!("{:016x}", u64::from_le_bytes(bytes))
}
