//! Questions about files that modules ask while they are evaluated, beside the modules themselves: about a prompt
//! that is read, a template, an `.env`, a folder that is listed.
//!
//! Each question is noted with its answer, taken just before user code gets its own: a later comparison may find a
//! difference that made none, and never overlooks one.
//!
//! - Modules that were evaluated ahead of a load are used only if every answer is the same then.
//! - The content of the project's own files belongs to the generation: its hash covers it, and an edit is a change.
//!   A file that the project's code writes itself is none of its sources.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

use super::packages::is_of_package;
use super::snapshot::{ReadFiles, SourceSnapshot};

/// The size of a file above which its metadata stand for its content.
const LARGEST_READ: u64 = 16 << 20;

/// A question about a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Question {
    Existence,
    Metadata,
    Content,
    /// The names in a folder.
    Names,
    /// The target of a symbolic link.
    Target,
}

/// A path, and the question about it.
pub(super) type Look = (Arc<Path>, Question);

impl Question {
    /// Returns the digest of the system's answer. Reads the disk.
    fn answer(self, path: &Path) -> blake3::Hash {
        let answered = match self {
            Self::Existence => fs::metadata(path).map(|_| Vec::new()),
            Self::Metadata => metadata(path),
            Self::Content => content(path),
            Self::Names => names(path),
            Self::Target => target(path),
        };
        match answered {
            Ok(answer) => blake3::keyed_hash(&[1; 32], &answer),
            Err(error) => blake3::hash(format!("{:?}", error.kind()).as_bytes()),
        }
    }
}

/// Returns the metadata. A folder's times change with every event in it: they are not part of the answer.
fn metadata(path: &Path) -> io::Result<Vec<u8>> {
    let [of_link, of_target] = [fs::symlink_metadata(path)?, fs::metadata(path)?];
    Ok([described(&of_link), described(&of_target)].concat())
}

fn described(metadata: &Metadata) -> Vec<u8> {
    let mut described = [u64::from(metadata.mode()), metadata.ino(), metadata.dev()]
        .map(u64::to_le_bytes)
        .concat();
    if !metadata.is_dir() {
        let times = [metadata.mtime(), metadata.mtime_nsec()].map(i64::to_le_bytes);
        described.extend(times.concat());
        described.extend(metadata.len().to_le_bytes());
    }
    described
}

/// Reads the content of a file. Nothing is read from a device or a pipe, and nothing waits for it.
fn content(path: &Path) -> io::Result<Vec<u8>> {
    let file: File = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.len() > LARGEST_READ {
        return Ok(described(&metadata));
    }
    let mut content = Vec::new();
    file.take(LARGEST_READ).read_to_end(&mut content)?;
    Ok(content)
}

fn names(path: &Path) -> io::Result<Vec<u8>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let mut name = entry.file_name().as_bytes().to_vec();
        name.push(0);
        name.push(u8::from(entry.file_type()?.is_dir()));
        names.push(name);
    }
    names.sort();
    Ok(names.concat())
}

fn target(path: &Path) -> io::Result<Vec<u8>> {
    let link = fs::read_link(path).unwrap_or_default();
    let leads_to = path.canonicalize()?;
    Ok([link.as_os_str().as_bytes(), &[0], leads_to.as_os_str().as_bytes()].concat())
}

impl SourceSnapshot {
    /// Notes that a module asks this while it is evaluated. The first answer is the snapshot's. Reads the disk.
    pub(crate) fn note_look(&self, path: &Path, question: Question) {
        let Ok(path) = std::path::absolute(path) else {
            return;
        };
        let look = (self.common.path(&path), question);
        if !self.lock().looks.contains_key(&look) {
            let answer = question.answer(&path);
            self.lock().looks.entry(look).or_insert(answer);
        }
    }

    /// Notes that the project's code writes to a file: the file is then none of the watched sources, and is read anew
    /// when it is imported again.
    pub(crate) fn note_written(&self, path: &Path) {
        let (looked, imported) = {
            let read = self.lock();
            (!read.looks.is_empty(), !read.later.is_empty())
        };
        if imported && let Ok(path) = path.canonicalize() {
            self.forget_later(&path);
        }
        let Some(path) = std::path::absolute(path).ok().filter(|_| looked) else {
            return;
        };
        let look = (self.common.path(&path), Question::Content);
        // Nobody asks about other files.
        if self.lock().looks.contains_key(&look) {
            let mut written = self.common.written.lock().unwrap_or_else(PoisonError::into_inner);
            written.insert(look.0);
        }
    }

    /// Tells whether every question has the answer that it had. Reads the disk.
    pub(super) fn looks_the_same(&self) -> bool {
        let looks = self.lock().looks.clone();
        let mut all = looks.iter();
        all.all(|((path, question), answer)| {
            let is_same = question.answer(path) == *answer;
            if !is_same {
                tracing::debug!(path = %path.display(), ?question, "the question of a module has another answer now");
            }
            is_same
        })
    }

    /// Returns the project's own files that modules read while they were evaluated, with the digests of their
    /// content.
    pub(super) fn read_by_modules(&self) -> Vec<(Arc<Path>, blake3::Hash)> {
        let looks = self.lock().looks.clone();
        let written = self.common.written.lock().unwrap_or_else(PoisonError::into_inner);
        let contents = looks
            .into_iter()
            .filter(|((_, question), _)| *question == Question::Content);
        let own = contents.filter(|((path, _), _)| {
            path.starts_with(&self.territory) && !is_of_package(path) && !written.contains(path)
        });
        own.map(|((path, _), answer)| (path, answer)).collect()
    }

