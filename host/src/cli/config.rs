//! `baton config`: every setting, its value, and the place that says so.
//!
//! A setting is declared once: as a flag of `baton start`, whose name, variable, default and text clap has, or as a
//! key that `baton.toml` alone has. The table of docs/configuration.md is made of the same list.

use std::fmt;
use std::process::ExitCode;

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Args, CommandFactory as _};
use js_runtime_api::regular_file;
use serde::Serialize;
use toml::de::{DeTable, DeValue};

use super::Cli;
use super::output::say;
use crate::config::KEYS;
use crate::life::{Mode, ServeArgs, ServeError, plan};
use crate::telemetry::logs;

pub(super) const HELP: &str =
    "Example:\n  baton config\n  baton config --json | jq '.settings[] | select(.from != \"default\")'";

#[derive(Debug, Args)]
pub struct ConfigArgs {
    #[command(flatten)]
    serve: ServeArgs,
    /// Print JSON instead of text.
    #[arg(long)]
    json: bool,
}

/// A setting, as it is declared.
struct Setting {
    /// The name of the key in `baton.toml`.
    key: Option<&'static str>,
    argument: Option<Arg>,
    variable: Option<String>,
    default: String,
    text: String,
}

/// The keys that have another name than their flag.
const OTHER_NAMES: [(&str, &str); 6] = [
    ("connect", "connect.enabled"),
    ("env_file", "env.file"),
    ("no_spare", "spare"),
    ("register", "inngest.register"),
    ("release_poll", "release.poll"),
    ("watch", "watch.mode"),
];

/// The keys without a flag: name, variable if there is one, default, text.
const KEYS_ALONE: [(&str, Option<&str>, &str, &str); 23] = [
    (
        "canary.alpha",
        None,
        "0.01",
        "The probability that a canary which is not worse is taken back.",
    ),
    (
        "canary.gate",
        None,
        "none",
        "Functions that run in the new code before it gets a run: `[\"smoke\"]`. One that fails rejects the code.",
    ),
    (
        "canary.least",
        None,
        "20",
        "Runs of a canary that must have ended before it can pass.",
    ),
    (
        "canary.on_fail",
        None,
        "move",
        "What the runs of a canary do that is taken back: `move` to the old code, or `finish` on the new one.",
    ),
    (
        "canary.on_time",
        None,
        "promote",
        "What becomes of a canary that neither failed nor passed within its time: `promote`, or `hold` for a person.",
    ),
    (
        "canary.share",
        None,
        "10",
        "The percentage of new runs that a canary gets. With a `[canary]` table each reload of `start` is a canary.",
    ),
    (
        "canary.steps",
        None,
        "none",
        "Percentages of new runs that a canary gets one after the other, in place of `share`: `[10, 50]`.",
    ),
    (
        "canary.within",
        None,
        "30m",
        "The time within which a canary is decided, or each of its steps.",
    ),
    (
        "connect.gateway_url",
        Some("INNGEST_CONNECT_GATEWAY_URL"),
        "what Inngest says",
        "The address of the gateway, where Inngest names one that cannot be reached: `wss://…`.",
    ),
    (
        "connect.instance_id",
        None,
        "the name of the machine",
        "The name of this host at Inngest: one for each host, and the same after each start.",
    ),
    (
        "connect.max_worker_concurrency",
        Some("INNGEST_CONNECT_MAX_WORKER_CONCURRENCY"),
        "no limit",
        "The number of steps that Inngest gives this host at once, over a connection.",
    ),
    (
        "connect.on_stop",
        None,
        "close",
        "What the connection does when the host is told to end: `close`, or `pause` where other hosts are connected.",
    ),
    ("deny", None, "none", "Warnings that reject the code."),
    (
        "env.secret_command",
        None,
        "none",
        "A command that prints variables for the functions; runs for each generation, and comes before `env.file`.",
    ),
    (
        "fleet.linger",
        None,
        "10m",
        "The time for which the code before the newest stays where `inngest.serve_origin` is set: other hosts at that \
         address may have it still.",
    ),
    (
        "functions.default_retries",
        None,
        "Inngest's 4",
        "The retries of functions that do not set them.",
    ),
    (
        "inngest.base_url",
        Some("INNGEST_BASE_URL"),
        "Inngest's cloud",
        "The URL of Inngest. For `start`.",
    ),
    (
        "inngest.env",
        Some("INNGEST_ENV"),
        "none",
        "The branch environment. For `start`.",
    ),
    (
        "inngest.serve_origin",
        Some("INNGEST_SERVE_ORIGIN"),
        "the address of the host",
        "The origin at which Inngest reaches the host. For `start`.",
    ),
    (
        "inngest.serve_path",
        Some("INNGEST_SERVE_PATH"),
        "/api/inngest",
        "The path of the functions at that origin, also of the project's own app.",
    ),
    (
        "resolve.conditions",
        None,
        "none",
        "Further conditions of `exports` and `imports` in a `package.json`.",
    ),
    (
        "watch.ignore",
        None,
        "none",
        "Files whose changes are ignored, as globs.",
    ),
    (
        "watch.include",
        None,
        "none",
        "Files that belong to the code though no module reads them, as globs.",
    ),
];

