//! Evaluates a project: the prelude, each module, then the handlers. A failure becomes a [`LoadError`] with its place
//! in the user's source.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::task::Poll;

use deno_core::error::CoreErrorKind;
use deno_core::url::Url;
use deno_core::{JsRuntime, PollEventLoopOptions, serde_v8, v8};
use deno_runtime::worker::MainWorker;
use js_runtime_api::{Entry, LoadError, LoadErrorKind, LoadProgress, LoadStage, Manifest, MemoryLimits};

use super::blame::PreludeFailure;
use super::memory::is_nearly_full;
use crate::compat;
use crate::control::{Control, Name, StopReason};
use crate::loader::Modules;
use crate::own_files::IMPORTS_A_PACKAGE;
use crate::prelude::manifest::manifest;
use crate::prelude::refusals::{duplicate_id, no_functions};
use crate::prelude::sdk_package::copies;
use crate::prelude::{self, Prelude, ServeArgument, ServeResult};
use crate::source::entries;

/// The way in which the project answers.
pub(crate) enum ServingMode {
    /// The project answers by its functions: nothing of it listens.
    Functions,
    /// The project answers by an app that listens at this socket.
    App(PathBuf),
    /// The project answers by a handler that is called. A request whose body is not there whole goes to this socket.
    Handler(PathBuf),
}

/// The surroundings in which an isolate's code is evaluated.
pub(crate) struct Load<'a> {
    pub(crate) worker: &'a mut MainWorker,
    pub(crate) modules: &'a Modules,
    pub(crate) control: &'a Arc<Control>,
    pub(crate) memory: MemoryLimits,
    pub(crate) sockets: Option<&'a Path>,
}

impl Load<'_> {
    /// Evaluates the prelude.
    ///
    /// # Errors
    /// Only when Baton itself is at fault.
    pub(crate) async fn prelude(&mut self, name: Name) -> Result<Prelude, LoadError> {
        let Self {
            worker,
            modules,
            control,
            sockets,
            ..
        } = self;
        let [host, serving, prelude] = prelude::urls(&modules.sources.project().root)?;
        let host = evaluate(worker, host).await?;
        let connect = export(worker, &host, "connect")?;
        {
            let runtime = &mut worker.js_runtime;
            deno_core::scope!(scope, runtime);
            let host = compat::host::object(scope, modules.sources.clone(), control.clone(), name, *sockets)
                .ok_or_else(out_of_memory)?;
            let connect = v8::Local::new(scope, connect);
            connect.call(scope, v8::undefined(scope).into(), &[host.into()]);
        }
        evaluate(worker, serving).await?;
        for first in modules.built_ins.first_files() {
            evaluate(worker, first).await?;
        }
        let prelude = evaluate(worker, prelude).await?;
        Ok(Prelude {
            begin_ahead: export(worker, &prelude, "beginAhead")?,
            import_package: export(worker, &prelude, IMPORTS_A_PACKAGE)?,
            rehearse: export(worker, &prelude, "rehearse")?,
            evaluate: export(worker, &prelude, "evaluate")?,
            import_modules: export(worker, &prelude, "importModules")?,
            import_entry: export(worker, &prelude, "importEntry")?,
            serve: export(worker, &prelude, "serve")?,
            call: export(worker, &prelude, "call")?,
            pull: export(worker, &prelude, "pull")?,
            drain: export(worker, &prelude, "drain")?,
            leave: export(worker, &prelude, "leave")?,
        })
    }

    /// Evaluates the project's modules, but for those that were evaluated ahead, and makes the handlers.
    ///
    /// # Errors
    /// Placed at the file and line that is to blame.
    pub(crate) async fn project(
        &mut self,
        prelude: &Prelude,
        ahead: &[PathBuf],
        progress: &LoadProgress,
    ) -> Result<(ServingMode, Manifest), LoadError> {
        let Self { modules, control, .. } = *self;
        let sources = &modules.sources;
        let project = sources.project();
        let entries = sources.entries();
        let runtime = &mut self.worker.js_runtime;
        let import = match project.entry {
            Entry::Folder(_) => &prelude.import_modules,
            Entry::File(_) => &prelude.import_entry,
        };
        // The canonical path, to which an import of the same file from elsewhere would resolve.
        let canonical = |path: &PathBuf| sources.canonical(path).unwrap_or_else(|_| path.clone());
        let entries: Vec<PathBuf> = entries.iter().map(canonical).collect();
        let ahead: HashSet<&PathBuf> = ahead.iter().collect();
        let mut last = None;
        let mut evaluated = Vec::new();
        // Modules that were evaluated ahead come in groups, as large as can be; others come one by one, so that a
        // failing module is known.
        for together in entries.chunk_by(|one, next| ahead.contains(one) && ahead.contains(next)) {
            if let Some(error) = together.iter().find_map(|path| not_a_module(path, modules)) {
                return Err(error);
            }
            let urls: Result<Vec<Url>, ()> = together.iter().map(Url::from_file_path).collect();
            let urls = urls.map_err(|()| LoadError::bug("a module's path is not absolute"))?;
            if let Some(module) = together.last() {
                let module = module.strip_prefix(&project.root).unwrap_or(module);
                progress.reached(LoadStage::Evaluating(module.display().to_string()));
            }
            let argument = to_v8(runtime, &urls.iter().map(Url::as_str).collect::<Vec<_>>())?;
            let imported = run(runtime, control, import, &[argument]).await;
            last = urls.last().cloned();
            if let (Err(failure), Some(url)) = (imported, &last) {
                return Err(failure.explain(url, modules, &evaluated));
            }
            evaluated.extend(urls);
        }
        progress.reached(LoadStage::Collecting);
        let last = last.ok_or_else(|| no_functions(sources))?;
        let argument = ServeArgument {
            path: project.serve_path.clone(),
            retries: project.default_retries,
            copies: copies(sources, &modules.node),
        };
        let argument = to_v8(runtime, &argument)?;
        let served = match run(runtime, control, &prelude.serve, &[argument]).await {
            Ok(served) => from_v8::<ServeResult>(runtime, &served)?,
            // The module waited for a server to listen.
            Err(PreludeFailure::NeverSettles | PreludeFailure::TimedOut(None)) => return Err(no_functions(sources)),
            Err(failure) => return Err(failure.explain(&last, modules, &evaluated)),
        };
        // The isolate would be condemned before its first call.
        if is_nearly_full(runtime.v8_isolate(), self.memory, control) {
            return Err(PreludeFailure::OutOfMemory.explain(&last, modules, &evaluated));
        }
        match served {
            ServeResult::Duplicate { duplicate } => Err(duplicate_id(&duplicate, sources)),
            ServeResult::Project(served) if !served.fetch && served.apps.is_empty() => Err(no_functions(sources)),
            ServeResult::Project(served) => {
                let socket = self.sockets.filter(|_| served.fetch).map(|folder| folder.join("app"));
                let serving = match socket {
                    Some(socket) if served.direct => ServingMode::Handler(socket),
                    Some(socket) => ServingMode::App(socket),
                    None => ServingMode::Functions,
                };
                Ok((serving, manifest(served, modules.findings(), sources)))
            }
        }
    }
}

