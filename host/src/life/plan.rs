//! The plan of a host: its project and its settings, from flags and variables, `baton.toml`, and defaults.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use js_runtime_api::{EnvironmentSource, MemoryLimits, Project, regular_file};
use tracing::warn;

use super::ServeError;
use super::follow::FollowPlan;
use super::released::{self, ReleasePlan};
use super::settings::ServeArgs;
use crate::canary::CanaryUse;
use crate::config::{
    ConfigFile, ConnectRule, InngestSection, OnStop, PinMode, RegisterMode, Retries, StateFolder, WatchMode, discover,
    working_folder,
};
use crate::connect::Identity;
use crate::generation::{FindRelease, Limits, Pin, ProjectPlace};
use crate::registration::RegistrationSettings;
use crate::release::ReleaseFolders;
use crate::supervisor::Setup;
use crate::watch::Patterns;

pub(crate) const DEFAULT_PORT: u16 = 3111;
const DEFAULT_HOLD: Duration = Duration::from_mins(10);
/// A time that is longer than that of a step which talks to one other service.
const DEFAULT_SLOW_CALL: Duration = Duration::from_mins(1);
const DEFAULT_LOAD_TIMEOUT: Duration = Duration::from_mins(1);
/// The longest time that Inngest lets a call take.
pub(crate) const DEFAULT_DRAIN_TIMEOUT: Duration = Duration::from_hours(2);
/// A time that is long enough for a client of events to hear of their end; nobody waits for hours for a page.
const DEFAULT_STREAM_DRAIN: Duration = Duration::from_secs(10);
/// The longest time that Inngest waits for an answer.
const DEFAULT_CALL_TIMEOUT: Duration = Duration::from_hours(2);
/// The time for which Inngest calls for a step that another host has planned.
const DEFAULT_LINGER: Duration = Duration::from_mins(10);
const DEFAULT_MAX_GENERATIONS: usize = 8;
const DEFAULT_ISOLATES: usize = 4;
/// The limit for an isolate's heap, and the same again for its array buffers.
const DEFAULT_MEMORY_LIMIT_MIB: usize = 2048;
/// The time that a run may sleep between two calls and still be pinned.
const DEFAULT_PIN_TTL: Duration = Duration::from_hours(24);
/// The time that a generation may still take when there are too many.
const HURRIED_DRAIN: Duration = Duration::from_mins(10);

const DEFAULT_RELEASE_POLL: Duration = Duration::from_secs(15);
/// A registry is not asked more often.
const SHORTEST_RELEASE_POLL: Duration = Duration::from_millis(100);

/// The use of the host.
#[derive(Debug, Clone, Copy)]
pub enum Mode {
    /// A host for the person at this machine.
    Dev,
    /// A host in production, on this address.
    Start(IpAddr),
}

/// The settings that are known before anything is opened.
#[derive(Debug)]
pub struct Plan {
    pub(crate) mode: Mode,
    pub(crate) project: Project,
    pub(crate) state: StateFolder,
    pub(crate) address: SocketAddr,
    pub(crate) inspect: Option<u16>,
    pub(crate) hold: Duration,
    pub(crate) slow_call: Duration,
    pub(crate) stream_drain: Duration,
    pub(crate) watching: FollowPlan,
    /// The release, where the host is started from one.
    pub(crate) release: Option<ReleasePlan>,
    pub(crate) pin: Pin,
    pub(crate) register: bool,
    pub(crate) connects: ConnectRule,
    pub(crate) identity: Identity,
    pub(crate) on_stop: OnStop,
    pub(crate) limits: Limits,
}

/// The advice that has a generation read its `.env`.
pub(crate) const NAME_THE_ENV_FILE: &str =
    "Write `[env]` and `file = \".env\"` into baton.toml, or give `--env-file .env`.";

/// The most bytes of a `package.json` that is looked into.
const LARGEST_MANIFEST: u64 = 16 << 20;

impl Plan {
    /// The settings that a supervisor needs. `arguments` are those of its hosts.
    #[must_use]
    pub fn supervisor(self, arguments: Vec<OsString>) -> Setup {
        Setup {
            state: self.state,
            address: self.address,
            drain: self.limits.drain,
            is_called: self.connects != ConnectRule::Always,
            arguments,
        }
    }

    /// The `.env` beside `package.json` that no setting names, and that no package of the project reads.
    #[must_use]
    pub fn unnamed_env_file(&self) -> Option<std::path::PathBuf> {
        let root = &self.project.root;
        let file = root.join(".env");
        if self.project.environment.file.is_some() || self.project.environment.secret_command.is_some() {
            return None;
        }
        let manifest = regular_file::read(&root.join("package.json"), LARGEST_MANIFEST).unwrap_or_default();
        let manifest = String::from_utf8_lossy(&manifest);
        (file.is_file() && !manifest.contains("\"dotenv")).then_some(file)
    }

