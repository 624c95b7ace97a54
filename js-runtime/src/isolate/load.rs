//! Evaluates a project: the prelude, each module, then the handlers. What fails becomes a
//! [`LoadError`] with its place in the user's source.

use std::path::PathBuf;
use std::task::Poll;

use deno_core::error::{CoreError, CoreErrorKind, JsError};
use deno_core::url::Url;
use deno_core::{JsRuntime, PollEventLoopOptions, serde_v8, v8};
use deno_runtime::worker::MainWorker;
use js_runtime_api::{App, Entry, Function, LoadError, LoadErrorKind, Manifest, Warning};

use super::control::{Control, Stop};
use crate::diagnostics::{self, Position, source_text};
use crate::loader::Modules;
use crate::prelude::{self, Duplicate, Prelude, Served, ServedApp};

/// Loads the project of `modules` into the worker.
///
/// # Errors
/// Placed at the file and line that is to blame.
pub(crate) async fn load(
    worker: &mut MainWorker,
    modules: &Modules,
    control: &Control,
) -> Result<(Prelude, Manifest), LoadError> {
    let sources = &modules.sources;
    let project = sources.project();
    if sources.entries().is_empty() {
        return Err(no_functions(modules));
    }
    let prelude = evaluate_prelude(worker, modules).await?;
    let runtime = &mut worker.js_runtime;
    let import = match project.entry {
        Entry::Folder(_) => &prelude.import_module,
        Entry::File(_) => &prelude.import_entry,
    };
    let mut last = None;
    for path in sources.entries() {
        // The canonical path, as an import of the same file from elsewhere would resolve to.
        let path = path.canonicalize().unwrap_or_else(|_| path.clone());
        let url = Url::from_file_path(&path).map_err(|()| internal("a module's path is not absolute"))?;
        let argument = to_v8(runtime, &url.to_string())?;
        if let Err(failure) = run(runtime, control, import, &[argument]).await {
            return Err(failure.explain(&url, modules, control));
        }
        last = Some(url);
    }
    let last = last.ok_or_else(|| no_functions(modules))?;
    let served = match run(runtime, control, &prelude.serve, &[]).await {
        Ok(served) => from_v8::<Served>(runtime, &served)?,
        Err(failure) => return Err(failure.explain(&last, modules, control)),
    };
    match served {
        Served::Duplicate { duplicate } => Err(duplicate_id(&duplicate, modules)),
        Served::Project { fetch: false, apps } if apps.is_empty() => Err(no_functions(modules)),
        Served::Project { fetch, apps } => Ok((prelude, manifest(fetch, apps, modules))),
    }
}

async fn evaluate_prelude(worker: &mut MainWorker, modules: &Modules) -> Result<Prelude, LoadError> {
    let (url, code) = prelude::module(&modules.sources.project().root).map_err(internal)?;
    let id = worker
        .js_runtime
        .load_side_es_module_from_code(&url, code.to_string())
        .await
        .map_err(internal)?;
    worker.evaluate_module(id).await.map_err(internal)?;
    let namespace = worker.js_runtime.get_module_namespace(id).map_err(internal)?;
    let runtime = &mut worker.js_runtime;
    deno_core::scope!(scope, runtime);
    let namespace = v8::Local::new(scope, namespace);
    let export = |name: &'static str| {
        let key = v8::String::new(scope, name).ok_or_else(|| internal("V8 is out of memory"))?;
        let value = namespace.get(scope, key.into()).ok_or_else(|| internal(name))?;
        let function = v8::Local::<v8::Function>::try_from(value).map_err(internal)?;
        Ok::<_, LoadError>(v8::Global::new(scope, function))
    };
    Ok(Prelude {
        import_module: export("importModule")?,
        import_entry: export("importEntry")?,
        serve: export("serve")?,
        call: export("call")?,
    })
}

/// Why a function of the prelude did not return.
enum Failure {
    /// JavaScript threw.
    Threw(Box<JsError>),
    /// Nothing is left to run, and the promise is still pending.
    NeverSettles,
    /// The isolate was stopped meanwhile.
    Stopped,
    /// Deno refused.
    Other(CoreError),
}

/// Calls a function and runs the event loop until its promise settles or the isolate is stopped.
async fn run(
    runtime: &mut JsRuntime,
    control: &Control,
    function: &v8::Global<v8::Function>,
    arguments: &[v8::Global<v8::Value>],
) -> Result<v8::Global<v8::Value>, Failure> {
    let result = runtime.call_with_args(function, arguments);
    let settled = runtime.with_event_loop_promise(result, PollEventLoopOptions::default());
    let mut settled = std::pin::pin!(settled);
    let outcome = std::future::poll_fn(|context| {
        if control.poll_stopped(context).is_some() {
            return Poll::Ready(None);
        }
        settled.as_mut().poll(context).map(Some)
    })
    .await;
    match outcome {
        _ if control.stopped().is_some() => Err(Failure::Stopped),
        None => Err(Failure::Stopped),
        Some(Ok(value)) => Ok(value),
        Some(Err(error)) => Err(match error.into_kind() {
            CoreErrorKind::Js(error) => Failure::Threw(error),
            CoreErrorKind::PendingPromiseResolution => Failure::NeverSettles,
            other => Failure::Other(other.into_box()),
        }),
    }
}

