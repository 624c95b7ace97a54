//! Installs and removes a service with `systemctl`. What runs is never restarted by it.

use std::path::{Path, PathBuf};

use super::tool::{self, ToolError};
use super::{Owner, Scope, Service, ServiceError, UnitFile, ready, systemd, unit_file};

/// The version of this machine's systemd, if it has one.
#[must_use]
pub fn version() -> Option<u32> {
    systemd::version_in(&tool::run("systemctl", &["--version"]).ok()?)
}

/// Where units of administrators are kept, for the machine or for the user.
#[must_use]
pub fn folder(scope: Scope, owner: &Owner) -> PathBuf {
    match scope {
        Scope::System => "/etc/systemd/system".into(),
        Scope::User => {
            let named = std::env::var_os("XDG_CONFIG_HOME").filter(|folder| !folder.is_empty());
            named
                .map_or_else(|| owner.home.join(".config"), PathBuf::from)
                .join("systemd/user")
        }
    }
}

fn systemctl(scope: Scope, arguments: &[&str]) -> Result<String, ToolError> {
    match scope {
        Scope::System => tool::run("systemctl", arguments),
        Scope::User => tool::run("systemctl", &[&["--user"], arguments].concat()),
    }
}

/// Writes the units, enables and starts the service, and waits until it serves. `say` is told what is
/// done.
///
/// # Errors
/// When a unit cannot be written, `systemctl` fails, or the service does not get ready.
pub fn install(service: &Service, say: &dyn Fn(&str)) -> Result<(), ServiceError> {
    let scope = service.scope;
    let unit = systemd::unit_name(&service.name);
    let running = systemctl(scope, &["is-active", &unit]).is_ok();
    let socket = systemd::socket_name(&service.name);
    let listening = running || (service.socket && systemctl(scope, &["is-active", &socket]).is_ok());
    if !listening {
        ready::port_is_free(service)?;
    }
    let folder = folder(scope, &service.owner);
    let units = systemd::units(service, version());
    let mut changed = false;
    for file in &units {
        let written = file.write(&folder)?;
        changed |= written;
        let path = folder.join(&file.name);
        say(&format!(
            "{} {}",
            if written { "wrote" } else { "unchanged:" },
            path.display()
        ));
    }
    systemctl(scope, &["daemon-reload"])?;
    let names: Vec<&str> = units.iter().map(|file| file.name.as_str()).collect();
    systemctl(scope, &[&["enable"], &*names].concat())?;
    let lingers = Path::new("/var/lib/systemd/linger").join(&service.owner.name).exists();
    if scope == Scope::System || lingers {
        say("enabled: it starts with the machine");
    } else {
        let user = &service.owner.name;
        say(&format!(
            "enabled: it starts when you log in, and ends when you log out, until `loginctl enable-linger {user}`"
        ));
    }
    if running {
        if changed {
            say("it is running already: what changed counts from its next start on; nothing was interrupted");
        }
    } else {
        // Without waiting: systemd waits for the host to be ready, and would not say what it waits for.
        for file in units.iter().rev() {
            systemctl(scope, &["start", "--no-block", &file.name])?;
        }
        say("started");
    }
    let generation = ready::wait(service, &format!("See why: `{}`", journal(scope, &unit)))?;
    say(&format!(
        "ready: generation {generation} at http://{}",
        service.local_address()
    ));
    Ok(())
}

/// Stops the service, which finishes its calls first, and removes its units.
///
/// # Errors
/// When `systemctl` fails or a file cannot be removed.
pub fn uninstall(name: &str, scope: Scope, owner: &Owner, say: &dyn Fn(&str)) -> Result<(), ServiceError> {
    let folder = folder(scope, owner);
    let (unit, socket) = (systemd::unit_name(name), systemd::socket_name(name));
    if folder.join(&socket).exists() {
        // First, for a connection would start the service again; the service ends with it.
        systemctl(scope, &["disable", "--now", &socket])?;
        unit_file::remove(&folder.join(&socket))?;
    }
    let path = folder.join(&unit);
    if !path.exists() {
        say(&format!("nothing to remove: there is no {}", path.display()));
        return Ok(());
    }
    say(&format!(
        "stopping {unit}: it finishes its calls first (Ctrl-C: it goes on with that, and stays installed)"
    ));
    systemctl(scope, &["stop", &unit])?;
    systemctl(scope, &["disable", &unit])?;
    unit_file::remove(&path)?;
    systemctl(scope, &["daemon-reload"])?;
    say(&format!("removed {}", path.display()));
    Ok(())
}

fn journal(scope: Scope, unit: &str) -> String {
    match scope {
        Scope::System => format!("journalctl --unit {unit}"),
        Scope::User => format!("journalctl --user --unit {unit}"),
    }
}

/// The units, as one text to read.
#[must_use]
pub fn print(service: &Service) -> String {
    let folder = folder(service.scope, &service.owner);
    let units = systemd::units(service, version());
    let text = |UnitFile { name, text }: &UnitFile| format!("# {}\n{text}", folder.join(name).display());
    units.iter().map(text).collect::<Vec<_>>().join("\n")
}