/// The keys whose values may hold secrets.
const SECRET: [&str; 1] = ["env.secret_command"];

/// The place that gives a setting its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "from", rename_all = "snake_case")]
enum SettingOrigin {
    Default,
    #[serde(rename = "baton.toml")]
    File {
        line: usize,
    },
    Variable {
        variable: String,
    },
    Flag {
        flag: String,
    },
}

/// A setting, its value, and the place that gives the value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct EffectiveSetting {
    setting: String,
    value: String,
    #[serde(flatten)]
    origin: SettingOrigin,
    /// The help of the setting.
    help: String,
}

pub(super) fn run(args: &ConfigArgs) -> ExitCode {
    let settled = match settled(args) {
        Ok(settled) => settled,
        Err(error) => {
            let code = error.exit_code();
            logs::say_last(&format!("{:?}", miette::Report::new(error)));
            return ExitCode::from(code);
        }
    };
    if args.json {
        say(format_args!("{}\n", serde_json::json!({ "settings": settled })));
    } else {
        say(in_columns(&settled));
    }
    ExitCode::SUCCESS
}

/// Returns a line for each setting: its name, its value, and the place that gives the value.
fn in_columns(settled: &[EffectiveSetting]) -> String {
    let width = settled.iter().map(|one| one.value.len()).max();
    let width = width.unwrap_or_default().min(40);
    let line = |one: &EffectiveSetting| format!("{:<26} {:<width$}  {}\n", one.setting, one.value, one.origin);
    settled.iter().map(line).collect()
}

fn settled(args: &ConfigArgs) -> Result<Vec<EffectiveSetting>, ServeError> {
    // Making the plan reports every wrong value.
    let root = plan(&args.serve, Mode::Dev)?.project.root;
    let text = regular_file::read(&root.join("baton.toml"), LARGEST_FILE).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let written = FileValues::read(&text);
    let matches = Cli::command().get_matches();
    let given = matches.subcommand_matches("config").cloned().unwrap_or_default();
    let said = |variable: &str| std::env::var(variable).ok();
    let all = all();
    Ok(all
        .iter()
        .map(|setting| setting.settle(&given, &written, said))
        .collect())
}

/// The most bytes of `baton.toml`.
const LARGEST_FILE: u64 = 1 << 20;

