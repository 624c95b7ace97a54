//! `baton service`: `baton start` under launchd or systemd.

#![allow(clippy::print_stderr, reason = "a command answers on its terminal")]

use std::fs::Metadata;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum as _};
use miette::{Diagnostic, Report};

use super::output;
use crate::config::{ConfigFile, ProjectError, WatchMode, discover, working_folder};
use crate::duration::parse_duration;
use crate::life::{DEFAULT_DRAIN_TIMEOUT, DEFAULT_PORT, parse_port};
use crate::service::{Owner, Scope, Service, ServiceError, in_unit, launchctl, name_of, private_file, systemctl};

pub(super) const HELP: &str = "Examples:
  baton service print                          # the unit that install writes
  baton service install --port 3111            # for you: launchd's gui domain, or systemd's user manager
  sudo baton service install --run-as ada      # for the machine
  baton service install --no-socket            # the host opens the port: calls are refused while it is down
  baton service uninstall

Settings without a flag come from baton.toml; secrets are in the environment file, never in the unit.";

/// The folders of programs on this machine, before those that `--tools` adds.
const SEARCH_PATH: &str = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin";
/// Homebrew's folder of programs on a Mac.
const HOMEBREW: &str = "/opt/homebrew/bin";

#[derive(Debug, Args)]
pub struct ServiceArgs {
    #[command(subcommand)]
    action: ServiceAction,
}

#[derive(Debug, Subcommand)]
enum ServiceAction {
    /// Show the unit; nothing is written.
    Print(DescribeArgs),
    /// Write the unit, start the service, wait until it serves.
    Install(DescribeArgs),
    /// Stop the service, which finishes its calls first, and remove the unit.
    Uninstall(WhichArgs),
}

/// The service that is meant.
#[derive(Debug, Args)]
struct WhichArgs {
    /// For systemd. [default: what this system has]
    #[arg(long, conflicts_with = "launchd")]
    systemd: bool,
    /// For launchd. [default: what this system has]
    #[arg(long)]
    launchd: bool,
    /// From the machine's start on, as the user --run-as, also where nobody logs in. [default for root, and with
    /// --run-as]
    #[arg(long, conflicts_with = "user")]
    system: bool,
    /// For the user who installs it; under launchd only while they are logged in on the screen. [default for
    /// everybody else]
    #[arg(long)]
    user: bool,
    /// The user as whom a service of the machine runs. [default: the owner of the project]
    #[arg(long, value_name = "USER", conflicts_with = "user")]
    run_as: Option<String>,
    /// Name the service "baton-" and this. [default: the name of the project's folder]
    #[arg(long)]
    name: Option<String>,
}

