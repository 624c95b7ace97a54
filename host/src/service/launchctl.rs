//! Installs and removes a service with `launchctl`.
//!
//! A job that changed has to be taken out and put in again. launchd answers before a job that was taken
//! out has ended, and refuses its successor until then.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::tool::{self, ToolError};
use super::{Owner, Scope, Service, ServiceError, in_words, launchd, port_line, ready, unit_file};

/// launchd's errors that pass: EIO while a predecessor is being taken out, EALREADY while it does something.
const TRANSIENT: [i32; 2] = [5, 37];
/// `bootout`: there is no such job (ESRCH), and it is on its way (EINPROGRESS).
const GONE_OR_GOING: [i32; 2] = [3, 36];
/// Pauses between attempts, in milliseconds.
const PAUSES: [u64; 5] = [250, 500, 1000, 2000, 4000];

fn domain(scope: Scope, owner: &Owner) -> String {
    match scope {
        Scope::System => "system".to_owned(),
        Scope::User => format!("gui/{}", owner.uid),
    }
}

/// Where jobs are kept, for the machine or for the user.
#[must_use]
pub fn folder(scope: Scope, owner: &Owner) -> PathBuf {
    match scope {
        Scope::System => "/Library/LaunchDaemons".into(),
        Scope::User => owner.home.join("Library/LaunchAgents"),
    }
}

fn launchctl(arguments: &[&str]) -> Result<String, ToolError> {
    tool::run("launchctl", arguments)
}

fn is_loaded(target: &str) -> Result<bool, ToolError> {
    match launchctl(&["print", target]) {
        Ok(_) => Ok(true),
        Err(ToolError::Failed { .. }) => Ok(false),
        Err(missing) => Err(missing),
    }
}

/// Writes the job, loads and starts it, and waits until it serves. `say` is told what is done.
///
/// # Errors
/// When it is installed in the other domain too, its file cannot be written, `launchctl` fails, or the
/// service does not get ready.
pub fn install(service: &Service, say: &dyn Fn(&str)) -> Result<(), ServiceError> {
    let label = launchd::label(&service.name);
    let domain = domain(service.scope, &service.owner);
    let target = format!("{domain}/{label}");
    refuse_twin(service, &label)?;
    let loaded = is_loaded(&target)?;
    if !loaded {
        ready::port_is_free(service)?;
    }
    let folder = folder(service.scope, &service.owner);
    let file = launchd::unit(service)?;
    let changed = file.write(&folder)?;
    let path = folder.join(&file.name);
    say(&format!(
        "{} {}",
        if changed { "wrote" } else { "unchanged:" },
        path.display()
    ));
    make_log_folder(service)?;
    if loaded && changed {
        say(&format!(
            "taking the running one out: it finishes its calls first, for {} at most",
            in_words(service.stop_timeout())
        ));
        boot_out(&target, &label, service.stop_timeout())?;
    }
    if !loaded || changed {
        launchctl(&["enable", &target])?;
        boot_in(&domain, &path.display().to_string())?;
        launchctl(&["kickstart", &target])?;
        say(match service.scope {
            Scope::System => "loaded: it starts with the machine",
            Scope::User => "loaded: it starts when you log in",
        });
    }
    say(&port_line(service, "launchd"));
    let help = format!("See why: `tail {}`", launchd::log_file(service));
    let generation = ready::wait(service, &help)?;
    say(&format!(
        "ready: generation {generation} at http://{}",
        service.local_address()
    ));
    Ok(())
}

/// Takes the job out, which finishes its calls first, and removes its file.
///
/// # Errors
/// When `launchctl` fails, the job does not end, or the file cannot be removed.
pub fn uninstall(
    name: &str,
    scope: Scope,
    owner: &Owner,
    patience: Duration,
    say: &dyn Fn(&str),
) -> Result<(), ServiceError> {
    let label = launchd::label(name);
    let target = format!("{}/{label}", domain(scope, owner));
    let path = folder(scope, owner).join(format!("{label}.plist"));
    if is_loaded(&target)? {
        say(&format!(
            "stopping {label}: it finishes its calls first (Ctrl-C: it goes on with that)"
        ));
        boot_out(&target, &label, patience)?;
    }
    let removed = unit_file::remove(&path)?;
    say(&if removed {
        format!("removed {}", path.display())
    } else {
        format!("nothing to remove: there is no {}", path.display())
    });
    Ok(())
}

/// A job of that label in the other domain would be a second host of the project.
fn refuse_twin(service: &Service, label: &str) -> Result<(), ServiceError> {
    let (scope, flag) = match service.scope {
        Scope::System => (Scope::User, "--user"),
        Scope::User => (Scope::System, "--system"),
    };
    let domain = domain(scope, &service.owner);
    if !is_loaded(&format!("{domain}/{label}"))? {
        return Ok(());
    }
    let sudo = if scope == Scope::System { "sudo " } else { "" };
    Err(ServiceError::Twin {
        label: label.to_owned(),
        domain,
        command: format!("{sudo}baton service uninstall --launchd {flag} --name {}", service.name),
    })
}

/// launchd makes the log file, as the user of the job, and not its folder.
fn make_log_folder(service: &Service) -> Result<(), ServiceError> {
    let log = PathBuf::from(launchd::log_file(service));
    let Some(folder) = log.parent().filter(|folder| !folder.exists()) else {
        return Ok(());
    };
    let made = std::fs::create_dir_all(folder).and_then(|()| match service.scope {
        Scope::System => std::os::unix::fs::chown(folder, Some(service.owner.uid), None),
        Scope::User => Ok(()),
    });
    made.map_err(|error| ServiceError::Unwritable {
        path: folder.to_owned(),
        error,
    })
}

fn boot_out(target: &str, label: &str, patience: Duration) -> Result<(), ServiceError> {
    match launchctl(&["bootout", target]) {
        Err(ToolError::Failed { code: Some(code), .. }) if GONE_OR_GOING.contains(&code) => {}
        other => drop(other?),
    }
    let began = Instant::now();
    while is_loaded(target)? {
        if began.elapsed() > patience {
            return Err(ServiceError::DoesNotEnd {
                label: label.to_owned(),
                waited: in_words(patience),
            });
        }
        // launchd tells nobody when a job has ended.
        std::thread::sleep(Duration::from_millis(PAUSES[0]));
    }
    Ok(())
}

fn boot_in(domain: &str, path: &str) -> Result<(), ToolError> {
    for pause in PAUSES {
        match launchctl(&["bootstrap", domain, path]) {
            Err(ToolError::Failed { code: Some(code), .. }) if TRANSIENT.contains(&code) => {
                std::thread::sleep(Duration::from_millis(pause));
            }
            done => return done.map(drop),
        }
    }
    launchctl(&["bootstrap", domain, path]).map(drop)
}

/// The job, as one text to read.
///
/// # Errors
/// When what it says is no property list.
pub fn print(service: &Service) -> Result<String, ServiceError> {
    Ok(launchd::unit(service)?.text)
}
