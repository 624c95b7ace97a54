//! The releases that are unpacked on this machine, below the host's state folder.
//!
//! ```text
//! releases/<digest>/           the project of a release
//! releases/<digest>.json       its record: written last, removed first
//! releases/layers/<digest>     a layer as it was downloaded, kept while a release here has it
//! releases/wanted.json         the release that was wanted last, by its digest
//! releases/lock                held while a release is downloaded and unpacked
//! ```
//!
//! A release is unpacked under another name and renamed: a folder that has a record is whole.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr as _;

use jiff::Timestamp;
use js_runtime_api::{ownership, regular_file};
use serde::{Deserialize, Serialize};

use super::Digest;
use super::artefact::{LARGEST_DOCUMENT, ReleaseConfig};

/// The number of releases that are kept beside those that generations are of.
pub const KEPT: usize = 5;
const PARTIAL: &str = ".partial-";

/// A release that is unpacked on this machine: its record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnpackedRelease {
    pub digest: Digest,
    /// The reference that it was pulled by.
    pub reference: String,
    pub config: ReleaseConfig,
    /// The digests of its layers.
    pub layers: Vec<Digest>,
    pub unpacked_at: Timestamp,
}

/// A release as reports, the status and commands name it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseName {
    pub digest: Digest,
    /// The reference that it was pulled by.
    pub reference: String,
    /// The commit that it was made of.
    #[serde(default)]
    pub git: Option<String>,
    /// The time at which it was pushed.
    pub pushed: Timestamp,
}

impl ReleaseName {
    /// Names a release.
    #[must_use]
    pub fn of(release: &UnpackedRelease) -> Self {
        Self {
            digest: release.digest.clone(),
            reference: release.reference.clone(),
            git: release.config.git.clone(),
            pushed: release.config.created,
        }
    }
}

/// The folder of releases.
#[derive(Debug, Clone)]
pub struct ReleaseFolders(PathBuf);

/// The sole right to change the folder of releases; ends when it is dropped.
#[derive(Debug)]
pub struct FoldersLock(#[allow(dead_code, reason = "the lock is held by the open file")] File);

impl ReleaseFolders {
    /// The folder below a state folder, which need not exist yet.
    #[must_use]
    pub fn in_state_folder(state: &Path) -> Self {
        Self(state.join("releases"))
    }

    /// The folder of a release's project.
    #[must_use]
    pub fn project(&self, digest: &Digest) -> PathBuf {
        self.0.join(digest.hex())
    }

    /// The file of a downloaded layer.
    #[must_use]
    pub fn layer(&self, digest: &Digest) -> PathBuf {
        self.0.join("layers").join(digest.hex())
    }

    /// A folder in which a release is unpacked before it has its name.
    #[must_use]
    pub fn partial(&self, digest: &Digest) -> PathBuf {
        self.0.join(format!("{PARTIAL}{}", digest.hex()))
    }

    fn record(&self, digest: &Digest) -> PathBuf {
        self.0.join(format!("{}.json", digest.hex()))
    }

    /// Makes the folder, and waits for the sole right to change it.
    ///
    /// # Errors
    /// When the folder cannot be made, or is another user's.
    pub fn lock(&self) -> io::Result<FoldersLock> {
        for folder in [&self.0, &self.0.join("layers")] {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
            ownership::close_folder(folder).map_err(io::Error::other)?;
        }
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(self.0.join("lock"))?;
        file.lock()?;
        Ok(FoldersLock(file))
    }

    /// Returns a release that is unpacked whole.
    #[must_use]
    pub fn find(&self, digest: &Digest) -> Option<UnpackedRelease> {
        let record: UnpackedRelease = read(&self.record(digest))?;
        (record.digest == *digest && self.project(digest).is_dir()).then_some(record)
    }

    /// Returns the releases that are unpacked whole, the newest first.
    #[must_use]
    pub fn all(&self) -> Vec<UnpackedRelease> {
        let mut all: Vec<_> = self.digests().iter().filter_map(|digest| self.find(digest)).collect();
        all.sort_by_key(|release| std::cmp::Reverse(release.unpacked_at));
        all
    }

    fn digests(&self) -> BTreeSet<Digest> {
        let entries = fs::read_dir(&self.0).into_iter().flatten().flatten();
        let digest = |name: &str| Digest::from_str(&format!("sha256:{}", name.strip_suffix(".json")?)).ok();
        entries
            .filter_map(|entry| digest(entry.file_name().to_str()?))
            .collect()
    }

    /// Returns the release that was wanted last by a reference, if it is unpacked.
    #[must_use]
    pub fn wanted(&self, reference: &str) -> Option<UnpackedRelease> {
        let wanted: WantedRelease = read(&self.0.join("wanted.json"))?;
        (wanted.reference == reference)
            .then(|| self.find(&wanted.digest))
            .flatten()
    }

    /// Notes the release that is wanted from now on.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn want(&self, reference: &str, digest: &Digest) -> io::Result<()> {
        let wanted = WantedRelease {
            reference: reference.to_owned(),
            digest: digest.clone(),
        };
        self.write(&self.0.join("wanted.json"), &wanted)
    }

    /// Gives a release that was unpacked its name, and writes its record.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn finish(&self, release: &UnpackedRelease) -> io::Result<()> {
        let (partial, project) = (self.partial(&release.digest), self.project(&release.digest));
        sync(&partial)?;
        // A folder without a record is not a release.
        remove_folder(&project)?;
        fs::rename(&partial, &project)?;
        self.write(&self.record(&release.digest), release)
    }

    /// Removes the releases that are neither among the newest nor in use, the layers that none has, and what was left
    /// half done. Returns the digests of the removed releases.
    ///
    /// # Errors
    /// When something cannot be removed.
    pub fn collect(&self, _lock: &FoldersLock, in_use: &BTreeSet<Digest>) -> io::Result<Vec<Digest>> {
        let mut removed = Vec::new();
        let all = self.all();
        for release in surplus(&all, in_use) {
            fs::remove_file(self.record(release))?;
            removed.push(release.clone());
        }
        let left = self.all();
        for entry in fs::read_dir(&self.0)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let is_left = left.iter().any(|release| release.digest.hex() == name);
            if entry.file_type()?.is_dir() && name != "layers" && !is_left {
                remove_folder(&entry.path())?;
            } else if name.starts_with(PARTIAL) && entry.file_type()?.is_file() {
                fs::remove_file(entry.path())?;
            }
        }
        for entry in fs::read_dir(self.0.join("layers"))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if !left
                .iter()
                .flat_map(|release| &release.layers)
                .any(|layer| layer.hex() == name)
            {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(removed)
    }

    /// Writes a document so that it is there whole, or as it was before.
    fn write(&self, path: &Path, value: &impl Serialize) -> io::Result<()> {
        let mut file = tempfile::Builder::new().prefix(PARTIAL).tempfile_in(&self.0)?;
        file.write_all(&serde_json::to_vec(value)?)?;
        file.as_file().sync_data()?;
        file.persist(path)?;
        Ok(())
    }
}

