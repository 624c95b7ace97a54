//! Packs files into a layer: tar and zstd, to a file, hashed on the way. The same files give the same bytes on each
//! machine: they are sorted, and have neither times nor owners.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Read as _, Write as _};
use std::path::{Path, PathBuf};

use tar::{Builder, EntryType, Header};

use super::artefact::Descriptor;
use super::digest::HashingWriter;
use super::selection::FileKind;

/// The level of zstd: higher ones take much longer for little.
const LEVEL: i32 = 6;
/// The logarithm of the bytes that are looked back at, which whoever unpacks keeps in memory.
pub const WINDOW_LOG: u32 = 22;

/// A layer in a file.
#[derive(Debug)]
pub struct PackedLayer {
    pub descriptor: Descriptor,
    pub file: PathBuf,
    /// The bytes of its files.
    pub unpacked: u64,
}

/// The reason why files cannot be packed.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    #[error("cannot read {path}: {error}", path = .path.display())]
    Unreadable { path: PathBuf, error: io::Error },
    #[error("{path} changed while it was read", path = .0.display())]
    Changed(PathBuf),
    #[error("cannot write {path}: {error}", path = .path.display())]
    Unwritable { path: PathBuf, error: io::Error },
}

/// Packs the files, whose paths are relative to the root, into a file.
///
/// # Errors
/// When a file cannot be read, or the disk is full.
pub fn pack(
    root: &Path,
    files: &BTreeMap<PathBuf, FileKind>,
    media_type: &str,
    file: PathBuf,
) -> Result<PackedLayer, PackError> {
    let unwritable = |error| PackError::Unwritable {
        path: file.clone(),
        error,
    };
    let open = File::create(&file).map_err(unwritable)?;
    let compressed = compressor(HashingWriter::new(BufWriter::new(open))).map_err(unwritable)?;
    let mut tar = Builder::new(compressed);
    let mut unpacked = 0;
    for (relative, kind) in files {
        let mut header = Header::new_gnu();
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(0);
        match kind {
            FileKind::Folder => {
                header.set_entry_type(EntryType::Directory);
                header.set_mode(0o755);
                tar.append_data(&mut header, relative, io::empty())
                    .map_err(unwritable)?;
            }
            FileKind::Link(target) => {
                header.set_entry_type(EntryType::Symlink);
                header.set_mode(0o777);
                tar.append_link(&mut header, relative, target).map_err(unwritable)?;
            }
            FileKind::File { is_executable } => {
                let path = root.join(relative);
                let unreadable = |error| PackError::Unreadable {
                    path: path.clone(),
                    error,
                };
                let mut source = File::open(&path).map_err(unreadable)?;
                let size = source.metadata().map_err(unreadable)?.len();
                header.set_entry_type(EntryType::Regular);
                header.set_mode(if *is_executable { 0o755 } else { 0o644 });
                header.set_size(size);
                unpacked += size;
                let mut content = CountedReader {
                    inner: (&mut source).take(size),
                    left: size,
                };
                let appended = tar.append_data(&mut header, relative, &mut content);
                if content.left > 0 || source.read(&mut [0]).map_err(unreadable)? > 0 {
                    return Err(PackError::Changed(path));
                }
                appended.map_err(unwritable)?;
            }
        }
    }
    let compressed = tar.into_inner().map_err(unwritable)?;
    let (mut written, digest, size) = compressed.finish().map_err(unwritable)?.finish();
    written.flush().map_err(unwritable)?;
    let descriptor = Descriptor {
        media_type: media_type.to_owned(),
        digest,
        size,
    };
    Ok(PackedLayer {
        descriptor,
        file,
        unpacked,
    })
}

fn compressor<W: io::Write>(inner: W) -> io::Result<zstd::Encoder<'static, W>> {
    let mut encoder = zstd::Encoder::new(inner, LEVEL)?;
    encoder.window_log(WINDOW_LOG)?;
    encoder.include_checksum(true)?;
    Ok(encoder)
}

/// A reader that notes how much is left.
struct CountedReader<R> {
    inner: R,
    left: u64,
}

impl<R: io::Read> io::Read for CountedReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.left -= read as u64;
        Ok(read)
    }
}
