//! The content of the registration of the current generation, and the Inngest that is told.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use js_runtime_api::{App, Function, Manifest, Target};
use serde_json::json;

use super::state::Pace;
use crate::config::ConnectRule;
use crate::status::{AppStatus, OffKind, RegistrationState, RegistrationStatus};

/// The address of a dev server if nobody names another one.
pub const DEV_SERVER: &str = "http://localhost:8288";
/// The address of Inngest's own cloud.
pub const CLOUD: &str = "https://api.inngest.com";

/// The settings of the host.
#[derive(Debug, Clone)]
pub struct RegistrationSettings {
    /// Tells whether to register at all.
    pub wanted: bool,
    /// The rule by which a connection of the host tells Inngest of the functions.
    pub connects: ConnectRule,
    /// The address at which the host listens.
    pub address: SocketAddr,
}

/// Everything that Inngest is to be told.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Subject {
    pub(super) apps: Vec<AppSubject>,
    /// Tells whether no signatures are asked for.
    pub(super) dev: bool,
    pub(super) key: Option<String>,
    /// The branch environment.
    pub(super) env: Option<String>,
}

/// One app of the registration.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct AppSubject {
    pub(super) id: String,
    /// The address of the Inngest at which the app registers.
    pub(super) api: String,
    /// The URL at which Inngest is to call the app.
    pub(super) url: String,
    /// Tells whether other hosts may be behind the URL: somebody chose it, and it is not this host's own address.
    pub(super) shared: bool,
    /// The handler that registers the app.
    pub(super) target: Target,
    pub(super) functions: Vec<Function>,
}

/// The reason why nothing is told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OffReason {
    #[error("registration is switched off")]
    Unwanted,
    #[error("the connection to Inngest registers the functions")]
    Connected,
    #[error("no generation serves yet")]
    NoGeneration,
    #[error("the host is ending: another one registers")]
    NotCurrent,
    #[error("the fetch export lists no Inngest functions at {0}")]
    NoFunctions(String),
    #[error(
        "{api} cannot reach {address}: set INNGEST_SERVE_ORIGIN, or serve_origin below [inngest] in baton.toml, to an \
         address that it can reach"
    )]
    NoOrigin { api: String, address: String },
    #[error("there is no signing key for {api}: set INNGEST_SIGNING_KEY, or INNGEST_DEV=1 for a dev server")]
    NoKey { api: String },
}

impl OffReason {
    const fn kind(&self) -> OffKind {
        match self {
            Self::Unwanted => OffKind::SwitchedOff,
            Self::Connected => OffKind::Connected,
            Self::NoGeneration => OffKind::NoGeneration,
            Self::NotCurrent => OffKind::NotCurrent,
            Self::NoFunctions(_) => OffKind::NoFunctions,
            Self::NoOrigin { .. } => OffKind::NoOrigin,
            Self::NoKey { .. } => OffKind::NoKey,
        }
    }

    /// Tells whether somebody has to do something.
    pub(super) const fn is_wrong(&self) -> bool {
        matches!(self, Self::NoOrigin { .. } | Self::NoKey { .. })
    }
}

/// Returns the status before Inngest was told anything.
pub(super) fn status(subject: &Result<Subject, OffReason>) -> RegistrationStatus {
    let apps = subject.iter().flat_map(|subject| &subject.apps).map(|app| AppStatus {
        id: app.id.clone(),
        url: app.url.clone(),
        inngest: app.api.clone(),
    });
    let off = subject.as_ref().err();
    RegistrationStatus {
        state: match off {
            Some(_) => RegistrationState::Off,
            None => RegistrationState::Unregistered,
        },
        reason: off.map(ToString::to_string),
        off: off.map(OffReason::kind),
        dev: subject.as_ref().ok().map(|subject| subject.dev),
        apps: apps.collect(),
        ..RegistrationStatus::default()
    }
}