    /// The project as a person at this working folder would name it.
    pub(super) fn shown_project(&self) -> String {
        let entry = self.project.entry.path();
        let below = working_folder().ok().and_then(|folder| folder.canonicalize().ok());
        let below = below.and_then(|folder| Some(entry.canonicalize().ok()?.strip_prefix(folder).ok()?.to_owned()));
        match below.filter(|below| !below.as_os_str().is_empty()) {
            Some(below) => below.display().to_string(),
            None => entry.display().to_string(),
        }
    }

    /// The time that loading the project may take.
    #[must_use]
    pub const fn load_timeout(&self) -> Duration {
        self.limits.load
    }

    pub(crate) const fn settings(&self) -> RegistrationSettings {
        RegistrationSettings {
            wanted: self.register,
            connects: self.connects,
            address: self.address,
        }
    }
}

/// Finds the project and settles every value: flags and variables come before `baton.toml`.
///
/// # Errors
/// When there is no project, or its configuration is wrong.
pub fn plan(args: &ServeArgs, mode: Mode) -> Result<Plan, ServeError> {
    let reference = args.reference()?;
    let (found, mut project, file) = match &reference {
        Some(reference) => {
            if let Mode::Dev = mode {
                return Err(ServeError::OnlyStart(format!("oci://{reference}")));
            }
            let state = released::state_folder(reference, args.state_dir.clone())?;
            let folders = ReleaseFolders::in_state_folder(state.path());
            let (release, project, file) = released::begin(&folders, reference)?;
            (Some((state, folders, release, working_folder()?)), project, file)
        }
        None => {
            let (project, file) = discover(args.path.as_deref(), &working_folder()?)?;
            (None, project, file)
        }
    };
    let started_in = found.as_ref().map(|(_, _, _, folder)| folder.as_path());
    settle(&mut project, &file, args, mode, started_in)?;
    let ConfigFile {
        port,
        state_dir,
        hold,
        load_timeout,
        drain_timeout,
        stream_drain,
        call_timeout,
        max_generations,
        isolates,
        spare,
        heap_limit,
        buffer_limit,
        cpu_limit,
        watch,
        require_clean,
        poll,
        pin,
        pin_ttl,
        // The project has these already.
        env: _,
        inngest,
        connect,
        functions: _,
        resolve: _,
        release,
        fleet,
        deny,
        canary,
        path: _,
    } = file;
    let (state, released) = match found {
        Some((state, folders, unpacked, started_in)) => {
            let poll = args.release_poll.or(release.poll).unwrap_or(DEFAULT_RELEASE_POLL);
            let plan = reference.map(|reference| ReleasePlan {
                reference,
                find: find_release(&folders, args, mode, started_in),
                folders,
                poll: poll.max(SHORTEST_RELEASE_POLL),
                release: Arc::new(unpacked),
            });
            (state, plan)
        }
        None => {
            let named = args.state_dir.clone();
            let state_dir = named.or_else(|| state_dir.map(|folder| project.root.join(folder)));
            (StateFolder::of(&project.root, state_dir)?, None)
        }
    };
    let host = match mode {
        Mode::Dev => IpAddr::V4(Ipv4Addr::LOCALHOST),
        Mode::Start(host) => host,
    };
    // The root is canonical as in the code: files are followed by the names that symbolic links lead to.
    let watched = project.root.canonicalize().unwrap_or_else(|_| project.root.clone());
    let patterns = Patterns::new(watched, &watch.include, &watch.ignore);
    let drain = args.drain_timeout.or(drain_timeout).unwrap_or(DEFAULT_DRAIN_TIMEOUT);
    Ok(Plan {
        state,
        project,
        mode,
        inspect: args.inspect,
        slow_call: args.slow_call.unwrap_or(DEFAULT_SLOW_CALL),
        stream_drain: args.stream_drain.or(stream_drain).unwrap_or(DEFAULT_STREAM_DRAIN),
        address: SocketAddr::new(host, args.port.or(port).unwrap_or(DEFAULT_PORT)),
        hold: args.hold.or(hold).unwrap_or(DEFAULT_HOLD),
        watching: FollowPlan {
            mode: match released {
                // A release never changes.
                Some(_) => WatchMode::Off,
                None => watch_mode(args, watch.mode, mode),
            },
            require_clean: args.require_clean || require_clean.unwrap_or_default(),
            poll: args.poll || poll.unwrap_or_default(),
            patterns,
        },
        release: released,
        pin: match args.pin.or(pin) {
            Some(PinMode::Run) => Pin::Run(args.pin_ttl.or(pin_ttl).unwrap_or(DEFAULT_PIN_TTL)),
            Some(PinMode::None) | None => Pin::Nothing,
        },
        register: match args.register.or(inngest.register) {
            Some(RegisterMode::Auto) | None => true,
            Some(RegisterMode::Off) => false,
        },
        connects: match args.connect.then_some(true).or(connect.enabled) {
            Some(true) => ConnectRule::Always,
            Some(false) => ConnectRule::Never,
            None => ConnectRule::AsTheCodeSays,
        },
        identity: Identity {
            instance_id: connect.instance_id,
            max_worker_concurrency: connect.max_worker_concurrency,
            gateway_url: connect.gateway_url,
        },
        on_stop: connect.on_stop.unwrap_or_default(),
        limits: Limits {
            deny,
            canary: (
                match (mode, &canary) {
                    (Mode::Dev, _) => CanaryUse::Never,
                    (Mode::Start(_), None) => CanaryUse::OnRequest,
                    (Mode::Start(_), Some(_)) => CanaryUse::Always,
                },
                canary.unwrap_or_default().options(),
            ),
            max_generations: settled(args.max_generations, max_generations, DEFAULT_MAX_GENERATIONS),
            call: args.call_timeout.or(call_timeout).unwrap_or(DEFAULT_CALL_TIMEOUT),
            isolates: settled(args.isolates, isolates, DEFAULT_ISOLATES),
            cores: std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
            spare: !args.no_spare && spare.unwrap_or(true),
            memory: MemoryLimits {
                heap: settled(args.heap_limit, heap_limit, DEFAULT_MEMORY_LIMIT_MIB) << 20,
                buffers: settled(args.buffer_limit, buffer_limit, DEFAULT_MEMORY_LIMIT_MIB) << 20,
            },
            cpu: args.cpu_limit.or(cpu_limit),
            drain,
            linger: fleet.linger.unwrap_or(DEFAULT_LINGER).min(drain),
            hurried_drain: HURRIED_DRAIN.min(drain),
            load: args.load_timeout.or(load_timeout).unwrap_or(DEFAULT_LOAD_TIMEOUT),
        },
    })
}

