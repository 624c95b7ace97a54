//! The note of a supervisor that holds the port itself: calls are refused while it is down.

use std::path::Path;

use tracing::info;

/// The folder that exists where systemd runs the machine (`sd_booted(3)`), and not in a container without it.
const SYSTEMD: &str = "/run/systemd/system";

/// A service manager that can hold the port for this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PortHolder {
    Systemd,
    Launchd,
}

impl PortHolder {
    fn of_this_machine() -> Option<Self> {
        if cfg!(target_os = "macos") {
            return Some(Self::Launchd);
        }
        Path::new(SYSTEMD).is_dir().then_some(Self::Systemd)
    }
}

/// Logs that calls are refused while this process is down, and the way to lose none.
pub fn log(port: u16) {
    info!(
        port,
        help = help(PortHolder::of_this_machine()),
        "no service manager holds the port: calls that are due while this process is down are refused, and runs of \
         functions with retries: 0 fail"
    );
}

const fn help(manager: Option<PortHolder>) -> &'static str {
    match manager {
        Some(PortHolder::Systemd) => "Run `baton service install`: systemd holds the port, and calls wait in it.",
        Some(PortHolder::Launchd) => "Run `baton service install`: launchd holds the port, and calls wait in it.",
        None => {
            "Start the next instance before this one ends (in Kubernetes a rolling update), or let a service manager \
             pass the socket."
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{PortHolder, help};

    #[test]
    fn the_help_names_the_service_manager_only_where_there_is_one() {
        assert!(help(Some(PortHolder::Systemd)).contains("systemd holds"));
        assert!(help(Some(PortHolder::Launchd)).contains("launchd holds"));
        assert!(!help(None).contains("service install"), "it would fail in a container");
    }
}
