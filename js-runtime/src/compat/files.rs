//! The file system as an isolate's user code has it: the machine's, with a witness of questions and writes.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use async_trait::async_trait;
use deno_runtime::deno_fs::{FileSystem, FsDirEntry, FsFileType, FsReadDirRc, OpenOptions, RealFs};
use deno_runtime::deno_io::fs::{File, FsResult, FsStat, FsStatFs};
use deno_runtime::deno_permissions::{CheckedPath, CheckedPathBuf, OpenAccessKind};

use super::witness::{look, write};
use crate::source::looks::Question;

/// The file system of the module's documentation. It does as [`RealFs`] does.
#[derive(Debug)]
pub(crate) struct WitnessedFiles;

/// Notes that a file is opened, with its options.
fn opened(path: &Path, options: OpenOptions) {
    match options.access_kind() {
        OpenAccessKind::Read | OpenAccessKind::ReadNoFollow => look(path, Question::Content),
        _ => write(path),
    }
}

#[async_trait(?Send)]
impl FileSystem for WitnessedFiles {
    fn cwd(&self) -> FsResult<PathBuf> {
        RealFs.cwd()
    }

    fn tmp_dir(&self) -> FsResult<PathBuf> {
        RealFs.tmp_dir()
    }

    fn chdir(&self, path: &CheckedPath<'_>) -> FsResult<()> {
        RealFs.chdir(path)
    }

    fn umask(&self, mask: Option<u32>) -> FsResult<u32> {
        RealFs.umask(mask)
    }

    fn open_sync(&self, path: &CheckedPath<'_>, options: OpenOptions) -> FsResult<Rc<dyn File>> {
        opened(path, options);
        RealFs.open_sync(path, options)
    }