/// Gives a project the settings that it has beside its place. `started_in`: of a release, the folder in which the host was
/// started. Paths of the host's own files are relative to that folder, and the code works in the folder of its release.
fn settle(
    project: &mut Project,
    file: &ConfigFile,
    args: &ServeArgs,
    mode: Mode,
    started_in: Option<&Path>,
) -> std::io::Result<()> {
    project.default_retries = file.functions.default_retries.map(|Retries(count)| count);
    let env_file = match (&args.env_file, &file.env.file, started_in) {
        (Some(file), _, Some(folder)) | (None, Some(file), Some(folder)) => Some(folder.join(file)),
        (Some(file), _, None) => Some(working_folder()?.join(file)),
        (None, Some(file), None) => Some(project.root.join(file)),
        (None, None, _) => None,
    };
    project.environment = EnvironmentSource {
        file: env_file,
        secret_command: file.env.secret_command.clone(),
        defaults: default_variables(&file.inngest, mode),
        working_folder: started_in.map(|_| project.root.clone()),
    };
    Ok(())
}

/// Returns the finder of projects of unpacked releases, with the settings that this host was started with.
fn find_release(folders: &ReleaseFolders, args: &ServeArgs, mode: Mode, started_in: PathBuf) -> FindRelease {
    let (folders, args) = (folders.clone(), args.clone());
    Arc::new(move |digest| {
        let release = folders.find(digest)?;
        let found = released::project_of(&folders, &release).and_then(|(mut project, file)| {
            settle(&mut project, &file, &args, mode, Some(&started_in))?;
            Ok(project)
        });
        match found {
            Ok(project) => Some(ProjectPlace {
                project,
                release: Some(Arc::new(release)),
            }),
            Err(error) => {
                warn!(release = %digest, %error, "cannot read the project of a release");
                None
            }
        }
    })
}

/// The variables that functions see where the environment does not set them.
fn default_variables(inngest: &InngestSection, mode: Mode) -> BTreeMap<String, String> {
    let mut defaults: BTreeMap<_, _> = inngest.variables(matches!(mode, Mode::Start(_))).collect();
    if let Mode::Dev = mode {
        // The SDK would take this machine for Inngest's cloud.
        defaults.insert("INNGEST_DEV".to_owned(), "1".to_owned());
    }
    defaults
}

/// The changes that are followed: those of the flags, else of the file, else in `baton dev` those of files.
fn watch_mode(args: &ServeArgs, file: Option<WatchMode>, mode: Mode) -> WatchMode {
    match (args.watch, mode) {
        _ if args.no_watch => WatchMode::Off,
        (Some(asked), _) => asked,
        (None, Mode::Dev) => file.unwrap_or(WatchMode::Files),
        (None, Mode::Start(_)) => file.unwrap_or(WatchMode::Off),
    }
}

/// The value of the flag or variable, else that of the file, else the default.
fn settled(argument: Option<usize>, file: Option<NonZeroUsize>, default: usize) -> usize {
    argument.or(file.map(NonZeroUsize::get)).unwrap_or(default)
}
