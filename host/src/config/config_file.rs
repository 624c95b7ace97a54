//! `baton.toml` in the project's root. Every key is optional; an unknown one is an error.

use std::io;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use js_runtime_api::regular_file;
use miette::Diagnostic;
use serde::Deserialize;

use super::sections::{
    CanarySection, ConnectSection, EnvironmentFile, FleetSection, FunctionsSection, InngestSection, PinMode,
    ReleaseSection,
};
use super::setting_values::{buffer_limit, codes, duration, heap_limit, isolates};
use super::{ResolveSection, WatchSection};
use crate::lint::WarningCode;

/// The content of the file. Durations are written `"90s"`, `"10m"`, `"2h"`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct ConfigFile {
    /// The folder of functions or the entry file, relative to the project's root.
    pub path: Option<PathBuf>,
    pub port: Option<u16>,
    /// The folder in which the host keeps its state.
    pub state_dir: Option<PathBuf>,
    /// The time that a call waits for the first good generation.
    #[serde(default, deserialize_with = "duration")]
    pub hold: Option<Duration>,
    /// The limit for loading a generation.
    #[serde(default, deserialize_with = "duration")]
    pub load_timeout: Option<Duration>,
    /// The time in which a superseded generation, or a host that was told to end, may finish its calls.
    #[serde(default, deserialize_with = "duration")]
    pub drain_timeout: Option<Duration>,
    /// The longest time for an app's streams and WebSockets once the host was told to end.
    #[serde(default, deserialize_with = "duration")]
    pub stream_drain: Option<Duration>,
    /// The time that a call may take before its isolate is ended.
    #[serde(default, deserialize_with = "duration")]
    pub call_timeout: Option<Duration>,
    /// The number of generations that may be live before the oldest is hurried.
    pub max_generations: Option<NonZeroUsize>,
    /// The number of isolates that a generation may have.
    #[serde(default, deserialize_with = "isolates")]
    pub isolates: Option<NonZeroUsize>,
    /// Tells whether an isolate is kept ready for the next reload.
    pub spare: Option<bool>,
    /// The limit for the JavaScript heap of an isolate, in MiB.
    #[serde(default, deserialize_with = "heap_limit")]
    pub heap_limit: Option<NonZeroUsize>,
    /// The limit for the array buffers of an isolate, in MiB.
    #[serde(default, deserialize_with = "buffer_limit")]
    pub buffer_limit: Option<NonZeroUsize>,
    /// The processor time that a call may use before its isolate is ended.
    #[serde(default, deserialize_with = "duration")]
    pub cpu_limit: Option<Duration>,
    /// The changes on the disk that lead to a reload.
    #[serde(default)]
    pub watch: WatchSection,
    /// Tells whether a commit is served only while no file differs from it.
    pub require_clean: Option<bool>,
    /// Tells whether the host looks at files instead of waiting for the system to tell.
    pub poll: Option<bool>,
    /// Tells whether a run stays on the generation on which it began.
    pub pin: Option<PinMode>,
    /// The time for which a run is pinned after its last call.
    #[serde(default, deserialize_with = "duration")]
    pub pin_ttl: Option<Duration>,
    #[serde(default)]
    pub env: EnvironmentFile,
    #[serde(default)]
    pub inngest: InngestSection,
    #[serde(default)]
    pub connect: ConnectSection,
    #[serde(default)]
    pub functions: FunctionsSection,
    #[serde(default)]
    pub resolve: ResolveSection,
    #[serde(default)]
    pub release: ReleaseSection,
    #[serde(default)]
    pub fleet: FleetSection,
    /// Warnings that reject the code they are about.
    #[serde(default, deserialize_with = "codes")]
    pub deny: Vec<WarningCode>,
    /// The terms on which new code is tried; without them reloads are canaries only where somebody asks.
    pub canary: Option<CanarySection>,
}

/// The keys on the first level.
pub const KEYS: [&str; 28] = [
    "path",
    "port",
    "state_dir",
    "hold",
    "load_timeout",
    "drain_timeout",
    "stream_drain",
    "call_timeout",
    "max_generations",
    "isolates",
    "spare",
    "heap_limit",
    "buffer_limit",
    "cpu_limit",
    "watch",
    "require_clean",
    "poll",
    "pin",
    "pin_ttl",
    "env",
    "inngest",
    "connect",
    "functions",
    "resolve",
    "release",
    "fleet",
    "deny",
    "canary",
];

