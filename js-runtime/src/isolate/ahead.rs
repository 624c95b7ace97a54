//! Evaluation ahead of a load: packages and modules of the project are evaluated one after another, and each is
//! watched. A module that says something, begins something, or reaches outside of the isolate is to do that once its
//! generation serves: the isolate is given up, and the next isolate stops before that module. Questions of modules
//! about files are noted with the answers, and compared before the isolate is used ([`crate::source::looks`]).

use std::path::PathBuf;
use std::task::{Context, Poll, Waker};

use deno_core::stats::{RuntimeActivityStats, RuntimeActivityStatsFilter};
use deno_core::url::Url;
use deno_core::{JsRuntime, PollEventLoopOptions, v8};
use js_runtime_api::Entry;

use super::project_load::{Load, run, to_v8};
use crate::ahead::AheadModules;
use crate::compat;
use crate::prelude::Prelude;
use crate::source::packages::is_of_package;

/// The reason why evaluation ahead of a load was given up.
#[derive(Debug)]
pub(crate) struct AheadFailure {
    /// The module or the package's file that is to blame, if one is.
    pub(crate) module: Option<PathBuf>,
    pub(crate) how: AheadFailureKind,
}

#[derive(Debug)]
pub(crate) enum AheadFailureKind {
    Failed,
    /// The module printed or wrote.
    Said,
    /// The module reached outside: a connection, a child process, a write, a native library.
    Reached,
    /// The module began something that goes on, or is open.
    Began,
    /// The module left something in the global object.
    Shared,
}

/// Evaluates the modules that an isolate evaluates ahead of a load, in their order.
///
/// # Errors
/// At the first that acts or fails; the isolate is good for nothing then.
pub(crate) async fn evaluate(load: &mut Load<'_>, prelude: &Prelude, ahead: &AheadModules) -> Result<(), AheadFailure> {
    if ahead.packages.is_empty() {
        return Ok(());
    }
    let is_entry = matches!(load.modules.sources.project().entry, Entry::File(_));
    call(load, &prelude.begin_ahead, &is_entry, None).await?;
    let mut before = IsolateActivity::of(load);
    for url in &ahead.packages {
        let file = url.to_file_path().ok();
        call(load, &prelude.import_package, &url.as_str(), file.clone()).await?;
        before = match file {
            Some(_) => before.compared(load, file)?,
            // A module of Node's own: anything that it opens is Deno's.
            None => IsolateActivity::of(load),
        };
    }
    if ahead.packages.iter().any(is_of_the_sdk) {
        call(load, &prelude.rehearse, &(), None).await?;
        before = IsolateActivity::of(load);
    }
    for module in &ahead.modules {
        let url = Url::from_file_path(module).map_err(|()| failed(Some(module.clone())))?;
        call(load, &prelude.evaluate, &url.as_str(), Some(module.clone())).await?;
        before = before.compared(load, Some(module.clone()))?;
    }
    Ok(())
}

fn is_of_the_sdk(file: &Url) -> bool {
    file.path().contains("/node_modules/inngest/")
}

async fn call(
    load: &mut Load<'_>,
    function: &v8::Global<v8::Function>,
    argument: &impl serde::Serialize,
    module: Option<PathBuf>,
) -> Result<(), AheadFailure> {
    let runtime = &mut load.worker.js_runtime;
    let argument = to_v8(runtime, argument).map_err(|_| failed(module.clone()))?;
    let called = run(runtime, load.control, function, &[argument]).await;
    called.map(drop).map_err(|failure| {
        tracing::debug!(?failure, "a module failed in its evaluation ahead of the load");
        failed(module)
    })
}

const fn failed(module: Option<PathBuf>) -> AheadFailure {
    AheadFailure {
        module,
        how: AheadFailureKind::Failed,
    }
}

/// The activity in an isolate.
struct IsolateActivity {
    /// The operations, resources and timers.
    open: RuntimeActivityStats,
    /// Tells whether there is nothing that the isolate waits for.
    is_idle: bool,
    /// The number of lines and writes.
    said: u64,
    /// The number of acts (see [`compat::witness`]), and of worker threads that were started.
    acts: u64,
    /// The number of properties of the global object.
    globals: u32,
}

impl IsolateActivity {
    fn of(load: &mut Load<'_>) -> Self {
        let runtime = &mut load.worker.js_runtime;
        let mut context = Context::from_waker(Waker::noop());
        let polled = runtime.poll_event_loop(&mut context, PollEventLoopOptions::default());
        let filter = RuntimeActivityStatsFilter::all();
        Self {
            open: runtime.runtime_activity_stats_factory().capture(&filter),
            is_idle: matches!(polled, Poll::Ready(_)),
            said: compat::host::said(runtime),
            acts: compat::witness::acts() + load.control.workers(),
            globals: globals(runtime),
        }
    }

    /// Returns the activity now, after this module was evaluated.
    ///
    /// # Errors
    /// When it did more than compute.
    fn compared(&self, load: &mut Load<'_>, module: Option<PathBuf>) -> Result<Self, AheadFailure> {
        let after = Self::of(load);
        let how = if after.said != self.said {
            AheadFailureKind::Said
        } else if after.acts != self.acts {
            AheadFailureKind::Reached
        } else if after.globals != self.globals && module.as_deref().is_some_and(|file| !is_of_package(file)) {
            AheadFailureKind::Shared
        } else if self.is_idle && !after.is_idle || after.has_more_than(self) {
            AheadFailureKind::Began
        } else {
            return Ok(after);
        };
        Err(AheadFailure { module, how })
    }

    fn has_more_than(&self, before: &Self) -> bool {
        !RuntimeActivityStats::diff(&before.open, &self.open).appeared.is_empty()
    }
}

/// Counts the properties of the global object.
fn globals(runtime: &mut JsRuntime) -> u32 {
    deno_core::scope!(scope, runtime);
    let global = scope.get_current_context().global(scope);
    let names = global.get_own_property_names(scope, v8::GetPropertyNamesArgsBuilder::new().build());
    names.map_or(0, |names| names.length())
}
