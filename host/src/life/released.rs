//! The release that a host is started from: `baton start oci://REGISTRY/REPOSITORY:TAG`.
//!
//! The supervisor fetches the first one, before there is a host. From then on a host starts from what is unpacked, and
//! looks for a moved tag by itself.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use js_runtime_api::Project;
use tracing::{info, warn};

use super::ServeError;
use super::settings::ServeArgs;
use crate::blocking;
use crate::config::{ConfigFile, StateFolder, discover};
use crate::generation::FindRelease;
use crate::release::download::{DownloadError, download};
use crate::release::reference::Pointer;
use crate::release::registry::TagState;
use crate::release::{Registry, ReleaseFolders, ReleaseReference, UnpackedRelease};

/// The time for which a first start waits for its registry. Whoever started it then starts it again.
const FETCHED_WITHIN: Duration = Duration::from_mins(2);
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(15);

/// The part of a plan that a host has that serves releases.
pub(crate) struct ReleasePlan {
    pub(crate) reference: ReleaseReference,
    pub(crate) folders: ReleaseFolders,
    pub(crate) poll: Duration,
    pub(crate) release: Arc<UnpackedRelease>,
    pub(crate) find: FindRelease,
}

impl std::fmt::Debug for ReleasePlan {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("ReleasePlan")
            .field("release", &self.release)
            .finish_non_exhaustive()
    }
}

impl ServeArgs {
    /// Tells whether PATH names a release.
    #[must_use]
    pub fn names_release(&self) -> bool {
        self.path
            .as_deref()
            .and_then(Path::to_str)
            .is_some_and(ReleaseReference::is_meant)
    }

    /// The release that PATH names, if it names one.
    pub(super) fn reference(&self) -> Result<Option<ReleaseReference>, ServeError> {
        match self.path.as_deref().and_then(Path::to_str) {
            Some(path) if ReleaseReference::is_meant(path) => Ok(Some(path.parse()?)),
            _ => Ok(None),
        }
    }
}

/// Has a release unpacked, unless one is there that this reference wanted.
///
/// # Errors
/// When the release cannot be pulled.
pub fn fetch_release(args: &ServeArgs) -> Result<(), ServeError> {
    let Some(reference) = args.reference()? else {
        return Ok(());
    };
    let folders = ReleaseFolders::in_state_folder(state_folder(&reference, args.state_dir.clone())?.path());
    if unpacked(&folders, &reference).is_some() {
        return Ok(());
    }
    let runtime = blocking::runtime(&mut tokio::runtime::Builder::new_current_thread())?;
    let fetched = runtime.block_on(fetch(reference, &folders));
    runtime.shutdown_background();
    Ok(fetched?)
}

async fn fetch(reference: ReleaseReference, folders: &ReleaseFolders) -> Result<(), DownloadError> {
    let registry = Registry::new(reference);
    let (began, mut wait) = (Instant::now(), FIRST_WAIT);
    loop {
        match fetch_once(&registry, folders).await {
            Err(error) if error.is_passing() && began.elapsed() + wait < FETCHED_WITHIN => {
                warn!(%error, ?wait, "the first release cannot be pulled yet: trying again");
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(LONGEST_WAIT);
            }
            fetched => return fetched,
        }
    }
}

async fn fetch_once(registry: &Registry, folders: &ReleaseFolders) -> Result<(), DownloadError> {
    let digest = match &registry.reference.pointer {
        Pointer::Digest(digest) => digest.clone(),
        Pointer::Tag(_) => match registry.look(None).await? {
            TagState::At(digest) => digest,
            // Nothing was known before.
            TagState::Unmoved => return Err(registry.wrong("304 for a request without a condition").into()),
        },
    };
    let began = Instant::now();
    download(registry, &digest, folders).await?;
    let reference = registry.reference.to_string();
    let wanted = folders.want(&reference, &digest);
    wanted.map_err(|error| DownloadError::Disk {
        path: folders.project(&digest),
        error,
    })?;
    info!(release = %digest, reference, ms = began.elapsed().as_millis(), "release pulled");
    Ok(())
}

/// Returns the state folder of the hosts of a reference.
pub(super) fn state_folder(reference: &ReleaseReference, named: Option<PathBuf>) -> Result<StateFolder, ServeError> {
    // The name of the folder is the last part of the repository's.
    let place = Path::new("oci:").join(&reference.registry).join(reference.pointer());
    let place = place.join(&reference.repository);
    let folder = StateFolder::of(&place, named)?;
    // The code of a release may change the working folder of the process.
    let absolute = std::path::absolute(folder.path())?;
    Ok(StateFolder::of(&place, Some(absolute))?)
}

/// Returns the release to start from.
fn unpacked(folders: &ReleaseFolders, reference: &ReleaseReference) -> Option<UnpackedRelease> {
    match &reference.pointer {
        Pointer::Digest(digest) => folders.find(digest),
        Pointer::Tag(_) => folders.wanted(&reference.to_string()),
    }
}

/// Returns the release to start from, its project, and its `baton.toml`.
pub(super) fn begin(
    folders: &ReleaseFolders,
    reference: &ReleaseReference,
) -> Result<(UnpackedRelease, Project, ConfigFile), ServeError> {
    let release = unpacked(folders, reference).ok_or_else(|| ServeError::NotUnpacked(reference.to_string()))?;
    let (project, file) = project_of(folders, &release)?;
    Ok((release, project, file))
}

/// Returns the project of an unpacked release.
pub(super) fn project_of(
    folders: &ReleaseFolders,
    release: &UnpackedRelease,
) -> Result<(Project, ConfigFile), ServeError> {
    let root = folders.project(&release.digest);
    Ok(discover(Some(&root.join(&release.config.entry)), &root)?)
}