#[derive(Serialize, Deserialize)]
struct WantedRelease {
    reference: String,
    digest: Digest,
}

/// Returns the releases that may go. `all`: the newest first.
fn surplus<'a>(all: &'a [UnpackedRelease], in_use: &BTreeSet<Digest>) -> Vec<&'a Digest> {
    let older = all.iter().skip(KEPT).map(|release| &release.digest);
    older.filter(|digest| !in_use.contains(digest)).collect()
}

fn read<T: for<'de> Deserialize<'de>>(path: &Path) -> Option<T> {
    serde_json::from_slice(&regular_file::read(path, LARGEST_DOCUMENT).ok()?).ok()
}

/// Removes a folder with everything in it; one that is not there is removed already.
pub(super) fn remove_folder(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Has the disk keep everything that was written below a folder.
fn sync(folder: &Path) -> io::Result<()> {
    let open = File::open(folder)?;
    #[cfg(target_os = "linux")]
    {
        use std::os::fd::AsRawFd as _;
        #[allow(unsafe_code, reason = "no crate here has a name for it")]
        // SAFETY: the descriptor is open, and the call takes nothing else.
        if unsafe { libc::syncfs(open.as_raw_fd()) } == -1 {
            return Err(io::Error::last_os_error());
        }
    }
    open.sync_all()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;

    use jiff::Timestamp;

    use super::{KEPT, ReleaseFolders, UnpackedRelease};
    use crate::release::Digest;
    use crate::release::artefact::ReleaseConfig;

    fn release(number: u8) -> UnpackedRelease {
        UnpackedRelease {
            digest: Digest::of(&[number]),
            reference: "r".to_owned(),
            config: ReleaseConfig {
                name: "p".to_owned(),
                entry: "functions".to_owned(),
                git: None,
                functions: Vec::new(),
                inngest: None,
                addons: Vec::new(),
                baton: "0".to_owned(),
                created: Timestamp::UNIX_EPOCH,
            },
            layers: vec![Digest::of(&[number, 0]), Digest::of(b"shared")],
            unpacked_at: Timestamp::from_second(i64::from(number)).unwrap(),
        }
    }

    fn unpack(folders: &ReleaseFolders, number: u8) {
        let release = release(number);
        fs::create_dir(folders.partial(&release.digest)).unwrap();
        for layer in &release.layers {
            fs::write(folders.layer(layer), "").unwrap();
        }
        folders.finish(&release).unwrap();
    }

    #[test]
    fn the_newest_and_those_in_use_stay_with_their_layers() {
        let state = tempfile::tempdir().unwrap();
        let folders = ReleaseFolders::in_state_folder(state.path());
        let lock = folders.lock().unwrap();
        for number in 0..8 {
            unpack(&folders, number);
        }
        // A folder without a record, and one that was not finished, as a process leaves them that is killed.
        fs::create_dir(folders.project(&Digest::of(b"x"))).unwrap();
        fs::create_dir(folders.partial(&Digest::of(b"y"))).unwrap();
        let removed = folders.collect(&lock, &BTreeSet::from([Digest::of(&[0])])).unwrap();
        assert_eq!(removed.len(), 8 - KEPT - 1);
        let left: Vec<_> = folders.all().into_iter().map(|release| release.digest).collect();
        assert_eq!(left, [7, 6, 5, 4, 3, 0].map(|number| Digest::of(&[number])));
        let layers = fs::read_dir(state.path().join("releases/layers")).unwrap().count();
        assert_eq!(layers, 7);
        assert!(!folders.project(&Digest::of(b"x")).exists() && !folders.partial(&Digest::of(b"y")).exists());
        assert!(folders.project(&Digest::of(&[7])).is_dir());
    }

    #[test]
    fn a_release_without_its_folder_or_record_is_none_and_the_wanted_one_is_of_its_reference() {
        let state = tempfile::tempdir().unwrap();
        let folders = ReleaseFolders::in_state_folder(state.path());
        assert_eq!(folders.all(), []);
        let _lock = folders.lock().unwrap();
        unpack(&folders, 1);
        let digest = Digest::of(&[1]);
        folders.want("r", &digest).unwrap();
        assert_eq!(folders.wanted("r"), Some(release(1)));
        assert_eq!(folders.wanted("another"), None);
        fs::remove_dir(folders.project(&digest)).unwrap();
        assert_eq!((folders.find(&digest), folders.wanted("r")), (None, None));
    }
}
