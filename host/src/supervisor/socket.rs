//! The origin of the listening socket: the supervisor binds it, or gets it from systemd or launchd, which have it
//! from before the supervisor's start to after its end.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{OwnedFd, RawFd};

use crate::net::{ListenError, bind};
use crate::posix::{launchd_sockets, take_inherited};

/// The first descriptor that systemd passes (`SD_LISTEN_FDS_START`).
const FIRST: RawFd = 3;

/// A listening socket.
#[derive(Debug)]
pub struct ListeningSocket {
    pub listener: TcpListener,
    pub origin: SocketOrigin,
}

/// The maker of a listening socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SocketOrigin {
    Bound,
    Systemd,
    Launchd,
}

impl ListeningSocket {
    /// Returns the socket that was given, or else a socket that is bound to the address.
    ///
    /// # Errors
    /// When the port is taken, or what was given is no listening TCP socket.
    pub fn obtain(address: SocketAddr) -> Result<Self, ListenError> {
        let variable = |name: &str| std::env::var(name).ok();
        let count = systemd_count(variable("LISTEN_PID"), variable("LISTEN_FDS"), std::process::id());
        let given = PassedSockets {
            systemd: count,
            take: &take_inherited,
            launchd: &launchd_sockets::take,
        };
        match given.socket()? {
            Some(socket) => Ok(socket),
            None => Ok(Self {
                listener: bind(address)?,
                origin: SocketOrigin::Bound,
            }),
        }
    }
}

/// The sockets that a service manager has for this process; the two functions are those of the system.
struct PassedSockets<'a> {
    /// The number of descriptors that systemd has passed.
    systemd: usize,
    take: &'a dyn Fn(RawFd) -> io::Result<OwnedFd>,
    launchd: &'a dyn Fn() -> Vec<OwnedFd>,
}

impl PassedSockets<'_> {
    fn socket(&self) -> Result<Option<ListeningSocket>, ListenError> {
        let (mut all, origin) = match self.systemd {
            0 => ((self.launchd)(), SocketOrigin::Launchd),
            1 => (
                vec![(self.take)(FIRST).map_err(ListenError::NotASocket)?],
                SocketOrigin::Systemd,
            ),
            count => return Err(ListenError::TooManySockets(count)),
        };
        if all.len() > 1 {
            return Err(ListenError::TooManySockets(all.len()));
        }
        let Some(descriptor) = all.pop() else {
            return Ok(None);
        };
        let listener = TcpListener::from(descriptor);
        // This fails for any descriptor that has no TCP address.
        listener.local_addr().map_err(ListenError::NotASocket)?;
        Ok(Some(ListeningSocket { listener, origin }))
    }
}

/// Returns the number of sockets that systemd has passed to this process (`sd_listen_fds(3)`). Variables for another
/// process were inherited by mistake, and count as none.
fn systemd_count(listen_pid: Option<String>, listen_fds: Option<String>, pid: u32) -> usize {
    if listen_pid.and_then(|text| text.parse().ok()) != Some(pid) {
        return 0;
    }
    listen_fds.and_then(|text| text.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixListener;

    use super::{ListeningSocket, PassedSockets, SocketOrigin, systemd_count};
    use crate::net::ListenError;

    fn tcp() -> OwnedFd {
        TcpListener::bind("127.0.0.1:0").unwrap().into()
    }

    fn given(systemd: usize, launchd: impl Fn() -> Vec<OwnedFd>) -> Result<Option<ListeningSocket>, ListenError> {
        let given = PassedSockets {
            systemd,
            take: &|number| {
                assert_eq!(number, 3);
                Ok(tcp())
            },
            launchd: &launchd,
        };
        given.socket()
    }

    #[test]
    fn launchd_is_asked_where_systemd_passes_nothing() {
        let origin = |given: Result<Option<ListeningSocket>, ListenError>| given.unwrap().map(|socket| socket.origin);
        assert_eq!(origin(given(0, Vec::new)), None, "then it is bound here");
        assert_eq!(origin(given(0, || vec![tcp()])), Some(SocketOrigin::Launchd));
        assert_eq!(origin(given(1, || vec![tcp()])), Some(SocketOrigin::Systemd));
    }

    #[test]
    fn what_cannot_be_served_whole_is_refused() {
        // Of two sockets, for IPv4 and for IPv6 for example, nobody would answer the second one.
        let both = given(0, || vec![tcp(), tcp()]).unwrap_err();
        assert!(matches!(both, ListenError::TooManySockets(2)));
        assert!(matches!(
            given(2, Vec::new).unwrap_err(),
            ListenError::TooManySockets(2)
        ));
        let folder = tempfile::tempdir().unwrap();
        let unix = || UnixListener::bind(folder.path().join("socket")).unwrap().into();
        let other = given(0, || vec![unix()]).unwrap_err();
        assert!(matches!(other, ListenError::NotASocket(_)) && other.is_lasting());
    }

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
