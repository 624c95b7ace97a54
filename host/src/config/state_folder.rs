//! The state folder of a project's host: the lock, the control socket, the admin token.

use std::ffi::OsString;
use std::fs::{File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use js_runtime_api::ownership::{self, OwnershipError};
use miette::Diagnostic;

use super::config_file::ConfigFile;
use crate::posix::effective_user;

const CONTROL_SOCKET: &str = "control.sock";
const ADMIN_TOKEN: &str = "admin-token";
/// The file with the name of the folder for sockets, where the state folder's path is too long.
const SOCKET_FOLDER: &str = "socket-folder";
/// The length of the shortest token. Shorter tokens could be guessed.
const SHORTEST_TOKEN: usize = 32;

/// The length of the longest path that fits into a socket address (`sun_path`, less room for a terminating zero).
const SOCKET_PATH_MAX: usize = 100;

/// A folder that only this user can enter.
#[derive(Debug, Clone)]
pub struct StateFolder(PathBuf);

/// The reason why a host cannot use its state folder.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum StateError {
    #[error("cannot write to the state folder {path}: {error}", path = .path.display())]
    #[diagnostic(help("Make it writable, or name another one with --state-dir or BATON_STATE_DIR."))]
    Unwritable { path: PathBuf, error: io::Error },
    #[error(
        "the state folder {path} belongs to the user with the id {owner}, and this process runs as {own}",
        path = .path.display()
    )]
    #[diagnostic(help("Start it as that user (sudo -u), or name another folder with --state-dir or BATON_STATE_DIR."))]
    Foreign { path: PathBuf, owner: u32, own: u32 },
    #[error("this project already has a host, {owner} (state folder {path})", path = .path.display())]
    #[diagnostic(help("Use that host (`baton reload`, `baton status`), or end it first."))]
    Taken { path: PathBuf, owner: String },
    #[error("cannot close the state folder {path}, to which other users may write: {error}", path = .path.display())]
    #[diagnostic(help("Run `chmod go-w {}`, or name another one with --state-dir or BATON_STATE_DIR.", .path.display()))]
    Open { path: PathBuf, error: io::Error },
    #[error("the admin token is not safe: {0}")]
    #[diagnostic(help("Remove the file: the host makes another token, which only its owner can read."))]
    Token(OwnershipError),
    #[error("the admin token in {path} has only {length} characters, and could be guessed", path = .path.display())]
    #[diagnostic(help("Write {SHORTEST_TOKEN} or more characters into it, or remove it: the host makes another."))]
    ShortToken { path: PathBuf, length: usize },
    #[error(
        "the path of the state folder {path} is too long for a socket, and no other folder can be used: {error}",
        path = .path.display()
    )]
    #[diagnostic(help("Name a shorter one with --state-dir or BATON_STATE_DIR."))]
    NoSocketFolder { path: PathBuf, error: io::Error },
    #[error("cannot find a state folder: neither HOME nor XDG_STATE_HOME is set")]
    #[diagnostic(help("Name a folder with --state-dir or BATON_STATE_DIR."))]
    NoHome,
}

impl StateError {
    /// Tells whether another try fails in the same way.
    #[must_use]
    pub fn is_lasting(&self) -> bool {
        match self {
            Self::Foreign { .. } | Self::NoHome | Self::Open { .. } | Self::Token(_) | Self::ShortToken { .. } => true,
            Self::Unwritable { error, .. } => error.kind() == io::ErrorKind::PermissionDenied,
            Self::Taken { .. } | Self::NoSocketFolder { .. } => false,
        }
    }
}

/// The lock that the project's host, or its supervisor, holds for as long as it runs.
#[derive(Debug)]
pub struct Lock {
    file: File,
    last_seen: Option<SystemTime>,
}

impl Lock {
    /// The time at which the host before this one was last known to run, by the clock of that time.
    #[must_use]
    pub const fn last_seen(&self) -> Option<SystemTime> {
        self.last_seen
    }

    /// Notes that this host still runs.
    pub fn touch(&self) {
        // The time serves only to notice a clock that is set back.
        let _ = self.file.set_modified(SystemTime::now());
    }

    /// Goes on holding the lock that an earlier program of this process has taken.
    #[must_use]
    pub fn adopt(descriptor: OwnedFd) -> Self {
        Self {
            file: File::from(descriptor),
            last_seen: None,
        }
    }
}