const NEVER_SETTLES: &str = "a top-level await never settles: it waits for nothing that is still running";

impl Failure {
    /// Tells the user, given the module that was being imported.
    fn explain(self, module: &Url, modules: &Modules, control: &Control) -> LoadError {
        let sources = &modules.sources;
        match self {
            Self::Threw(error) => explain_throw(&error, module, modules),
            Self::NeverSettles => at_await(module, modules, NEVER_SETTLES.to_owned()),
            Self::Stopped if control.stopped() == Some(Stop::TimedOut) => match stood_at(modules, control) {
                Some((url, line, column)) => {
                    let text = source_text(&url, sources);
                    let message = "the module did not finish in time: it was still running here".to_owned();
                    Position::new(&url, &text, line, column).into_error(LoadErrorKind::Timeout, message)
                }
                None => at_await(
                    module,
                    modules,
                    "the module did not finish in time: it was still waiting".to_owned(),
                ),
            },
            Self::Stopped => internal("the load was abandoned"),
            Self::Other(error) => LoadError {
                message: error.to_string(),
                ..Position::start_of(module, &source_text(module, sources))
                    .into_error(LoadErrorKind::Evaluate, String::new())
            },
        }
    }
}

fn explain_throw(error: &JsError, module: &Url, modules: &Modules) -> LoadError {
    let message = &error.exception_message;
    if let Some(failure) = modules.failure_behind(message) {
        return failure;
    }
    if message.contains("Top-level await promise never resolved") {
        let found = diagnostics::from_js_error(error, LoadErrorKind::Timeout, module, &modules.sources);
        return LoadError {
            message: NEVER_SETTLES.to_owned(),
            ..found
        };
    }
    if error.name.as_deref() != Some("SyntaxError") {
        return diagnostics::from_js_error(error, LoadErrorKind::Evaluate, module, &modules.sources);
    }
    // V8 found it while it linked or compiled; where, mapped already, stands only in the message.
    let message = diagnostics::message_of(error);
    let kind = if message.contains("does not provide an export") {
        LoadErrorKind::Resolve
    } else {
        LoadErrorKind::Syntax
    };
    let Some((message, url, line, column)) = split_place(message) else {
        return diagnostics::from_js_error(error, kind, module, &modules.sources);
    };
    let position = Position::new(&url, &source_text(&url, &modules.sources), line, column);
    position.into_error(kind, message.to_owned())
}

/// Takes ` at file:///a.ts:1:10` from the end of a message.
fn split_place(message: &str) -> Option<(&str, Url, usize, usize)> {
    let (message, place) = message.rsplit_once(" at ")?;
    let (place, column) = place.rsplit_once(':')?;
    let (url, line) = place.rsplit_once(':')?;
    let url = Url::parse(url).ok().filter(|url| url.scheme() == "file")?;
    Some((message, url, line.parse().ok()?, column.parse().ok()?))
}

/// Where the interrupted loop stood, in the original source.
fn stood_at(modules: &Modules, control: &Control) -> Option<(Url, usize, usize)> {
    let at = control.stood_at()?;
    let url = Url::parse(&at.url).ok().filter(|url| url.scheme() == "file")?;
    let (line, column) = modules.original_position(&url, at.line, at.column);
    Some((url, line.try_into().ok()?, column.try_into().ok()?))
}

/// At the module's first `await`, for lack of anything more exact.
fn at_await(module: &Url, modules: &Modules, message: String) -> LoadError {
    let text = source_text(module, &modules.sources);
    let offset = text.find("await ").unwrap_or(0);
    Position::of_offset(module, &text, offset).into_error(LoadErrorKind::Timeout, message)
}

fn duplicate_id(duplicate: &Duplicate, modules: &Modules) -> LoadError {
    let Duplicate { app, id, first, second } = duplicate;
    let Ok(url) = Url::parse(second) else {
        return internal("a module has no URL");
    };
    let text = source_text(&url, &modules.sources);
    let offset = offset_of_id(&text, id);
    let root = &modules.sources.project().root;
    let name = |module: &String| {
        let path = Url::parse(module)
            .ok()
            .and_then(|url| url.to_file_path().ok())
            .unwrap_or_default();
        path.strip_prefix(root).unwrap_or(&path).display().to_string()
    };
    let message = if first == second {
        format!("{} has two functions with the id {id:?} (app {app:?})", name(second))
    } else {
        format!(
            "{} and {} both have a function with the id {id:?} (app {app:?})",
            name(first),
            name(second)
        )
    };
    LoadError {
        help: Some("Give one of the two functions another id.".to_owned()),
        ..Position::of_offset(&url, &text, offset).into_error(LoadErrorKind::DuplicateId, message)
    }
}

