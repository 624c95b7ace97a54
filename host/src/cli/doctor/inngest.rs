//! Inngest, and the way back from it to the functions.

use std::time::Duration;

use bytes::Bytes;
use js_runtime_api::Sources;

use super::check::{Check, Finding};
use crate::net::http;
use crate::registration::{CLOUD, Inngest};
use crate::status::{AppStatus, Difference, FailureKind, HolderStatus, OffKind, RegistrationState, RegistrationStatus};
use crate::wire;

/// The time for the functions to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// Asks Inngest, and has Inngest ask the functions. `host` tells whether a host runs.
pub(super) async fn look(sources: &dyn Sources, registration: &RegistrationStatus, host: bool) -> Vec<Check> {
    let Some(AppStatus { inngest: api, url, .. }) = registration.apps.first() else {
        return vec![untold(registration)];
    };
    http::trust(sources.certificates());
    let dev = registration.dev == Some(true);
    let inngest = Inngest {
        api: api.to_owned(),
        key: sources
            .variable("INNGEST_SIGNING_KEY")
            .filter(|key| !key.is_empty() && !dev),
        env: sources.variable("INNGEST_ENV"),
    };
    if let Err(failure) = inngest.knock().await {
        return vec![Check::failed("inngest", unreachable(api, url, dev, &failure.text))];
    }
    let mut checks = Vec::new();
    let kind = server_kind(&inngest).await;
    checks.push(match mismatch(kind.as_deref(), dev) {
        Some(finding) => Check::failed("inngest", finding),
        None => match &kind {
            Some(kind) => Check::good("inngest", format!("{api} answers, and is a {kind} server")),
            None => Check::good("inngest", format!("{api} answers")),
        },
    });
    if !host {
        checks.push(Check::skipped("registration", "no host is running that could register"));
        checks.push(Check::skipped(
            "way back",
            "no host is running that Inngest could reach",
        ));
        return checks;
    }
    checks.push(registered(registration));
    let from_here = from_here(url).await;
    let reachable = from_here.is_ok();
    if let Err(finding) = from_here {
        checks.push(Check::failed("serve origin", finding));
    } else {
        checks.push(Check::good(
            "serve origin",
            format!("{url} reaches the functions from here"),
        ));
    }
    checks.push(way_back(&inngest, url, reachable).await);
    checks
}

/// The reason why nothing is to be registered.
fn untold(registration: &RegistrationStatus) -> Check {
    let reason = registration.reason.clone().unwrap_or_default();
    match registration.off {
        Some(OffKind::NoOrigin) => Check::failed(
            "registration",
            Finding::new(
                "no_serve_origin",
                reason,
                "Set serve_origin = \"https://…\" below [inngest] in baton.toml.",
            ),
        ),
        Some(OffKind::NoKey) => Check::failed(
            "registration",
            Finding::new(
                "no_signing_key",
                reason,
                "Set INNGEST_SIGNING_KEY in the environment file.",
            ),
        ),
        _ => Check::skipped("registration", reason),
    }
}

fn unreachable(api: &str, url: &str, dev: bool, reason: &str) -> Finding {
    let fix = if dev {
        format!("Start it with `npx inngest-cli dev -u {url}`, or set INNGEST_DEV=http://… if it is elsewhere.")
    } else {
        format!("Start it, or set base_url below [inngest] in baton.toml, and let this machine reach {api}.")
    };
    Finding::new("inngest_unreachable", reason, fix)
}

/// Returns `dev` or `cloud`, where the server says so.
async fn server_kind(inngest: &Inngest) -> Option<String> {
    if inngest.api == CLOUD {
        return Some("cloud".to_owned());
    }
    let answer = inngest.ask("GET", "/health", None).await.ok()?;
    answer.header(wire::SERVER_KIND).map(str::to_owned)
}

/// Finds functions that are in another mode than the server.
fn mismatch(kind: Option<&str>, dev: bool) -> Option<Finding> {
    match (kind?, dev) {
        ("dev", false) => Some(Finding::new(
            "no_signature",
            "the functions refuse this server's calls: it is a dev server, which signs nothing, and they are in cloud \
             mode",
            "Set INNGEST_DEV=1 (or the server's URL) for the functions, or use a server that signs: `inngest start \
             --signing-key …`.",
        )),
        ("cloud", true) => Some(Finding::new(
            "mode_mismatch",
            "the functions take calls from anybody: they are in dev mode, and the server is not a dev server",
            "Set INNGEST_DEV=0 and the server's INNGEST_SIGNING_KEY for the functions.",
        )),
        _ => None,
    }
}

