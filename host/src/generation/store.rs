//! The sources of the generations that served last, on the disk. A host serves them when it starts on code that does
//! not load, and one can roll back to them after a restart.
//!
//! ```text
//! kept/7.json         which files generation 7 was made of, by hash, and the hash of all that
//! kept/files/<hash>   the bytes of a file, shared by the generations that have it
//! ```
//!
//! A file is written under another name and renamed. The JSON is written last when a generation is kept, and removed
//! first when a generation is forgotten. So whenever the process ends, each JSON has its files, or is found to lack
//! them when it is read.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use js_runtime_api::{KeptSources, ownership};
use serde::{Deserialize, Serialize};
use tracing::warn;

use super::state::GenerationId;
use crate::release::Digest;

const FORMAT: u32 = 1;
/// The beginning of a file's name before the file is whole.
const PARTIAL: &str = ".partial-";

/// A folder of kept sources.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    /// The number of generations that are kept.
    limit: usize,
    #[cfg(test)]
    steps_left: std::sync::atomic::AtomicUsize,
}

/// One generation's sources as they were kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredGeneration {
    pub id: GenerationId,
    pub git: Option<String>,
    /// The release that the sources are of.
    pub release: Option<Digest>,
    pub sources: KeptSources,
}

#[derive(Serialize, Deserialize)]
struct Record {
    format: u32,
    git: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    release: Option<Digest>,
    /// Hex of BLAKE3 over the description.
    hash: String,
    description: String,
    files: BTreeSet<String>,
}

impl Store {
    /// The store in this folder, which need not exist yet.
    #[must_use]
    pub fn new(folder: PathBuf, limit: usize) -> Self {
        Self {
            folder,
            limit,
            #[cfg(test)]
            steps_left: usize::MAX.into(),
        }
    }

    /// The generations that are kept, oldest first.
    pub fn ids(&self) -> BTreeSet<GenerationId> {
        let names = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let id = |name: &str| name.strip_suffix(".json")?.parse().ok().map(GenerationId);
        names.filter_map(|entry| id(entry.file_name().to_str()?)).collect()
    }

    /// Keeps a generation's sources, and forgets the oldest ones beyond the limit.
    ///
    /// # Errors
    /// When the disk is full or cannot be written; what was kept before still is.
    pub fn keep(&self, kept: &StoredGeneration) -> io::Result<()> {
        let files = self.folder.join("files");
        for folder in [&self.folder, &files] {
            ownership::close_folder(folder).map_err(io::Error::other)?;
        }
        for (hash, bytes) in &kept.sources.files {
            let path = files.join(hash);
            if !path.exists() {
                self.write(&path, bytes)?;
            }
        }
        let record = Record {
            format: FORMAT,
            git: kept.git.clone(),
            release: kept.release.clone(),
            hash: hash_of(kept.sources.description.as_bytes()),
            description: kept.sources.description.clone(),
            files: kept.sources.files.keys().cloned().collect(),
        };
        self.write(&self.record_path(kept.id), &serde_json::to_vec(&record)?)?;
        self.prune()
    }

    /// Reads all generations that are kept whole, oldest first; damaged ones are told and left out.
    #[must_use]
    pub fn load(&self) -> Vec<StoredGeneration> {
        let mut read = BTreeMap::new();
        let mut kept = Vec::new();
        for id in self.ids() {
            match self.load_one(id, &mut read) {
                Ok(one) => kept.push(one),
                Err(error) => warn!(generation = id.0, %error, "cannot use a kept generation: it is damaged"),
            }
        }
        kept
    }

    fn load_one(&self, id: GenerationId, read: &mut BTreeMap<String, Arc<[u8]>>) -> io::Result<StoredGeneration> {
        let record: Record = serde_json::from_slice(&fs::read(self.record_path(id))?)?;
        if record.format != FORMAT || record.hash != hash_of(record.description.as_bytes()) {
            return Err(io::Error::other("its description is damaged"));
        }
        let mut files = BTreeMap::new();
        for hash in record.files {
            let bytes = match read.get(&hash) {
                Some(bytes) => bytes.clone(),
                None => {
                    let bytes = fs::read(self.folder.join("files").join(&hash))?;
                    if hash_of(&bytes) != hash {
                        return Err(io::Error::other(format!("its file {hash} is damaged")));
                    }
                    let bytes: Arc<[u8]> = bytes.into();
                    read.insert(hash.clone(), bytes.clone());
                    bytes
                }
            };
            files.insert(hash, bytes);
        }
        let sources = KeptSources {
            description: record.description,
            files,
        };
        Ok(StoredGeneration {
            id,
            git: record.git,
            release: record.release,
            sources,
        })
    }

