//! Messages to systemd (`sd_notify(3)`). They go nowhere if `NOTIFY_SOCKET` names no socket.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use crate::posix::monotonic;

/// The socket of systemd, and the interval in which systemd wants to hear that all is well.
#[derive(Debug)]
pub struct Notify {
    socket: Option<UnixDatagram>,
    /// The interval: half of the time after which systemd takes a silent process for dead.
    pub watchdog: Option<Duration>,
}

impl Notify {
    /// Reads the variables of this process.
    #[must_use]
    pub fn from_environment() -> Self {
        let variable = |name: &str| std::env::var(name).ok();
        Self {
            socket: variable("NOTIFY_SOCKET").and_then(|name| connect(&name)),
            watchdog: watchdog(variable("WATCHDOG_USEC"), variable("WATCHDOG_PID"), std::process::id()),
        }
    }

    /// Sends one state. If the manager does not listen, the supervisor goes on all the same.
    pub fn send(&self, state: &str) {
        if let Some(socket) = &self.socket
            && let Err(error) = socket.send(state.as_bytes())
        {
            tracing::debug!(%error, "cannot notify systemd");
        }
    }

    /// Tells systemd that the supervisor reloads, from this moment of the monotonic clock on.
    pub fn reloading(&self) {
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={}", monotonic().as_micros()));
    }

    /// Tells systemd that the supervisor needs that much more time.
    pub fn extend(&self, by: Duration) {
        self.send(&format!("EXTEND_TIMEOUT_USEC={}", by.as_micros()));
    }
}

fn connect(name: &str) -> Option<UnixDatagram> {
    let socket = UnixDatagram::unbound().ok()?;
    // A manager that does not read may miss a state, but stops nobody.
    socket.set_nonblocking(true).ok()?;
    #[cfg(target_os = "linux")]
    if let Some(name) = name.strip_prefix('@') {
        use std::os::linux::net::SocketAddrExt as _;
        let address = std::os::unix::net::SocketAddr::from_abstract_name(name).ok()?;
        socket.connect_addr(&address).ok()?;
        return Some(socket);
    }
    socket.connect(name).ok()?;
    Some(socket)
}

fn watchdog(usec: Option<String>, pid: Option<String>, own: u32) -> Option<Duration> {
    let meant = pid.is_none_or(|pid| pid.parse() == Ok(own));
    let usec: u64 = usec.filter(|_| meant)?.parse().ok()?;
    (usec > 0).then(|| Duration::from_micros(usec) / 2)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::watchdog;

    #[test]
    fn the_watchdog_hears_twice_as_often_as_it_wants_and_only_from_whom_it_means() {
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(watchdog(text("30000000"), text("7"), 7), Some(Duration::from_secs(15)));
        assert_eq!(watchdog(text("30000000"), None, 7), Some(Duration::from_secs(15)));
        assert_eq!(watchdog(text("30000000"), text("8"), 7), None);
        assert_eq!(watchdog(text("0"), None, 7), None);
        assert_eq!(watchdog(None, None, 7), None);
    }
}
