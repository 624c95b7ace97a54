//! Unpacks a layer into a folder, and trusts nothing in it: no path and no link leads out of the folder, nothing but
//! files, folders and links is made, nothing is written through a link, and size and number are bounded.
//!
//! A link's target goes up first and then down. The folders above a link are real ones, so that going up from it
//! stays inside as long as it is no higher than the folder; going down may lead over other links, each of which is
//! like this one.

use std::collections::HashSet;
use std::fs::{self, DirBuilder, Metadata, OpenOptions};
use std::io::{self, BufRead, Read};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _, symlink};
use std::path::{Component, Path, PathBuf};

use tar::{Archive, EntryType};

use super::pack::WINDOW_LOG;

/// The most bytes of a path.
const LONGEST_PATH: u64 = 4096;
/// The most bytes of a file that is compared with its twin; a larger one is written anew.
const LARGEST_TWIN: u64 = 4 << 20;
/// The most folders around a file.
const DEEPEST: usize = 256;

/// The room that the layers of a release may still take.
#[derive(Debug)]
pub struct UnpackRoom {
    pub files: u64,
    pub bytes: u64,
}

impl Default for UnpackRoom {
    fn default() -> Self {
        Self {
            files: 500_000,
            bytes: 4 << 30,
        }
    }
}

/// The reason why a layer is not unpacked.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    #[error("the release is hostile or damaged: {0}")]
    Refused(#[from] EntryRefusal),
    #[error("cannot read the layer: {0}")]
    Damaged(#[source] io::Error),
    #[error("cannot write {path}: {error}", path = .path.display())]
    Unwritable { path: PathBuf, error: io::Error },
}

/// The reason why an entry of a layer is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryRefusal {
    #[error("{0:?} leads out of the release")]
    Outside(String),
    #[error("the link {link:?} leads to {target:?}, out of the release or up after down")]
    Link { link: String, target: String },
    #[error("{path:?} is {kind}, not a file, a folder or a link")]
    Kind { path: String, kind: &'static str },
    #[error("{0:?} would be written through a link or over a file")]
    Through(String),
    #[error("{0:?} comes twice")]
    Twice(String),
    #[error("the path {0:?} is too long or too deep")]
    Long(String),
    #[error("it has more than the 500000 files that a release may have")]
    Files,
    #[error("it has more than the 4 GiB that a release may have")]
    Bytes,
}

/// Unpacks a layer into a folder that nobody else writes to. A file that reads the same below `twin`, where the layer is
/// unpacked already, becomes a hard link to that one.
///
/// # Errors
/// When the layer is refused or damaged, or the disk is full. The folder is incomplete then.
pub fn unpack(
    layer: impl BufRead,
    folder: &Path,
    twin: Option<&Path>,
    room: &mut UnpackRoom,
) -> Result<(), UnpackError> {
    let mut decoder = zstd::Decoder::with_buffer(layer).map_err(UnpackError::Damaged)?;
    decoder.window_log_max(WINDOW_LOG + 1).map_err(UnpackError::Damaged)?;
    let mut archive = Archive::new(decoder);
    let mut writer = LayerWriter {
        folder,
        twin,
        known: HashSet::from([PathBuf::new()]),
        room,
    };
    // A name that has no room in an entry's header is in an entry of its own before it.
    let (mut long_path, mut long_link) = (None, None);
    // The raw entries: the library would read a long name of any length.
    for entry in archive.entries().map_err(UnpackError::Damaged)?.raw(true) {
        let mut entry = entry.map_err(UnpackError::Damaged)?;
        let kind = entry.header().entry_type();
        if matches!(kind, EntryType::GNULongName | EntryType::GNULongLink) {
            let name = long_name(&mut entry)?;
            match kind {
                EntryType::GNULongName => long_path = Some(name),
                _ => long_link = Some(name),
            }
            continue;
        }
        let own_path = || entry.header().path_bytes().into_owned();
        let path = long_path.take().unwrap_or_else(own_path);
        let own_link = || entry.header().link_name_bytes().map(std::borrow::Cow::into_owned);
        let target = long_link.take().or_else(own_link).unwrap_or_default();
        let path = checked_path(&path)?;
        writer.count()?;
        match kind {
            EntryType::Directory => writer.make_folder(&path)?,
            EntryType::Regular | EntryType::Continuous => {
                let is_executable = entry.header().mode().unwrap_or_default() & 0o100 != 0;
                let size = entry.header().entry_size().map_err(UnpackError::Damaged)?;
                writer.make_file(&path, is_executable, size, &mut entry)?;
            }
            EntryType::Symlink => writer.make_link(&path, &target)?,
            other => {
                return Err(EntryRefusal::Kind {
                    path: path.display().to_string(),
                    kind: name_of(other),
                }
                .into());
            }
        }
    }
    // Bytes after the end of the archive count too, and a checksum comes last.
    let mut rest = archive.into_inner();
    let mut buffer = [0; 8192];
    let mut after = 0;
    loop {
        match rest.read(&mut buffer).map_err(UnpackError::Damaged)? {
            0 => return Ok(()),
            read => after += read,
        }
        if after > 1 << 20 {
            return Err(EntryRefusal::Bytes.into());
        }
    }
}

fn long_name(entry: &mut impl Read) -> Result<Vec<u8>, UnpackError> {
    let mut name = Vec::new();
    entry
        .take(LONGEST_PATH + 1)
        .read_to_end(&mut name)
        .map_err(UnpackError::Damaged)?;
    while name.last() == Some(&0) {
        name.pop();
    }
    if name.len() as u64 > LONGEST_PATH - 1 {
        return Err(EntryRefusal::Long(shown(name.get(..100).unwrap_or_default())).into());
    }
    Ok(name)
}

const fn name_of(kind: EntryType) -> &'static str {
    match kind {
        EntryType::Link => "a hard link",
        EntryType::Char | EntryType::Block => "a device",
        EntryType::Fifo => "a pipe",
        _ => "an extension of tar",
    }
}

fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).chars().take(200).collect()
}

/// Returns a path that has only names in it.
fn checked_path(bytes: &[u8]) -> Result<PathBuf, EntryRefusal> {
    let path = Path::new(std::ffi::OsStr::from_bytes(bytes));
    let mut checked = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => checked.push(name),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => {
                return Err(EntryRefusal::Outside(shown(bytes)));
            }
        }
    }
    if checked.as_os_str().is_empty() || bytes.contains(&0) {
        return Err(EntryRefusal::Outside(shown(bytes)));
    }
    if bytes.len() as u64 >= LONGEST_PATH || checked.components().count() > DEEPEST {
        return Err(EntryRefusal::Long(shown(bytes)));
    }
    Ok(checked)
}

/// Checks the target of a link at a checked path.
fn checked_target(link: &Path, target: &[u8]) -> Result<PathBuf, EntryRefusal> {
    let refused = || EntryRefusal::Link {
        link: link.display().to_string(),
        target: shown(target),
    };
    let path = Path::new(std::ffi::OsStr::from_bytes(target));
    let depth = link.components().count() - 1;
    let (mut up, mut down) = (0, 0);
    for component in path.components() {
        match component {
            Component::ParentDir if down == 0 && up < depth => up += 1,
            Component::Normal(_) => down += 1,
            Component::CurDir => {}
            _ => return Err(refused()),
        }
    }
    if target.is_empty() || target.len() as u64 >= LONGEST_PATH || target.contains(&0) {
        return Err(refused());
    }
    Ok(path.to_owned())
}

struct LayerWriter<'a> {
    folder: &'a Path,
    /// A folder in which the layer is unpacked already.
    twin: Option<&'a Path>,
    /// Folders that are there and are no links, relative to the folder.
    known: HashSet<PathBuf>,
    room: &'a mut UnpackRoom,
}

