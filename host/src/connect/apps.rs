//! The presentation of a generation: everything that Inngest is told of it when a connection opens.
//!
//! Two generations with equal presentations are one to Inngest, so that a reload between them leaves the connection
//! alone.

use std::num::NonZeroU32;

use connect_wire::message::AppConfiguration;
use connect_wire::signing_key::{self, SigningKeyError};
use js_runtime_api::{App, Function, Manifest, Secret};
use serde_json::{Map, Value, json};
use url::Url;

use crate::registration::api_of;

/// The most apps that a connection may present.
const MOST_APPS: usize = 10;
/// The variables that name a branch environment, in the SDK's order (inngest/inngest-js: `helpers/env.ts`).
const ENVIRONMENT_VARIABLES: [&str; 7] = [
    "INNGEST_ENV",
    "BRANCH_NAME",
    "VERCEL_GIT_COMMIT_REF",
    "BRANCH",
    "CF_PAGES_BRANCH",
    "RENDER_GIT_BRANCH",
    "RAILWAY_GIT_BRANCH",
];

/// The settings of the connection, as flags, variables of the host and `baton.toml` give them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// The name of this machine at Inngest.
    pub instance_id: Option<String>,
    /// The number of calls that this machine takes at once.
    pub max_worker_concurrency: Option<NonZeroU32>,
    /// The address of the gateway, in place of the one that Inngest names.
    pub gateway_url: Option<String>,
}

/// Everything that Inngest is told of a generation. (With `Eq`, two `Arc`s of one presentation are compared by their
/// addresses.)
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presentation {
    pub apps: Vec<AppConfiguration>,
    /// The number of functions of all apps.
    pub functions: usize,
    /// The SDK's version, as `v4.24.0`.
    pub sdk_version: String,
    /// The branch environment.
    pub environment: Option<String>,
    /// The hosting platform, where the SDK knows it.
    pub platform: Option<&'static str>,
    pub instance_id: String,
    pub max_worker_concurrency: Option<i64>,
    /// The address of Inngest's API: `https://api.inngest.com`.
    pub api: String,
    /// The bearers of the signing key and of its fallback, none in dev mode without a key.
    pub bearers: Vec<Bearer>,
    pub gateway_url: Option<String>,
    /// A short digest of what is presented, for people.
    pub digest: String,
}

/// A hashed signing key.
#[derive(Clone, PartialEq, Eq)]
pub struct Bearer(pub String);

impl std::fmt::Debug for Bearer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Bearer")
    }
}

/// The reason why a generation cannot be presented.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unpresentable {
    #[error("the project has no Inngest functions that are known: a connection presents functions that are exported")]
    NoApps,
    #[error("an app that serves Inngest itself cannot be connected: export its functions, or leave Connect off")]
    ServesItself,
    #[error(
        "the project has {0} Inngest apps, and a connection takes {MOST_APPS}: divide it into two projects, or leave Connect off"
    )]
    TooManyApps(usize),
    #[error("there is no signing key for {api}: set INNGEST_SIGNING_KEY, or INNGEST_DEV=1 for a dev server")]
    NoKey { api: String },
    #[error("{name}: {why}")]
    BadKey { name: &'static str, why: SigningKeyError },
    #[error("the signing key is that of branch environments: name the environment with INNGEST_ENV")]
    NoEnvironment,
    #[error(
        "the apps of one connection share an environment: {one} has {first}, {other} has {second}; give their clients the same `env`"
    )]
    TwoEnvironments {
        one: String,
        first: String,
        other: String,
        second: String,
    },
    #[error(
        "the apps of one connection share an Inngest: {one} has {first}, {other} has {second}; give their clients the same `baseUrl`"
    )]
    TwoServers {
        one: String,
        first: String,
        other: String,
        second: String,
    },
}

