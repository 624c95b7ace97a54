//! The contents of a loaded project: its apps and functions, and warnings about them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The contents of a loaded project.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Manifest {
    /// The Inngest apps by client id, in alphabetical order.
    pub apps: Vec<App>,
    /// Tells whether the project has an app that answers everything.
    pub fetch: bool,
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