impl LayerWriter<'_> {
    fn count(&mut self) -> Result<(), EntryRefusal> {
        self.room.files = self.room.files.checked_sub(1).ok_or(EntryRefusal::Files)?;
        Ok(())
    }

    /// Makes a folder and those around it. A folder may be there already.
    fn make_folder(&mut self, path: &Path) -> Result<(), UnpackError> {
        let mut missing = Vec::new();
        for folder in path.ancestors() {
            if self.known.contains(folder) {
                break;
            }
            missing.push(folder);
        }
        for folder in missing.into_iter().rev() {
            let full = self.folder.join(folder);
            match DirBuilder::new().mode(0o755).create(&full) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    let metadata = fs::symlink_metadata(&full).map_err(|error| unwritable(&full, error))?;
                    if !metadata.is_dir() {
                        return Err(EntryRefusal::Through(path.display().to_string()).into());
                    }
                }
                Err(error) => return Err(unwritable(&full, error)),
            }
            self.known.insert(folder.to_owned());
        }
        Ok(())
    }

    fn make_file(
        &mut self,
        path: &Path,
        is_executable: bool,
        size: u64,
        content: &mut impl Read,
    ) -> Result<(), UnpackError> {
        self.room.bytes = self.room.bytes.checked_sub(size).ok_or(EntryRefusal::Bytes)?;
        self.make_folder(path.parent().unwrap_or(Path::new("")))?;
        let full = self.folder.join(path);
        let mode = if is_executable { 0o755 } else { 0o644 };
        let mut whole = Vec::new();
        if let Some(twin) = self.twin.filter(|_| size <= LARGEST_TWIN) {
            let read = content.by_ref().take(size).read_to_end(&mut whole);
            read.map_err(UnpackError::Damaged)?;
            let twin = twin.join(path);
            let is_whole = whole.len() as u64 == size;
            if is_whole && reads_as(&twin, is_executable, &whole) && fs::hard_link(&twin, &full).is_ok() {
                return Ok(());
            }
        }
        let content = &mut whole.as_slice().chain(content);
        let open = OpenOptions::new().write(true).create_new(true).mode(mode).open(&full);
        let mut file = open.map_err(|error| twice_or(path, &full, error))?;
        copy(content, &mut file, size, &full)
    }

    fn make_link(&mut self, path: &Path, target: &[u8]) -> Result<(), UnpackError> {
        let target = checked_target(path, target)?;
        self.make_folder(path.parent().unwrap_or(Path::new("")))?;
        let full = self.folder.join(path);
        symlink(target, &full).map_err(|error| twice_or(path, &full, error))
    }
}

/// Tells whether a path is a file with these bytes, and may be executed as this one.
fn reads_as(path: &Path, is_executable: bool, bytes: &[u8]) -> bool {
    let is_alike = |known: Metadata| {
        let mode = known.permissions().mode();
        known.is_file() && known.len() == bytes.len() as u64 && (mode & 0o100 != 0) == is_executable
    };
    fs::symlink_metadata(path).is_ok_and(is_alike) && fs::read(path).is_ok_and(|known| known == bytes)
}

/// Copies exactly so many bytes; tells a failure to read from one to write.
fn copy(from: &mut impl Read, to: &mut impl io::Write, size: u64, full: &Path) -> Result<(), UnpackError> {
    let mut buffer = vec![0; 64 << 10];
    let mut left = size;
    while left > 0 {
        let read = from.read(&mut buffer).map_err(UnpackError::Damaged)?;
        if read == 0 {
            return Err(UnpackError::Damaged(io::ErrorKind::UnexpectedEof.into()));
        }
        to.write_all(buffer.get(..read).unwrap_or_default())
            .map_err(|error| unwritable(full, error))?;
        left = left.saturating_sub(read as u64);
    }
    Ok(())
}

fn unwritable(path: &Path, error: io::Error) -> UnpackError {
    UnpackError::Unwritable {
        path: path.to_owned(),
        error,
    }
}