impl Presentation {
    /// Returns the presentation of a generation, whose variables `variable` gives.
    ///
    /// # Errors
    /// When Inngest could make nothing of it.
    pub fn of(
        manifest: &Manifest,
        variable: impl Fn(&str) -> Option<String>,
        identity: &Identity,
    ) -> Result<Self, Unpresentable> {
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        let [first, others @ ..] = manifest.apps.as_slice() else {
            return Err(Unpresentable::NoApps);
        };
        if manifest.fetch && manifest.connect.is_none() {
            return Err(Unpresentable::ServesItself);
        }
        if manifest.apps.len() > MOST_APPS {
            return Err(Unpresentable::TooManyApps(manifest.apps.len()));
        }
        let environment = |app: &App| {
            let named = app.client.env.clone().filter(|name| !name.is_empty());
            named.or_else(|| ENVIRONMENT_VARIABLES.iter().find_map(|name| variable(name)))
        };
        let (dev, api) = api_of(first, variable);
        for other in others {
            if environment(first) != environment(other) {
                return Err(Unpresentable::TwoEnvironments {
                    one: first.id.clone(),
                    first: named(environment(first)),
                    other: other.id.clone(),
                    second: named(environment(other)),
                });
            }
            let (_, others_api) = api_of(other, variable);
            if others_api != api {
                return Err(Unpresentable::TwoServers {
                    one: first.id.clone(),
                    first: api,
                    other: other.id.clone(),
                    second: others_api,
                });
            }
        }
        let environment = environment(first);
        let asked = manifest.connect.clone().unwrap_or_default();
        let client = &first.client;
        let keys = [
            (
                "INNGEST_SIGNING_KEY",
                asked.signing_key.as_ref().or(client.signing_key.as_ref()),
            ),
            (
                "INNGEST_SIGNING_KEY_FALLBACK",
                asked
                    .signing_key_fallback
                    .as_ref()
                    .or(client.signing_key_fallback.as_ref()),
            ),
        ];
        let mut bearers = Vec::new();
        for (name, given) in keys {
            let given = given.map(Secret::reveal).filter(|key| !key.is_empty());
            let Some(key) = given.map(str::to_owned).or_else(|| variable(name)) else {
                continue;
            };
            if signing_key::is_for_branches(&key) && environment.is_none() {
                return Err(Unpresentable::NoEnvironment);
            }
            match signing_key::hash(&key) {
                Ok(hash) => bearers.push(Bearer(hash)),
                // A dev server looks at no key.
                Err(_) if dev => {}
                Err(why) => return Err(Unpresentable::BadKey { name, why }),
            }
        }
        if bearers.is_empty() && !dev {
            return Err(Unpresentable::NoKey { api });
        }
        let limit = variable("INNGEST_CONNECT_MAX_WORKER_CONCURRENCY");
        let limit = limit.and_then(|said| said.trim().parse::<NonZeroU32>().ok());
        let limit = asked
            .max_worker_concurrency
            .or(limit)
            .or(identity.max_worker_concurrency);
        let limit = limit.map(NonZeroU32::get);
        let sdk = first.client.sdk.as_deref().unwrap_or("0.0.0");
        let apps: Vec<_> = manifest.apps.iter().map(configuration).collect();
        Ok(Self {
            digest: digest(&apps, sdk),
            apps,
            functions: manifest.functions().count(),
            sdk_version: format!("v{sdk}"),
            environment,
            platform: platform(&variable),
            instance_id: asked
                .instance_id
                .or_else(|| identity.instance_id.clone())
                .unwrap_or_else(machine_name),
            max_worker_concurrency: limit.map(i64::from),
            api,
            bearers,
            gateway_url: asked
                .gateway_url
                .or_else(|| variable("INNGEST_CONNECT_GATEWAY_URL"))
                .or_else(|| identity.gateway_url.clone()),
        })
    }

    /// Tells whether an app of this name is presented.
    #[must_use]
    pub fn has_app(&self, name: &str) -> bool {
        self.apps.iter().any(|app| app.app_name == name)
    }
}

/// Returns the name of an environment, for people.
fn named(environment: Option<String>) -> String {
    environment.unwrap_or_else(|| "none".to_owned())
}

