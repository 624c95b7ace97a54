//! Downloads a release: its manifest, its config blob, and the layers that are not here yet; then unpacks it. Nothing
//! is believed before its digest is right, and nothing but a whole release gets its name.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read as _, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use miette::Diagnostic;
use sha2::{Digest as _, Sha256};

use super::addon::{self, Addon};
use super::artefact::{ArtefactError, Descriptor, PACKAGES_LAYER, PROJECT_LAYER, ReleaseConfig, ReleaseManifest};
use super::folder::remove_folder;
use super::unpack::{UnpackError, UnpackRoom, unpack};
use super::{Digest, Registry, RegistryError, ReleaseFolders, UnpackedRelease};
use crate::blocking::{self, BlockingError};

/// The limit for the disk to take a release.
const UNPACKED_WITHIN: Duration = Duration::from_mins(15);
/// The limit for another process that downloads into the same folder.
const LOCKED_WITHIN: Duration = Duration::from_mins(15);
/// The limit for the disk to take one piece.
const WRITTEN_WITHIN: Duration = Duration::from_mins(1);
/// The bytes that are written to the disk at once.
const PIECE: usize = 1 << 20;

/// The reason why a release is not on this machine.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum DownloadError {
    #[error(transparent)]
    #[diagnostic(transparent)]
    Registry(#[from] RegistryError),
    #[error("{reference} is not a release of Baton: {why}")]
    #[diagnostic(help("Push a release: `baton push {reference}`."))]
    ArtefactError { reference: String, why: ArtefactError },
    #[error("{what} of {reference} has another digest: expected {wanted}, got {found}")]
    #[diagnostic(help(
        "The registry, or a proxy before it, changed the bytes: push again, or ask the registry's operator."
    ))]
    Digest {
        reference: String,
        what: &'static str,
        wanted: Digest,
        found: Digest,
    },
    #[error("the {what} of {reference} has more bytes than the {wanted} of its manifest")]
    #[diagnostic(help("Push again, or ask the registry's operator."))]
    Long {
        reference: String,
        what: &'static str,
        wanted: u64,
    },
    #[error("the addon {file} of {reference} is for {platform}, and this machine is {own}", file = .addon.file, platform = .addon.platform)]
    #[diagnostic(help("Install the packages on a machine like this one, and push from there."))]
    Platform {
        reference: String,
        addon: Addon,
        own: String,
    },
    #[error("cannot unpack {reference}: {error}")]
    #[diagnostic(help("Push again with `baton push`; if the disk is full, make room for the release."))]
    Unpack { reference: String, error: UnpackError },
    #[error("cannot write to {path}: {error}", path = .path.display())]
    #[diagnostic(help("Make room on the disk, or choose another folder with --state-dir."))]
    Disk { path: PathBuf, error: io::Error },
    #[error("{reference} has no project that a host can serve: {folder}", folder = .folder.display())]
    #[diagnostic(help("Correct its baton.toml, and push again."))]
    NoProject { reference: String, folder: PathBuf },
    #[error(transparent)]
    Slow(#[from] BlockingError),
}

impl DownloadError {
    /// Tells whether another try may succeed without a change of the release.
    #[must_use]
    pub const fn is_passing(&self) -> bool {
        match self {
            Self::Registry(error) => error.is_passing(),
            Self::Disk { .. } | Self::Slow(_) => true,
            Self::Unpack { error, .. } => matches!(error, UnpackError::Unwritable { .. }),
            Self::ArtefactError { .. }
            | Self::NoProject { .. }
            | Self::Digest { .. }
            | Self::Long { .. }
            | Self::Platform { .. } => false,
        }
    }
}

/// Pulls and unpacks a release, unless it is unpacked, and returns its record.
///
/// # Errors
/// When the release cannot be pulled whole. The next download goes on with partial layers.
pub async fn download(
    registry: &Registry,
    digest: &Digest,
    folders: &ReleaseFolders,
) -> Result<UnpackedRelease, DownloadError> {
    if let Some(release) = folders.find(digest) {
        return Ok(release);
    }
    let locked = folders.clone();
    let lock = blocking::run("the wait for another download", LOCKED_WITHIN, move || locked.lock());
    let lock = lock.await?.map_err(|error| disk(&folders.project(digest), error))?;
    if let Some(release) = folders.find(digest) {
        return Ok(release);
    }
    let reference = registry.reference.to_string();
    let no_release = |why| DownloadError::ArtefactError {
        reference: reference.clone(),
        why,
    };
    let bytes = registry.manifest(&digest.to_string()).await?;
    check(&reference, "the manifest", digest, Digest::of(&bytes))?;
    let manifest = ReleaseManifest::read(&bytes).map_err(no_release)?;
    let bytes = registry.small_blob(&manifest.config.digest).await?;
    check(&reference, "the config", &manifest.config.digest, Digest::of(&bytes))?;
    let config = ReleaseConfig::read(&bytes).map_err(no_release)?;
    let own = addon::own_platform();
    if let Some(unfit) = addon::unfit(&config.addons, &own) {
        return Err(DownloadError::Platform {
            reference,
            addon: unfit.clone(),
            own,
        });
    }
    for layer in &manifest.layers {
        fetch_layer(registry, layer, &folders.layer(&layer.digest)).await?;
    }
    let release = UnpackedRelease {
        digest: digest.clone(),
        reference: reference.clone(),
        config,
        layers: manifest.layers.iter().map(|layer| layer.digest.clone()).collect(),
        unpacked_at: Timestamp::now(),
    };
    let (folders, finished) = (folders.clone(), release.clone());
    let unpacked = blocking::run("unpacking a release", UNPACKED_WITHIN, move || {
        let unpacked = unpack_all(&folders, &finished, &manifest.layers);
        if unpacked.is_err() {
            // What cannot be removed now is removed with the next collection.
            let _ = remove_folder(&folders.partial(&finished.digest));
        }
        drop(lock);
        unpacked
    });
    unpacked.await??;
    Ok(release)
}

