//! Makes the spares, while nothing is asked for: first the spare that serves for any edit, then the spare that serves
//! if the next edit is of the files that were edited before.

use std::sync::Arc;
use std::time::Duration;

use deno_core::url::Url;
use js_runtime_api::{MemoryLimits, Reach};

use super::{Spare, Spares};
use crate::ahead::{AheadModules, ImportedModules};
use crate::control::SPARE;
use crate::isolate::BootReadiness;
use crate::isolate_maker::IsolateMaker;
use crate::source::common::CommonParts;
use crate::source::snapshot::SourceSnapshot;

/// The number of modules or packages, one after another, that may turn out to act until the next load.
const ATTEMPTS: usize = 4;

/// The preparation that the module's documentation describes.
pub(crate) struct SparePreparation {
    pub(crate) maker: IsolateMaker,
    pub(crate) spares: Arc<Spares>,
    pub(crate) common: Arc<CommonParts>,
    /// The source snapshot that serves.
    pub(crate) like: Arc<SourceSnapshot>,
    pub(crate) memory: MemoryLimits,
    /// The time limit for each spare.
    pub(crate) timeout: Duration,
}

impl SparePreparation {
    /// Makes the spares. The future may be dropped; work that has begun goes on.
    pub(crate) async fn run(self: Arc<Self>) {
        self.spares.end_outdated();
        let Some(imported) = self
            .blocking(|this| ImportedModules::of(&this.like, &this.maker.caches))
            .await
        else {
            return;
        };
        let imported = Arc::new(imported);
        let Some(packages) = self.with_packages(&imported).await else {
            return;
        };
        for _ in 0..ATTEMPTS {
            let modules = self.blocking({
                let (imported, packages) = (imported.clone(), packages.clone());
                move |this| this.spares.modules(&imported, &packages)
            });
            let Some(modules) = modules.await.filter(|modules| !modules.is_empty()) else {
                return;
            };
            let packages = packages.clone();
            if self.is_ready(AheadModules { packages, modules }).await {
                return;
            }
        }
    }

    /// Waits for a spare that has evaluated packages, and returns these; `None` where no spare can be made, or it has
    /// none.
    async fn with_packages(self: &Arc<Self>, imported: &ImportedModules) -> Option<Vec<Url>> {
        // Each attempt ends before the package at which the last one was given up.
        for _ in 0..ATTEMPTS {
            let packages = self.spares.suited(imported.packages(), &self.like);
            let ahead = AheadModules {
                packages: packages.clone(),
                modules: Vec::new(),
            };
            if self.is_ready(ahead).await {
                return Some(packages).filter(|packages| !packages.is_empty());
            }
        }
        None
    }

    /// Waits for the spare that has evaluated these modules, and makes it if there is none.
    async fn is_ready(self: &Arc<Self>, ahead: AheadModules) -> bool {
        let known = self.spares.readiness(self.like.asked(), self.memory, &ahead);
        let readiness = match known {
            Some(readiness) => Some(readiness),
            None => self.make(ahead).await,
        };
        match readiness {
            Some(readiness) => readiness.wait_or_stop(self.timeout).await,
            None => false,
        }
    }

    async fn make(self: &Arc<Self>, ahead: AheadModules) -> Option<BootReadiness> {
        // The next load will report the error.
        let sources = self.blocking(|this| SourceSnapshot::begin(this.like.asked().clone(), this.common.clone()));
        let sources = sources.await?.ok()?;
        let begun = self
            .maker
            .begin(sources.clone(), (self.memory, Reach::World), ahead.clone(), SPARE);
        let isolate = begun.await.ok()?;
        // A load may want the spare before it is ready.
        let readiness = isolate.readiness();
        self.spares.put(Spare {
            sources,
            memory: self.memory,
            ahead,
            isolate,
        });
        Some(readiness)
    }

    async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> Option<T> {
        let this = self.clone();
        tokio::task::spawn_blocking(move || work(&this)).await.ok()
    }
}