impl Subject {
    /// Returns the subject of a generation, whose variables `variable` gives.
    pub(super) fn of(
        manifest: &Manifest,
        variable: impl Fn(&str) -> Option<String>,
        settings: &RegistrationSettings,
    ) -> Result<Self, OffReason> {
        if settings.connects.connects(manifest) {
            return Err(OffReason::Connected);
        }
        if !settings.wanted {
            return Err(OffReason::Unwanted);
        }
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        let path = variable("INNGEST_SERVE_PATH").unwrap_or_else(|| "/api/inngest".to_owned());
        let path = format!("/{}", path.trim_start_matches('/'));
        if manifest.apps.is_empty() {
            return Err(OffReason::NoFunctions(path));
        }
        let key = variable("INNGEST_SIGNING_KEY");
        let mode = ClientEnvironment::of(&variable);
        let origin = variable("INNGEST_SERVE_ORIGIN").or_else(|| variable("INNGEST_SERVE_HOST"));
        let several = manifest.apps.len() > 1;
        let told = |app: &App| {
            let (dev, api) = api_of(app, variable);
            if !dev && key.is_none() && app.client.key != Some(true) {
                return Err(OffReason::NoKey { api });
            }
            let path = match several && !manifest.fetch {
                true => format!("{}/{}", path.trim_end_matches('/'), app.id),
                false => path.clone(),
            };
            let url = match (&app.client.url, &origin) {
                (Some(url), _) => url.clone(),
                (None, Some(origin)) => format!("{}{path}", with_scheme(origin).trim_end_matches('/')),
                (None, None) => format!("{}{path}", own_origin(settings, &api)?),
            };
            Ok(AppSubject {
                id: app.id.clone(),
                api,
                url,
                shared: app.client.url.is_some() || origin.is_some(),
                target: Target::Sync((!manifest.fetch).then(|| app.id.clone())),
                functions: app.functions.clone(),
            })
        };
        Ok(Self {
            apps: manifest.apps.iter().map(told).collect::<Result<_, _>>()?,
            dev: manifest.apps.iter().all(|app| app.client.dev.unwrap_or(mode.dev)),
            key,
            env: variable("INNGEST_ENV"),
        })
    }

    /// Returns a digest. It changes when there is something new to tell, or another Inngest to tell it to.
    pub(super) fn digest(&self) -> String {
        let functions = |app: &AppSubject| -> Vec<_> {
            let told = app.functions.iter().map(|function| {
                json!([
                    function.id,
                    function.name,
                    function.triggers,
                    function.retries,
                    function.config
                ])
            });
            told.collect()
        };
        let apps: Vec<_> = self
            .apps
            .iter()
            .map(|app| json!([app.id, app.api, app.url, functions(app)]))
            .collect();
        let all = json!([apps, self.dev, self.key, self.env]).to_string();
        blake3::hash(all.as_bytes()).to_hex().to_string()
    }

    /// Tells whether other hosts may be behind a URL of this one.
    pub(super) fn is_shared(&self) -> bool {
        self.apps.iter().any(|app| app.shared)
    }

    pub(super) fn pace(&self) -> Pace {
        if self.apps.iter().all(|app| is_local(&app.api)) {
            Pace::NEAR
        } else {
            Pace::FAR
        }
    }
}

/// Tells whether an app is in dev mode, and returns the address of its Inngest's API.
#[must_use]
pub fn api_of(app: &App, variable: impl Fn(&str) -> Option<String>) -> (bool, String) {
    let mode = ClientEnvironment::of(&variable);
    let dev = app.client.dev.unwrap_or(mode.dev);
    let api = app.client.api.clone().unwrap_or_else(|| mode.api(dev, &variable));
    (dev, api.trim_end_matches('/').to_owned())
}

/// The reason why calls of functions are not checked, or cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnsignedReason {
    DevMode,
    NoKey,
}

impl UnsignedReason {
    /// Returns the reason if the functions of some app take calls that nobody has signed.
    #[must_use]
    pub fn of(manifest: &Manifest, variable: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        let (mode, has_key) = (
            ClientEnvironment::of(&variable),
            variable("INNGEST_SIGNING_KEY").is_some(),
        );
        let reasons = manifest.apps.iter().filter_map(|app| {
            if app.client.dev.unwrap_or(mode.dev) {
                return Some(Self::DevMode);
            }
            (!has_key && app.client.key != Some(true)).then_some(Self::NoKey)
        });
        reasons.min_by_key(|reason| *reason != Self::DevMode)
    }

    /// Returns the meaning of the reason, and the advice.
    #[must_use]
    pub const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::DevMode => (
                "the functions are in dev mode: whoever reaches the port can run them, because signatures are not \
                 checked",
                "Set INNGEST_SIGNING_KEY, and take INNGEST_DEV out of the environment and `isDev` out of the client.",
            ),
            Self::NoKey => (
                "there is no signing key: calls cannot be verified to be Inngest's",
                "Set INNGEST_SIGNING_KEY.",
            ),
        }
    }
}