/// The settings in the order of `--help`, then the keys without a flag.
fn all() -> Vec<Setting> {
    let cli = Cli::command();
    let start = cli.find_subcommand("start").into_iter();
    let arguments = start.flat_map(clap::Command::get_arguments);
    let flags = arguments
        .filter(|argument| argument.get_id() != "help")
        .map(Setting::of);
    let alone = KEYS_ALONE.map(|(key, variable, default, text)| Setting {
        key: Some(key),
        argument: None,
        variable: variable.map(str::to_owned),
        default: default.to_owned(),
        text: text.to_owned(),
    });
    flags.chain(alone).collect()
}

impl Setting {
    fn of(argument: &Arg) -> Self {
        let id = argument.get_id().as_str();
        let other = OTHER_NAMES.iter().find(|(flag, _)| *flag == id).map(|(_, key)| *key);
        let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
        let (text, default) = match help.split_once(" [default: ") {
            Some((text, default)) => (text.to_owned(), default.trim_end_matches(']').to_owned()),
            None => (help, String::new()),
        };
        let of_clap = argument
            .get_default_values()
            .first()
            .map(|value| value.to_string_lossy().into_owned());
        let is_switch = matches!(argument.get_action(), ArgAction::SetTrue);
        let unsaid = of_clap.unwrap_or_else(|| if is_switch { "false" } else { "none" }.to_owned());
        Self {
            key: other.or_else(|| KEYS.into_iter().find(|key| *key == id)),
            argument: Some(argument.clone()),
            variable: argument.get_env().map(|name| name.to_string_lossy().into_owned()),
            default: if default.is_empty() { unsaid } else { default },
            text,
        }
    }

    /// The name of the key, else that of the flag.
    fn name(&self) -> String {
        let id = |argument: &Arg| argument.get_id().to_string();
        match (self.is_negated(), self.key) {
            (false, Some(key)) => key.to_owned(),
            _ => self.argument.as_ref().map(id).unwrap_or_default(),
        }
    }

    /// Tells whether the flag switches a thing off that the key switches on.
    fn is_negated(&self) -> bool {
        let key = self.key.unwrap_or_default();
        self.argument
            .as_ref()
            .is_some_and(|argument| argument.get_id().as_str().strip_prefix("no_") == Some(key))
    }

    fn flag(&self) -> Option<String> {
        let argument = self.argument.as_ref()?;
        Some(match argument.get_long() {
            Some(long) => format!("--{long}"),
            None => argument.get_id().as_str().to_ascii_uppercase(),
        })
    }

    /// Settles the value of the setting. `said` gives the value of a variable.
    fn settle(
        &self,
        given: &ArgMatches,
        written: &FileValues<'_>,
        said: impl Fn(&str) -> Option<String>,
    ) -> EffectiveSetting {
        let settled = |value: String, origin| EffectiveSetting {
            setting: self.name(),
            value,
            origin,
            help: self.text.clone(),
        };
        if let Some(argument) = &self.argument {
            let id = argument.get_id().as_str();
            let raw = || {
                let values = given.try_get_raw(id).ok().flatten();
                let values = values.into_iter().flatten().map(|value| value.to_string_lossy());
                values.collect::<Vec<_>>().join(" ")
            };
            match given.try_contains_id(id).ok().and_then(|_| given.value_source(id)) {
                Some(ValueSource::CommandLine) => {
                    return settled(
                        raw(),
                        SettingOrigin::Flag {
                            flag: self.flag().unwrap_or_default(),
                        },
                    );
                }
                Some(ValueSource::EnvVariable) => {
                    let variable = self.variable.clone().unwrap_or_default();
                    return settled(raw(), SettingOrigin::Variable { variable });
                }
                _ => {}
            }
        } else if let Some(variable) = self.variable.clone()
            && let Some(value) = said(&variable)
        {
            return settled(value, SettingOrigin::Variable { variable });
        }
        match self.key.and_then(|key| written.find(key)) {
            Some((_, line)) if self.key.is_some_and(|key| SECRET.contains(&key)) => {
                settled("(not shown)".to_owned(), SettingOrigin::File { line })
            }
            Some((value, line)) if self.is_negated() => {
                settled((value != "true").to_string(), SettingOrigin::File { line })
            }
            Some((value, line)) => settled(value.to_owned(), SettingOrigin::File { line }),
            None => settled(self.default.clone(), SettingOrigin::Default),
        }
    }
}