fn unpack_all(folders: &ReleaseFolders, release: &UnpackedRelease, layers: &[Descriptor]) -> Result<(), DownloadError> {
    let partial = folders.partial(&release.digest);
    remove_folder(&partial).map_err(|error| disk(&partial, error))?;
    let made = fs::DirBuilder::new().mode(0o700).create(&partial);
    made.map_err(|error| disk(&partial, error))?;
    let mut room = UnpackRoom::default();
    let known = folders.all();
    for layer in layers {
        let path = folders.layer(&layer.digest);
        let file = File::open(&path).map_err(|error| disk(&path, error))?;
        // Files of packages are shared: there are many, and hardly any code writes to its packages.
        let twin = known
            .iter()
            .find(|known| layer.media_type == PACKAGES_LAYER && known.layers.contains(&layer.digest))
            .map(|known| folders.project(&known.digest));
        unpack(BufReader::new(file), &partial, twin.as_deref(), &mut room).map_err(|error| DownloadError::Unpack {
            reference: release.reference.clone(),
            error,
        })?;
    }
    folders.finish(release).map_err(|error| disk(&partial, error))
}

/// Downloads a layer, or goes on where an earlier download ended.
async fn fetch_layer(registry: &Registry, layer: &Descriptor, path: &Path) -> Result<(), DownloadError> {
    if path.exists() {
        return Ok(());
    }
    let reference = registry.reference.to_string();
    let what = match layer.media_type.as_str() {
        PROJECT_LAYER => "project layer",
        _ => "packages layer",
    };
    let partial = path.with_extension("partial");
    let begun = partial.clone();
    let begun = blocking::run("reading a partial layer", UNPACKED_WITHIN, move || {
        PartialLayer::open(&begun)
    });
    let mut part = begun.await?.map_err(|error| disk(&partial, error))?;
    if part.length > layer.size {
        part = part.restarted().map_err(|error| disk(&partial, error))?;
    }
    let mut body = None;
    if part.length < layer.size {
        let (begins, answer) = registry.blob(&layer.digest, part.length).await?;
        if begins != part.length {
            part = part.restarted().map_err(|error| disk(&partial, error))?;
        }
        body = Some(answer.into_body());
    }
    let mut piece = Vec::with_capacity(PIECE);
    while let Some(body) = &mut body {
        let next = registry.next_piece(body).await?;
        let is_last = next.is_none();
        piece.extend_from_slice(&next.unwrap_or_default());
        if part.length + piece.len() as u64 > layer.size {
            // The part is of no use.
            let _ = fs::remove_file(&partial);
            return Err(DownloadError::Long {
                reference,
                what,
                wanted: layer.size,
            });
        }
        if piece.len() >= PIECE || is_last {
            let full = std::mem::replace(&mut piece, Vec::with_capacity(PIECE));
            let written = blocking::run("writing a layer", WRITTEN_WITHIN, move || part.write(&full));
            part = written.await?.map_err(|error| disk(&partial, error))?;
        }
        if is_last {
            break;
        }
    }
    if part.length < layer.size {
        let error = format!("the {what} ended after {} of {} bytes", part.length, layer.size);
        return Err(registry.lost(error).into());
    }
    let found = Digest::finish(part.hasher);
    if found != layer.digest {
        let _ = fs::remove_file(&partial);
    }
    check(&reference, what, &layer.digest, found)?;
    fs::rename(&partial, path).map_err(|error| disk(path, error))
}

/// A part of a layer that is here.
struct PartialLayer {
    file: File,
    hasher: Sha256,
    length: u64,
}

impl PartialLayer {
    /// Opens the file, which need not exist, and hashes what is in it.
    fn open(path: &Path) -> io::Result<Self> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        let (mut hasher, mut length) = (Sha256::new(), 0);
        let mut buffer = vec![0; 64 << 10];
        loop {
            let read = file.read(&mut buffer)?;
            if read == 0 {
                break;
            }
            hasher.update(buffer.get(..read).unwrap_or_default());
            length += read as u64;
        }
        Ok(Self { file, hasher, length })
    }

    fn restarted(mut self) -> io::Result<Self> {
        use io::Seek as _;
        self.file.set_len(0)?;
        self.file.rewind()?;
        Ok(Self {
            hasher: Sha256::new(),
            length: 0,
            ..self
        })
    }

    fn write(mut self, bytes: &[u8]) -> io::Result<Self> {
        self.file.write_all(bytes)?;
        self.hasher.update(bytes);
        self.length += bytes.len() as u64;
        Ok(self)
    }
}

fn check(reference: &str, what: &'static str, wanted: &Digest, found: Digest) -> Result<(), DownloadError> {
    if *wanted == found {
        return Ok(());
    }
    Err(DownloadError::Digest {
        reference: reference.to_owned(),
        what,
        wanted: wanted.clone(),
        found,
    })
}

fn disk(path: &Path, error: io::Error) -> DownloadError {
    DownloadError::Disk {
        path: path.to_owned(),
        error,
    }
}