fn twice_or(path: &Path, full: &Path, error: io::Error) -> UnpackError {
    match error.kind() {
        io::ErrorKind::AlreadyExists => EntryRefusal::Twice(path.display().to_string()).into(),
        _ => unwritable(full, error),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::{BufReader, Write as _};
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
    use std::path::Path;

    use tar::{Builder, EntryType, Header};

    use super::{EntryRefusal, UnpackError, UnpackRoom, unpack};
    use crate::release::pack::pack;
    use crate::release::selection::Selection;

    /// Makes a layer of entries whose headers are written as they are.
    fn layer(entries: &[(&str, EntryType, &str, &[u8])]) -> Vec<u8> {
        let mut tar = Builder::new(zstd::Encoder::new(Vec::new(), 1).unwrap());
        for (path, kind, target, content) in entries {
            let mut header = Header::new_gnu();
            header.set_entry_type(*kind);
            header.set_mode(0o644);
            header.set_size(content.len() as u64);
            let gnu = header.as_gnu_mut().unwrap();
            gnu.name[..path.len()].copy_from_slice(path.as_bytes());
            gnu.linkname[..target.len()].copy_from_slice(target.as_bytes());
            header.set_cksum();
            tar.append(&header, *content).unwrap();
        }
        tar.into_inner().unwrap().finish().unwrap()
    }

    fn unpacked(layer: &[u8]) -> Result<tempfile::TempDir, UnpackError> {
        let outer = tempfile::tempdir().unwrap();
        let inner = outer.path().join("release");
        fs::create_dir(&inner).unwrap();
        let result = unpack(layer, &inner, None, &mut UnpackRoom { files: 10, bytes: 1000 });
        let others: Vec<_> = fs::read_dir(outer.path()).unwrap().collect();
        assert_eq!(others.len(), 1, "something is outside of the release");
        result.map(|()| outer)
    }

    fn refusal(entries: &[(&str, EntryType, &str, &[u8])]) -> EntryRefusal {
        match unpacked(&layer(entries)) {
            Err(UnpackError::Refused(refusal)) => refusal,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn nothing_lands_outside_of_the_folder_and_the_entry_is_named() {
        use EntryType::{Block, Char, Directory, Fifo, Link, Regular, Symlink};
        for path in ["../a", "/etc/a", "a/../../b", "a/.."] {
            assert!(
                matches!(refusal(&[(path, Regular, "", b"")]), EntryRefusal::Outside(_)),
                "{path}"
            );
        }
        for (link, target) in [
            ("a", "/etc/passwd"),
            ("a", "../a"),
            ("a/b", "../../c"),
            ("a", "b/.."),
            ("a", ""),
        ] {
            assert!(
                matches!(refusal(&[(link, Symlink, target, b"")]), EntryRefusal::Link { .. }),
                "{link} {target}"
            );
        }
        for kind in [Link, Char, Block, Fifo, EntryType::XHeader, EntryType::XGlobalHeader] {
            let refused = refusal(&[("a", kind, "b", b"")]);
            assert!(matches!(refused, EntryRefusal::Kind { .. }), "{kind:?}: {refused:?}");
        }
        let through = [("a", Symlink, "b", &b""[..]), ("a/c", Regular, "", b"")];
        assert_eq!(refusal(&through), EntryRefusal::Through("a".to_owned()));
        let over = [("a", Regular, "", &b""[..]), ("a/c", Regular, "", b"")];
        assert_eq!(refusal(&over), EntryRefusal::Through("a".to_owned()));
        for again in [Regular, Symlink] {
            let twice = [("a", Symlink, "b", &b""[..]), ("a", again, "c", b"")];
            assert_eq!(refusal(&twice), EntryRefusal::Twice("a".to_owned()));
        }
        let folder_over_link = [("a", Symlink, "b", &b""[..]), ("a", Directory, "", b"")];
        assert_eq!(refusal(&folder_over_link), EntryRefusal::Through("a".to_owned()));
    }

    #[test]
    fn a_file_that_reads_the_same_in_another_release_is_shared_and_others_are_written() {
        use EntryType::{Regular, Symlink};
        let layer = layer(&[
            ("same", Regular, "", b"bytes"),
            ("changed", Regular, "", b"bytes"),
            ("executable", Regular, "", b"bytes"),
            ("gone", Regular, "", b"bytes"),
            ("linked", Regular, "", b"bytes"),
            ("link", Symlink, "same", b""),
        ]);
        let outer = tempfile::tempdir().unwrap();
        let [one, other] = ["one", "other"].map(|name| outer.path().join(name));
        let unpack_to = |folder: &Path, twin| {
            fs::create_dir(folder).unwrap();
            unpack(&*layer, folder, twin, &mut UnpackRoom::default()).unwrap();
        };
        unpack_to(&one, None);
        fs::write(one.join("changed"), "other").unwrap();
        fs::set_permissions(one.join("executable"), fs::Permissions::from_mode(0o755)).unwrap();
        fs::remove_file(one.join("gone")).unwrap();
        fs::rename(one.join("linked"), one.join("elsewhere")).unwrap();
        symlink("elsewhere", one.join("linked")).unwrap();
        unpack_to(&other, Some(&one));
        let inode = |folder: &Path, name: &str| fs::symlink_metadata(folder.join(name)).map(|known| known.ino()).ok();
        assert_eq!(inode(&other, "same"), inode(&one, "same"));
        for name in ["changed", "executable", "gone", "linked"] {
            assert_ne!(inode(&other, name), inode(&one, name), "{name}");
        }
        for name in ["same", "changed", "executable", "gone", "linked", "link"] {
            assert_eq!(fs::read(other.join(name)).unwrap(), b"bytes", "{name}");
        }
        assert!(fs::symlink_metadata(other.join("linked")).unwrap().is_file());
        assert_eq!(
            fs::metadata(other.join("executable")).unwrap().permissions().mode() & 0o111,
            0
        );

        let cut = &layer[..layer.len() - 20];
        let third = outer.path().join("third");
        fs::create_dir(&third).unwrap();
        unpack(cut, &third, Some(&one), &mut UnpackRoom::default()).unwrap_err();
    }

    #[test]
    fn links_in_a_row_cannot_climb_out() {
        use EntryType::{Directory, Symlink};
        let climbing = [
            ("a/b/c", Directory, "", &b""[..]),
            ("a/b/c/top", Symlink, "../../..", b""),
            ("z", Symlink, "a/b/c/top/../..", b""),
        ];
        assert!(matches!(refusal(&climbing), EntryRefusal::Link { .. }));
    }

    #[test]
    fn sizes_and_numbers_are_bounded_before_anything_is_written() {
        let many: Vec<String> = (0..11).map(|number| number.to_string()).collect();
        let many: Vec<_> = many
            .iter()
            .map(|name| (name.as_str(), EntryType::Regular, "", &b""[..]))
            .collect();
        assert_eq!(refusal(&many), EntryRefusal::Files);
        assert_eq!(
            refusal(&[("a", EntryType::Regular, "", &[0; 1001])]),
            EntryRefusal::Bytes
        );
        // A name of many bytes is not read.
        let long = [("a", EntryType::GNULongName, "", &[b'a'; 5000][..])];
        assert!(matches!(refusal(&long), EntryRefusal::Long(_)));
        let mut tail = zstd::Encoder::new(Vec::new(), 1).unwrap();
        tail.write_all(&vec![0; 8 << 20]).unwrap();
        let tail = tail.finish().unwrap();
        assert!(matches!(
            unpacked(&tail),
            Err(UnpackError::Refused(EntryRefusal::Bytes))
        ));
    }

    #[test]
    fn a_layer_that_ends_early_or_is_damaged_is_an_error() {
        let content: Vec<u8> = (0..900_u32)
            .flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes())
            .take(900)
            .collect();
        let whole = layer(&[("a", EntryType::Regular, "", &content)]);
        assert!(unpacked(&whole).is_ok());
        for length in [0, 1, 10, whole.len() / 2, whole.len() - 1] {
            assert!(
                matches!(unpacked(&whole[..length]), Err(UnpackError::Damaged(_))),
                "{length}"
            );
        }
    }

    #[test]
    fn what_is_packed_is_unpacked_as_it_was_and_packs_to_the_same_bytes() {
        let outer = tempfile::tempdir().unwrap();
        let root = outer.path().join("project");
        let long = "deep/".repeat(40);
        for folder in ["src", "empty", &long] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        fs::write(root.join("package.json"), "{}").unwrap();
        fs::write(root.join("src/run.sh"), "#!/bin/sh\n").unwrap();
        fs::write(root.join(&long).join("file"), "deep").unwrap();
        fs::set_permissions(root.join("src/run.sh"), fs::Permissions::from_mode(0o775)).unwrap();
        symlink(format!("{long}file"), root.join("to")).unwrap();
        let packed = |root: &Path, name: &str| {
            let selection = Selection::of(root).unwrap();
            pack(root, &selection.project, "layer", outer.path().join(name)).unwrap()
        };
        let first = packed(&root, "one");
        let again = outer.path().join("again");
        fs::create_dir(&again).unwrap();
        let file = BufReader::new(fs::File::open(&first.file).unwrap());
        unpack(file, &again, None, &mut UnpackRoom::default()).unwrap();
        assert_eq!(fs::read(again.join("to")).unwrap(), b"deep");
        assert!(again.join("empty").is_dir());
        let mode = again.join("src/run.sh").metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o755);
        assert_eq!(packed(&again, "two").descriptor, first.descriptor);
    }
}
