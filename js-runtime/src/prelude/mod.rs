//! The TypeScript that runs first in an isolate, and its functions as the driver calls them.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use deno_ast::MediaType;
use deno_core::url::Url;
use deno_core::{JsBuffer, ToJsBuffer, v8};
use js_runtime_api::{LoadError, Request, Response, Target};
use serde::{Deserialize, Serialize};

use crate::source::transpile::{self, EmitKind};

/// The prelude's name in the project's root, where it is evaluated but never written.
pub(crate) const FILE_NAME: &str = "__baton_prelude.ts";

/// The module that tells the host what user code says and starts.
pub(crate) const HOST: &str = "baton:host";

/// The prelude's exports. They keep the isolate's memory: drop them before the isolate.
pub(crate) struct Prelude {
    pub(crate) import_module: v8::Global<v8::Function>,
    pub(crate) import_entry: v8::Global<v8::Function>,
    pub(crate) serve: v8::Global<v8::Function>,
    pub(crate) call: v8::Global<v8::Function>,
    pub(crate) drain: v8::Global<v8::Function>,
}

/// What `serve` returns.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Served {
    Duplicate { duplicate: Duplicate },
    Project { fetch: bool, apps: Vec<ServedApp> },
}

#[derive(Debug, Deserialize)]
pub(crate) struct Duplicate {
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
    pub(crate) retries: Option<u32>,
}

/// The argument of `call`.
#[derive(Serialize)]
pub(crate) struct CallArgument {
    method: String,
    url: String,
    headers: Vec<(String, String)>,
    body: ToJsBuffer,
    app: Option<String>,
    sync: bool,
}

/// What `call` resolves with.
#[derive(Deserialize)]
pub(crate) struct CallAnswer {
    status: u16,
    headers: Vec<(String, String)>,
    body: JsBuffer,
}

impl From<Request> for CallArgument {
    fn from(request: Request) -> Self {
        Self {
            method: request.method,
            url: request.url,
            headers: request.headers,
            body: request.body.to_vec().into(),
            sync: matches!(request.target, Target::Sync(_)),
            app: match request.target {
                Target::App(id) => Some(id),
                Target::Fetch => None,
                Target::Sync(id) => id,
            },
        }
    }
}

impl From<CallAnswer> for Response {
    fn from(answer: CallAnswer) -> Self {
        Self {
            status: answer.status,
            headers: answer.headers,
            body: bytes::Bytes::copy_from_slice(&answer.body),
        }
    }
}

/// The modules that are evaluated first, in order: their URLs, and their JavaScript. The last one is
/// the prelude, whose URL lies in the project.
///
/// # Errors
/// Only when Baton itself is at fault.
pub(crate) fn modules(root: &Path) -> Result<[(Url, Arc<str>); 2], LoadError> {
    static CODE: [OnceLock<Result<Arc<str>, LoadError>>; 2] = [const { OnceLock::new() }; 2];
    let host = Url::parse(HOST).map_err(|error| LoadError {
        message: error.to_string(),
        ..LoadError::default()
    })?;
    let prelude = Url::from_file_path(root.join(FILE_NAME)).map_err(|()| LoadError {
        message: format!("the project's root {} is no absolute path", root.display()),
        ..LoadError::default()
    })?;
    let emit = |url: &Url, text: &'static str| {
        let parsed = transpile::parse(url, MediaType::TypeScript, text.into())?;
        Ok(transpile::emit(url, parsed, EmitKind::Esm)?.code)
    };
    let host_code = CODE[0].get_or_init(|| emit(&host, include_str!("host.ts"))).clone()?;
    let prelude_code = CODE[1]
        .get_or_init(|| emit(&prelude, include_str!("prelude.ts")))
        .clone()?;
    Ok([(host, host_code), (prelude, prelude_code)])
}
