//! The place that a generation's code is of: the project's own folder, or that of a release.

use std::fmt;
use std::sync::Arc;

use js_runtime_api::Project;

use crate::release::{Digest, UnpackedRelease};

/// A project, and the release that it is, if it is one.
#[derive(Debug, Clone)]
pub struct ProjectPlace {
    pub project: Project,
    pub release: Option<Arc<UnpackedRelease>>,
}

impl ProjectPlace {
    /// The digest of the release.
    #[must_use]
    pub fn digest(&self) -> Option<&Digest> {
        self.release.as_ref().map(|release| &release.digest)
    }
}

/// Finds the project of a release that is unpacked on this machine.
pub type FindRelease = Arc<dyn Fn(&Digest) -> Option<ProjectPlace> + Send + Sync>;

/// The projects that a host's generations are of.
#[derive(Clone)]
pub struct Projects {
    /// The project that the next load reads.
    pub next: ProjectPlace,
    /// The projects of earlier releases.
    pub find: Option<FindRelease>,
}

impl Projects {
    /// A project in a folder that people edit.
    #[must_use]
    pub const fn of_folder(project: Project) -> Self {
        Self {
            next: ProjectPlace { project, release: None },
            find: None,
        }
    }

    /// The project of kept sources; `None` when it is not here any more.
    pub(super) fn place_of(&self, release: Option<&Digest>) -> Option<ProjectPlace> {
        match release {
            Some(digest) if self.next.digest() != Some(digest) => self.find.as_ref()?(digest),
            None if self.next.release.is_some() => None,
            _ => Some(self.next.clone()),
        }
    }
}

impl fmt::Debug for Projects {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Projects")
            .field("next", &self.next)
            .finish_non_exhaustive()
    }
}
