//! A source snapshot as data that outlives the process, and back.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use js_runtime_api::{Entry, KeptSources, Project};
use serde::{Deserialize, Serialize};

use super::common::CommonParts;
use super::entries::Entries;
use super::environment::Environment;
use super::snapshot::{ReadFiles, SourceFile, SourceSnapshot};

/// The description; paths are absolute.
#[derive(Serialize, Deserialize)]
struct Description {
    /// The root as it was asked for.
    asked: PathBuf,
    root: PathBuf,
    entry: PathBuf,
    is_folder: bool,
    entries: Vec<PathBuf>,
    /// The files' hashes.
    files: BTreeMap<Arc<Path>, String>,
    missing: BTreeSet<Arc<Path>>,
    links: BTreeMap<Arc<Path>, Arc<Path>>,
    resolved: BTreeMap<Arc<str>, BTreeMap<Arc<str>, Arc<str>>>,
    /// The conditions by which the rest of it is resolved, too.
    #[serde(default)]
    conditions: Vec<String>,
}

/// # Errors
/// When a path is no text.
pub(super) fn keep(snapshot: &SourceSnapshot) -> Result<KeptSources, String> {
    let read = snapshot.lock();
    let hash = |file: &SourceFile| file.hash.to_hex().to_string();
    let description = Description {
        asked: snapshot.asked.root.clone(),
        root: snapshot.project.root.clone(),
        entry: snapshot.project.entry.path().to_owned(),
        is_folder: matches!(snapshot.project.entry, Entry::Folder(_)),
        entries: snapshot.entries().to_vec(),
        files: read
            .files
            .iter()
            .map(|(path, file)| (path.clone(), hash(file)))
            .collect(),
        missing: read.missing.clone(),
        links: read.links.clone(),
        resolved: read.resolved.clone(),
        conditions: snapshot.project.conditions.clone(),
    };
    let files = read
        .files
        .values()
        .map(|file| (hash(file), file.bytes.clone()))
        .collect();
    drop(read);
    let description = serde_json::to_string(&description).map_err(|error| error.to_string())?;
    Ok(KeptSources { description, files })
}

/// # Errors
/// When it is of another project, or a file is missing or not what its hash says.
pub(crate) fn restore(
    asked: Project,
    kept: &KeptSources,
    common: &Arc<CommonParts>,
) -> Result<Arc<SourceSnapshot>, String> {
    let Description {
        asked: of,
        root,
        entry,
        is_folder,
        entries,
        files,
        missing,
        links,
        resolved,
        conditions,
    } = serde_json::from_str(&kept.description).map_err(|error| error.to_string())?;
    if of != asked.root {
        return Err(format!("it belongs to the project in {}", of.display()));
    }
    let entry = if is_folder {
        Entry::Folder(entry)
    } else {
        Entry::File(entry)
    };
    // Values are not kept: today's values are read.
    let environment = Environment::read_or_defaults(&asked.environment);
    let project = Project {
        root,
        entry,
        environment: asked.environment.clone(),
        serve_path: asked.serve_path.clone(),
        default_retries: asked.default_retries,
        conditions,
        includes: asked.includes.clone(),
    };
    let file = |(path, hash): (Arc<Path>, String)| {
        let bytes = kept
            .files
            .get(&hash)
            .ok_or_else(|| format!("{} is missing", path.display()))?;
        let (found, bytes) = common.bytes.one(bytes.clone());
        if found.to_hex().as_str() != hash {
            return Err(format!("{} is damaged", path.display()));
        }
        Ok((path, SourceFile { bytes, hash: found }))
    };
    let read = ReadFiles {
        files: files.into_iter().map(file).collect::<Result<_, String>>()?,
        missing,
        links,
        resolved,
        ..ReadFiles::default()
    };
    let entries = Entries {
        modules: entries.into(),
        ..Entries::default()
    };
    Ok(Arc::new(SourceSnapshot::new(
        asked,
        project,
        entries,
        environment,
        read,
        common.clone(),
    )))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::Arc;

    use js_runtime_api::{Entry, EnvironmentSource, Project, Sources as _};

    use super::restore;
    use crate::source::snapshot::SourceSnapshot;

    fn project(folder: &std::path::Path) -> Project {
        Project {
            root: folder.to_owned(),
            entry: Entry::Folder(folder.to_owned()),
            environment: EnvironmentSource::default(),
            serve_path: js_runtime_api::DEFAULT_SERVE_PATH.to_owned(),
            default_retries: None,
            conditions: Vec::new(),
            includes: Vec::new(),
        }
    }

    #[test]
    fn what_was_kept_reads_the_same_whatever_is_on_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.ts");
        std::fs::write(&file, "one").unwrap();
        let snapshot = SourceSnapshot::begin(project(folder.path()), Arc::default()).unwrap();
        snapshot.read(&file).unwrap();
        snapshot.note_resolved("x", "file:///a", "file:///x");
        let kept = snapshot.keep().unwrap();
        std::fs::remove_file(&file).unwrap();

        let restored = restore(project(folder.path()), &kept, &Arc::default()).unwrap();
        assert_eq!(&*restored.read(&file).unwrap().bytes, b"one");
        assert_eq!(restored.resolved("x", "file:///a").as_deref(), Some("file:///x"));
        assert_eq!(restored.entries(), snapshot.entries());
        assert_eq!(restored.hash(), snapshot.hash());
        assert_eq!(restored.changed_on_disk(), [PathBuf::from("a.ts")]);
    }

    #[test]
    fn conditions_stay_those_that_it_was_made_with() {
        let folder = tempfile::tempdir().unwrap();
        let with = |conditions: &[&str]| Project {
            conditions: conditions.iter().map(|name| (*name).to_owned()).collect(),
            ..project(folder.path())
        };
        let begin = |asked| SourceSnapshot::begin(asked, Arc::default()).unwrap();
        let snapshot = begin(with(&["a"]));
        let kept = snapshot.keep().unwrap();
        let restored = restore(with(&["b"]), &kept, &Arc::default()).unwrap();
        assert_eq!(restored.project().conditions, ["a"]);
        assert_eq!(restored.hash(), snapshot.hash());
        assert_ne!(begin(with(&["b"])).hash(), snapshot.hash());
    }

    #[test]
    fn a_damaged_or_foreign_one_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.ts");
        std::fs::write(&file, "one").unwrap();
        let snapshot = SourceSnapshot::begin(project(folder.path()), Arc::default()).unwrap();
        snapshot.read(&file).unwrap();
        let mut kept = snapshot.keep().unwrap();
        assert!(restore(project(&folder.path().join("elsewhere")), &kept, &Arc::default()).is_err());
        for bytes in kept.files.values_mut() {
            *bytes = Arc::from(*b"two");
        }
        assert!(
            restore(project(folder.path()), &kept, &Arc::default())
                .unwrap_err()
                .ends_with("is damaged")
        );
        kept.files.clear();
        assert!(
            restore(project(folder.path()), &kept, &Arc::default())
                .unwrap_err()
                .ends_with("is missing")
        );
    }
}
