//! Installs and removes a service with `launchctl`.
//!
//! A job that changed has to be taken out and put in again. launchd answers before a job that was taken
//! out has ended, and refuses its successor until then. The `gui` domain of a user is there only while the user
//! is logged in on the screen: on a machine that is reached by SSH alone, the errors name the command that installs
//! a LaunchDaemon instead.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::job_state::JobState;
use super::launchd_refusal::LaunchdRefusal;
use super::tool::{self, ToolError};
use super::{
    Owner, STOP_MARGIN, Scope, Service, ServiceError, UnitFile, in_words, installed_jobs, launchd, port_line, ready,
    refuse_another_project, uninstall_command, unit_file,
};

/// The pauses between attempts, in milliseconds.
const PAUSES: [u64; 5] = [250, 500, 1000, 2000, 4000];

/// Returns launchd's name for the domain of a scope's jobs.
#[must_use]
pub fn domain(scope: Scope, owner: &Owner) -> String {
    match scope {
        Scope::System => "system".to_owned(),
        Scope::User => format!("gui/{}", owner.uid),
    }
}

/// Returns the folder of the jobs, for the machine or for the user.
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

/// Returns the job of this target (`DOMAIN/LABEL`), if it is loaded.
///
/// # Errors
/// When there is no `launchctl`.
pub fn job(target: &str) -> Result<Option<JobState>, ToolError> {
    match launchctl(&["print", target]) {
        Ok(text) => Ok(Some(JobState::parse(&text))),
        Err(ToolError::Failed { .. }) => Ok(None),
        Err(missing) => Err(missing),
    }
}

fn is_loaded(target: &str) -> Result<bool, ToolError> {
    Ok(job(target)?.is_some())
}

/// Returns the reason why launchd refused, if it is one that Baton acts on.
const fn refusal(error: &ToolError) -> Option<LaunchdRefusal> {
    match error {
        ToolError::Failed { code, .. } => LaunchdRefusal::of(*code),
        ToolError::Missing { .. } => None,
    }
}