    async fn open_async<'a>(&'a self, path: CheckedPathBuf, options: OpenOptions) -> FsResult<Rc<dyn File>> {
        opened(&path, options);
        RealFs.open_async(path, options).await
    }

    fn mkdir_sync(&self, path: &CheckedPath<'_>, recursive: bool, mode: Option<u32>) -> FsResult<()> {
        write(path);
        RealFs.mkdir_sync(path, recursive, mode)
    }

    async fn mkdir_async(&self, path: CheckedPathBuf, recursive: bool, mode: Option<u32>) -> FsResult<()> {
        write(&path);
        RealFs.mkdir_async(path, recursive, mode).await
    }

    fn chmod_sync(&self, path: &CheckedPath<'_>, mode: u32) -> FsResult<()> {
        write(path);
        RealFs.chmod_sync(path, mode)
    }

    async fn chmod_async(&self, path: CheckedPathBuf, mode: u32) -> FsResult<()> {
        write(&path);
        RealFs.chmod_async(path, mode).await
    }

    fn chown_sync(&self, path: &CheckedPath<'_>, uid: Option<u32>, gid: Option<u32>) -> FsResult<()> {
        write(path);
        RealFs.chown_sync(path, uid, gid)
    }

    async fn chown_async(&self, path: CheckedPathBuf, uid: Option<u32>, gid: Option<u32>) -> FsResult<()> {
        write(&path);
        RealFs.chown_async(path, uid, gid).await
    }

    fn lchmod_sync(&self, path: &CheckedPath<'_>, mode: u32) -> FsResult<()> {
        write(path);
        RealFs.lchmod_sync(path, mode)
    }

    async fn lchmod_async(&self, path: CheckedPathBuf, mode: u32) -> FsResult<()> {
        write(&path);
        RealFs.lchmod_async(path, mode).await
    }

    fn lchown_sync(&self, path: &CheckedPath<'_>, uid: Option<u32>, gid: Option<u32>) -> FsResult<()> {
        write(path);
        RealFs.lchown_sync(path, uid, gid)
    }

    async fn lchown_async(&self, path: CheckedPathBuf, uid: Option<u32>, gid: Option<u32>) -> FsResult<()> {
        write(&path);
        RealFs.lchown_async(path, uid, gid).await
    }

    fn remove_sync(&self, path: &CheckedPath<'_>, recursive: bool) -> FsResult<()> {
        write(path);
        RealFs.remove_sync(path, recursive)
    }

    async fn remove_async(&self, path: CheckedPathBuf, recursive: bool) -> FsResult<()> {
        write(&path);
        RealFs.remove_async(path, recursive).await
    }

    fn copy_file_sync(&self, from: &CheckedPath<'_>, to: &CheckedPath<'_>) -> FsResult<()> {
        look(from, Question::Content);
        write(to);
        RealFs.copy_file_sync(from, to)
    }

    async fn copy_file_async(&self, from: CheckedPathBuf, to: CheckedPathBuf) -> FsResult<()> {
        look(&from, Question::Content);
        write(&to);
        RealFs.copy_file_async(from, to).await
    }

    fn cp_sync(&self, from: &CheckedPath<'_>, to: &CheckedPath<'_>) -> FsResult<()> {
        look(from, Question::Content);
        write(to);
        RealFs.cp_sync(from, to)
    }

    async fn cp_async(&self, from: CheckedPathBuf, to: CheckedPathBuf) -> FsResult<()> {
        look(&from, Question::Content);
        write(&to);
        RealFs.cp_async(from, to).await
    }

    fn stat_sync(&self, path: &CheckedPath<'_>) -> FsResult<FsStat> {
        look(path, Question::Metadata);
        RealFs.stat_sync(path)
    }

    async fn stat_async(&self, path: CheckedPathBuf) -> FsResult<FsStat> {
        look(&path, Question::Metadata);
        RealFs.stat_async(path).await
    }

    fn lstat_sync(&self, path: &CheckedPath<'_>) -> FsResult<FsStat> {
        look(path, Question::Metadata);
        RealFs.lstat_sync(path)
    }

    async fn lstat_async(&self, path: CheckedPathBuf) -> FsResult<FsStat> {
        look(&path, Question::Metadata);
        RealFs.lstat_async(path).await
    }

    fn statfs_sync(&self, path: &CheckedPath<'_>, bigint: bool) -> FsResult<FsStatFs> {
        look(path, Question::Existence);
        RealFs.statfs_sync(path, bigint)
    }

    async fn statfs_async(&self, path: CheckedPathBuf, bigint: bool) -> FsResult<FsStatFs> {
        look(&path, Question::Existence);
        RealFs.statfs_async(path, bigint).await
    }

    fn realpath_sync(&self, path: &CheckedPath<'_>) -> FsResult<PathBuf> {
        look(path, Question::Target);
        RealFs.realpath_sync(path)
    }

    async fn realpath_async(&self, path: CheckedPathBuf) -> FsResult<PathBuf> {
        look(&path, Question::Target);
        RealFs.realpath_async(path).await
    }

    fn read_dir_sync(&self, path: &CheckedPath<'_>) -> FsResult<Vec<FsDirEntry>> {
        look(path, Question::Names);
        RealFs.read_dir_sync(path)
    }

    async fn read_dir_async(&self, path: CheckedPathBuf) -> FsResult<FsReadDirRc> {
        look(&path, Question::Names);
        RealFs.read_dir_async(path).await
    }

    fn rename_sync(&self, from: &CheckedPath<'_>, to: &CheckedPath<'_>) -> FsResult<()> {
        write(from);
        write(to);
        RealFs.rename_sync(from, to)
    }

    async fn rename_async(&self, from: CheckedPathBuf, to: CheckedPathBuf) -> FsResult<()> {
        write(&from);
        write(&to);
        RealFs.rename_async(from, to).await
    }

    fn rmdir_sync(&self, path: &CheckedPath<'_>) -> FsResult<()> {
        write(path);
        RealFs.rmdir_sync(path)
    }

    async fn rmdir_async(&self, path: CheckedPathBuf) -> FsResult<()> {
        write(&path);
        RealFs.rmdir_async(path).await
    }

    fn link_sync(&self, from: &CheckedPath<'_>, to: &CheckedPath<'_>) -> FsResult<()> {
        look(from, Question::Existence);
        write(to);
        RealFs.link_sync(from, to)
    }

    async fn link_async(&self, from: CheckedPathBuf, to: CheckedPathBuf) -> FsResult<()> {
        look(&from, Question::Existence);
        write(&to);
        RealFs.link_async(from, to).await
    }

    fn symlink_sync(
        &self,
        from: &CheckedPath<'_>,
        to: &CheckedPath<'_>,
        file_type: Option<FsFileType>,
    ) -> FsResult<()> {
        look(from, Question::Existence);
        write(to);
        RealFs.symlink_sync(from, to, file_type)
    }

    async fn symlink_async(
        &self,
        from: CheckedPathBuf,
        to: CheckedPathBuf,
        file_type: Option<FsFileType>,
    ) -> FsResult<()> {
        look(&from, Question::Existence);
        write(&to);
        RealFs.symlink_async(from, to, file_type).await
    }

    fn read_link_sync(&self, path: &CheckedPath<'_>) -> FsResult<PathBuf> {
        look(path, Question::Target);
        RealFs.read_link_sync(path)
    }

    async fn read_link_async(&self, path: CheckedPathBuf) -> FsResult<PathBuf> {
        look(&path, Question::Target);
        RealFs.read_link_async(path).await
    }

    fn truncate_sync(&self, path: &CheckedPath<'_>, length: u64) -> FsResult<()> {
        write(path);
        RealFs.truncate_sync(path, length)
    }

    async fn truncate_async(&self, path: CheckedPathBuf, length: u64) -> FsResult<()> {
        write(&path);
        RealFs.truncate_async(path, length).await
    }

    fn utime_sync(
        &self,
        path: &CheckedPath<'_>,
        atime_secs: i64,
        atime_nanos: u32,
        mtime_secs: i64,
        mtime_nanos: u32,
    ) -> FsResult<()> {
        write(path);
        RealFs.utime_sync(path, atime_secs, atime_nanos, mtime_secs, mtime_nanos)
    }

    async fn utime_async(
        &self,
        path: CheckedPathBuf,
        atime_secs: i64,
        atime_nanos: u32,
        mtime_secs: i64,
        mtime_nanos: u32,
    ) -> FsResult<()> {
        write(&path);
        RealFs
            .utime_async(path, atime_secs, atime_nanos, mtime_secs, mtime_nanos)
            .await
    }

    fn lutime_sync(
        &self,
        path: &CheckedPath<'_>,
        atime_secs: i64,
        atime_nanos: u32,
        mtime_secs: i64,
        mtime_nanos: u32,
    ) -> FsResult<()> {
        write(path);
        RealFs.lutime_sync(path, atime_secs, atime_nanos, mtime_secs, mtime_nanos)
    }

    async fn lutime_async(
        &self,
        path: CheckedPathBuf,
        atime_secs: i64,
        atime_nanos: u32,
        mtime_secs: i64,
        mtime_nanos: u32,
    ) -> FsResult<()> {
        write(&path);
        RealFs
            .lutime_async(path, atime_secs, atime_nanos, mtime_secs, mtime_nanos)
            .await
    }

    fn write_file_sync(&self, path: &CheckedPath<'_>, options: OpenOptions, data: &[u8]) -> FsResult<()> {
        write(path);
        RealFs.write_file_sync(path, options, data)
    }

    async fn write_file_async<'a>(
        &'a self,
        path: CheckedPathBuf,
        options: OpenOptions,
        data: Box<[u8]>,
    ) -> FsResult<()> {
        write(&path);
        RealFs.write_file_async(path, options, data).await
    }

    fn read_file_sync(&self, path: &CheckedPath<'_>, options: OpenOptions) -> FsResult<Cow<'static, [u8]>> {
        opened(path, options);
        RealFs.read_file_sync(path, options)
    }

    async fn read_file_async<'a>(&'a self, path: CheckedPathBuf, options: OpenOptions) -> FsResult<Cow<'static, [u8]>> {
        opened(&path, options);
        RealFs.read_file_async(path, options).await
    }

    fn exists_sync(&self, path: &CheckedPath<'_>) -> bool {
        look(path, Question::Existence);
        RealFs.exists_sync(path)
    }

    async fn exists_async(&self, path: CheckedPathBuf) -> FsResult<bool> {
        look(&path, Question::Existence);
        RealFs.exists_async(path).await
    }
}