    /// Forgets the oldest generations beyond the limit, then the files that none has.
    fn prune(&self) -> io::Result<()> {
        let ids = self.ids();
        let surplus = ids.len().saturating_sub(self.limit);
        for id in ids.into_iter().take(surplus) {
            self.remove(&self.record_path(id))?;
        }
        let mut wanted = BTreeSet::new();
        for id in self.ids() {
            let record = fs::read(self.record_path(id))?;
            // A damaged record does not tell its files.
            wanted.extend(
                serde_json::from_slice::<Record>(&record).map_or_else(|_| BTreeSet::new(), |record| record.files),
            );
        }
        for folder in [&self.folder, &self.folder.join("files")] {
            for entry in fs::read_dir(folder)? {
                let entry = entry?;
                let name = entry.file_name().to_string_lossy().into_owned();
                let is_file = entry.file_type()?.is_file();
                let forgotten = !name.ends_with(".json") && !wanted.contains(&name);
                if is_file && (forgotten || name.starts_with(PARTIAL)) {
                    self.remove(&entry.path())?;
                }
            }
        }
        Ok(())
    }

    /// Writes a file so that it is there whole, or as it was before.
    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.step()?;
        let folder = path.parent().unwrap_or(&self.folder);
        let mut file = tempfile::Builder::new().prefix(PARTIAL).tempfile_in(folder)?;
        #[cfg(test)]
        if self.step().is_err() {
            return leave_partial(file, bytes);
        }
        file.write_all(bytes)?;
        file.as_file().sync_data()?;
        file.persist(path)?;
        self.step()
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.step()?;
        fs::remove_file(path)
    }

    fn record_path(&self, id: GenerationId) -> PathBuf {
        self.folder.join(format!("{id}.json"))
    }

    /// Tests end the process here, as far as the disk can tell.
    #[cfg(test)]
    fn step(&self) -> io::Result<()> {
        use std::sync::atomic::Ordering::SeqCst;
        let counted = self.steps_left.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1));
        counted
            .map(drop)
            .map_err(|_| io::Error::other("the process ended here"))
    }

    #[cfg(not(test))]
    #[allow(
        clippy::unnecessary_wraps,
        clippy::unused_self,
        reason = "the tests' version can fail"
    )]
    const fn step(&self) -> io::Result<()> {
        Ok(())
    }
}

/// Leaves a file as a process does that ends while it writes.
#[cfg(test)]
fn leave_partial(mut file: tempfile::NamedTempFile, bytes: &[u8]) -> io::Result<()> {
    file.write_all(bytes.get(..bytes.len() / 2).unwrap_or_default())?;
    file.keep()?;
    Err(io::Error::other("the process ended here"))
}

fn hash_of(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use js_runtime_api::KeptSources;

    use super::{Store, StoredGeneration, hash_of};
    use crate::generation::GenerationId;
    use crate::release::Digest;

    fn kept(id: u64, texts: &[&str]) -> StoredGeneration {
        let files: BTreeMap<String, Arc<[u8]>> = texts
            .iter()
            .map(|text| (hash_of(text.as_bytes()), Arc::from(text.as_bytes())))
            .collect();
        StoredGeneration {
            id: GenerationId(id),
            git: Some("abc".to_owned()),
            release: Some(Digest::of(b"release")),
            sources: KeptSources {
                description: format!("{{\"generation\":{id}}}"),
                files,
            },
        }
    }

    fn files_in(store: &Store) -> usize {
        std::fs::read_dir(store.folder.join("files")).unwrap().count()
    }

    #[test]
    fn the_newest_are_kept_with_their_files_and_no_others() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path().join("kept"), 2);
        assert_eq!(store.load(), []);
        let all = [
            kept(1, &["a", "shared"]),
            kept(2, &["b", "shared"]),
            kept(3, &["c", "shared"]),
        ];
        for one in &all {
            store.keep(one).unwrap();
        }
        assert_eq!(store.load(), all[1..]);
        assert_eq!(files_in(&store), 3);
    }

    #[test]
    fn wherever_the_process_ends_while_it_keeps_one_only_whole_ones_are_found() {
        let mut ended = 0;
        for steps in 0.. {
            let folder = tempfile::tempdir().unwrap();
            let store = Store::new(folder.path().join("kept"), 1);
            let (old, new) = (kept(1, &["a", "shared"]), kept(2, &["b", "shared"]));
            store.keep(&old).unwrap();
            store.steps_left.store(steps, std::sync::atomic::Ordering::SeqCst);
            let done = store.keep(&new).is_ok();

            let after = Store::new(folder.path().join("kept"), 1);
            let found = after.load();
            assert!(!found.is_empty(), "after {steps} steps nothing was left");
            for one in &found {
                assert!(*one == old || *one == new, "after {steps} steps: {one:?}");
            }
            // And it goes on as if nothing had been.
            after.keep(&kept(3, &["c", "shared"])).unwrap();
            assert_eq!(after.load(), [kept(3, &["c", "shared"])]);
            assert_eq!(files_in(&after), 2, "what was left half done is gone");
            if done {
                break;
            }
            ended += 1;
        }
        assert!(ended >= 8, "{ended}");
    }

    #[test]
    fn a_damaged_one_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path().join("kept"), 5);
        store.keep(&kept(1, &["a"])).unwrap();
        store.keep(&kept(2, &["b"])).unwrap();
        std::fs::write(folder.path().join("kept/files").join(hash_of(b"b")), "x").unwrap();
        assert_eq!(store.load(), [kept(1, &["a"])]);
        std::fs::write(folder.path().join("kept/1.json"), "{").unwrap();
        assert_eq!(store.load(), []);
    }
}