    /// Returns those of these files that read differently on the disk now. Reads the disk.
    pub(super) fn changed_files_of_modules(&self) -> impl Iterator<Item = PathBuf> {
        let read = self.read_by_modules().into_iter();
        // The project's code may have written to one meanwhile, which is noted before it does.
        let changed = read.filter(|(path, answer)| Question::Content.answer(path) != *answer && !self.is_written(path));
        changed.map(|(path, _)| path.to_path_buf())
    }

    fn is_written(&self, path: &Path) -> bool {
        let written = self.common.written.lock().unwrap_or_else(PoisonError::into_inner);
        written.contains(path)
    }
}

impl ReadFiles {
    /// Tells whether the other snapshot asked all of these questions, with these answers.
    pub(super) fn asked_as(&self, other: &Self) -> bool {
        let mut looks = self.looks.iter();
        looks.all(|(look, answer)| other.looks.get(look) == Some(answer))
    }
}

/// Returns the folder in which files are the project's own: the repository of the project, or else the project.
pub(super) fn territory(root: &Path) -> PathBuf {
    let mut ancestors = root.ancestors();
    let repository = ancestors.find(|folder| folder.join(".git").exists());
    repository.unwrap_or(root).to_owned()
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use js_runtime_api::{Entry, EnvironmentSource, Project, Sources as _};

    use super::Question;
    use crate::source::snapshot::SourceSnapshot;

    fn snapshot(folder: &Path) -> Arc<SourceSnapshot> {
        let folder = folder.canonicalize().unwrap();
        let project = Project {
            root: folder.clone(),
            entry: Entry::Folder(folder),
            environment: EnvironmentSource::default(),
            serve_path: js_runtime_api::DEFAULT_SERVE_PATH.to_owned(),
            default_retries: None,
            conditions: Vec::new(),
            includes: Vec::new(),
        };
        SourceSnapshot::begin(project, Arc::default()).unwrap()
    }

    #[test]
    fn a_file_that_code_writes_while_it_is_compared_has_not_changed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().canonicalize().unwrap().join("state.txt");
        std::fs::write(&file, "0").unwrap();
        let sources = snapshot(folder.path());
        sources.note_look(&file, Question::Content);
        let compares = sources.changed_files_of_modules();
        sources.note_written(&file);
        std::fs::write(&file, "1").unwrap();
        assert_eq!(compares.count(), 0);
    }

    #[test]
    fn each_question_has_another_answer_after_what_it_is_about_changed() {
        let changes: [(Question, &[&str]); 5] = [
            (Question::Existence, &["remove"]),
            (Question::Metadata, &["remove", "longer", "linked"]),
            (Question::Content, &["remove", "longer", "other", "linked"]),
            (Question::Names, &["more"]),
            (Question::Target, &["remove", "linked"]),
        ];
        for (question, kinds) in changes {
            for kind in kinds {
                let folder = tempfile::tempdir().unwrap();
                let file = folder.path().join("a.txt");
                std::fs::write(&file, "one").unwrap();
                let asked = if question == Question::Names {
                    folder.path()
                } else {
                    &file
                };
                let sources = snapshot(folder.path());
                sources.note_look(asked, question);
                assert!(sources.looks_the_same(), "{question:?}");
                match *kind {
                    "remove" => std::fs::remove_file(&file).unwrap(),
                    "longer" => std::fs::write(&file, "longer").unwrap(),
                    "other" => std::fs::write(&file, "two").unwrap(),
                    "more" => std::fs::write(folder.path().join("b.txt"), "").unwrap(),
                    _ => {
                        std::fs::write(folder.path().join("b.txt"), "two").unwrap();
                        std::fs::remove_file(&file).unwrap();
                        std::os::unix::fs::symlink(folder.path().join("b.txt"), &file).unwrap();
                    }
                }
                assert!(!sources.looks_the_same(), "{question:?} after {kind}");
            }
        }
    }

    #[test]
    fn what_is_not_there_may_appear_and_what_waits_for_ever_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let sources = snapshot(folder.path());
        let missing = folder.path().join("missing");
        for question in [
            Question::Existence,
            Question::Metadata,
            Question::Content,
            Question::Names,
        ] {
            sources.note_look(&missing, question);
        }
        let pipe = folder.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        sources.note_look(&pipe, Question::Content);
        assert!(sources.looks_the_same());
        std::fs::create_dir(&missing).unwrap();
        assert!(!sources.looks_the_same());
    }

    #[test]
    fn a_file_of_the_project_that_a_module_read_is_one_of_its_sources_until_its_code_writes_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().canonicalize().unwrap().join("prompt.md");
        std::fs::write(&file, "one").unwrap();
        let sources = snapshot(folder.path());
        let without = sources.hash();
        sources.note_look(&file, Question::Content);
        assert_ne!(sources.hash(), without);
        assert!(sources.watched().files.contains(&file));
        assert!(!sources.is_changed_on_disk());
        std::fs::write(&file, "two").unwrap();
        assert_eq!(sources.changed_on_disk(), [Path::new("prompt.md")]);
        sources.note_written(&file);
        assert!(!sources.is_changed_on_disk());
        assert_eq!(sources.hash(), without);
    }

    #[test]
    fn a_file_elsewhere_or_of_a_package_is_compared_and_no_source() {
        let folder = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        let package = folder.path().join("node_modules/p");
        std::fs::create_dir_all(&package).unwrap();
        let sources = snapshot(folder.path());
        for file in [elsewhere.path().join("a.txt"), package.join("a.txt")] {
            std::fs::write(&file, "one").unwrap();
            sources.note_look(&file, Question::Content);
            std::fs::write(&file, "two").unwrap();
        }
        assert!(!sources.is_changed_on_disk());
        assert!(!sources.looks_the_same());
    }
}
