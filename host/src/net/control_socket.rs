//! The control socket of a host. It is made under the name of its process, and linked to the name that commands look
//! for once the host accepts.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tokio::net::UnixListener;

/// The names of a host's control socket.
#[derive(Debug, Clone)]
pub struct ControlSocket {
    own: PathBuf,
    shared: PathBuf,
}

/// The control socket of the host with that process id, whether it accepts or not.
#[must_use]
pub fn own_control_socket(shared: &Path, pid: u32) -> PathBuf {
    shared.with_file_name(format!("{pid}.sock"))
}

impl ControlSocket {
    /// The names of this process's socket; commands look for `shared`.
    #[must_use]
    pub fn new(shared: PathBuf) -> Self {
        Self {
            own: own_control_socket(&shared, std::process::id()),
            shared,
        }
    }

    /// The name of this process's own socket.
    #[must_use]
    pub fn own(&self) -> &Path {
        &self.own
    }

    /// The name that commands look for.
    #[must_use]
    pub fn shared(&self) -> &Path {
        &self.shared
    }

    /// Makes the socket, for this user alone. To be called within a runtime.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn bind(&self) -> io::Result<UnixListener> {
        // A killed process of this number may have left it.
        remove(&self.own)?;
        let listener = UnixListener::bind(&self.own)?;
        std::fs::set_permissions(&self.own, std::fs::Permissions::from_mode(0o600))?;
        Ok(listener)
    }

    /// Has commands find this host from now on. The link is replaced in one step, so that there is one at any time.
    ///
    /// # Errors
    /// When the link cannot be made.
    pub fn share(&self) -> io::Result<()> {
        let beside = self.own.with_extension("link");
        remove(&beside)?;
        let target = self.own.file_name().map_or(self.own.as_path(), Path::new);
        std::os::unix::fs::symlink(target, &beside)?;
        std::fs::rename(&beside, &self.shared)
    }

    /// Takes the socket away, and with `link` the name that commands look for, too.
    pub fn remove(&self, link: bool) {
        if link {
            let _ = std::fs::remove_file(&self.shared);
        }
        let _ = std::fs::remove_file(&self.own);
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::{ControlSocket, own_control_socket};

    #[tokio::test]
    async fn a_socket_that_a_killed_process_left_is_replaced_and_found_once_it_is_shared() {
        let folder = tempfile::tempdir().unwrap();
        let shared = folder.path().join("control.sock");
        std::fs::write(own_control_socket(&shared, std::process::id()), "left").unwrap();
        let socket = ControlSocket::new(shared.clone());
        let _listener = socket.bind().unwrap();
        UnixStream::connect(&shared).unwrap_err();
        socket.share().unwrap();
        socket.share().unwrap();
        UnixStream::connect(&shared).unwrap();
        socket.remove(false);
        assert!(shared.is_symlink(), "it may lead to another host by now");
        socket.remove(true);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
