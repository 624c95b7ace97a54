//! Tells Inngest which functions there are, keeps telling it, and checks that it knows.
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
//! `state` decides and has no clock; `task` is the one that acts, by `exchange`; `subject` is what is to be told and to
//! whom, `inngest` asks what it knows, `drift` compares. It is told by the SDK itself: a `PUT` goes into the
//! current generation, as Inngest's own would. Nothing of this is in the way of a call: it takes no lease,
//! so that no generation lives longer for it, and is given up after some seconds.
//!
//! Only while it is allowed to, which is while this host is the one that takes calls: an old host never
//! overwrites what a new one said.
//!
//! Another host of the app, on another port or machine, may have told its URL since. Inngest is left to
//! that one while it serves, which `holder` asks at each look:
//!
//! ```text
//!            Inngest calls another URL           it serves: left there
//! registered ────────────────────────▶ drifted ◀──────────────────────┐
//!      ▲                                  │  └── asked at each look ──┘
//!      │                                  │ it drains, or two looks in a row find nobody
//!      └─────────── registering ◀─────────┘
//! ```

mod drift;
mod exchange;
mod failure;
mod holder;
mod inngest;
mod key;
mod state;
mod subject;
mod task;

use std::sync::Arc;
use std::time::Duration;

use js_runtime_api::Manifest;
use tokio::sync::{mpsc, oneshot, watch};

pub use inngest::Inngest;
pub use key::flaw;
pub use subject::{CLOUD, Off, Settings, Unsigned, is_local};

use self::subject::Subject;
use crate::generation::Table;
use crate::status::RegistrationStatus;

/// How long whoever asks waits for what becomes of it.
const ASKED_LIMIT: Duration = Duration::from_secs(30);

/// What a host with these settings would have to tell of a project, and to whom.
#[must_use]
pub fn preview(
    manifest: &Manifest,
    variable: impl Fn(&str) -> Option<String>,
    settings: &Settings,
) -> RegistrationStatus {
    subject::status(&Subject::of(manifest, variable, settings))
}

/// The running task, to look at and to ask.
#[derive(Debug, Clone)]
pub struct Registration {
    shown: watch::Receiver<Arc<RegistrationStatus>>,
    asks: mpsc::UnboundedSender<oneshot::Sender<()>>,
}

impl Registration {
    /// Starts the task. It ends with the sender of `allowed`.
    #[must_use]
    pub fn start(table: Arc<Table>, settings: Settings, allowed: watch::Receiver<bool>) -> Self {
        let (shown_sender, shown) = watch::channel(Arc::new(subject::status(&Err(Off::NoGeneration))));
        let (asks, asked) = mpsc::unbounded_channel();
        let tasks = table.tasks().clone();
        tasks.keep("registration", task::run(table, settings, allowed, asked, shown_sender));
        Self { shown, asks }
    }

    /// How it stands.
    #[must_use]
    pub fn shown(&self) -> Arc<RegistrationStatus> {
        self.shown.borrow().clone()
    }

    /// Registers now, and says how it stands then.
    pub async fn ask(&self) -> Arc<RegistrationStatus> {
        let (ticket, settled) = oneshot::channel();
        // A task that has ended drops the ticket.
        let _ = self.asks.send(ticket);
        let _ = tokio::time::timeout(ASKED_LIMIT, settled).await;
        self.shown()
    }
}