/// The check of a host that is a stand-in, since another host of the app is registered.
fn elsewhere(holder: &HolderStatus) -> Check {
    let url = holder.urls.first().map_or("", String::as_str);
    match &holder.error {
        None => Check::good(
            "registration",
            format!("Inngest calls another host, at {url}; this one registers when that one does not answer"),
        ),
        Some(error) => Check::warning(
            "registration",
            Finding::new(
                "other_host_silent",
                format!("Inngest calls another host, which does not answer from here: {error}"),
                "Register this host: `curl -X POST http://HOST:PORT/-/register`, with its address.",
            ),
        ),
    }
}

fn registered(registration: &RegistrationStatus) -> Check {
    use RegistrationState::{Drifted, Off, Registered};
    let error = registration.error.as_deref().unwrap_or_default();
    let kind = registration.error_kind;
    match registration.state {
        Registered if registration.verified => {
            Check::good("registration", "Inngest has exactly the functions of the code")
        }
        Registered => Check::good(
            "registration",
            "registered; this server does not show which functions it has",
        ),
        Drifted if let Some(newer) = &registration.newer => Check::good(
            "registration",
            format!(
                "host {} at the same address has newer code, and registers it",
                newer.host
            ),
        ),
        Drifted if let Some(holder) = &registration.holder => elsewhere(holder),
        Drifted => {
            let of = |one: &Difference| {
                let of = one.function.as_ref().unwrap_or(&one.app);
                format!("{of} ({})", one.kind.as_str())
            };
            let all: Vec<_> = registration.drift.iter().map(of).collect();
            let all = all.join(", ");
            let message = format!("Inngest has other functions than the code, even after another registration: {all}");
            let fix = "Remove the app in Inngest: Baton registers it again at once. `baton status` shows the \
                       differences.";
            Check::failed("registration", Finding::new("drift", message, fix))
        }
        _ if kind == Some(FailureKind::Unauthorized) => Check::failed(
            "registration",
            Finding::new(
                "wrong_key",
                error,
                "Set INNGEST_SIGNING_KEY to the key of that server, and of that environment (INNGEST_ENV).",
            ),
        ),
        _ if error.contains("server kind") => Check::failed(
            "registration",
            Finding::new(
                "mode_mismatch",
                error,
                "Set INNGEST_DEV=1 for a dev server, INNGEST_DEV=0 for any other.",
            ),
        ),
        _ if kind == Some(FailureKind::Silent) => Check::failed(
            "registration",
            Finding::new(
                "inngest_silent",
                error,
                "Read Inngest's log: it takes requests and does not answer them.",
            ),
        ),
        Off => untold(registration),
        _ => Check::failed(
            "registration",
            Finding::new("refused", error, "Read Inngest's log; Baton tries again by itself."),
        ),
    }
}

/// Tells whether, seen from this machine, the URL that Inngest is told leads to the functions.
async fn from_here(url: &str) -> Result<(), Finding> {
    let fix = "Set serve_origin (and serve_path) below [inngest] in baton.toml to the URL at which Inngest reaches \
               this host.";
    let wrong = |message: String| Finding::new("serve_origin_wrong", message, fix);
    let asked = http::fetch(url, "GET", &[], Bytes::new());
    let answer = match tokio::time::timeout(ANSWER_LIMIT, asked).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => return Err(wrong(format!("{url} does not answer: {error}"))),
        Err(_) => return Err(wrong(format!("{url} did not answer within {ANSWER_LIMIT:?}"))),
    };
    let is_sdk = answer.header(wire::SDK).or_else(|| answer.header(wire::SDK_HANDLED));
    match is_sdk {
        Some(_) => Ok(()),
        None => Err(wrong(format!(
            "something else answers at {url} (status {})",
            answer.status
        ))),
    }
}

