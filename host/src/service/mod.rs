//! `baton start` as a service of this machine: the units for launchd and systemd, and their installation.
//!
//! A [`Service`] describes the service once. [`systemd`] and [`launchd`] make units of it and do nothing else;
//! [`systemctl`] and [`launchctl`] install them with the platform's own tools. No unit holds a secret: secrets are in
//! the environment file, whose mode [`private_file`] checks.
//!
//! # Files
//!
//! - `systemd.rs` and `launchd.rs`: the units (pure); `systemctl.rs` and `launchctl.rs`: their installation
//! - `private_file.rs`: the check that nobody else can read secrets
//! - `owner.rs`: the user as whom a service runs
//! - `ready.rs`: the wait until a service serves
//! - `launchd_refusal.rs` and `job_state.rs`: launchctl's numbers and texts (pure); `installed_jobs.rs`: the property
//!   lists that are there

pub mod installed_jobs;
mod job_state;
pub mod launchctl;
pub mod launchd;
mod launchd_refusal;
mod owner;
pub mod private_file;
mod ready;
pub mod systemctl;
pub mod systemd;
mod tool;
mod unit_file;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use miette::Diagnostic;

pub use job_state::JobState;
pub use owner::Owner;
pub use tool::ToolError;
pub use unit_file::UnitFile;

/// The time that the service manager waits beyond the drain budget before it kills.
const STOP_MARGIN: Duration = Duration::from_mins(1);

/// The scope of a service: the machine or a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The machine: the service begins with the machine, and runs as a user that the unit names.
    System,
    /// The user who installs the service: systemd's user manager, launchd's `gui` domain.
    User,
}

/// The content of a unit, for any system. Every text is one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// The name of the project: letters, digits, `-` and `_`.
    pub name: String,
    pub scope: Scope,
    pub owner: Owner,
    /// The path of the binary, absolute.
    pub binary: String,
    /// The arguments of the binary: `start` and those after it.
    pub arguments: Vec<String>,
    /// The project's root, absolute.
    pub working_folder: String,
    /// The `PATH` of the host, and of the programs that steps start.
    pub search_path: String,
    pub address: SocketAddr,
    /// Tells whether the service manager listens, and hands the socket over.
    pub socket: bool,
    /// The limit for the host to finish its calls.
    pub drain: Duration,
}

impl Service {
    /// Returns the time that the service manager waits after SIGTERM.
    #[must_use]
    pub fn stop_timeout(&self) -> Duration {
        self.drain + STOP_MARGIN
    }

    /// Returns the address at which this machine reaches the service.
    #[must_use]
    pub fn local_address(&self) -> SocketAddr {
        let ip = match self.address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        };
        SocketAddr::new(ip, self.address.port())
    }
}

/// Returns the line of `baton service install` about the port.
fn port_line(service: &Service, manager: &str) -> String {
    let port = service.address.port();
    if service.socket {
        format!(
            "{manager} holds port {port}: calls wait while the service is down or starts again (--no-socket turns \
             this off)"
        )
    } else {
        format!("the service holds port {port} itself: calls are refused while it is down or starts again")
    }
}

/// Makes a name that unit files can have: letters of `text` that it cannot have become `-`.
#[must_use]
pub fn name_of(text: &str) -> String {
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let name: String = text
        .chars()
        .map(|letter| if allowed(letter) { letter } else { '-' })
        .collect();
    let name = name.trim_matches('-');
    if name.is_empty() { "project" } else { name }.to_owned()
}

/// Refuses to take the service of another project. Names that differ only in letters that a unit's name cannot have
/// make one name: installing the second project would take the service of the first one. `installed` is the working
/// folder of the unit that is there, `manager` the flag of its service manager.
fn refuse_another_project(
    service: &Service,
    unit: &str,
    installed: Option<&Path>,
    manager: &str,
) -> Result<(), ServiceError> {
    let own = Path::new(&service.working_folder);
    // A project whose folder is gone needs no service.
    let other = installed.filter(|folder| folder.exists() && !is_same_folder(folder, own));
    other.map_or(Ok(()), |folder| {
        Err(ServiceError::OtherProject {
            unit: unit.to_owned(),
            folder: folder.to_owned(),
            command: uninstall_command(manager, service.scope, &service.name),
        })
    })
}

/// Tells whether two names are of one folder: a link may be in either. Reads the disk.
#[must_use]
pub fn is_same_folder(one: &Path, other: &Path) -> bool {
    let is_linked = || {
        one.canonicalize()
            .is_ok_and(|one| other.canonicalize().is_ok_and(|other| one == other))
    };
    one == other || is_linked()
}

fn uninstall_command(manager: &str, scope: Scope, name: &str) -> String {
    let (sudo, flag) = match scope {
        Scope::System => ("sudo ", "--system"),
        Scope::User => ("", "--user"),
    };
    format!("{sudo}baton service uninstall {manager} {flag} --name {name}")
}

