//! The code that knows of Inngest: the TypeScript that runs before user code, and the parts that read a project for
//! Inngest.
//!
//! `prelude.ts` collects functions, builds handlers and answers calls, by `sdk.ts`, the SDK's adapter; `connect.ts`
//! takes workers of Inngest Connect over; `rehearsal.ts` has the SDK's code compiled. In Rust: `sdk_package` has the SDK's
//! own modules, where they are more than a package's, and its copies · `findings` what the text of a module tells of
//! functions and steps · `manifest` the parts of a project · `refusals` the reasons why there is nothing to serve.
//! Nothing that reads, resolves or contains user code imports this.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use deno_core::url::Url;
use deno_core::{JsBuffer, ToJsBuffer, v8};
use js_runtime_api::{Body, CallSubject, LoadError, Request, Response, Secret, Target};
use serde::{Deserialize, Serialize};

use crate::own_files::PRELUDE;
use crate::own_modules::{HOST, OwnCode, SERVING};
use crate::source::caches::Caches;

pub(crate) mod findings;
pub(crate) mod manifest;
pub(crate) mod refusals;
pub(crate) mod sdk_package;

/// The module that has the project's SDK compiled.
const REHEARSAL: &str = "baton:rehearsal";

/// The module that asks the project's SDK.
const SDK: &str = "baton:sdk";

/// The module that takes over what connects to Inngest.
const CONNECT: &str = "baton:connect";

/// Tells whether a specifier names one of these modules.
pub(crate) fn is_own(specifier: &str) -> bool {
    [SDK, CONNECT, REHEARSAL].contains(&specifier)
}

/// The prelude's exports. They keep the isolate's memory: drop them before the isolate.
pub(crate) struct Prelude {
    pub(crate) begin_ahead: v8::Global<v8::Function>,
    pub(crate) import_package: v8::Global<v8::Function>,
    pub(crate) rehearse: v8::Global<v8::Function>,
    pub(crate) evaluate: v8::Global<v8::Function>,
    pub(crate) import_modules: v8::Global<v8::Function>,
    pub(crate) import_entry: v8::Global<v8::Function>,
    pub(crate) serve: v8::Global<v8::Function>,
    pub(crate) call: v8::Global<v8::Function>,
    pub(crate) pull: v8::Global<v8::Function>,
    pub(crate) drain: v8::Global<v8::Function>,
    pub(crate) leave: v8::Global<v8::Function>,
}

/// The value that `serve` returns.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum ServeResult {
    Duplicate { duplicate: IdCollision },
    Project(ServedProject),
}