/// The settings of the environment, for clients that do not set their own (inngest/inngest-js:
/// `components/Inngest.ts`).
struct ClientEnvironment {
    dev: bool,
    dev_server: Option<String>,
}

impl ClientEnvironment {
    fn of(variable: &impl Fn(&str) -> Option<String>) -> Self {
        match variable("INNGEST_DEV").as_deref() {
            None | Some("0" | "false") => Self {
                dev: false,
                dev_server: None,
            },
            Some("1" | "true") => Self {
                dev: true,
                dev_server: None,
            },
            Some(url) => Self {
                dev: true,
                dev_server: Some(with_scheme(url)),
            },
        }
    }

    fn api(&self, dev: bool, variable: &impl Fn(&str) -> Option<String>) -> String {
        let base = variable("INNGEST_API_BASE_URL").or_else(|| variable("INNGEST_BASE_URL"));
        base.or_else(|| self.dev_server.clone())
            .unwrap_or_else(|| if dev { DEV_SERVER } else { CLOUD }.to_owned())
    }
}

/// Returns the address at which an Inngest on this machine reaches the host.
fn own_origin(RegistrationSettings { address, .. }: &RegistrationSettings, api: &str) -> Result<String, OffReason> {
    let near = is_local(api);
    let address = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => (IpAddr::V4(Ipv4Addr::LOCALHOST), address.port()).into(),
        IpAddr::V6(ip) if ip.is_unspecified() => (IpAddr::V6(Ipv6Addr::LOCALHOST), address.port()).into(),
        _ => *address,
    };
    if address.ip().is_loopback() && !near {
        return Err(OffReason::NoOrigin {
            api: api.to_owned(),
            address: format!("http://{address}"),
        });
    }
    Ok(format!("http://{address}"))
}

/// Tells whether a URL leads to this machine.
#[must_use]
pub fn is_local(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let host = match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    host == "localhost"
        || host
            .parse::<IpAddr>()
            .is_ok_and(|ip| ip.is_loopback() || ip.is_unspecified())
}