/// A fault of the file. No retry can mend it.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum ConfigFileError {
    #[error("cannot read {path}: {error}", path = .path.display())]
    #[diagnostic(help("Make it a file of UTF-8 text that this user can read, or remove it."))]
    Unreadable { path: PathBuf, error: io::Error },
    #[error("{path}: {message}", path = .path.display())]
    #[diagnostic(help("Correct the line; docs/configuration.md lists the keys, their values and defaults."))]
    Invalid { path: PathBuf, message: String },
    #[error("{path}: unknown key {key:?}{nearest}", path = .path.display(),
            nearest = nearest(.key).map(|key| format!(", did you mean {key:?}?")).unwrap_or_default())]
    #[diagnostic(help("Known keys: {}", KEYS.join(", ")))]
    UnknownKey { path: PathBuf, key: String },
}

/// The most bytes of the file that are read.
const LARGEST: u64 = 1 << 20;

impl ConfigFile {
    /// Reads the project's file; all values are absent when there is none.
    ///
    /// # Errors
    /// When it cannot be read, is no TOML, or has a key or value that is not known.
    pub fn read(root: &Path) -> Result<Self, ConfigFileError> {
        let path = root.join("baton.toml");
        let read = regular_file::read(&path, LARGEST);
        let text = match read.and_then(|bytes| String::from_utf8(bytes).map_err(io::Error::other)) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(ConfigFileError::Unreadable { path, error }),
        };
        let invalid = |error: toml::de::Error| ConfigFileError::Invalid {
            path: path.clone(),
            message: error
                .to_string()
                .trim_end()
                .replace("expected u16", "expected a number from 0 to 65535"),
        };
        let table: toml::Table = text.parse().map_err(invalid)?;
        if let Some(key) = table.keys().find(|key| !KEYS.contains(&key.as_str())) {
            return Err(ConfigFileError::UnknownKey { path, key: key.clone() });
        }
        let file: Self = toml::from_str(&text).map_err(invalid)?;
        if file
            .canary
            .as_ref()
            .is_some_and(|canary| canary.share.is_some() && canary.steps.is_some())
        {
            let message = "[canary] has both `share` and `steps`: keep one of them".to_owned();
            return Err(ConfigFileError::Invalid { path, message });
        }
        Ok(file)
    }
}