/// Returns a path as a unit can have it.
///
/// # Errors
/// When it is not text, or has a line break in it.
pub fn in_unit(path: &Path) -> Result<String, ServiceError> {
    let text = path.to_str().filter(|text| !text.chars().any(char::is_control));
    text.map(str::to_owned)
        .ok_or_else(|| ServiceError::NoText(path.to_owned()))
}

/// The reason why there is no service.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum ServiceError {
    #[error("cannot write {0:?} into a unit: it is not valid UTF-8, or has a line break in it")]
    #[diagnostic(help("Rename it."))]
    NoText(PathBuf),
    #[error(transparent)]
    #[diagnostic(transparent)]
    PrivateFile(#[from] private_file::PrivateFileError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Owner(#[from] owner::OwnerError),
    #[error("cannot write {path}: {error}", path = .path.display())]
    #[diagnostic(help("{}", help_for(.error)))]
    Unwritable { path: PathBuf, error: io::Error },
    #[error("cannot make a property list: {0}")]
    #[diagnostic(help("Please report this bug in Baton."))]
    PropertyList(String),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Tool(#[from] ToolError),
    #[error("port {port} is in use by {owner}, which is not this service")]
    #[diagnostic(help("End that process the way it was started, or choose another port with --port."))]
    PortTaken { port: u16, owner: String },
    #[error("{label} is installed in the domain {domain} too: two of them would fight over the port")]
    #[diagnostic(help("Remove that one first: `{command}`"))]
    Twin {
        label: String,
        domain: String,
        command: String,
    },
    #[error("{unit} is the service of another project, {folder}", folder = .folder.display())]
    #[diagnostic(help("Give this one a name of its own with --name, or remove that one first: `{command}`"))]
    OtherProject {
        unit: String,
        folder: PathBuf,
        command: String,
    },
    #[error("launchd has no domain {domain}: you are not logged in on the screen of this machine")]
    #[diagnostic(help("Install as root, a LaunchDaemon that runs as you and starts with the machine: `{as_root}`"))]
    NoSession { domain: String, as_root: String },
    #[error("{error}\nlaunchd gives no reason; it says the same when no user is logged in on the screen")]
    #[diagnostic(help("Install as root, a LaunchDaemon that runs as you and starts with the machine: `{as_root}`"))]
    Unexplained { error: ToolError, as_root: String },
    #[error("{label} does not end: launchd has waited for {waited}")]
    #[diagnostic(help("See what it is doing with `baton status`."))]
    DoesNotEnd { label: String, waited: String },
    #[error("the service was started, but is not ready: {reason}")]
    #[diagnostic(help("{help}"))]
    NotReady { reason: String, help: String },
}

fn help_for(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "Run it with sudo, or install for yourself alone with --user.",
        _ => "Make the folder writable.",
    }
}

/// Writes a duration as people do.
fn in_words(duration: Duration) -> String {
    let span = jiff::SignedDuration::try_from(duration).unwrap_or(jiff::SignedDuration::MAX);
    format!("{span:#}")
}

#[cfg(test)]
pub(crate) mod tests {
    use std::path::Path;
    use std::time::Duration;

    use super::{Owner, Scope, Service, in_unit, name_of};

    pub(crate) fn service() -> Service {
        Service {
            name: "shop".to_owned(),
            scope: Scope::System,
            owner: Owner {
                name: "ada".to_owned(),
                uid: 501,
                home: "/home/ada".into(),
            },
            binary: "/usr/local/bin/baton".to_owned(),
            arguments: ["start", "/srv/shop/functions", "--host", "127.0.0.1", "--port", "3111"]
                .map(str::to_owned)
                .into(),
            working_folder: "/srv/shop".to_owned(),
            search_path: "/opt/tools:/usr/bin:/bin".to_owned(),
            address: ([127, 0, 0, 1], 3111).into(),
            socket: false,
            drain: Duration::from_hours(2),
        }
    }

    #[test]
    fn a_name_has_only_what_file_names_and_labels_may_have() {
        assert_eq!(name_of("shop"), "shop");
        assert_eq!(name_of("@acme/my shop.v2"), "acme-my-shop-v2");
        assert_eq!(name_of("…"), "project");
    }

    #[test]
    fn a_path_with_a_line_break_is_refused() {
        assert_eq!(in_unit(Path::new("/srv/a b")).unwrap(), "/srv/a b");
        let error = in_unit(Path::new("/srv/a\nExecStartPre=/bin/evil")).unwrap_err();
        assert!(error.to_string().contains("line break"), "{error}");
    }

    #[test]
    fn who_listens_everywhere_is_reached_on_this_machine() {
        let mut everywhere = service();
        everywhere.address = ([0, 0, 0, 0], 80).into();
        assert_eq!(everywhere.local_address(), ([127, 0, 0, 1], 80).into());
    }
}
