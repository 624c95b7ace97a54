//! The state folder of a project's host: the lock, the control socket, the admin token.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use miette::Diagnostic;

use super::file::ConfigFile;
use crate::supervisor::effective_user;

/// Longer paths do not fit into a socket address (`sun_path`, less room for a terminating zero).
const SOCKET_PATH_MAX: usize = 100;

/// A folder that only this user can enter.
#[derive(Debug, Clone)]
pub struct StateFolder(PathBuf);

/// Why a host cannot use its state folder.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum StateError {
    #[error("cannot write to the state folder {path}: {error}", path = .path.display())]
    #[diagnostic(help("Make it writable, or name another one with --state-dir or BATON_STATE_DIR."))]
    Unwritable { path: PathBuf, error: io::Error },
    #[error(
        "the state folder {path} is that of the user with the id {owner}, and this process runs as {own}",
        path = .path.display()
    )]
    #[diagnostic(help("Start it as that user (sudo -u), or name another folder with --state-dir or BATON_STATE_DIR."))]
    Foreign { path: PathBuf, owner: u32, own: u32 },
    #[error("this project already has a host, {owner} (state folder {path})", path = .path.display())]
    #[diagnostic(help("Use it: `baton reload`, `baton status`. Or end it first."))]
    Taken { path: PathBuf, owner: String },
    #[error("neither HOME nor XDG_STATE_HOME says where state is kept")]
    #[diagnostic(help("Name a folder with --state-dir or BATON_STATE_DIR."))]
    NoHome,
}

impl StateError {
    /// Whether trying again leads to the same.
    #[must_use]
    pub fn is_lasting(&self) -> bool {
        match self {
            Self::Foreign { .. } | Self::NoHome => true,
            Self::Unwritable { error, .. } => error.kind() == io::ErrorKind::PermissionDenied,
            Self::Taken { .. } => false,
        }
    }
}

/// Held by the project's host, or its supervisor, for as long as it runs.
#[derive(Debug)]
pub struct Lock {
    file: File,
    last_seen: Option<SystemTime>,
}

impl Lock {
    /// When the one before this was known to run, by the clock of that time.
    #[must_use]
    pub const fn last_seen(&self) -> Option<SystemTime> {
        self.last_seen
    }

    /// It runs still.
    pub fn touch(&self) {
        // Only so that a clock that is set back is noticed.
        let _ = self.file.set_modified(SystemTime::now());
    }

    /// Goes on holding what an earlier program of this process has taken.
    #[must_use]
    pub fn adopt(descriptor: OwnedFd) -> Self {
        Self {
            file: File::from(descriptor),
            last_seen: None,
        }
    }
}

impl AsRawFd for Lock {
    fn as_raw_fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }
}

impl StateFolder {
    /// The folder that was named, else the project's own below `$XDG_STATE_HOME/baton`
    /// (`~/.local/state/baton`).
    ///
    /// # Errors
    /// When neither is known.
    pub fn of(root: &Path, named: Option<PathBuf>) -> Result<Self, StateError> {
        if let Some(named) = named {
            return Ok(Self(named));
        }
        let variable = |name: &str| {
            std::env::var_os(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        let home = variable("XDG_STATE_HOME").or_else(|| Some(variable("HOME")?.join(".local/state")));
        let name = root
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        // Two projects of one name are told apart by where they are.
        let place = blake3::hash(root.as_os_str().as_encoded_bytes()).to_hex();
        let folder = format!("{name}-{}", &place[..8]);
        Ok(Self(home.ok_or(StateError::NoHome)?.join("baton").join(folder)))
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Makes the folder, and makes sure that this process is the project's only host.
    ///
    /// # Errors
    /// When it cannot be written to, or another host runs.
    pub fn lock(&self) -> Result<Lock, StateError> {
        let unwritable = |error| StateError::Unwritable {
            path: self.0.clone(),
            error,
        };
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.0)
            .map_err(unwritable)?;
        let path = self.0.join("lock");
        self.check_owner(&path)?;
        let last_seen = path.metadata().and_then(|lock| lock.modified()).ok();
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(unwritable)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut owner = String::new();
                let _ = file.read_to_string(&mut owner);
                let owner = owner.trim();
                return Err(StateError::Taken {
                    path: self.0.clone(),
                    owner: if owner.is_empty() {
                        "of an unknown process".to_owned()
                    } else {
                        format!("process {owner}")
                    },
                });
            }
            Err(TryLockError::Error(error)) => return Err(unwritable(error)),
        }
        file.set_len(0).map_err(unwritable)?;
        file.rewind().map_err(unwritable)?;
        writeln!(file, "{}", std::process::id()).map_err(unwritable)?;
        self.forget_dead_sockets();
        Ok(Lock { file, last_seen })
    }

