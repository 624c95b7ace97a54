//! The project's service under launchd: its domain, other jobs with its label or port, and its survival when the user
//! logs out. `gather` asks launchd, `judge` is pure.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::check::{Check, Finding};
use crate::life::Plan;
use crate::service::installed_jobs::{InstalledJob, jobs_in};
use crate::service::{JobState, Owner, Scope, ToolError, is_same_folder, launchctl, launchd, name_of};

const CHECK: &str = "service";

/// A job that has the project's label, or that is for its folder.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Job {
    scope: Scope,
    /// launchd's name for it: `gui/501/baton.shop`.
    target: String,
    /// The state of the job in launchd, where launchd has loaded it.
    state: Option<JobState>,
    /// The property list of the job, where there is one.
    file: Option<PathBuf>,
    /// The folder of the project that the job is for.
    working_folder: Option<PathBuf>,
}

/// The jobs that this machine has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Jobs {
    of_the_project: Vec<Job>,
    /// All jobs that have files, the project's too.
    installed: Vec<InstalledJob>,
}

/// The line about the service; `None` where there is no launchd.
pub(super) fn look(plan: &Plan) -> Option<Check> {
    let owner = Owner::this_user().ok()?;
    match gather(&plan.project.root, &owner) {
        Ok(jobs) => Some(judge(&jobs, &plan.project.root, plan.address.port(), &owner.name)),
        Err(ToolError::Missing { error, .. }) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => Some(Check::skipped(CHECK, error.to_string())),
    }
}

fn gather(root: &Path, owner: &Owner) -> Result<Jobs, ToolError> {
    let mut jobs = Jobs::default();
    let folder_name = root.file_name().map(|name| name.to_string_lossy().into_owned());
    let usual = launchd::label(&name_of(&folder_name.unwrap_or_default()));
    for scope in [Scope::System, Scope::User] {
        let installed = jobs_in(&launchctl::folder(scope, owner));
        let of_root = |job: &&InstalledJob| {
            job.working_folder
                .as_deref()
                .is_some_and(|folder| is_same_folder(folder, root))
        };
        let mut labels: Vec<&str> = installed.iter().filter(of_root).map(|job| &*job.label).collect();
        if !labels.contains(&&*usual) {
            labels.push(&usual);
        }
        for label in labels {
            let target = format!("{}/{label}", launchctl::domain(scope, owner));
            let state = launchctl::job(&target)?;
            let file = installed.iter().find(|job| job.label == label);
            let loaded_from = state.as_ref().and_then(|state| state.working_folder.clone());
            if state.is_some() || file.is_some() {
                jobs.of_the_project.push(Job {
                    scope,
                    target,
                    working_folder: loaded_from.or_else(|| file.and_then(|job| job.working_folder.clone())),
                    file: file.map(|job| job.file.clone()),
                    state,
                });
            }
        }
        jobs.installed.extend(installed);
    }
    Ok(jobs)
}

fn judge(jobs: &Jobs, root: &Path, port: u16, user: &str) -> Check {
    let (own, others): (Vec<&Job>, Vec<&Job>) = jobs.of_the_project.iter().partition(|job| {
        job.working_folder
            .as_deref()
            .is_none_or(|folder| is_same_folder(folder, root))
    });
    if let Some(other) = others.first() {
        let folder = other.working_folder.as_deref().unwrap_or(root).display();
        let message = format!("{} is the service of another project, {folder}", other.target);
        let fix = "Give this one a name of its own: `baton service install --name NAME`.";
        return Check::failed(CHECK, Finding::new("label_taken", message, fix));
    }
    if let [one, another, ..] = own[..] {
        let message = format!(
            "{} and {} are both services of this project, and fight over its port",
            one.target, another.target
        );
        let fix = format!("Remove one: `{}`.", uninstall(another));
        return Check::failed(CHECK, Finding::new("two_services", message, fix));
    }
    let Some(job) = own.first() else {
        return Check::skipped(CHECK, "launchd has no service: `baton service install` makes one");
    };
    let is_another = |other: &&InstalledJob| {
        let own_file = job.file.as_deref() == Some(&other.file);
        !own_file && other.ports.contains(&port)
    };
    if let Some(other) = jobs.installed.iter().find(is_another) {
        let message = format!(
            "port {port} is also the port of {}: {}",
            other.label,
            other.file.display()
        );
        let fix = "Give this project another port, in baton.toml or with `baton service install --port`.";
        return Check::failed(CHECK, Finding::new("port_of_two_services", message, fix));
    }
    let Some(state) = &job.state else {
        let file = job.file.as_deref().unwrap_or(root).display();
        let (message, fix) = match job.scope {
            Scope::System => (
                format!("{file} is not loaded"),
                "Run `sudo baton service install`.".to_owned(),
            ),
            Scope::User => (
                format!(
                    "{file} is not loaded: launchd loads it while {user} is logged in on the screen, and only then"
                ),
                format!(
                    "Log in there, or install a service that starts with the machine: `{}`, then `sudo baton service \
                     install --run-as {user}`.",
                    uninstall(job)
                ),
            ),
        };
        return Check::warning(CHECK, Finding::new("service_not_loaded", message, fix));
    };
    let survives = match job.scope {
        Scope::System => "it starts with the machine, and stays when you log out".to_owned(),
        Scope::User => format!(
            "it ends when you log out, and starts when you log in on the screen; `sudo baton service install --run-as \
             {user}` installs one that starts with the machine"
        ),
    };
    match state.pid {
        Some(pid) => Check::good(CHECK, format!("{} runs as process {pid}; {survives}", job.target)),
        None => {
            let ended = state
                .last_exit
                .as_deref()
                .map(|code| format!(", and ended with {code}"));
            let message = format!("{} does not run{}; {survives}", job.target, ended.unwrap_or_default());
            let fix = format!(
                "Read its log, then run `launchctl kickstart {}`; the next call starts it too.",
                job.target
            );
            Check::warning(CHECK, Finding::new("service_not_running", message, fix))
        }
    }
}