/// Writes the job, loads and starts it, and waits until it serves. `say` is told each thing that is done; `as_root`
/// is the command that installs the same for the machine.
///
/// # Errors
/// When it is installed in the other domain too, its file cannot be written, `launchctl` fails, or the
/// service does not get ready.
pub fn install(service: &Service, as_root: &str, say: &dyn Fn(&str)) -> Result<(), ServiceError> {
    let label = launchd::label(&service.name);
    let domain = domain(service.scope, &service.owner);
    let target = format!("{domain}/{label}");
    refuse_twin(service, &label)?;
    let loaded = job(&target)?;
    let folder = folder(service.scope, &service.owner);
    let file = launchd::unit(service)?;
    let of_job = loaded.as_ref().and_then(|job| job.working_folder.clone());
    let installed = of_job.or_else(|| installed_jobs::read(&folder.join(&file.name))?.working_folder);
    refuse_another_project(service, &label, installed.as_deref(), "--launchd")?;
    if loaded.is_none() {
        ready::port_is_free(service)?;
    }
    let is_first = !folder.join(&file.name).exists();
    let changed = file.write(&folder)?;
    let path = folder.join(&file.name);
    say(&format!(
        "{} {}",
        if changed { "wrote" } else { "unchanged:" },
        path.display()
    ));
    make_log_folder(service)?;
    if let Some(job) = loaded.as_ref().filter(|_| changed) {
        let patience = patience_for(job, service.stop_timeout());
        say(&format!(
            "removing the running service: it finishes its calls first, for {} at most",
            in_words(patience)
        ));
        boot_out(&target, &label, patience)?;
    }
    if loaded.is_none() || changed {
        let started = start(&domain, &label, &path.display().to_string());
        if let Err(error) = started {
            return Err(refused(service, &domain, error, as_root, &|| {
                if is_first && !is_loaded(&target)? {
                    take_back(&file, &folder, say)
                } else {
                    Ok(())
                }
            })?);
        }
        say(&match service.scope {
            Scope::System => "loaded: it starts with the machine, whoever is logged in".to_owned(),
            Scope::User => format!(
                "loaded: it starts when you log in on the screen, and ends when you log out; to start it with the \
                 machine: `{}`, then `{as_root}`",
                uninstall_command("--launchd", Scope::User, &service.name)
            ),
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

fn start(domain: &str, label: &str, path: &str) -> Result<(), ToolError> {
    let target = format!("{domain}/{label}");
    launchctl(&["enable", &target])?;
    boot_in(domain, &target, path)?;
    match launchctl(&["kickstart", &target]) {
        // launchd is starting the job already.
        Err(error) if refusal(&error) == Some(LaunchdRefusal::InProgress) => Ok(()),
        done => done.map(drop),
    }
}

/// Returns the error for a job that launchd did not take. `take_back` removes a user's own job whose domain is not
/// there, or may not be: it would be loaded at the next login, beside the job that is installed instead.
fn refused(
    service: &Service,
    domain: &str,
    error: ToolError,
    as_root: &str,
    take_back: &dyn Fn() -> Result<(), ServiceError>,
) -> Result<ServiceError, ServiceError> {
    let reason = refusal(&error).filter(|_| service.scope == Scope::User);
    let has_domain = || match launchctl(&["print", domain]) {
        Err(error) => refusal(&error) != Some(LaunchdRefusal::NoDomain),
        Ok(_) => true,
    };
    let refused = match reason {
        Some(LaunchdRefusal::NoDomain) => ServiceError::NoSession {
            domain: domain.to_owned(),
            as_root: as_root.to_owned(),
        },
        Some(LaunchdRefusal::Unexplained) if !has_domain() => ServiceError::NoSession {
            domain: domain.to_owned(),
            as_root: as_root.to_owned(),
        },
        Some(LaunchdRefusal::Unexplained) => ServiceError::Unexplained {
            error,
            as_root: as_root.to_owned(),
        },
        _ => return Ok(error.into()),
    };
    take_back()?;
    Ok(refused)
}

fn take_back(file: &UnitFile, folder: &Path, say: &dyn Fn(&str)) -> Result<(), ServiceError> {
    let path = folder.join(&file.name);
    if unit_file::remove(&path)? {
        say(&format!("removed {}: launchd refuses it", path.display()));
    }
    Ok(())
}

/// Returns the time to wait for the end of a job. launchd gives a job the time that its unit said when it was loaded.
fn patience_for(job: &JobState, stop_timeout: Duration) -> Duration {
    let granted = job
        .exit_timeout
        .map(|seconds| Duration::from_secs(seconds).saturating_add(STOP_MARGIN));
    granted.unwrap_or_default().max(stop_timeout)
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
    if let Some(job) = job(&target)? {
        say(&format!(
            "stopping {label}: it finishes its calls first (also after Ctrl-C)"
        ));
        boot_out(&target, &label, patience_for(&job, patience))?;
    }
    let removed = unit_file::remove(&path)?;
    say(&if removed {
        format!("removed {}", path.display())
    } else {
        format!("nothing to remove: there is no {}", path.display())
    });
    Ok(())
}

/// Refuses to install beside a job of that label in the other domain. That job would be a second host of the project:
/// now, or as soon as somebody logs in and launchd loads its file.
fn refuse_twin(service: &Service, label: &str) -> Result<(), ServiceError> {
    let scope = match service.scope {
        Scope::System => Scope::User,
        Scope::User => Scope::System,
    };
    let domain = domain(scope, &service.owner);
    let file = folder(scope, &service.owner).join(format!("{label}.plist"));
    if !is_loaded(&format!("{domain}/{label}"))? && !file.exists() {
        return Ok(());
    }
    Err(ServiceError::Twin {
        label: label.to_owned(),
        domain,
        command: uninstall_command("--launchd", scope, &service.name),
    })
}

/// Makes the folder of the log file. launchd makes the file, as the user of the job, and not its folder.
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
        // The job has gone, or is on its way, or its domain has gone with it.
        Err(error) if refusal(&error).is_some_and(|refusal| refusal != LaunchdRefusal::Unexplained) => {}
        Err(error) if refusal(&error).is_some() && !is_loaded(target)? => {}
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

/// Puts the job in, and waits while launchd refuses for a time. If somebody else puts the job in meanwhile, it is in.
fn boot_in(domain: &str, target: &str, path: &str) -> Result<(), ToolError> {
    let mut pauses = PAUSES.into_iter();
    loop {
        let error = match launchctl(&["bootstrap", domain, path]) {
            Ok(_) => return Ok(()),
            Err(error) => error,
        };
        if !matches!(
            refusal(&error),
            Some(LaunchdRefusal::Unexplained | LaunchdRefusal::InProgress)
        ) {
            return Err(error);
        }
        if is_loaded(target)? {
            return Ok(());
        }
        let Some(pause) = pauses.next() else {
            return Err(error);
        };
        std::thread::sleep(Duration::from_millis(pause));
    }
}

/// Returns the job as one text to read.
///
/// # Errors
/// When what it says is no property list.
pub fn print(service: &Service) -> Result<String, ServiceError> {
    Ok(launchd::unit(service)?.text)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::patience_for;
    use crate::service::job_state::JobState;

    #[test]
    fn a_job_is_waited_for_as_long_as_launchd_waits_for_it() {
        let loaded = |exit_timeout| JobState {
            exit_timeout,
            ..JobState::default()
        };
        let minutes = Duration::from_mins;
        for (exit_timeout, patience) in [(None, 11), (Some(5), 11), (Some(7200), 121)] {
            assert_eq!(patience_for(&loaded(exit_timeout), minutes(11)), minutes(patience));
        }
        patience_for(&loaded(Some(u64::MAX)), minutes(11));
    }
}