    /// What another user's host wrote here, it must be able to write again. (The folder itself may
    /// be somebody else's: that of a volume, for example.)
    fn check_owner(&self, lock: &Path) -> Result<(), StateError> {
        let own = effective_user();
        let owner = match lock.metadata() {
            Ok(lock) => lock.uid(),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                self.0.metadata().map_or(own, |folder| folder.uid())
            }
            Err(_) => own,
        };
        if owner == own {
            return Ok(());
        }
        Err(StateError::Foreign {
            path: self.0.clone(),
            owner,
            own,
        })
    }

    /// Removes the control sockets of hosts that were killed.
    fn forget_dead_sockets(&self) {
        for entry in std::fs::read_dir(&self.0).into_iter().flatten().flatten() {
            let path = entry.path();
            let of_a_host = path.extension().is_some_and(|kind| kind == "sock" || kind == "link")
                && path
                    .file_stem()
                    .is_some_and(|name| name.as_encoded_bytes().iter().all(u8::is_ascii_digit));
            if of_a_host && UnixStream::connect(&path).is_err() {
                let _ = std::fs::remove_file(path);
            }
        }
    }

    /// Where the control socket is: in the folder, or, when that path is too long for a socket,
    /// in the folder for temporary files under a name of its own.
    #[must_use]
    pub fn control_socket(&self) -> PathBuf {
        let socket = self.0.join("control.sock");
        if socket.as_os_str().len() <= SOCKET_PATH_MAX {
            return socket;
        }
        let place = blake3::hash(self.0.as_os_str().as_encoded_bytes()).to_hex();
        std::env::temp_dir().join(format!("baton-{}.sock", &place[..16]))
    }

    /// The admin token; made now if there is none.
    ///
    /// # Errors
    /// When it cannot be read or written.
    pub fn admin_token(&self) -> Result<String, StateError> {
        let path = self.0.join("admin-token");
        let unwritable = |error| StateError::Unwritable {
            path: self.0.clone(),
            error,
        };
        match std::fs::read_to_string(&path) {
            Ok(token) if !token.trim().is_empty() => return Ok(token.trim().to_owned()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(unwritable(error)),
        }
        let mut secret = [0_u8; 32];
        getrandom::fill(&mut secret).map_err(|error| unwritable(io::Error::other(error)))?;
        let token: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(path).map_err(unwritable)?;
        writeln!(file, "{token}").map_err(unwritable)?;
        Ok(token)
    }
}

/// The control socket of the host whose project holds the folder: the folder itself or the nearest
/// one above it that has a host running.
#[must_use]
pub fn find_running(folder: &Path, named: Option<PathBuf>) -> Option<PathBuf> {
    let answers = |socket: &PathBuf| UnixStream::connect(socket).is_ok();
    if named.is_some() {
        return StateFolder::of(folder, named)
            .ok()
            .map(|state| state.control_socket())
            .filter(answers);
    }
    let canonical = folder.canonicalize().ok()?;
    let folders = folder.ancestors().chain(canonical.ancestors());
    let candidates = folders.filter_map(|root| {
        let configured = ConfigFile::read(root).ok().and_then(|file| file.state_dir);
        StateFolder::of(root, configured.map(|folder| root.join(folder))).ok()
    });
    candidates.map(|state| state.control_socket()).find(answers)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    use super::{SOCKET_PATH_MAX, StateError, StateFolder, find_running};

    #[test]
    fn a_folder_is_locked_by_one_host_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateFolder(folder.path().join("state"));
        let lock = state.lock().unwrap();
        let taken = state.lock().unwrap_err();
        assert!(matches!(&taken, StateError::Taken { owner, .. } if owner.contains(&std::process::id().to_string())));
        drop(lock);
        assert!(state.lock().is_ok());
    }

    #[test]
    fn the_token_is_made_once_and_only_its_owner_may_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateFolder(folder.path().to_owned());
        let token = state.admin_token().unwrap();
        assert_eq!(token.len(), 64);
        assert_eq!(state.admin_token().unwrap(), token);
        let mode = folder
            .path()
            .join("admin-token")
            .metadata()
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn commands_find_a_host_whose_baton_toml_names_its_state_folder() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let below = root.join("src/functions");
        std::fs::create_dir_all(&below).unwrap();
        std::fs::create_dir(root.join("state")).unwrap();
        std::fs::write(root.join("baton.toml"), "state_dir = \"state\"").unwrap();
        assert_eq!(find_running(&below, None), None, "nobody listens");
        let socket = root.join("state/control.sock");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        assert_eq!(find_running(&below, None), Some(socket));
    }

    #[test]
    fn a_folder_too_deep_for_a_socket_has_it_elsewhere() {
        let deep = StateFolder(Path::new("/").join("deep/".repeat(40)));
        assert!(deep.control_socket().as_os_str().len() <= SOCKET_PATH_MAX);
    }
}
