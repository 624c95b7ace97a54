//! Where the listening socket comes from: bound here, or given by systemd or launchd, which have it
//! from before the supervisor's start to after its end.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::{OwnedFd, RawFd};

use super::posix::take_inherited;
use crate::server::{ListenError, bind};

/// The first descriptor that systemd passes (`SD_LISTEN_FDS_START`).
const FIRST: RawFd = 3;

/// A listening socket.
#[derive(Debug)]
pub struct Socket {
    pub listener: TcpListener,
    pub origin: Origin,
}

/// Who has made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    Bound,
    Systemd,
    Launchd,
}

impl Socket {
    /// The one that was given, else one that is bound to the address.
    ///
    /// # Errors
    /// When the port is taken, or what was given is no listening TCP socket.
    pub fn obtain(address: SocketAddr) -> Result<Self, ListenError> {
        let variable = |name: &str| std::env::var(name).ok();
        let given = match systemd_count(variable("LISTEN_PID"), variable("LISTEN_FDS"), std::process::id()) {
            0 => launchd::socket().map(|socket| (socket, Origin::Launchd)),
            1 => Some((take_inherited(FIRST).map_err(ListenError::NotASocket)?, Origin::Systemd)),
            count => return Err(ListenError::TooManySockets(count)),
        };
        match given {
            Some((descriptor, origin)) => {
                let listener = TcpListener::from(descriptor);
                // Fails for anything that has no TCP address.
                listener.local_addr().map_err(ListenError::NotASocket)?;
                Ok(Self { listener, origin })
            }
            None => Ok(Self {
                listener: bind(address)?,
                origin: Origin::Bound,
            }),
        }
    }
}

/// How many sockets systemd has passed to this process (`sd_listen_fds(3)`). Variables that speak of
/// another process were inherited by mistake.
fn systemd_count(listen_pid: Option<String>, listen_fds: Option<String>, pid: u32) -> usize {
    if listen_pid.and_then(|text| text.parse().ok()) != Some(pid) {
        return 0;
    }
    listen_fds.and_then(|text| text.parse().ok()).unwrap_or_default()
}

/// What launchd passes: asked for by name (`launch_activate_socket(3)`).
mod launchd {
    use super::OwnedFd;

    /// The name of the socket in the property list: `Sockets` → `Listeners`.
    #[cfg(target_os = "macos")]
    const NAME: &std::ffi::CStr = c"Listeners";

    #[cfg(target_os = "macos")]
    #[allow(unsafe_code, reason = "a function of macOS that Rust has no name for")]
    pub(super) fn socket() -> Option<OwnedFd> {
        use std::os::fd::FromRawFd as _;
        unsafe extern "C" {
            fn launch_activate_socket(
                name: *const std::ffi::c_char,
                fds: *mut *mut std::ffi::c_int,
                count: *mut usize,
            ) -> std::ffi::c_int;
        }
        let mut descriptors = std::ptr::null_mut();
        let mut count = 0;
        // SAFETY: the name is a C string, and both results are there to be written to.
        if unsafe { launch_activate_socket(NAME.as_ptr(), &raw mut descriptors, &raw mut count) } != 0 {
            // Not started by launchd, or without such a socket.
            return None;
        }
        // SAFETY: on success it has made an array of `count` descriptors, which are this process's, as
        // is the array.
        unsafe {
            let all = std::slice::from_raw_parts(descriptors, count);
            let mut all: Vec<OwnedFd> = all.iter().map(|fd| OwnedFd::from_raw_fd(*fd)).collect();
            libc::free(descriptors.cast());
            let first = (!all.is_empty()).then(|| all.swap_remove(0));
            first.filter(|socket| super::super::posix::set_inherited(socket, false).is_ok())
        }
    }

    #[cfg(not(target_os = "macos"))]
    pub(super) const fn socket() -> Option<OwnedFd> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::systemd_count;

    #[test]
    fn only_what_was_passed_to_this_very_process_counts() {
        let count = |pid: &str, fds: &str| systemd_count(Some(pid.to_owned()), Some(fds.to_owned()), 41);
        assert_eq!(count("41", "1"), 1);
        assert_eq!(count("41", "2"), 2);
        assert_eq!(count("40", "1"), 0, "it was a parent's");
        assert_eq!(count("x", "1"), 0);
        assert_eq!(count("41", ""), 0);
        assert_eq!(systemd_count(None, Some("1".to_owned()), 41), 0);
        assert_eq!(systemd_count(Some("41".to_owned()), None, 41), 0);
    }
}
