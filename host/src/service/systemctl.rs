//! Installs and removes a service with `systemctl`. It never restarts a service that runs.

use std::path::{Path, PathBuf};

use super::tool::{self, ToolError};
use super::{
    Owner, Scope, Service, ServiceError, UnitFile, port_line, ready, refuse_another_project, systemd, unit_file,
};

/// Returns the version of this machine's systemd, if it has one.
#[must_use]
pub fn version() -> Option<u32> {
    systemd::version_in(&tool::run("systemctl", &["--version"]).ok()?)
}

/// Returns the folder of the administrators' units, for the machine or for the user.
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

/// Tells whether systemd runs the unit, or is about to.
fn is_active(scope: Scope, unit: &str) -> bool {
    match systemctl(scope, &["is-active", unit]) {
        Ok(_) => true,
        // A service whose host still loads has the port already; a service that waits for its next start has not.
        Err(ToolError::Failed { output, .. }) if output == "activating" => {
            let state = systemctl(scope, &["show", "--property", "SubState", "--value", unit]);
            state.is_ok_and(|state| state != "auto-restart")
        }
        Err(ToolError::Failed { .. }) => false,
        Err(ToolError::Missing { .. }) => false,
    }
}

/// The state of a service before it is installed.
struct Installation {
    /// Tells whether the service runs.
    runs: bool,
    /// Tells whether systemd holds the port.
    listens: bool,
}

/// Writes the units, enables and starts the service, and waits until it serves. `say` is told each thing that is
/// done. A service that runs is left alone: changes count from its next start on.
///
/// # Errors
/// When a unit cannot be written, `systemctl` fails, or the service does not get ready.
pub fn install(service: &Service, say: &dyn Fn(&str)) -> Result<(), ServiceError> {
    let scope = service.scope;
    let unit = systemd::unit_name(&service.name);
    let socket = systemd::socket_name(&service.name);
    let folder = folder(scope, &service.owner);
    let installed = std::fs::read_to_string(folder.join(&unit)).ok();
    let installed = installed.and_then(|text| systemd::working_folder_in(&text));
    refuse_another_project(service, &unit, installed.as_deref(), "--systemd")?;
    let before = Installation {
        runs: is_active(scope, &unit),
        listens: is_active(scope, &socket),
    };
    let units = systemd::units(service, version());
    let is_down = !before.runs && !before.listens;
    if is_down || moves(&folder, &socket, &units) {
        ready::port_is_free(service)?;
    }
    let mut changed = Vec::new();
    for file in &units {
        let path = folder.join(&file.name);
        if file.write(&folder)? {
            changed.push(file.name.as_str());
            say(&format!("wrote {}", path.display()));
        } else {
            say(&format!("unchanged: {}", path.display()));
        }
    }
    systemctl(scope, &["daemon-reload"])?;
    if !service.socket {
        // The service needs the socket's unit no longer, and runs on with the socket that it was given.
        remove_socket(scope, &folder, &socket, before.listens, say)?;
    }
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
    let keeps_port = before.runs && service.socket && (!before.listens || changed.contains(&socket.as_str()));
    if !keeps_port {
        say(&port_line(service, "systemd"));
    }
    if before.runs {
        if let Some(line) = next_start(service, &before, &changed) {
            say(&line);
        }
        if !changed.is_empty() {
            // Until then the service may serve at another address.
            return Ok(());
        }
    } else {
        if service.socket {
            let start = if before.listens && changed.contains(&socket.as_str()) {
                "restart"
            } else {
                "start"
            };
            systemctl(scope, &[start, &socket])?;
        }
        // The command does not wait: systemd would wait until the host is ready, and not tell what it waits for.
        systemctl(scope, &["start", "--no-block", &unit])?;
        say("started");
    }
    let generation = ready::wait(service, &format!("See why: `{}`", journal(scope, &unit)))?;
    say(&format!(
        "ready: generation {generation} at http://{}",
        service.local_address()
    ));
    Ok(())
}