fn digest(apps: &[AppConfiguration], sdk: &str) -> String {
    let mut hash = blake3::Hasher::new();
    for app in apps {
        hash.update(app.app_name.as_bytes());
        hash.update(app.app_version.as_deref().unwrap_or_default().as_bytes());
        hash.update(&app.functions);
    }
    hash.update(sdk.as_bytes());
    hash.finalize().to_hex()[..12].to_owned()
}

fn configuration(app: &App) -> AppConfiguration {
    let mut functions: Vec<_> = app.functions.iter().collect();
    // Their order is part of what Inngest compares, and no part of what they are.
    functions.sort_by(|one, other| one.id.cmp(&other.id));
    let functions: Vec<_> = functions.into_iter().map(function_json).collect();
    AppConfiguration {
        app_name: app.id.clone(),
        app_version: app.client.app_version.clone(),
        functions: serde_json::to_vec(&functions).unwrap_or_default().into(),
        feature_observations: None,
    }
}

/// Returns a function as the SDK describes it for a connection (`InngestFunction.getConfig`).
fn function_json(function: &Function) -> Value {
    let mut url = Url::parse("wss://connect/").map_or_else(
        |_| String::new(),
        |mut url| {
            url.query_pairs_mut()
                .append_pair("fnId", &function.id)
                .append_pair("stepId", "step");
            url.into()
        },
    );
    url.shrink_to_fit();
    let mut step = json!({"id": "step", "name": "step", "runtime": {"type": "ws", "url": url}});
    if let Some(attempts) = function.retries {
        step["retries"] = json!({ "attempts": attempts });
    }
    let mut described: Map<String, Value> = function.config.clone().into_iter().collect();
    described.insert("id".to_owned(), function.id.clone().into());
    described.insert("name".to_owned(), function.name.clone().into());
    described.insert("triggers".to_owned(), function.triggers.clone().into());
    described.insert("steps".to_owned(), json!({ "step": step }));
    described.into()
}

/// Returns the name of the platform (inngest/inngest-js: `helpers/env.ts`), of those that run servers.
fn platform(variable: &impl Fn(&str) -> Option<String>) -> Option<&'static str> {
    if variable("RENDER").as_deref() == Some("true") {
        return Some("render");
    }
    variable("RAILWAY_ENVIRONMENT").map(|_| "railway")
}