/// Where a function's id is written: the last `id: "…"`, since within one file it is the later
/// function that is too much; else the last literal that reads like it.
fn offset_of_id(text: &str, id: &str) -> usize {
    let literals = ['"', '\'', '`'].map(|quote| format!("{quote}{id}{quote}"));
    let places = literals
        .iter()
        .flat_map(|literal| text.match_indices(literal.as_str()))
        .map(|(at, _)| at);
    let is_id = |at: usize| text[..at].trim_end().ends_with("id:");
    places.max_by_key(|at| (is_id(*at), *at)).unwrap_or(0)
}

fn no_functions(modules: &Modules) -> LoadError {
    let path = modules.sources.project().entry.path();
    let count = modules.sources.entries().len();
    let message = match (&modules.sources.project().entry, count) {
        (Entry::File(_), _) => format!(
            "{} exports neither Inngest functions nor a fetch handler",
            path.display()
        ),
        (Entry::Folder(_), 0) => format!("{} holds no modules", path.display()),
        (Entry::Folder(_), 1) => format!("the one module in {} exports no Inngest function", path.display()),
        (Entry::Folder(_), _) => format!(
            "none of the {count} modules in {} exports an Inngest function",
            path.display()
        ),
    };
    let help = "Export what `inngest.createFunction(…)` returns from a .ts, .tsx, .mts, .js or .mjs file there.";
    LoadError {
        kind: LoadErrorKind::NoFunctions,
        message,
        file: Some(path.display().to_string()),
        help: Some(help.to_owned()),
        ..LoadError::default()
    }
}

fn manifest(fetch: bool, apps: Vec<ServedApp>, modules: &Modules) -> Manifest {
    let mut apps: Vec<App> = apps
        .into_iter()
        .map(|app| App {
            id: app.id,
            functions: app
                .functions
                .into_iter()
                .map(|function| described(function, modules))
                .collect(),
        })
        .collect();
    apps.sort_by(|one, other| one.id.cmp(&other.id));
    let mut warnings: Vec<Warning> = apps
        .iter()
        .flat_map(|app| &app.functions)
        .filter_map(retries_zero)
        .collect();
    if fetch && apps.is_empty() {
        warnings.push(Warning {
            code: "functions_unknown",
            function: None,
            message: "the fetch export did not tell its functions at /api/inngest: they are served all the same"
                .to_owned(),
        });
    }
    Manifest { apps, fetch, warnings }
}

fn described(function: prelude::ServedFunction, modules: &Modules) -> Function {
    let file: Option<PathBuf> = function
        .module
        .and_then(|module| Url::parse(&module).ok())
        .and_then(|url| url.to_file_path().ok());
    Function {
        id: function.id,
        name: function.name,
        triggers: function.triggers,
        retries: function.retries,
        config: function.config,
        source_hash: file.as_deref().map(|file| modules.sources.hash_of_module(file)),
        file,
    }
}

fn retries_zero(function: &Function) -> Option<Warning> {
    (function.retries == Some(0)).then(|| Warning {
        code: "retries_zero",
        function: Some(function.id.clone()),
        message: format!(
            "{} has `retries: 0`: one call that is lost on the way fails its run for good",
            function.id
        ),
    })
}

fn internal(error: impl std::fmt::Display) -> LoadError {
    LoadError {
        message: error.to_string(),
        ..LoadError::default()
    }
}

fn to_v8(runtime: &mut JsRuntime, value: &impl serde::Serialize) -> Result<v8::Global<v8::Value>, LoadError> {
    deno_core::scope!(scope, runtime);
    let value = serde_v8::to_v8(scope, value).map_err(internal)?;
    Ok(v8::Global::new(scope, value))
}

fn from_v8<T: serde::de::DeserializeOwned>(
    runtime: &mut JsRuntime,
    value: &v8::Global<v8::Value>,
) -> Result<T, LoadError> {
    deno_core::scope!(scope, runtime);
    let value = v8::Local::new(scope, value);
    serde_v8::from_v8(scope, value).map_err(internal)
}

#[cfg(test)]
mod tests {
    use super::{offset_of_id, split_place};

    #[test]
    fn an_id_is_found_where_it_is_an_id() {
        let text = "fn({ id: \"a\", triggers: [{ event: \"a\" }] });";
        assert_eq!(offset_of_id(text, "a"), text.find("\"a\"").unwrap());
        let twice = "fn({ id: 'a' });\nfn({ id: 'a' });";
        assert_eq!(offset_of_id(twice, "a"), twice.rfind("'a'").unwrap());
        assert_eq!(offset_of_id("const ID = `a`;", "a"), 11);
        assert_eq!(offset_of_id("nothing", "a"), 0);
    }

    #[test]
    fn a_place_at_the_end_of_a_message_is_split_off() {
        let (message, url, line, column) = split_place("no export named 'x' at file:///p/b.ts:1:10").unwrap();
        assert_eq!(
            (message, url.path(), line, column),
            ("no export named 'x'", "/p/b.ts", 1, 10)
        );
        assert!(split_place("Unexpected end of input at all").is_none());
    }
}
