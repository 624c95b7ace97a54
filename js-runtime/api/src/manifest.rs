//! The contents of a loaded project: its apps and functions, and warnings about them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The contents of a loaded project.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Manifest {
    /// The Inngest apps by client id, in alphabetical order.
    pub apps: Vec<App>,
    /// Tells whether the project has an app that answers everything.
    pub fetch: bool,
    /// The connection to Inngest that the project's code asks for, by `connect()` of inngest/connect.
    #[serde(skip)]
    pub connect: Option<ConnectionOptions>,
    /// Faults that deserve attention but do not prevent serving.
    pub warnings: Vec<Warning>,
}

impl Manifest {
    /// Returns all functions of all apps.
    pub fn functions(&self) -> impl Iterator<Item = (&App, &Function)> {
        self.apps
            .iter()
            .flat_map(|app| app.functions.iter().map(move |function| (app, function)))
    }
}

/// An Inngest app: the functions of one client.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct App {
    /// The client's id.
    pub id: String,
    /// Its functions.
    pub functions: Vec<Function>,
    /// The settings of its client.
    #[serde(skip)]
    pub client: Client,
}

/// The settings of an app's client; `None` where its code does not tell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Client {
    /// Tells whether the client is in dev mode, where no signature is asked for.
    pub dev: Option<bool>,
    /// The API at which it registers: `https://api.inngest.com`, `http://localhost:8288`.
    pub api: Option<String>,
    /// The URL at which it wants to be reached, whatever the request's own.
    pub url: Option<String>,
    /// Tells whether its own code gives it a signing key.
    pub key: Option<bool>,
    /// The signing key, and the one for when that is not accepted, as its own code or the environment gives them.
    pub signing_key: Option<Secret>,
    /// The second signing key.
    pub signing_key_fallback: Option<Secret>,
    /// The environment of Inngest that the client names.
    pub env: Option<String>,
    /// The version of the app that the client names.
    pub app_version: Option<String>,
    /// The version of the SDK that serves the app: `4.24.0`.
    pub sdk: Option<String>,
}

/// The options of a connection to Inngest, as the project's code gives them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConnectionOptions {
    /// The name of the machine at Inngest.
    pub instance_id: Option<String>,
    /// The number of calls that the machine takes at once.
    pub max_worker_concurrency: Option<NonZeroU32>,
    /// The address of the gateway, in place of the one that Inngest names.
    pub gateway_url: Option<String>,
    /// The signing key, in place of the client's.
    pub signing_key: Option<Secret>,
    /// The key for when that one is not accepted.
    pub signing_key_fallback: Option<Secret>,
}

/// A text that no log shows.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Returns the text itself.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Secret")
    }
}

/// An Inngest function as the SDK would register it.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Function {
    /// The composite id that calls carry as `fnId`: `<app>-<function>`.
    pub id: String,
    /// The name for people.
    pub name: String,
    /// The SDK's own trigger objects: `{event, expression?}` or `{cron}`.
    pub triggers: Vec<serde_json::Value>,
    /// The function's number of retries; `None`: the function has none of its own, Inngest's default (4) applies.
    pub retries: Option<u32>,
    /// Tells whether the retries are [`Project::default_retries`](crate::Project::default_retries), since the
    /// function names none.
    pub retries_defaulted: bool,
    /// The rest of the SDK's function configuration, without URLs.
    pub config: BTreeMap<String, serde_json::Value>,
    /// The module that exports it; unknown behind a fetch export.
    pub file: Option<PathBuf>,
    /// The hex digest of that module and everything that it imports, directly or not.
    pub source_hash: Option<String>,
    /// The place of the function's text, where that was found.
    #[serde(skip)]
    pub definition: Option<Definition>,
}

/// The place of a function's text, and facts from the text beside its configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Definition {
    /// The file, relative to the project's root where it lies below it.
    pub file: String,
    /// The line of the call of `createFunction`, 1-based.
    pub line: u32,
    /// The line of its `retries`, if they are written there.
    pub retries: Option<u32>,
    /// The lines of the texts in its options, such as crons and expressions, by the text.
    pub texts: BTreeMap<String, u32>,
    /// The first call of its handler that starts a program, such as `execSync`, and its line.
    pub starts_program: Option<(String, u32)>,
}

/// Something worth knowing about a loaded project.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Warning {
    /// The stable code of the warning, for machines: `retries_zero`.
    pub code: Cow<'static, str>,
    /// The function concerned, if it is about one.
    pub function: Option<String>,
    /// The fault, in a sentence.
    pub message: String,
    /// The file, relative to the project's root where it lies below it.
    pub file: Option<String>,
    /// The line, 1-based.
    pub line: Option<u32>,
    /// One thing to do about it.
    pub help: Option<String>,
}