fn with_scheme(url: &str) -> String {
    if url.contains("://") {
        url.to_owned()
    } else {
        format!("http://{url}")
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn calls_that_nobody_checks_are_found_out() {
        use super::UnsignedReason;
        let of = |variables: &[(&str, &str)], dev: Option<bool>, key: Option<bool>| {
            let mut app = App {
                id: "a".to_owned(),
                ..App::default()
            };
            (app.client.dev, app.client.key) = (dev, key);
            let manifest = Manifest {
                apps: vec![app],
                ..Manifest::default()
            };
            UnsignedReason::of(&manifest, |name| {
                let found = variables.iter().find(|(known, _)| *known == name);
                found.map(|(_, value)| (*value).to_owned())
            })
        };
        let key = ("INNGEST_SIGNING_KEY", "signkey-prod-abcd");
        assert_eq!(of(&[key], None, None), None);
        assert_eq!(of(&[], None, Some(true)), None, "in the code");
        assert_eq!(of(&[], None, None), Some(UnsignedReason::NoKey));
        assert_eq!(
            of(&[key, ("INNGEST_DEV", "1")], None, None),
            Some(UnsignedReason::DevMode)
        );
        assert_eq!(
            of(&[key], Some(true), None),
            Some(UnsignedReason::DevMode),
            "as the client says"
        );
        assert_eq!(of(&[key, ("INNGEST_DEV", "1")], Some(false), None), None);
    }

    use std::collections::BTreeMap;

    use js_runtime_api::{App, Client, Function, Manifest, Target};

    use super::{ConnectRule, OffReason, RegistrationSettings, Subject, is_local};
    use crate::registration::state::Pace;

    fn manifest(apps: &[&str], client: &Client) -> Manifest {
        let app = |id: &&str| App {
            id: (*id).to_owned(),
            functions: vec![Function::default()],
            client: client.clone(),
        };
        Manifest {
            apps: apps.iter().map(app).collect(),
            ..Manifest::default()
        }
    }

    fn subject(manifest: &Manifest, address: &str, variables: &[(&str, &str)]) -> Result<Subject, OffReason> {
        let variables: BTreeMap<_, _> = variables.iter().copied().collect();
        let settings = RegistrationSettings {
            wanted: true,
            connects: ConnectRule::Never,
            address: address.parse().unwrap(),
        };
        Subject::of(
            manifest,
            |name| variables.get(name).map(|value| (*value).to_owned()),
            &settings,
        )
    }

    const HERE: &str = "127.0.0.1:3111";

    #[test]
    fn a_dev_server_is_where_it_usually_is_or_where_the_environment_says() {
        let one = manifest(&["app"], &Client::default());
        let usual = subject(&one, "0.0.0.0:3111", &[("INNGEST_DEV", "1")]).unwrap();
        assert_eq!(usual.apps[0].api, "http://localhost:8288");
        assert_eq!(usual.apps[0].url, "http://127.0.0.1:3111/api/inngest");
        assert_eq!(usual.apps[0].target, Target::Sync(Some("app".to_owned())));
        assert_eq!(usual.pace(), Pace::NEAR);
        let named = subject(&one, HERE, &[("INNGEST_DEV", "localhost:9000/")]).unwrap();
        assert_eq!(named.apps[0].api, "http://localhost:9000");
    }

    #[test]
    fn what_the_client_says_comes_first() {
        let client = Client {
            dev: Some(true),
            api: Some("http://localhost:7000/".to_owned()),
            url: Some("https://own.example/x".to_owned()),
            ..Client::default()
        };
        let told = subject(&manifest(&["app"], &client), HERE, &[]).unwrap();
        assert_eq!(
            (told.apps[0].api.as_str(), told.apps[0].url.as_str()),
            ("http://localhost:7000", "https://own.example/x")
        );
    }

    #[test]
    fn the_cloud_needs_a_key_and_an_address_that_it_can_reach() {
        let one = manifest(&["app"], &Client::default());
        assert!(matches!(subject(&one, HERE, &[]), Err(OffReason::NoKey { .. })));
        let key = ("INNGEST_SIGNING_KEY", "signkey-prod-abcd");
        assert!(matches!(subject(&one, HERE, &[key]), Err(OffReason::NoOrigin { .. })));
        assert!(subject(&one, "10.0.0.7:3111", &[key]).is_ok());
        let origin = ("INNGEST_SERVE_ORIGIN", "https://app.example");
        let told = subject(&one, HERE, &[key, origin, ("INNGEST_ENV", "branch")]).unwrap();
        assert_eq!(told.apps[0].url, "https://app.example/api/inngest");
        assert_eq!((told.env.as_deref(), told.pace()), (Some("branch"), Pace::FAR));
        let own = subject(&one, HERE, &[key, ("INNGEST_BASE_URL", "http://127.0.0.1:8288")]).unwrap();
        assert_eq!(own.apps[0].api, "http://127.0.0.1:8288", "one that runs here");
    }

    #[test]
    fn several_apps_have_a_url_each() {
        let two = manifest(&["a", "b"], &Client::default());
        let told = subject(&two, HERE, &[("INNGEST_DEV", "1"), ("INNGEST_SERVE_PATH", "hooks")]).unwrap();
        let urls: Vec<_> = told.apps.iter().map(|app| app.url.as_str()).collect();
        assert_eq!(urls, ["http://127.0.0.1:3111/hooks/a", "http://127.0.0.1:3111/hooks/b"]);
    }

    #[test]
    fn the_digest_changes_with_what_is_told() {
        let told =
            |variables: &[(&str, &str)], manifest: &Manifest| subject(manifest, HERE, variables).unwrap().digest();
        let one = manifest(&["app"], &Client::default());
        let mut other = one.clone();
        other.apps[0].functions[0].source_hash = Some("another text".to_owned());
        assert_eq!(
            told(&[("INNGEST_DEV", "1")], &one),
            told(&[("INNGEST_DEV", "1")], &other)
        );
        other.apps[0].functions[0].retries = Some(3);
        assert_ne!(
            told(&[("INNGEST_DEV", "1")], &one),
            told(&[("INNGEST_DEV", "1")], &other)
        );
        assert_ne!(
            told(&[("INNGEST_DEV", "1")], &one),
            told(&[("INNGEST_DEV", "localhost:1")], &one)
        );
    }

    #[test]
    fn this_machine_has_several_names() {
        for url in [
            "http://localhost:8288",
            "http://127.0.0.1/x",
            "http://[::1]:80",
            "0.0.0.0:1",
        ] {
            assert!(is_local(url), "{url}");
        }
        for url in [
            "https://api.inngest.com",
            "http://localhost.example",
            "http://10.0.0.1:8288",
        ] {
            assert!(!is_local(url), "{url}");
        }
    }
}
