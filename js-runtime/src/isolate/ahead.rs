//! What is evaluated before it is known what the load will be of, and whether that can be told from its being
//! evaluated later: a module that says something or begins something is to do that once its generation serves.

use std::path::PathBuf;
use std::task::{Context, Poll, Waker};

use deno_core::stats::{RuntimeActivityStats, RuntimeActivityStatsFilter};
use deno_core::url::Url;
use deno_core::{JsRuntime, PollEventLoopOptions};
use js_runtime_api::Entry;

use super::blame::Failure;
use super::load::{Load, run, to_v8};
use super::warmth;
use crate::compat;
use crate::prelude::Prelude;
use crate::source::ahead::Ahead;

/// Why a module of the project is not to be evaluated ahead.
#[derive(Debug)]
pub(crate) struct Acts {
    pub(crate) module: PathBuf,
    pub(crate) how: How,
}

#[derive(Debug)]
pub(crate) enum How {
    Failed,
    /// It printed or wrote.
    Said,
    /// It wanted something of the system: what that says may be another thing later.
    Asked,
    /// Something goes on, or is open.
    Began,
}

impl Load<'_> {
    /// Evaluates packages and modules of Node's before the modules that import them.
    ///
    /// # Errors
    /// When that is not possible; the isolate is good for nothing then.
    pub(super) async fn packages(&mut self, prelude: &Prelude, ahead: &Ahead) -> Result<(), Failure> {
        if ahead.packages.is_empty() {
            return Ok(());
        }
        let urls: Vec<&str> = ahead.packages.iter().map(Url::as_str).collect();
        let is_entry = matches!(self.modules.sources.project().entry, Entry::File(_));
        let runtime = &mut self.worker.js_runtime;
        let (Ok(urls), Ok(is_entry)) = (to_v8(runtime, &urls), to_v8(runtime, &is_entry)) else {
            return Err(Failure::Abandoned);
        };
        run(runtime, self.control, &prelude.import_ahead, &[urls, is_entry]).await?;
        self.warm_up(prelude, warmth::before_it_is_ready(ahead)).await;
        Ok(())
    }

    /// Evaluates modules of the project, one after another.
    ///
    /// # Errors
    /// At the first that does more than declare; the isolate is good for nothing then.
    pub(super) async fn modules(&mut self, prelude: &Prelude, modules: &[PathBuf]) -> Result<(), Acts> {
        let runtime = &mut self.worker.js_runtime;
        let mut before = Activity::of(runtime);
        for module in modules {
            let acts = |how| Acts {
                module: module.clone(),
                how,
            };
            let url = Url::from_file_path(module).map_err(|()| acts(How::Failed))?;
            let argument = to_v8(runtime, &url.as_str()).map_err(|_| acts(How::Failed))?;
            let evaluated = run(runtime, self.control, &prelude.evaluate, &[argument]).await;
            evaluated.map_err(|_| acts(How::Failed))?;
            let after = Activity::of(runtime);
            if after.said != before.said {
                return Err(acts(How::Said));
            }
            if after.asked != before.asked {
                return Err(acts(How::Asked));
            }
            if before.is_idle && !after.is_idle || after.has_more_than(&before) {
                return Err(acts(How::Began));
            }
            before = after;
        }
        Ok(())
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
    /// Files, connections, children.
    asked: u64,
}

impl Activity {
    fn of(runtime: &mut JsRuntime) -> Self {
        let mut context = Context::from_waker(Waker::noop());
        let polled = runtime.poll_event_loop(&mut context, PollEventLoopOptions::default());
        let filter = RuntimeActivityStatsFilter::all();
        Self {
            open: runtime.runtime_activity_stats_factory().capture(&filter),
            is_idle: matches!(polled, Poll::Ready(_)),
            said: compat::host::said(runtime),
            asked: compat::asked::so_far(),
        }
    }

    fn has_more_than(&self, before: &Self) -> bool {
        !RuntimeActivityStats::diff(&before.open, &self.open).appeared.is_empty()
    }
}