/// Has Inngest ask the functions to register, as Inngest does by itself, and reads Inngest's answer.
async fn way_back(inngest: &Inngest, url: &str, reachable: bool) -> Check {
    const NAME: &str = "way back";
    let query = format!("mutation {{ createApp(input: {{ url: {url:?} }}) {{ id url error }} }}");
    let answer = match inngest.query(&query).await {
        Ok(Some(answer)) => answer,
        Ok(None) => {
            return Check::skipped(
                NAME,
                "this Inngest cannot be asked to make a call: look at the app's page there",
            );
        }
        Err(failure) => {
            let finding = Finding::new("inngest_silent", failure.text, "Read Inngest's log.");
            return Check::failed(NAME, finding);
        }
    };
    let errors = &answer["errors"];
    if errors.is_null() {
        return Check::good(NAME, format!("Inngest reaches the functions at {url}"));
    }
    forget(inngest, url).await;
    let text = errors.to_string();
    let says = |code: &str| text.contains(code);
    let finding = if says("server_signing_key") {
        Finding::new(
            "no_signature",
            "Inngest has no signing key, so it signs nothing",
            "Start it with the key that INNGEST_SIGNING_KEY has here: `inngest start --signing-key …`.",
        )
    } else if says("unreachable") && reachable {
        Finding::new(
            "firewall",
            format!("Inngest cannot reach {url}, which answers from here"),
            "Open the firewall or the container network, or set serve_origin below [inngest] in baton.toml to an \
             address that Inngest can reach.",
        )
    } else if says("unreachable") || says("unsupported_protocol") || says("not_found") {
        Finding::new(
            "serve_origin_wrong",
            format!("Inngest finds nothing at {url}"),
            "Set serve_origin (and serve_path) below [inngest] in baton.toml to the URL at which Inngest reaches this \
             host.",
        )
    } else if says("unauthorized") || says("signing_key") {
        Finding::new(
            "wrong_key",
            "the functions refuse the signature of Inngest",
            "Set INNGEST_SIGNING_KEY to the key of that server.",
        )
    } else {
        Finding::new(
            "sync_refused",
            format!("Inngest says: {text}"),
            "Read the host's log and Inngest's.",
        )
    };
    Check::failed(NAME, finding)
}

/// Removes the app without a name that Inngest makes when it is told of a URL.
async fn forget(inngest: &Inngest, url: &str) {
    let Ok(Some(answer)) = inngest.query("{ apps { id name url } }").await else {
        return;
    };
    let port_and_path = url
        .rsplit("://")
        .next()
        .and_then(|rest| rest.split_once(':'))
        .map(|(_, rest)| rest);
    let apps = answer["data"]["apps"].as_array().into_iter().flatten();
    let nameless = apps.filter(|app| {
        app["name"] == ""
            && app["url"]
                .as_str()
                .is_some_and(|known| known == url || port_and_path.is_some_and(|rest| known.ends_with(rest)))
    });
    for id in nameless.filter_map(|app| app["id"].as_str()) {
        let _ = inngest.query(&format!("mutation {{ deleteApp(id: {id:?}) }}")).await;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{mismatch, registered};

    #[test]
    fn modes_that_do_not_fit_are_told_apart() {
        let finding = |kind, dev| mismatch(kind, dev).map(|finding| finding.finding);
        assert_eq!(finding(Some("dev"), false).as_deref(), Some("no_signature"));
        assert_eq!(finding(Some("cloud"), true).as_deref(), Some("mode_mismatch"));
        assert_eq!(finding(Some("dev"), true), None);
        assert_eq!(finding(None, true), None);
    }

    #[test]
    fn refusals_are_told_apart() {
        let finding = |said| {
            let registration = serde_json::from_value(said).unwrap();
            serde_json::to_value(registered(&registration)).unwrap()["finding"].clone()
        };
        let refused = |kind: &str, error: &str| json!({"state": "unregistered", "error_kind": kind, "error": error});
        assert_eq!(finding(refused("unauthorized", "401")), "wrong_key");
        assert_eq!(
            finding(refused("refused", "Expected server kind dev, got cloud")),
            "mode_mismatch"
        );
        assert_eq!(finding(refused("silent", "…")), "inngest_silent");
        assert_eq!(finding(refused("refused", "the database is on fire")), "refused");
        let drift = json!({"state": "drifted", "drift": [{"app": "a", "function": "a-b", "kind": "triggers"}]});
        assert_eq!(finding(drift), "drift");
        let elsewhere =
            |error: Option<&str>| json!({"state": "drifted", "holder": {"urls": ["http://there"], "error": error}});
        assert_eq!(finding(elsewhere(None)), json!(null));
        assert_eq!(finding(elsewhere(Some("connection refused"))), "other_host_silent");
    }
}
