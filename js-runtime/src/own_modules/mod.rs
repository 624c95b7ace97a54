//! The runtime's own modules in TypeScript, which share an isolate with user code: `host` tells the host of user
//! code's output and processes, with the call · `serving` takes over servers that would listen, and answers for the
//! app of an entry file · `fetch` sends requests to the places that user code names · `hooks` tells hooks of promises
//! · `timers` has timers of 0 fire at once.

use std::sync::{Arc, OnceLock};

use deno_ast::MediaType;
use deno_core::url::Url;
use js_runtime_api::LoadError;

use crate::source::caches::Caches;
use crate::source::commonjs::TextEdits;
use crate::source::emitted::EmittedCode;
use crate::source::transpile::{self, EmitKind};
use crate::source::tsconfig::CompilerOptions;

/// The module that tells the host of user code's output and processes.
pub(crate) const HOST: &str = "baton:host";

/// The module that knows the app of an entry file, and to which servers are handed over.
pub(crate) const SERVING: &str = "baton:serving";

/// The module that has requests go where user code says.
const FETCH: &str = "baton:fetch";

/// The module that tells the hooks of user code of promises.
const HOOKS: &str = "baton:hooks";

/// The module that has timers of 0 fire at once.
const TIMERS: &str = "baton:timers";

/// Has a module with which a worker thread begins import the code that is evaluated before user code there.
pub(crate) fn before_thread(url: &Url, main: &EmittedCode) -> EmittedCode {
    let mut edits = TextEdits::default();
    edits.insert(0, format!("import \"{FETCH}\"; import \"{HOOKS}\"; "));
    edits.apply_to(url, main)
}

/// Tells whether a specifier names one of these modules.
pub(crate) fn is_own(specifier: &str) -> bool {
    [HOST, SERVING, FETCH, HOOKS, TIMERS].contains(&specifier)
}

/// Returns the JavaScript of one of these modules; `None` for any other.
///
/// # Errors
/// Only when Baton itself is at fault.
pub(crate) fn module(url: &Url, caches: &Caches) -> Option<Result<Arc<str>, LoadError>> {
    static CODE: [OwnCode; 5] = [const { OwnCode::new() }; 5];
    let (code, text) = match url.as_str() {
        HOST => (&CODE[0], include_str!("host.ts")),
        SERVING => (&CODE[1], include_str!("serving.ts")),
        FETCH => (&CODE[2], include_str!("fetch.ts")),
        HOOKS => (&CODE[3], include_str!("hooks.ts")),
        TIMERS => (&CODE[4], include_str!("timers.ts")),
        _ => return None,
    };
    Some(code.of(url, text, caches))
}

/// The JavaScript of a module that is part of the binary, made once per process.
pub(crate) struct OwnCode(OnceLock<Result<Arc<str>, LoadError>>);

impl OwnCode {
    pub(crate) const fn new() -> Self {
        Self(OnceLock::new())
    }

    /// Returns the JavaScript, made of the module's text.
    pub(crate) fn of(&self, url: &Url, text: &'static str, caches: &Caches) -> Result<Arc<str>, LoadError> {
        let emitted = self.0.get_or_init(|| {
            let make = || {
                let parsed = transpile::parse(url, MediaType::TypeScript, text.into())?;
                transpile::emit(url, parsed, EmitKind::Esm, &CompilerOptions::default())
            };
            Ok(caches.own_emitted(url, text, make)?.code)
        });
        emitted.clone()
    }
}
