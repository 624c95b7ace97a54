//! Evaluation ahead of a load: packages and modules of the project are evaluated one after another, and each is
//! watched. One that says something, begins something, or reaches outside of the isolate is to do that once its
//! generation serves: the isolate is given up, and the next one stops before that module. What one asks of files is
//! noted with the answer, and compared before the isolate is used ([`crate::source::looks`]).

use std::path::PathBuf;
use std::task::{Context, Poll, Waker};

use deno_core::stats::{RuntimeActivityStats, RuntimeActivityStatsFilter};
use deno_core::url::Url;
use deno_core::{JsRuntime, PollEventLoopOptions, v8};
use futures::FutureExt as _;
use js_runtime_api::Entry;

use super::assignment::{Assigned, Assignment};
use super::load::{Load, run, to_v8};
use crate::compat;
use crate::control::Control;
use crate::prelude::Prelude;
use crate::source::ahead::Ahead;

/// Why evaluation ahead of a load was given up.
#[derive(Debug)]
pub(crate) struct Acts {
    /// The module or the package's file that is to blame, if one is.
    pub(crate) module: Option<PathBuf>,
    pub(crate) how: How,
}

#[derive(Debug)]
pub(crate) enum How {
    Failed,
    /// It printed or wrote.
    Said,
    /// It reached outside: a connection, a child process, a write, a native library.
    Reached,
    /// Something goes on, or is open.
    Began,
}

impl Load<'_> {
    /// Evaluates what an isolate evaluates ahead of a load, in its order.
    ///
    /// # Errors
    /// At the first that acts or fails; the isolate is good for nothing then.
    pub(super) async fn ahead(&mut self, prelude: &Prelude, ahead: &Ahead) -> Result<(), Acts> {
        if ahead.packages.is_empty() {
            return Ok(());
        }
        let is_entry = matches!(self.modules.sources.project().entry, Entry::File(_));
        self.call(&prelude.begin_ahead, &is_entry, None).await?;
        let mut before = Activity::of(&mut self.worker.js_runtime, self.control);
        for url in &ahead.packages {
            let file = url.to_file_path().ok();
            self.call(&prelude.import_package, &url.as_str(), file.clone()).await?;
            before = match file {
                Some(_) => self.compared_with(&before, file)?,
                // One of Node's own: what it opens is Deno's.
                None => Activity::of(&mut self.worker.js_runtime, self.control),
            };
        }
        for module in &ahead.modules {
            let url = Url::from_file_path(module).map_err(|()| failed(Some(module.clone())))?;
            self.call(&prelude.evaluate, &url.as_str(), Some(module.clone()))
                .await?;
            before = self.compared_with(&before, Some(module.clone()))?;
        }
        Ok(())
    }

    /// Waits until the isolate is told what it is for; `None` when it is to end. What packages have begun goes on.
    pub(super) async fn wait_for(&mut self, mut assigned: Assigned) -> Option<Assignment> {
        let runtime = &mut self.worker.js_runtime;
        std::future::poll_fn(|context| {
            if self.control.poll_stopped(context).is_some() {
                return Poll::Ready(None);
            }
            if let Poll::Ready(assignment) = assigned.poll_unpin(context) {
                return Poll::Ready(assignment.ok());
            }
            while let Poll::Ready(Err(error)) = runtime.poll_event_loop(context, PollEventLoopOptions::default()) {
                tracing::error!(%error, "uncaught in user code");
            }
            Poll::Pending
        })
        .await
    }

    async fn call(
        &mut self,
        function: &v8::Global<v8::Function>,
        argument: &impl serde::Serialize,
        module: Option<PathBuf>,
    ) -> Result<(), Acts> {
        let runtime = &mut self.worker.js_runtime;
        let argument = to_v8(runtime, argument).map_err(|_| failed(module.clone()))?;
        let called = run(runtime, self.control, function, &[argument]).await;
        called.map(drop).map_err(|failure| {
            tracing::debug!(?failure, "a module failed when it was evaluated ahead of the load");
            failed(module)
        })
    }

    /// The activity now, after this module was evaluated.
    ///
    /// # Errors
    /// When it did more than compute.
    fn compared_with(&mut self, before: &Activity, module: Option<PathBuf>) -> Result<Activity, Acts> {
        let after = Activity::of(&mut self.worker.js_runtime, self.control);
        let how = if after.said != before.said {
            How::Said
        } else if after.acts != before.acts {
            How::Reached
        } else if before.is_idle && !after.is_idle || after.has_more_than(before) {
            How::Began
        } else {
            return Ok(after);
        };
        Err(Acts { module, how })
    }
}

const fn failed(module: Option<PathBuf>) -> Acts {
    Acts {
        module,
        how: How::Failed,
    }
}

/// What goes on in an isolate.
struct Activity {
    /// Operations, resources and timers.
    open: RuntimeActivityStats,
    /// Nothing that it waits for.
    is_idle: bool,
    /// Lines and writes.
    said: u64,
    /// See [`compat::witness`]; and the worker threads that were started.
    acts: u64,
}

impl Activity {
    fn of(runtime: &mut JsRuntime, control: &Control) -> Self {
        let mut context = Context::from_waker(Waker::noop());
        let polled = runtime.poll_event_loop(&mut context, PollEventLoopOptions::default());
        let filter = RuntimeActivityStatsFilter::all();
        Self {
            open: runtime.runtime_activity_stats_factory().capture(&filter),
            is_idle: matches!(polled, Poll::Ready(_)),
            said: compat::host::said(runtime),
            acts: compat::witness::acts() + control.workers(),
        }
    }

    fn has_more_than(&self, before: &Self) -> bool {
        !RuntimeActivityStats::diff(&before.open, &self.open).appeared.is_empty()
    }
}