fn nearest(key: &str) -> Option<&'static str> {
    let scored = KEYS.iter().map(|known| (strsim::jaro_winkler(key, known), *known));
    scored
        .filter(|(score, _)| *score > 0.7)
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;
    use std::path::Path;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::{CanarySection, ConfigFile, PinMode};
    use crate::canary::{OnFail, OnTime};
    use crate::config::{RegisterMode, Retries, WatchMode};

    #[test]
    fn watching_is_a_mode_or_a_table_with_globs_and_what_is_wrong_in_it_is_named() {
        let table =
            read("[watch]\nmode = \"files\"\ninclude = [\"prompts/**/*.md\"]\nignore = [\"data/**\"]\n").unwrap();
        assert_eq!(table.watch.mode, Some(WatchMode::Files));
        assert_eq!(table.watch.include, ["prompts/**/*.md"]);
        assert_eq!(table.watch.ignore, ["data/**"]);
        assert_eq!(read("watch = \"off\"").unwrap().watch.mode, Some(WatchMode::Off));
        assert_eq!(read("").unwrap().watch, super::WatchSection::default());
        for (text, named) in [
            ("watch = \"often\"", "watch"),
            ("watch = 1", "or a table with mode, include and ignore"),
            ("[watch]\ninclude = [\"a[\"]", "\"a[\" is not a glob"),
            ("[watch]\nignore = [\"../a\"]", "leads out of the project"),
            ("[watch]\nincludes = []", "includes"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(named), "{text}: {error}");
        }
    }

    fn read(text: &str) -> Result<ConfigFile, String> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("baton.toml"), text).unwrap();
        ConfigFile::read(folder.path()).map_err(|error| error.to_string())
    }

    #[test]
    fn every_key_is_read() {
        let text = "path = \"src\"\nport = 80\nstate_dir = \"s\"\nhold = \"1m\"\nload_timeout = \"90s\"\n\
                    drain_timeout = \"2h\"\nstream_drain = \"5s\"\ncall_timeout = \"30m\"\nmax_generations = 3\nisolates = 2\nspare = false\nheap_limit = 512\n\
                    buffer_limit = 256\ncpu_limit = \"90s\"\nwatch = \"git-ref\"\nrequire_clean = true\npoll = true\n\
                    pin = \"run\"\npin_ttl = \"1h\"\ndeny = [\"retries_zero\"]\n\
                    [env]\nfile = \".env\"\nsecret_command = [\"op\", \"read\"]\n\
                    [inngest]\nserve_path = \"/jobs\"\nserve_origin = \"https://a\"\nregister = \"off\"\n\
                    [canary]\nshare = 5\nleast = 50\nwithin = \"1h\"\non_time = \"hold\"\non_fail = \"finish\"\nalpha = 0.05\n\
                    [functions]\ndefault_retries = 2\n[resolve]\nconditions = [\"react-server\"]";
        let config = read(text).unwrap();
        assert_eq!(config.hold, Some(Duration::from_secs(60)));
        assert_eq!(config.drain_timeout, Some(Duration::from_secs(7200)));
        assert_eq!(config.stream_drain, Some(Duration::from_secs(5)));
        assert_eq!(config.call_timeout, Some(Duration::from_secs(1800)));
        assert_eq!(config.port, Some(80));
        assert_eq!(config.max_generations, NonZeroUsize::new(3));
        assert_eq!(
            (config.isolates, config.heap_limit),
            (NonZeroUsize::new(2), NonZeroUsize::new(512))
        );
        assert_eq!(config.spare, Some(false));
        assert_eq!(config.env.file.as_deref(), Some(Path::new(".env")));
        assert_eq!(
            config.env.secret_command,
            Some(vec!["op".to_owned(), "read".to_owned()])
        );
        let line = read("[env]\nsecret_command = \"pass show x | grep =\"").unwrap().env;
        assert_eq!(
            line.secret_command,
            Some(["sh", "-c", "pass show x | grep ="].map(str::to_owned).into())
        );
        assert_eq!(config.inngest.serve_path.as_deref(), Some("/jobs"));
        assert_eq!(config.deny, ["retries_zero"]);
        assert_eq!(config.resolve.conditions, ["react-server"]);
        assert_eq!(config.inngest.register, Some(RegisterMode::Off));
        assert_eq!(config.functions.default_retries, Some(Retries(2)));
        let names = |production| -> Vec<String> {
            let variables = config.inngest.variables(production);
            variables.map(|(name, _)| name).collect()
        };
        assert_eq!(
            names(true),
            ["INNGEST_SERVE_ORIGIN", "INNGEST_SERVE_HOST", "INNGEST_SERVE_PATH"]
        );
        assert_eq!(names(false), ["INNGEST_SERVE_PATH"]);
        let canary = config.canary.unwrap().options();
        assert_eq!((canary.stages.to_string(), canary.least), ("5 %".to_owned(), 50));
        assert_eq!(
            (canary.within, canary.on_time),
            (Duration::from_secs(3600), OnTime::Hold)
        );
        assert_eq!(canary.on_fail, OnFail::Finish);
        assert!((canary.alpha.value() - 0.05).abs() < 1e-9);
        assert_eq!(config.buffer_limit, NonZeroUsize::new(256));
        assert_eq!(config.cpu_limit, Some(Duration::from_secs(90)));
        assert_eq!(
            (config.watch.mode, config.require_clean, config.poll),
            (Some(WatchMode::GitRef), Some(true), Some(true))
        );
        assert_eq!(
            (config.pin, config.pin_ttl),
            (Some(PinMode::Run), Some(Duration::from_secs(3600)))
        );
    }

    #[test]
    fn an_unknown_key_names_the_nearest_known_one() {
        assert!(
            read("drain_timout = \"1s\"")
                .unwrap_err()
                .contains("did you mean \"drain_timeout\"?")
        );
        assert!(read("xyz = 1").unwrap_err().ends_with("unknown key \"xyz\""));
    }

    #[test]
    fn a_wrong_value_is_an_error() {
        assert!(read("hold = \"soon\"").unwrap_err().contains("expected a duration"));
        assert!(read("port = \"eighty\"").is_err());
        assert!(read("port = [").is_err());
        assert!(
            read("[canary]\nshare = 100")
                .unwrap_err()
                .contains("from 0 to 99 percent")
        );
        let steps = read("[canary]\nsteps = [10, 50]").unwrap().canary.unwrap().options();
        assert_eq!(steps.stages.to_string(), "10 %, then 50 %");
        for wrong in ["steps = [50, 10]", "steps = []", "share = 5\nsteps = [10, 50]"] {
            assert!(
                read(&format!("[canary]\n{wrong}")).unwrap_err().contains("share"),
                "{wrong}"
            );
        }
        assert!(
            read("[canary]\nalpha = 1.5")
                .unwrap_err()
                .contains("expected a probability")
        );
        let gate = read("[canary]\ngate = [\"smoke\"]")
            .unwrap()
            .canary
            .unwrap()
            .options()
            .gate;
        assert_eq!(gate, ["smoke"]);
        assert!(read("[canary]\ngates = []").unwrap_err().contains("unknown field"));
        assert_eq!(read("[canary]").unwrap().canary, Some(CanarySection::default()));
        assert_eq!(read("").unwrap().canary, None);
        assert!(read("isolates = 0").is_err());
        assert!(
            read("[inngest]\nserve_path = \"jobs\"")
                .unwrap_err()
                .contains("expected a path")
        );
        assert!(
            read("[env]\nfiel = \".env\"")
                .unwrap_err()
                .contains("expected `file` or `secret_command`")
        );
        assert!(
            read("[env]\nsecret_command = 1")
                .unwrap_err()
                .contains("expected a list of a program and its arguments")
        );
        assert!(
            read("deny = [\"retry_zero\"]")
                .unwrap_err()
                .contains("\"retries_zero\"?")
        );
        assert!(
            read("[functions]\ndefault_retries = 21")
                .unwrap_err()
                .contains("20 times")
        );
        for wrong in ["\"react-server\"", "[1]", "true"] {
            assert!(
                read(&format!("[resolve]\nconditions = {wrong}"))
                    .unwrap_err()
                    .contains("expected a list of conditions"),
                "{wrong}"
            );
        }
        assert!(
            read("[resolve]\nconditions = [\"a b\"]")
                .unwrap_err()
                .contains("\"a b\" is not a condition")
        );
        assert!(
            read("[resolve]\ncondition = []")
                .unwrap_err()
                .contains("expected `conditions`")
        );
    }

    #[test]
    fn fuzz_of_baton_toml() {
        const PARTS: &[&[u8]] = &[
            b"path = \"src\"\n",
            b"port = 80\n",
            b"port = 99999999999999999999\n",
            b"hold = \"1m\"\n",
            b"hold = \"-1s\"\n",
            b"hold = \"999999999999h\"\n",
            b"isolates = 0\n",
            b"heap_limit = 17592186044416\n",
            b"pin = \"run\"\n",
            b"[env]\n",
            b"[env.file]\n",
            b"file = \".env\"\n",
            b"secret_command = [\"a\", \"b\"]\n",
            b"[inngest]\n",
            b"serve_path = \"/a\"\n",
            b"[functions]\n",
            b"default_retries = 21\n",
            b"[resolve]\n",
            b"conditions = [\"a b\"]\n",
            b"deny = [\"retries_zero\"]\n",
            b"=",
            b"[",
            b"]",
            b"{",
            b"}",
            b"\"",
            b"'''",
            b"#",
            b".",
            b"\n",
            b"a",
            b"1979-05-27T07:32:00Z",
            b"inf",
            b"0x",
            b"\\u{110000}",
            b"\xff",
        ];
        let folder = tempfile::tempdir().unwrap();
        crate::fuzz::fuzz("baton.toml", &crate::fuzz::bytes_of(PARTS, 16), |bytes| {
            std::fs::write(folder.path().join("baton.toml"), bytes).unwrap();
            if let Err(error) = ConfigFile::read(folder.path()) {
                prop_assert!(!error.to_string().is_empty());
            }
            Ok(())
        });
    }

    #[test]
    fn nesting_without_end_is_an_error() {
        for part in ["[", "a.", "{a=", "[[", "{a.b="] {
            for before in ["a = ", "", "["] {
                let text = format!("{before}{}", part.repeat(100_000));
                assert!(read(&text).is_err(), "{before}{part}");
            }
        }
    }
}