/// Refuses a path that has a module's name and is no readable file.
fn not_a_module(path: &Path, modules: &Modules) -> Option<LoadError> {
    if modules.sources.is_file(path) {
        return None;
    }
    let reason = entries::not_a_file(path)?;
    Some(LoadError {
        kind: LoadErrorKind::Resolve,
        message: format!("cannot load the module: {reason}"),
        file: Some(path.display().to_string()),
        help: Some("Remove it, or give it a name that does not end like a module's.".to_owned()),
        ..LoadError::default()
    })
}

fn bug(error: impl std::fmt::Display) -> LoadError {
    LoadError::bug(error.to_string())
}

fn out_of_memory() -> LoadError {
    LoadError {
        kind: LoadErrorKind::Memory,
        message: "V8 is out of memory".to_owned(),
        ..LoadError::default()
    }
}

async fn evaluate(worker: &mut MainWorker, url: Url) -> Result<v8::Global<v8::Object>, LoadError> {
    // The code comes from the loader, as that of every module.
    let load = worker.js_runtime.load_side_es_module(&url);
    let id = load.await.map_err(bug)?;
    worker.evaluate_module(id).await.map_err(bug)?;
    worker.js_runtime.get_module_namespace(id).map_err(bug)
}

fn export(
    worker: &mut MainWorker,
    namespace: &v8::Global<v8::Object>,
    name: &'static str,
) -> Result<v8::Global<v8::Function>, LoadError> {
    let runtime = &mut worker.js_runtime;
    deno_core::scope!(scope, runtime);
    let namespace = v8::Local::new(scope, namespace);
    let key = v8::String::new(scope, name).ok_or_else(out_of_memory)?;
    let value = namespace
        .get(scope, key.into())
        .ok_or_else(|| bug(format!("the prelude has no {name}")))?;
    let function = v8::Local::<v8::Function>::try_from(value).map_err(bug)?;
    Ok(v8::Global::new(scope, function))
}

/// Calls a function and runs the event loop until its promise settles or the isolate is stopped.
pub(crate) async fn run(
    runtime: &mut JsRuntime,
    control: &Control,
    function: &v8::Global<v8::Function>,
    arguments: &[v8::Global<v8::Value>],
) -> Result<v8::Global<v8::Value>, PreludeFailure> {
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
        // After a stop, every result of JavaScript is a result of the stop.
        _ if control.stopped().is_some() => Err(match control.stopped() {
            Some(StopReason::TimedOut) => PreludeFailure::TimedOut(control.stood_at()),
            Some(StopReason::Exited(exit)) => PreludeFailure::Exited(exit.clone()),
            Some(StopReason::OutOfMemory) => PreludeFailure::OutOfMemory,
            Some(StopReason::Terminated | StopReason::Panicked) | None => PreludeFailure::Abandoned,
        }),
        None => Err(PreludeFailure::Abandoned),
        Some(Ok(value)) => Ok(value),
        Some(Err(error)) => Err(match error.into_kind() {
            CoreErrorKind::Js(error) => PreludeFailure::Threw(error),
            CoreErrorKind::PendingPromiseResolution => PreludeFailure::NeverSettles,
            other => PreludeFailure::Other(other.into_box()),
        }),
    }
}

pub(crate) fn to_v8(
    runtime: &mut JsRuntime,
    value: &impl serde::Serialize,
) -> Result<v8::Global<v8::Value>, LoadError> {
    deno_core::scope!(scope, runtime);
    let value = serde_v8::to_v8(scope, value).map_err(bug)?;
    Ok(v8::Global::new(scope, value))
}

pub(super) fn from_v8<T: serde::de::DeserializeOwned>(
    runtime: &mut JsRuntime,
    value: &v8::Global<v8::Value>,
) -> Result<T, LoadError> {
    deno_core::scope!(scope, runtime);
    let value = v8::Local::new(scope, value);
    serde_v8::from_v8(scope, value).map_err(bug)
}
