//! Makes isolates, for loads and for later.

use std::path::PathBuf;
use std::sync::Arc;

use js_runtime_api::{Entry, LoadError, LoadErrorKind, MemoryLimits, Reach, Sources as _};
use tempfile::TempDir;

use crate::ahead::AheadModules;
use crate::built_in::BuiltIns;
use crate::isolate::{self, BootedIsolate, EndingIsolates, Spec};
use crate::source::caches::Caches;
use crate::source::snapshot::SourceSnapshot;
use crate::startup_snapshot::StartupSnapshot;

/// The parts of which isolates are made, whatever they are for.
pub(crate) struct IsolateMaker {
    pub(crate) startup: StartupSnapshot,
    pub(crate) caches: Arc<Caches>,
    pub(crate) built_ins: Arc<BuiltIns>,
    pub(crate) deno_dir: PathBuf,
    pub(crate) left_behind: Arc<EndingIsolates>,
}

impl IsolateMaker {
    /// Has an isolate begin.
    ///
    /// # Errors
    /// When the command that prints variables fails, or the system has no room for it.
    pub(crate) async fn begin(
        &self,
        sources: Arc<SourceSnapshot>,
        (memory, reach): (MemoryLimits, Reach),
        ahead: AheadModules,
        name: &str,
    ) -> Result<BootedIsolate, LoadError> {
        let obtained = tokio::task::spawn_blocking({
            let sources = sources.clone();
            move || sources.obtain_secrets()
        });
        match obtained.await {
            Ok(obtained) => obtained?,
            Err(panicked) => return Err(LoadError::bug(format!("secret_command did not finish: {panicked}"))),
        }
        let sockets = match sources.project().entry {
            Entry::Folder(_) => None,
            Entry::File(_) => {
                let made = socket_folder();
                Some(made.map_err(|failed| LoadError {
                    kind: LoadErrorKind::System,
                    message: format!("cannot make a folder for the isolate's sockets: {failed}"),
                    help: Some(
                        "Make the folder for temporary files writable, or name another one with TMPDIR.".to_owned(),
                    ),
                    ..LoadError::default()
                })?)
            }
        };
        let spec = Spec {
            sources,
            caches: self.caches.clone(),
            built_ins: self.built_ins.clone(),
            startup: self.startup,
            deno_dir: self.deno_dir.clone(),
            memory,
            reach,
            ahead,
            sockets,
        };
        isolate::begin(spec, name, self.left_behind.clone())
    }
}

/// Makes a folder of this user's alone, for an isolate's sockets. A socket's path may have a hundred bytes and no
/// more, which leaves out many a `TMPDIR`.
fn socket_folder() -> std::io::Result<TempDir> {
    const LONGEST: usize = 70;
    let usual = std::env::temp_dir();
    let folder = if usual.as_os_str().len() > LONGEST {
        PathBuf::from("/tmp")
    } else {
        usual
    };
    tempfile::Builder::new().prefix("baton-").tempdir_in(folder)
}