/// The values of a `baton.toml`: dotted key, text, line.
struct FileValues<'t>(Vec<(String, &'t str, usize)>);

impl<'t> FileValues<'t> {
    /// Reads the values of a text. There are none where the text is no TOML, which another place reports.
    fn read(text: &'t str) -> Self {
        let mut all = Vec::new();
        if let Ok(table) = DeTable::parse(text) {
            collect(text, "", table.get_ref(), &mut all);
        }
        Self(all)
    }

    fn find(&self, key: &str) -> Option<(&'t str, usize)> {
        // `watch = "files"` is short for the mode in `[watch]`.
        let is = |name: &str| name == key || key.strip_suffix(".mode") == Some(name);
        let found = self.0.iter().find(|(name, ..)| is(name));
        found.map(|(_, value, line)| (*value, *line))
    }
}

/// Collects the values of a table and of the tables in it. (The parser of TOML bounds the depth of tables.)
fn collect<'t>(text: &'t str, above: &str, table: &DeTable<'_>, all: &mut Vec<(String, &'t str, usize)>) {
    for (name, value) in table {
        let key = format!("{above}{}", name.get_ref());
        match value.get_ref() {
            DeValue::Table(table) => collect(text, &format!("{key}."), table, all),
            _ => {
                let written = text.get(value.span()).unwrap_or_default();
                let line = text.get(..name.span().start).unwrap_or_default().matches('\n').count() + 1;
                all.push((key, written.trim_matches('"'), line));
            }
        }
    }
}