/// Tells whether systemd is to listen at another port than it was told before.
fn moves(folder: &Path, socket: &str, units: &[UnitFile]) -> bool {
    let port = |text: &str| systemd::port_in(text).map(str::to_owned);
    let before = std::fs::read_to_string(folder.join(socket)).ok();
    let after = units.iter().find(|unit| unit.name == socket);
    match (
        before.as_deref().and_then(port),
        after.and_then(|unit| port(&unit.text)),
    ) {
        (Some(before), Some(after)) => before != after,
        _ => false,
    }
}

/// Returns the advice on how a service that runs becomes the one that was installed; `None` if it is that one.
fn next_start(service: &Service, before: &Installation, changed: &[&str]) -> Option<String> {
    let unit = systemd::unit_name(&service.name);
    let socket = systemd::socket_name(&service.name);
    let restart = |unit: &str| match service.scope {
        Scope::System => format!("`systemctl restart {unit}`"),
        Scope::User => format!("`systemctl --user restart {unit}`"),
    };
    if service.socket && !before.listens {
        // systemd refuses to listen for a service that runs.
        return Some(format!(
            "nothing was interrupted: the running service holds the port itself; {} lets it finish its calls (new \
             ones are refused meanwhile), and systemd listens from then on",
            restart(&unit)
        ));
    }
    let unit = match changed {
        [] => return None,
        // A socket that is started again takes the service with it.
        changed if changed.contains(&socket.as_str()) => socket,
        _ => unit,
    };
    Some(format!(
        "nothing was interrupted: the changes apply from the service's next start on, for example {}, which lets it \
         finish its calls first",
        restart(&unit)
    ))
}

/// Ends the socket of the service, and removes its unit. By then the unit of a service that runs must not need the
/// socket any more.
fn remove_socket(
    scope: Scope,
    folder: &Path,
    socket: &str,
    listens: bool,
    say: &dyn Fn(&str),
) -> Result<(), ServiceError> {
    let path = folder.join(socket);
    if path.exists() {
        systemctl(scope, &["disable", "--now", socket])?;
        unit_file::remove(&path)?;
        systemctl(scope, &["daemon-reload"])?;
        say(&format!("removed {}", path.display()));
    } else if listens {
        systemctl(scope, &["stop", socket])?;
    }
    Ok(())
}

/// Stops the service, which finishes its calls first, and removes its units.
///
/// # Errors
/// When `systemctl` fails or a file cannot be removed.
pub fn uninstall(name: &str, scope: Scope, owner: &Owner, say: &dyn Fn(&str)) -> Result<(), ServiceError> {
    let folder = folder(scope, owner);
    let (unit, socket) = (systemd::unit_name(name), systemd::socket_name(name));
    let names: Vec<&str> = [socket.as_str(), &unit]
        .into_iter()
        .filter(|name| folder.join(name).exists())
        .collect();
    if names.is_empty() {
        let of_machine = self::folder(Scope::System, owner).join(&unit);
        let advice = if scope == Scope::User && of_machine.exists() {
            format!(
                "; the service of the machine, {}, is removed with sudo",
                of_machine.display()
            )
        } else {
            String::new()
        };
        let path = folder.join(&unit);
        say(&format!("nothing to remove: there is no {}{advice}", path.display()));
        return Ok(());
    }
    say(&format!(
        "stopping {unit}: it finishes its calls first (also after Ctrl-C, and then stays installed)"
    ));
    // Both units stop at once: a call that waits in the socket would start again a service that is stopped alone.
    systemctl(scope, &[&["stop"], &*names].concat())?;
    systemctl(scope, &[&["disable"], &*names].concat())?;
    for name in names {
        let path = folder.join(name);
        unit_file::remove(&path)?;
        say(&format!("removed {}", path.display()));
    }
    systemctl(scope, &["daemon-reload"])?;
    Ok(())
}

fn journal(scope: Scope, unit: &str) -> String {
    match scope {
        Scope::System => format!("journalctl --unit {unit}"),
        Scope::User => format!("journalctl --user --unit {unit}"),
    }
}

/// Returns the units as one text to read.
#[must_use]
pub fn print(service: &Service) -> String {
    let folder = folder(service.scope, &service.owner);
    let units = systemd::units(service, version());
    let text = |UnitFile { name, text }: &UnitFile| format!("# {}\n{text}", folder.join(name).display());
    units.iter().map(text).collect::<Vec<_>>().join("\n")
}