/// The work of the service.
#[derive(Debug, Args)]
struct DescribeArgs {
    /// A folder of functions or an entry file. [default: as for `baton start`]
    path: Option<PathBuf>,
    #[command(flatten)]
    which: WhichArgs,
    /// Listen on this address. [default: 127.0.0.1]
    #[arg(long)]
    host: Option<IpAddr>,
    /// Listen on this port. [default: 3111]
    #[arg(long, value_parser = parse_fixed_port)]
    port: Option<u16>,
    /// A file of NAME=value lines for the functions. Only the user of the service may be able to read it.
    #[arg(long, value_name = "FILE")]
    env_file: Option<PathBuf>,
    /// Keep the state of the host in this folder.
    #[arg(long, value_name = "FOLDER")]
    state_dir: Option<PathBuf>,
    /// Let a host that was told to end finish its calls for this long; the service manager waits a minute longer.
    /// [default: 2h]
    #[arg(long, value_parser = parse_duration)]
    drain_timeout: Option<Duration>,
    /// Reload at these changes on the disk. [default: off]
    #[arg(long, value_name = "WHAT")]
    watch: Option<WatchMode>,
    /// Write the log to this file too; the host rotates it, which launchd does not do with its own.
    #[arg(long, value_name = "FILE")]
    log_file: Option<PathBuf>,
    /// Put this folder of programs before the usual ones on PATH; may be given again.
    #[arg(long, value_name = "FOLDER")]
    tools: Vec<PathBuf>,
    /// Have systemd or launchd listen on the port and hand it over: calls wait while the service is down or
    /// starts again. [default]
    #[arg(long, overrides_with = "no_socket")]
    socket: bool,
    /// Have the host open the port itself: calls are refused while the service is down or starts again.
    #[arg(long, overrides_with = "socket")]
    no_socket: bool,
    /// Start this binary. [default: the one that runs this command]
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manager {
    Systemd,
    Launchd,
}

/// The reason why the command failed.
#[derive(Debug, thiserror::Error, Diagnostic)]
enum ServiceCommandError {
    #[error(transparent)]
    #[diagnostic(transparent)]
    Project(#[from] ProjectError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Service(#[from] ServiceError),
    #[error("cannot determine the working folder: {0}")]
    #[diagnostic(help("Go to a folder that exists."))]
    WorkingFolder(#[source] std::io::Error),
    #[error("there is no binary at {path}: {error}", path = .path.display())]
    #[diagnostic(help("Name the binary of the service with --binary."))]
    NoBinary { path: PathBuf, error: std::io::Error },
}

pub(super) fn run(args: &ServiceArgs) -> ExitCode {
    let done = match &args.action {
        ServiceAction::Print(args) => print(args),
        ServiceAction::Install(args) => install(args),
        ServiceAction::Uninstall(args) => uninstall(args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let code = match &failure {
                ServiceCommandError::Project(ProjectError::Unreadable { .. })
                | ServiceCommandError::NoBinary { .. } => 2,
                _ => 1,
            };
            eprintln!("{:?}", Report::new(failure));
            ExitCode::from(code)
        }
    }
}

fn print(args: &DescribeArgs) -> Result<(), ServiceCommandError> {
    let service = describe(args)?;
    output::say(match args.which.manager() {
        Manager::Systemd => systemctl::print(&service),
        Manager::Launchd => launchctl::print(&service)?,
    });
    Ok(())
}

fn install(args: &DescribeArgs) -> Result<(), ServiceCommandError> {
    let service = describe(args)?;
    match args.which.manager() {
        Manager::Systemd => systemctl::install(&service, &say)?,
        Manager::Launchd => {
            let this = binary(None)?;
            let given: Vec<String> = std::env::args().skip(1).collect();
            launchctl::install(&service, &as_root(&in_unit(&this)?, &given, &service.owner.name), &say)?;
        }
    }
    Ok(())
}

/// The command that installs a service for the machine, in place of the one for the user alone.
fn as_root(binary: &str, given: &[String], user: &str) -> String {
    let mut words = vec!["sudo", binary];
    words.extend(given.iter().map(String::as_str).filter(|word| *word != "--user"));
    words.extend(["--system", "--run-as", user]);
    words.into_iter().map(quoted).collect::<Vec<_>>().join(" ")
}

/// Quotes a word for a shell.
fn quoted(word: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./:=@%+,".contains(letter);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

fn uninstall(args: &WhichArgs) -> Result<(), ServiceCommandError> {
    let folder = working_folder().map_err(ServiceCommandError::WorkingFolder)?;
    // A project that is gone is no reason to keep its service.
    let (root, config) = match discover(None, &folder) {
        Ok((project, config)) => (project.root, config),
        Err(_) => (folder, ConfigFile::default()),
    };
    let name = args.name(&root);
    let owner = args.owner(&root)?;
    match args.manager() {
        Manager::Systemd => systemctl::uninstall(&name, args.scope(), &owner, &say)?,
        Manager::Launchd => {
            let patience = config.drain_timeout.unwrap_or(DEFAULT_DRAIN_TIMEOUT) + Duration::from_mins(2);
            launchctl::uninstall(&name, args.scope(), &owner, patience, &say)?;
        }
    }
    Ok(())
}

fn say(line: &str) {
    output::say(format_args!("{line}\n"));
}

/// Parses a port that is known before the service starts.
fn parse_fixed_port(text: &str) -> Result<u16, String> {
    match parse_port(text) {
        Ok(port) if port > 0 => Ok(port),
        _ => Err(format!("expected a number from 1 to 65535, got {text:?}")),
    }
}

fn note(line: &str) {
    eprintln!("note: {line}");
}

/// Settles the content of the unit, and checks the things that the unit relies on.
fn describe(args: &DescribeArgs) -> Result<Service, ServiceCommandError> {
    let here = working_folder().map_err(ServiceCommandError::WorkingFolder)?;
    let (project, config) = discover(args.path.as_deref(), &here)?;
    let owner = args.which.owner(&project.root)?;
    let binary = binary(args.binary.as_deref().map(|named| here.join(named)))?;
    let env_file = args.env_file.as_ref().map(|file| here.join(file));

    let mut arguments = vec!["start".to_owned()];
    if args.path.is_some() {
        arguments.push(in_unit(project.entry.path())?);
    }
    let mut add = |flag: &str, value: Option<String>| {
        if let Some(value) = value {
            arguments.extend([flag.to_owned(), value]);
        }
    };
    add("--host", args.host.map(|host| host.to_string()));
    add("--port", args.port.map(|port| port.to_string()));
    add("--env-file", env_file.as_deref().map(in_unit).transpose()?);
    let state_dir = args.state_dir.as_ref().map(|folder| in_unit(&here.join(folder)));
    add("--state-dir", state_dir.transpose()?);
    add(
        "--drain-timeout",
        args.drain_timeout.map(|drain| format!("{}s", drain.as_secs_f64())),
    );
    let log_file = args.log_file.as_ref().map(|file| in_unit(&here.join(file)));
    add("--log-file", log_file.transpose()?);
    let watch = args.watch.as_ref().and_then(WatchMode::to_possible_value);
    add("--watch", watch.map(|value| value.get_name().to_owned()));

    let file = env_file.or_else(|| config.env.file.map(|file| project.root.join(file)));
    match &file {
        Some(file) => private_file::check(file, &owner).map_err(ServiceError::from)?,
        None => note(
            "no environment file: functions and Inngest's SDK get their variables (INNGEST_SIGNING_KEY, …) from \
             --env-file, or from [env] file in baton.toml",
        ),
    }
    tell_what_is_left_behind(&binary);
    tell_who_cannot_read(&owner, [&binary, &project.root]);
    let ip = args.host.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    Ok(Service {
        name: args.which.name(&project.root),
        scope: args.which.scope(),
        owner,
        binary: in_unit(&binary)?,
        arguments,
        working_folder: in_unit(&project.root)?,
        search_path: search_path(&args.tools, &here, args.which.manager())?,
        address: SocketAddr::new(ip, args.port.or(config.port).unwrap_or(DEFAULT_PORT)),
        socket: args.socket || !args.no_socket,
        drain: args
            .drain_timeout
            .or(config.drain_timeout)
            .unwrap_or(DEFAULT_DRAIN_TIMEOUT),
    })
}

impl WhichArgs {
    fn manager(&self) -> Manager {
        if self.launchd || (cfg!(target_os = "macos") && !self.systemd) {
            Manager::Launchd
        } else {
            Manager::Systemd
        }
    }

    fn scope(&self) -> Scope {
        if self.system || self.run_as.is_some() || (!self.user && Owner::is_root()) {
            Scope::System
        } else {
            Scope::User
        }
    }

    fn owner(&self, root: &Path) -> Result<Owner, ServiceError> {
        Ok(match (&self.run_as, self.scope()) {
            (Some(name), _) => Owner::named(name)?,
            (None, Scope::System) => Owner::of(root)?,
            (None, Scope::User) => Owner::this_user()?,
        })
    }

    fn name(&self, root: &Path) -> String {
        let folder = || root.file_name().map(|name| name.to_string_lossy().into_owned());
        name_of(&self.name.clone().or_else(folder).unwrap_or_default())
    }
}

/// The binary that was named; else this binary, by the path of its call: where that path is a link, the next version
/// takes its place.
fn binary(named: Option<PathBuf>) -> Result<PathBuf, ServiceCommandError> {
    let no_binary = |path: &Path| {
        let path = path.to_owned();
        move |error| ServiceCommandError::NoBinary { path, error }
    };
    if let Some(path) = named {
        path.metadata().map_err(no_binary(&path))?;
        return Ok(path);
    }
    let this = std::env::current_exe().map_err(no_binary(Path::new("baton")))?;
    let called = std::env::args_os().next().map(PathBuf::from).unwrap_or_default();
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let mut candidates: Vec<PathBuf> = std::env::split_paths(&folders)
        .map(|folder| folder.join(&called))
        .collect();
    if called.components().count() > 1 {
        candidates = std::path::absolute(&called).into_iter().collect();
    }
    let real = this.canonicalize().ok();
    let same = |path: &PathBuf| path.is_absolute() && real.is_some() && path.canonicalize().ok() == real;
    Ok(candidates.into_iter().find(same).unwrap_or(this))
}

fn search_path(tools: &[PathBuf], here: &Path, manager: Manager) -> Result<String, ServiceError> {
    let mut folders = Vec::new();
    for folder in tools {
        folders.push(in_unit(&here.join(folder))?);
    }
    if manager == Manager::Launchd {
        folders.push(HOMEBREW.to_owned());
    }
    folders.push(SEARCH_PATH.to_owned());
    Ok(folders.join(":"))
}

/// Notes paths that the service's user may not be able to use: a service of the machine runs as another user than the
/// one who installs it. (Groups are not looked at: it is a note.)
fn tell_who_cannot_read(owner: &Owner, paths: [&PathBuf; 2]) {
    if owner.uid == 0 {
        note("the service and every program that a step starts will run as root: name another user with --run-as");
        return;
    }
    let closed = |folder: &&Path| {
        let open = |metadata: Metadata| {
            let bit = if metadata.uid() == owner.uid { 0o100 } else { 0o001 };
            metadata.mode() & bit != 0
        };
        !folder.metadata().is_ok_and(open)
    };
    for path in paths {
        if let Some(folder) = path.ancestors().find(closed) {
            note(&format!(
                "{} may not be able to use {}: {} is closed to others",
                owner.name,
                path.display(),
                folder.display()
            ));
        }
    }
}

/// Tells of settings that hold in this shell, and not in the service.
fn tell_what_is_left_behind(binary: &Path) {
    let ours = |name: &String| name == "PORT" || name.starts_with("BATON_");
    let variables: Vec<String> = std::env::vars_os()
        .filter_map(|(name, _)| name.into_string().ok())
        .filter(ours)
        .collect();
    if !variables.is_empty() {
        note(&format!(
            "set here, but not in the service: {}; pass flags, or write them into baton.toml",
            variables.join(", ")
        ));
    }
    if ["debug", "release"]
        .iter()
        .any(|profile| binary.ends_with(Path::new(profile).join("baton")))
    {
        note(&format!(
            "the service will start {}, which the next build replaces: name another binary with --binary",
            binary.display()
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::as_root;

    #[test]
    fn the_command_for_root_says_what_was_said_before() {
        let words = |text: &str| -> Vec<String> { text.split(' ').map(str::to_owned).collect() };
        let given = words("service install --user --port 3111 --tools bin");
        assert_eq!(
            as_root("/opt/homebrew/bin/baton", &given, "ada"),
            "sudo /opt/homebrew/bin/baton service install --port 3111 --tools bin --system --run-as ada"
        );
        let mut odd = words("service install");
        odd.push("/srv/Ada's <größter> shop".to_owned());
        assert_eq!(
            as_root("/a b/baton", &odd, "ada"),
            "sudo '/a b/baton' service install '/srv/Ada'\\''s <größter> shop' --system --run-as ada"
        );
    }
}