impl fmt::Display for SettingOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { line } => write!(f, "baton.toml:{line}"),
            Self::Variable { variable } => f.write_str(variable),
            Self::Flag { flag } => f.write_str(flag),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;
    use std::path::Path;

    use clap::{Args as _, Parser as _};

    use super::{Cli, ConfigArgs, EffectiveSetting, FileValues, KEYS, Mode, SettingOrigin, all, plan};
    use crate::cli::Command;
    use crate::duration::parse_duration;

    /// The variable that has the test write the file instead of comparing it.
    const RENEW: &str = "BATON_RENEW_COVERAGE";

    const HEAD: &str = "# Configuration\n\n\
        A setting has up to four places. The first of these that has a value wins: the flag, the variable, the key in \
        `baton.toml` beside `package.json`, the default. `baton config` prints every value and its place. `baton.toml` is read \
        when the host starts; an unknown key is an error. Durations are written `90s`, `10m`, `2h`.\n\n\
        ```toml\nport = 4000\ndrain_timeout = \"4h\"\n\n[env]\nfile = \".env\"\n```\n\n\
        | key | flag | variable | default | what it does |\n|---|---|---|---|---|\n";
    const TAIL: &str = "\n`BATON_CODE_CACHE` names the folder of the [caches](operations.md#caches); `off` keeps nothing. A test makes \
        this table of the command line's declarations.\n";

    fn settle(arguments: &[&str], file: &str) -> Vec<EffectiveSetting> {
        let words = ["baton"].iter().chain(arguments);
        let given = ConfigArgs::augment_args(clap::Command::new("baton")).get_matches_from(words);
        let written = FileValues::read(file);
        let said = |variable: &str| (variable == "INNGEST_ENV").then(|| "branch".to_owned());
        all()
            .iter()
            .map(|setting| setting.settle(&given, &written, said))
            .collect()
    }

    #[test]
    fn a_value_is_from_the_flag_else_the_variable_else_the_file_else_the_default() {
        let file = "port = 4000\nspare = false\nhold = \"5m\"\n\n[env]\nsecret_command = \"print it\"\n[watch]\nmode = \"off\"\n\
                    [inngest]\nenv = \"other\"\nserve_path = \"/jobs\"\n";
        let all = settle(&["--hold", "7m"], file);
        let of = |name: &str| {
            let found = all.iter().find(|one| one.setting == name).unwrap();
            (found.value.as_str(), found.origin.clone())
        };
        let flag = "--hold".to_owned();
        assert_eq!(of("hold"), ("7m", SettingOrigin::Flag { flag }));
        assert_eq!(of("port"), ("4000", SettingOrigin::File { line: 1 }));
        assert_eq!(of("no_spare"), ("true", SettingOrigin::File { line: 2 }));
        assert_eq!(
            of("env.secret_command"),
            ("(not shown)", SettingOrigin::File { line: 6 })
        );
        assert_eq!(of("watch.mode"), ("off", SettingOrigin::File { line: 8 }));
        let variable = "INNGEST_ENV".to_owned();
        assert_eq!(of("inngest.env"), ("branch", SettingOrigin::Variable { variable }));
        assert_eq!(of("inngest.serve_path"), ("/jobs", SettingOrigin::File { line: 11 }));
        assert_eq!(of("load_timeout"), ("60s", SettingOrigin::Default));
    }

    #[test]
    fn the_defaults_are_as_the_help_says() {
        let project = tempfile::tempdir().unwrap();
        std::fs::create_dir(project.path().join("functions")).unwrap();
        std::fs::write(project.path().join("package.json"), "{}").unwrap();
        let functions = project.path().join("functions").display().to_string();
        let Command::Dev(args) = Cli::parse_from(["baton", "dev", &functions]).command else {
            panic!("another command");
        };
        let plan = plan(&args, Mode::Dev).unwrap();
        let all = all();
        let said = |id: &str| {
            let setting = all.iter().find(|setting| setting.name() == id).unwrap();
            setting.default.split(',').next().unwrap().to_owned()
        };
        let durations = [
            ("hold", plan.hold),
            ("load_timeout", plan.limits.load),
            ("drain_timeout", plan.limits.drain),
            ("stream_drain", plan.stream_drain),
            ("call_timeout", plan.limits.call),
            ("slow_call", plan.slow_call),
        ];
        for (id, value) in durations {
            assert_eq!(parse_duration(&said(id)), Ok(value), "{id}");
        }
        let numbers = [
            ("port", usize::from(plan.address.port())),
            ("max_generations", plan.limits.max_generations),
            ("heap_limit", plan.limits.memory.heap >> 20),
            ("buffer_limit", plan.limits.memory.buffers >> 20),
        ];
        for (id, value) in numbers {
            assert_eq!(said(id), value.to_string(), "{id}");
        }
    }

    #[test]
    fn every_key_is_a_setting() {
        let settings = all();
        for key in KEYS {
            let is = |known: &str| known == key || known.starts_with(&format!("{key}."));
            assert!(settings.iter().filter_map(|setting| setting.key).any(is), "{key}");
        }
    }

    #[test]
    fn the_table_in_the_documents_has_every_setting() {
        let mut table = HEAD.to_owned();
        let code = |text: Option<String>| text.map(|text| format!("`{text}`")).unwrap_or_default();
        for setting in all() {
            let (key, flag) = (code(setting.key.map(str::to_owned)), code(setting.flag()));
            let variable = code(setting.variable.clone());
            let default = match setting.is_negated() {
                true => "`true`",
                false => &*setting.default,
            };
            let text = setting.text.replace('|', "\\|");
            writeln!(table, "| {key} | {flag} | {variable} | {default} | {text} |").unwrap();
        }
        table.push_str(TAIL);
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
        if std::env::var_os(RENEW).is_some() {
            std::fs::write(&file, table).unwrap();
            return;
        }
        let written = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(
            written == table,
            "docs/configuration.md is out of date; renew it with\n  {RENEW}=1 cargo nextest run --lib -p baton -E 'test(cli::config)'"
        );
    }
}