impl AsFd for Lock {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl StateFolder {
    /// Returns the folder that was named, else the project's own below `$XDG_STATE_HOME/baton`
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
        // The place of a project tells it from another one of the same name.
        let place = blake3::hash(root.as_os_str().as_encoded_bytes()).to_hex();
        let folder = format!("{name}-{}", &place[..8]);
        Ok(Self(home.ok_or(StateError::NoHome)?.join("baton").join(folder)))
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Makes the folder, and ensures that this process is the project's only host.
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
        self.close_to_others()?;
        let last_seen = path.metadata().and_then(|lock| lock.modified()).ok();
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            // A user who can read the file could take the lock.
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW)
            .open(path)
            .map_err(unwritable)?;
        file.set_permissions(Permissions::from_mode(0o600))
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
                        "an unknown process".to_owned()
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
        self.make_socket_folder()?;
        self.forget_dead_sockets();
        Ok(Lock { file, last_seen })
    }

    /// Refuses a folder in which another user's host wrote: that host must be able to write there again. (The folder
    /// itself may be root's: that of a volume, for example.)
    fn check_owner(&self, lock: &Path) -> Result<(), StateError> {
        let own = effective_user();
        let owner = match lock.metadata() {
            Ok(lock) => lock.uid(),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                self.0.metadata().map_or(own, |folder| folder.uid())
            }
            Err(_) => match self.0.metadata().map_or(own, |folder| folder.uid()) {
                0 => own,
                owner => owner,
            },
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

    /// Takes the right to write from all other users, who could put a socket or a token of their own here.
    fn close_to_others(&self) -> Result<(), StateError> {
        let Ok(folder) = self.0.metadata() else {
            return Ok(());
        };
        let (mode, path) = (folder.mode(), &self.0);
        if mode & 0o022 == 0 {
            return Ok(());
        }
        if folder.uid() == effective_user() {
            let closed = std::fs::set_permissions(path, Permissions::from_mode(mode & 0o7755));
            return closed.map_err(|error| StateError::Open {
                path: path.clone(),
                error,
            });
        }
        // A volume may be made like that, where there are no other users.
        if mode & 0o1002 == 0o002 {
            tracing::warn!(folder = %path.display(), "every user of this machine may write to the state folder");
        }
        Ok(())
    }

    /// Removes the control sockets of hosts that were killed.
    fn forget_dead_sockets(&self) {
        let shared = self.control_socket();
        let folder = shared.parent().map(std::fs::read_dir);
        for entry in folder.into_iter().flatten().flatten().flatten() {
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

    /// Returns the place of the control socket: in the folder, or, when that path is too long for a socket, in a
    /// folder that was made for the socket and whose name is kept here.
    #[must_use]
    pub fn control_socket(&self) -> PathBuf {
        let socket = self.0.join(CONTROL_SOCKET);
        if socket.as_os_str().len() <= SOCKET_PATH_MAX {
            return socket;
        }
        self.socket_folder()
            .map_or(socket, |folder| folder.join(CONTROL_SOCKET))
    }

    /// Returns the folder for sockets that was made, if it belongs to this user alone.
    fn socket_folder(&self) -> Option<PathBuf> {
        let mut path = Vec::new();
        let record = ownership::open(&self.0.join(SOCKET_FOLDER)).ok()?;
        record.take(4096).read_to_end(&mut path).ok()?;
        let folder = PathBuf::from(OsString::from_vec(path));
        let metadata = folder.symlink_metadata().ok()?;
        (metadata.is_dir() && ownership::check(&folder, &metadata).is_ok()).then_some(folder)
    }

    /// Makes the folder for sockets, where one is needed and there is none.
    ///
    /// # Errors
    /// When it cannot be made, or its name cannot be kept.
    pub fn make_socket_folder(&self) -> Result<(), StateError> {
        if self.control_socket().as_os_str().len() <= SOCKET_PATH_MAX {
            return Ok(());
        }
        let failed = |error| StateError::NoSocketFolder {
            path: self.0.clone(),
            error,
        };
        let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        let runtime = runtime.filter(|folder| folder.is_absolute());
        let places = [runtime, Some(std::env::temp_dir())].into_iter().flatten();
        let mut made = Err(io::Error::other("there is no folder for temporary files"));
        for place in places {
            // Its name cannot be guessed, and only this user can enter it.
            made = tempfile::Builder::new()
                .prefix("baton-")
                .permissions(Permissions::from_mode(0o700))
                .tempdir_in(place);
            if made
                .as_ref()
                .is_ok_and(|folder| folder.path().as_os_str().len() + 16 <= SOCKET_PATH_MAX)
            {
                break;
            }
        }
        let folder = made.map_err(failed)?;
        let path = folder.path().as_os_str().as_bytes().to_vec();
        self.write_secret(SOCKET_FOLDER, &path).map_err(failed)?;
        // Nobody removes the folder with its last socket: the next host uses the folder again.
        let _ = folder.keep();
        Ok(())
    }

    /// Writes a file that only this user can read, whole or not at all.
    fn write_secret(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(&self.0)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(self.0.join(name))?;
        Ok(())
    }

    /// Returns the admin token; makes one if there is none.
    ///
    /// # Errors
    /// When it cannot be read or written, or when somebody else may have written or read it.
    pub fn admin_token(&self) -> Result<String, StateError> {
        let path = self.0.join(ADMIN_TOKEN);
        let unwritable = |error| StateError::Unwritable {
            path: self.0.clone(),
            error,
        };
        let mut token = String::new();
        match ownership::open_secret(&path) {
            Ok(file) => {
                file.take(4096).read_to_string(&mut token).map_err(unwritable)?;
            }
            Err(missing) if missing.is_missing() => {}
            Err(OwnershipError::Unusable(_, error)) => return Err(unwritable(error)),
            // An empty file holds no secret that others may know.
            Err(OwnershipError::Readable(_)) if path.metadata().is_ok_and(|file| file.len() == 0) => {}
            Err(unsafe_file) => return Err(StateError::Token(unsafe_file)),
        }
        match token.trim() {
            "" => {}
            short if short.len() < SHORTEST_TOKEN => {
                let length = short.len();
                return Err(StateError::ShortToken { path, length });
            }
            token => return Ok(token.to_owned()),
        }
        let mut secret = [0_u8; 32];
        getrandom::fill(&mut secret).map_err(|error| unwritable(io::Error::other(error)))?;
        let token: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
        self.write_secret(ADMIN_TOKEN, format!("{token}\n").as_bytes())
            .map_err(unwritable)?;
        Ok(token)
    }
}

/// The control socket of the host whose project holds the folder: the folder itself or the nearest
/// one above it that has a host running.
#[must_use]
pub fn find_running(folder: &Path, named: Option<PathBuf>) -> Option<PathBuf> {
    find_running_state(folder, named).map(|state| state.control_socket())
}

/// The state folder of the host that [`find_running`] finds.
#[must_use]
pub fn find_running_state(folder: &Path, named: Option<PathBuf>) -> Option<StateFolder> {
    let runs = |state: &StateFolder| {
        let socket = state.control_socket();
        is_believed(&socket) && UnixStream::connect(&socket).is_ok()
    };
    if named.is_some() {
        return StateFolder::of(folder, named).ok().filter(runs);
    }
    let canonical = folder.canonicalize().ok()?;
    let folders = folder.ancestors().chain(canonical.ancestors());
    let candidates = folders.filter_map(|root| {
        // In a shared folder any user may have put such a file.
        let configured = is_believed(&root.join("baton.toml")).then(|| ConfigFile::read(root).ok()?.state_dir);
        StateFolder::of(root, configured.flatten().map(|folder| root.join(folder))).ok()
    });
    candidates.into_iter().find(runs)
}

/// Tells whether a command believes the file at a path: it believes files of this user and of root. Root looks at the
/// files of all users.
fn is_believed(path: &Path) -> bool {
    let own = effective_user();
    own == 0 || path.metadata().is_ok_and(|file| [own, 0].contains(&file.uid()))
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
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
    fn a_folder_too_deep_for_a_socket_has_it_in_a_folder_of_this_user_alone() {
        let folder = tempfile::tempdir().unwrap();
        let deep = StateFolder(folder.path().join("deep/".repeat(30)));
        let lock = deep.lock().unwrap();
        let socket = deep.control_socket();
        assert!(socket.as_os_str().len() <= SOCKET_PATH_MAX, "{socket:?}");
        let place = socket.parent().unwrap().to_owned();
        assert_eq!(mode(&place), 0o700);
        drop(lock);
        let _lock = deep.lock().unwrap();
        assert_eq!(deep.control_socket(), socket, "the next host has the same");
        std::fs::set_permissions(&place, Permissions::from_mode(0o777)).unwrap();
        assert_ne!(deep.control_socket(), socket, "others may have put theirs there");
        std::fs::remove_dir_all(place).unwrap();
    }

    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_token_that_others_may_know_is_refused_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateFolder(folder.path().to_owned());
        let file = folder.path().join("admin-token");
        let own = "a".repeat(40);
        let write = |text: &str, mode: u32| {
            std::fs::write(&file, text).unwrap();
            std::fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
        };
        write(&own, 0o600);
        assert_eq!(state.admin_token().unwrap(), own);
        for mode in [0o666, 0o640, 0o604, 0o620] {
            write(&own, mode);
            assert!(matches!(state.admin_token(), Err(StateError::Token(_))), "{mode:o}");
        }
        write("a", 0o600);
        assert!(matches!(
            state.admin_token(),
            Err(StateError::ShortToken { length: 1, .. })
        ));
        write("", 0o644);
        assert_eq!(state.admin_token().unwrap().len(), 64);
        assert_eq!(mode(&file), 0o600, "an empty one is made anew");
        std::fs::rename(&file, folder.path().join("elsewhere")).unwrap();
        std::os::unix::fs::symlink(folder.path().join("elsewhere"), &file).unwrap();
        assert!(matches!(state.admin_token(), Err(StateError::Token(_))), "a link");
    }

    #[test]
    fn a_state_folder_is_closed_to_others_and_so_is_the_lock() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).unwrap();
        let lock = folder.path().join("lock");
        std::fs::write(&lock, "").unwrap();
        std::fs::set_permissions(&lock, Permissions::from_mode(0o666)).unwrap();
        let _lock = StateFolder(folder.path().to_owned()).lock().unwrap();
        assert_eq!((mode(folder.path()), mode(&lock)), (0o755, 0o600));
    }

    #[test]
    fn a_pipe_in_place_of_baton_toml_keeps_no_command_waiting() {
        let folder = tempfile::tempdir().unwrap();
        nix::unistd::mkfifo(&folder.path().join("baton.toml"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(find_running(folder.path(), None), None);
    }
}