fn uninstall(job: &Job) -> String {
    let label = job.target.rsplit('/').next().unwrap_or_default();
    let name = label.strip_prefix(&launchd::label("")).unwrap_or(label);
    match job.scope {
        Scope::System => format!("sudo baton service uninstall --system --name {name}"),
        Scope::User => format!("baton service uninstall --user --name {name}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::{Job, Jobs, judge};
    use crate::service::installed_jobs::InstalledJob;
    use crate::service::{JobState, Scope};

    fn job(scope: Scope, folder: &str, pid: Option<u32>) -> Job {
        let (domain, files) = match scope {
            Scope::System => ("system", "/Library/LaunchDaemons"),
            Scope::User => ("gui/501", "/Users/ada/Library/LaunchAgents"),
        };
        Job {
            scope,
            target: format!("{domain}/baton.shop"),
            state: Some(JobState {
                pid,
                last_exit: pid.is_none().then(|| "78: EX_CONFIG".to_owned()),
                ..JobState::default()
            }),
            file: Some(format!("{files}/baton.shop.plist").into()),
            working_folder: Some(folder.into()),
        }
    }

    fn check(of_the_project: Vec<Job>, installed: Vec<InstalledJob>) -> Value {
        let jobs = Jobs {
            of_the_project,
            installed,
        };
        serde_json::to_value(judge(&jobs, "/srv/shop".as_ref(), 3111, "ada")).unwrap()
    }

    #[track_caller]
    fn says(check: &Value, status: &str, finding: Option<&str>, words: &[&str]) {
        assert_eq!(check["status"], status, "{check}");
        assert_eq!(check["finding"].as_str(), finding, "{check}");
        let text = format!("{} {}", check["message"], check["fix"]);
        for words in words {
            assert!(text.contains(words), "{words:?}: {check}");
        }
    }

    #[test]
    fn a_service_that_runs_says_in_which_domain_and_whether_it_survives_a_log_out() {
        let system = check(vec![job(Scope::System, "/srv/shop", Some(42))], Vec::new());
        says(
            &system,
            "ok",
            None,
            &["system/baton.shop runs as process 42", "stays when you log out"],
        );
        let user = check(vec![job(Scope::User, "/srv/shop", Some(42))], Vec::new());
        says(
            &user,
            "ok",
            None,
            &[
                "gui/501/baton.shop",
                "ends when you log out",
                "sudo baton service install --run-as ada",
            ],
        );
        says(
            &check(Vec::new(), Vec::new()),
            "skipped",
            None,
            &["baton service install"],
        );
    }

    #[test]
    fn a_service_that_does_not_run_says_why() {
        let ended = check(vec![job(Scope::System, "/srv/shop", None)], Vec::new());
        let words = ["does not run", "78: EX_CONFIG", "launchctl kickstart system/baton.shop"];
        says(&ended, "warning", Some("service_not_running"), &words);
        let mut away = job(Scope::User, "/srv/shop", None);
        away.state = None;
        let words = [
            "logged in on the screen",
            "uninstall --user --name shop",
            "sudo baton service install --run-as ada",
        ];
        says(
            &check(vec![away], Vec::new()),
            "warning",
            Some("service_not_loaded"),
            &words,
        );
        let mut away = job(Scope::System, "/srv/shop", None);
        away.state = None;
        let words = [
            "LaunchDaemons/baton.shop.plist is not loaded",
            "sudo baton service install",
        ];
        says(
            &check(vec![away], Vec::new()),
            "warning",
            Some("service_not_loaded"),
            &words,
        );
    }

    #[test]
    fn who_else_has_the_label_or_the_port_is_named() {
        let label = check(vec![job(Scope::User, "/srv/other", Some(42))], Vec::new());
        says(
            &label,
            "failed",
            Some("label_taken"),
            &["gui/501/baton.shop", "/srv/other", "--name"],
        );
        let two = vec![
            job(Scope::System, "/srv/shop", Some(42)),
            job(Scope::User, "/srv/shop", Some(43)),
        ];
        says(
            &check(two, Vec::new()),
            "failed",
            Some("two_services"),
            &["baton service uninstall --user --name shop"],
        );
        let installed = |label: &str, file: &str, ports: &[u16]| InstalledJob {
            file: file.into(),
            label: label.to_owned(),
            working_folder: None,
            ports: ports.into(),
        };
        let own = || job(Scope::System, "/srv/shop", Some(42));
        let own_file = || installed("baton.shop", "/Library/LaunchDaemons/baton.shop.plist", &[3111]);
        let other = |ports: &[u16]| installed("com.acme.worker", "/Library/LaunchDaemons/com.acme.worker.plist", ports);
        let taken = check(vec![own()], vec![own_file(), other(&[80, 3111])]);
        says(
            &taken,
            "failed",
            Some("port_of_two_services"),
            &["com.acme.worker", "--port"],
        );
        says(&check(vec![own()], vec![own_file(), other(&[80])]), "ok", None, &[]);
    }
}