/// Returns the name of this machine.
fn machine_name() -> String {
    let name = nix::sys::utsname::uname().map(|system| system.nodename().to_string_lossy().into_owned());
    name.ok()
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "baton".to_owned())
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeMap;

    use js_runtime_api::{App, Client, Function, Manifest};
    use serde_json::{Value, json};

    use super::{Identity, Presentation, Unpresentable};

    fn function(id: &str) -> Function {
        Function {
            id: id.to_owned(),
            name: "Name".to_owned(),
            triggers: vec![json!({"event": "a/b"})],
            retries: Some(0),
            config: BTreeMap::from([("concurrency".to_owned(), json!(3))]),
            ..Function::default()
        }
    }

    fn manifest(functions: &[&str]) -> Manifest {
        Manifest {
            apps: vec![App {
                id: "shop".to_owned(),
                functions: functions.iter().map(|id| function(id)).collect(),
                client: Client {
                    sdk: Some("4.24.0".to_owned()),
                    ..Client::default()
                },
            }],
            ..Manifest::default()
        }
    }

    fn of(manifest: &Manifest, variables: &[(&str, &str)]) -> Result<Presentation, Unpresentable> {
        let variable = |name: &str| {
            let mut all = variables.iter();
            all.find(|(known, _)| *known == name)
                .map(|(_, value)| (*value).to_owned())
        };
        Presentation::of(manifest, variable, &Identity::default())
    }

    const DEV: &[(&str, &str)] = &[("INNGEST_DEV", "1")];

    /// A presentation of one app, `shop`.
    pub(in crate::connect) fn presentation() -> Presentation {
        of(&manifest(&["shop-greet"]), DEV).unwrap()
    }

    #[test]
    fn a_function_is_described_as_the_sdk_describes_it() {
        let presented = of(&manifest(&["shop-greet"]), DEV).unwrap();
        let functions: Value = serde_json::from_slice(&presented.apps[0].functions).unwrap();
        assert_eq!(
            functions,
            json!([{
                "id": "shop-greet", "name": "Name", "triggers": [{"event": "a/b"}], "concurrency": 3,
                "steps": {"step": {
                    "id": "step", "name": "step", "retries": {"attempts": 0},
                    "runtime": {"type": "ws", "url": "wss://connect/?fnId=shop-greet&stepId=step"}
                }}
            }])
        );
        assert_eq!(presented.sdk_version, "v4.24.0");
        assert!(presented.bearers.is_empty(), "a dev server wants no key");
    }

    #[test]
    fn the_order_of_functions_and_their_code_are_not_presented() {
        let one = of(&manifest(&["shop-a", "shop-b"]), DEV).unwrap();
        let mut other = manifest(&["shop-b", "shop-a"]);
        other.apps[0].functions[0].source_hash = Some("changed".to_owned());
        assert_eq!(of(&other, DEV).unwrap(), one);
        other.apps[0].functions[0].retries = Some(1);
        assert_ne!(of(&other, DEV).unwrap(), one);
        other = manifest(&["shop-a", "shop-b"]);
        other.apps[0].client.app_version = Some("2".to_owned());
        assert_ne!(of(&other, DEV).unwrap().digest, one.digest);
    }

    #[test]
    fn what_inngest_could_not_take_is_told() {
        assert_eq!(of(&Manifest::default(), DEV), Err(Unpresentable::NoApps));
        assert!(matches!(of(&manifest(&["a"]), &[]), Err(Unpresentable::NoKey { .. })));
        let branch = ("INNGEST_SIGNING_KEY", "signkey-branch-abcd");
        assert_eq!(of(&manifest(&["a"]), &[branch]), Err(Unpresentable::NoEnvironment));
        let named = of(&manifest(&["a"]), &[branch, ("INNGEST_ENV", "mine")]).unwrap();
        assert_eq!((named.environment.as_deref(), named.bearers.len()), (Some("mine"), 1));
        assert_eq!(named.api, "https://api.inngest.com");
        let bad = ("INNGEST_SIGNING_KEY", "signkey-prod-xyz");
        assert!(matches!(
            of(&manifest(&["a"]), &[bad]),
            Err(Unpresentable::BadKey { .. })
        ));
        let mut two = manifest(&["a"]);
        two.apps.push(two.apps[0].clone());
        two.apps[1].id = "other".to_owned();
        two.apps[1].client.env = Some("elsewhere".to_owned());
        let told = of(&two, DEV).unwrap_err().to_string();
        assert!(told.contains("shop has none, other has elsewhere"), "{told}");
    }

    #[test]
    fn ten_apps_share_a_connection_and_one_more_is_told_apart() {
        let many = |count: usize| {
            let mut all = manifest(&["a"]);
            all.apps = (0..count)
                .map(|number| App {
                    id: format!("app{number}"),
                    ..all.apps[0].clone()
                })
                .collect();
            of(&all, DEV)
        };
        assert_eq!(many(10).unwrap().apps.len(), 10);
        assert_eq!(many(11), Err(Unpresentable::TooManyApps(11)));
    }

    #[test]
    fn a_limit_that_is_no_number_above_0_is_ignored_as_the_sdk_ignores_it() {
        let limit = |said| {
            let variables = [DEV[0], ("INNGEST_CONNECT_MAX_WORKER_CONCURRENCY", said)];
            of(&manifest(&["a"]), &variables).unwrap().max_worker_concurrency
        };
        assert_eq!(
            [limit("7"), limit("0"), limit("x"), limit("-1")],
            [Some(7), None, None, None]
        );
    }
}