#[derive(Debug, Deserialize)]
pub(crate) struct ServedProject {
    /// Tells whether the project has an app that answers everything.
    pub(crate) fetch: bool,
    /// Tells whether that app is a function that can be called.
    pub(crate) direct: bool,
    pub(crate) notes: Vec<LoadNote>,
    pub(crate) apps: Vec<ServedApp>,
    /// The connection to Inngest that user code asks for.
    #[serde(default)]
    pub(crate) connect: Option<ServedConnection>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct ServedConnection {
    pub(crate) instance_id: Option<String>,
    pub(crate) max_worker_concurrency: Option<f64>,
    pub(crate) gateway_url: Option<String>,
    pub(crate) signing_key: Option<Secret>,
    pub(crate) signing_key_fallback: Option<Secret>,
}

/// A note for the load's report.
#[derive(Debug, Deserialize)]
pub(crate) struct LoadNote {
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) help: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct IdCollision {
    pub(crate) app: String,
    pub(crate) id: String,
    pub(crate) first: String,
    pub(crate) second: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct ServedApp {
    pub(crate) id: String,
    pub(crate) functions: Vec<ServedFunction>,
    #[serde(default)]
    pub(crate) client: ServedClient,
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct ServedClient {
    #[serde(default)]
    pub(crate) dev: Option<bool>,
    #[serde(default)]
    pub(crate) api: Option<String>,
    #[serde(default)]
    pub(crate) url: Option<String>,
    #[serde(default)]
    pub(crate) key: Option<bool>,
    #[serde(default)]
    pub(crate) signing_key: Option<Secret>,
    #[serde(default)]
    pub(crate) signing_key_fallback: Option<Secret>,
    #[serde(default)]
    pub(crate) env: Option<String>,
    #[serde(default)]
    pub(crate) app_version: Option<String>,
    #[serde(default)]
    pub(crate) sdk: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct ServedFunction {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) triggers: Vec<serde_json::Value>,
    pub(crate) retries: Option<u32>,
    pub(crate) config: std::collections::BTreeMap<String, serde_json::Value>,
    #[serde(default)]
    pub(crate) module: Option<String>,
    #[serde(default)]
    pub(crate) defaulted: bool,
}

/// The argument of `serve`.
#[derive(Serialize)]
pub(crate) struct ServeArgument {
    pub(crate) path: String,
    pub(crate) retries: Option<u32>,
    /// The copies of the SDK that the project has loaded, where there are several.
    pub(crate) copies: Vec<SdkCopy>,
}

/// A copy of the SDK.
#[derive(Serialize)]
pub(crate) struct SdkCopy {
    /// The module that exports the class of clients.
    pub(crate) main: String,
    pub(crate) folder: String,
    pub(crate) version: String,
}

/// The argument of `call`.
#[derive(Serialize)]
pub(crate) struct CallArgument {
    method: String,
    url: String,
    headers: Vec<(String, String)>,
    body: WholeBody,
    whose: CallSubject,
    app: Option<String>,
    over_connection: bool,
    id: u64,
    peer: Option<String>,
    sync: bool,
}

/// The body of a request.
#[derive(Serialize)]
#[serde(untagged)]
enum WholeBody {
    /// A text, which Deno gives back as it got it, without a copy.
    Text(String),
    Bytes(ToJsBuffer),
}

/// The value that `call` resolves with.
#[derive(Deserialize)]
pub(crate) struct CallAnswer {
    status: u16,
    headers: Vec<(String, String)>,
    /// The body is one of these two.
    text: Option<String>,
    bytes: Option<JsBuffer>,
    /// Tells whether the body is to be pulled.
    #[serde(default)]
    pub(crate) streams: bool,
}

impl CallArgument {
    /// Makes the argument for a request whose body is there.
    pub(crate) fn new(id: u64, request: Request, body: &[u8]) -> Self {
        Self {
            body: WholeBody::of(&request, body),
            whose: request.subject,
            method: request.method,
            url: request.url,
            headers: request.headers,
            sync: matches!(request.target, Target::Sync(_)),
            over_connection: matches!(request.target, Target::Connection(_)),
            app: match request.target {
                Target::App(id) | Target::Connection(id) => Some(id),
                Target::Fetch => None,
                Target::Sync(id) => id,
            },
            id,
            peer: request.caller.peer,
        }
    }
}

impl WholeBody {
    fn of(request: &Request, body: &[u8]) -> Self {
        const BYTE_ORDER_MARK: &str = "\u{feff}";
        match std::str::from_utf8(body) {
            // Without a type a text would get one, and a decoder of bytes leaves the mark out.
            Ok(text) if header(request, "content-type").is_some() && !text.starts_with(BYTE_ORDER_MARK) => {
                Self::Text(text.to_owned())
            }
            _ => Self::Bytes(body.to_vec().into()),
        }
    }
}

fn header<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    let mut headers = request.headers.iter();
    headers
        .find(|(known, _)| known == name)
        .map(|(_, value)| value.as_str())
}

impl From<CallAnswer> for Response {
    fn from(answer: CallAnswer) -> Self {
        Self {
            status: answer.status,
            headers: answer.headers,
            body: Body::Full(match (answer.text, answer.bytes) {
                (Some(text), _) => text.into(),
                (None, bytes) => bytes.map_or_else(Bytes::new, |bytes| Bytes::copy_from_slice(&bytes)),
            }),
            over: None,
        }
    }
}

/// Returns the URLs of the modules that are evaluated first, in order. The last one is the prelude, whose URL lies in
/// the project.
///
/// # Errors
/// Only when Baton itself is at fault.
pub(crate) fn urls(root: &Path) -> Result<[Url; 3], LoadError> {
    let own = |name: &str| Url::parse(name).map_err(|error| LoadError::bug(error.to_string()));
    let prelude = Url::from_file_path(root.join(PRELUDE))
        .map_err(|()| LoadError::bug(format!("the project's root {} is not an absolute path", root.display())))?;
    Ok([own(HOST)?, own(SERVING)?, prelude])
}

/// Returns the JavaScript of one of these modules; `None` for any other.
///
/// # Errors
/// Only when Baton itself is at fault.
pub(crate) fn module(url: &Url, root: &Path, caches: &Caches) -> Option<Result<Arc<str>, LoadError>> {
    static CODE: [OwnCode; 4] = [const { OwnCode::new() }; 4];
    let (code, text) = match url.as_str() {
        SDK => (&CODE[0], include_str!("sdk.ts")),
        REHEARSAL => (&CODE[3], include_str!("rehearsal.ts")),
        CONNECT => (&CODE[1], include_str!("connect.ts")),
        other if other.ends_with(PRELUDE) && url.to_file_path().ok()? == root.join(PRELUDE) => {
            (&CODE[2], include_str!("prelude.ts"))
        }
        _ => return None,
    };
    Some(code.of(url, text, caches))
}
