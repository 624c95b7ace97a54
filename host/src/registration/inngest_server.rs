//! Questions to an Inngest server: does it listen, and which functions does it hold?
//!
//! A dev server and a self-hosted server have GraphQL; Inngest's cloud has `GET /v1/apps/{app}/functions`.

use std::collections::BTreeMap;
use std::time::Duration;

use hyper::Uri;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::drift::{RegisteredApp, RegisteredFunction, compare, limit_text, trigger_text};
use super::inngest_failure::InngestFailure;
use super::key::bearer;
use super::state::AppsReading;
use super::subject::{AppSubject, CLOUD};
use crate::net::{HttpAnswer, http};
use crate::status::FailureKind;
use crate::wire;

/// The limit for a connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(3);
/// The limit for an answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

const APPS: &str = "{ apps { id externalID name url error functions { slug name \
                    triggers { type value condition } \
                    configuration { retries { value } concurrency { limit { value isPlanLimit } key } } } } }";

/// The address of an Inngest server, and the key and the environment of the asker.
#[derive(Debug, Clone)]
pub struct Inngest {
    pub api: String,
    pub key: Option<String>,
    pub env: Option<String>,
}

impl Inngest {
    /// Checks that the server takes a connection.
    ///
    /// # Errors
    /// When not.
    pub async fn knock(&self) -> Result<(), InngestFailure> {
        let unreachable =
            |text: String| InngestFailure::new(FailureKind::Unreachable, format!("no Inngest at {}: {text}", self.api));
        let uri: Uri = self
            .api
            .parse()
            .map_err(|error| unreachable(format!("that is not a URL ({error})")))?;
        let host = uri
            .host()
            .ok_or_else(|| unreachable("the URL has no host".to_owned()))?;
        let port = uri
            .port_u16()
            .unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
        let connect = TcpStream::connect((host.trim_matches(['[', ']']), port));
        match tokio::time::timeout(CONNECT_LIMIT, connect).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(unreachable(error.to_string())),
            Err(_) => Err(unreachable(format!("no connection within {CONNECT_LIMIT:?}"))),
        }
    }

    /// Sends one request to the server.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Result<HttpAnswer, InngestFailure> {
        let mut headers = Vec::new();
        if let Some(key) = &self.key {
            headers.push(("authorization".to_owned(), format!("Bearer {}", bearer(key))));
        }
        if let Some(env) = &self.env {
            headers.push((wire::ENVIRONMENT.to_owned(), env.clone()));
        }
        if body.is_some() {
            headers.push(("content-type".to_owned(), "application/json".to_owned()));
        }
        let url = format!("{}{path}", self.api);
        let body = body.map(Value::to_string).unwrap_or_default();
        match tokio::time::timeout(ANSWER_LIMIT, http::fetch(&url, method, &headers, body.into())).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => {
                let text = format!("{url} does not answer: {error}");
                Err(InngestFailure::new(FailureKind::Unreachable, text))
            }
            Err(_) => {
                let text = format!("{} did not answer within {ANSWER_LIMIT:?}", self.api);
                Err(InngestFailure::new(FailureKind::Silent, text))
            }
        }
    }

    /// Returns the answer of GraphQL, or `None` where there is no GraphQL.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn query(&self, query: &str) -> Result<Option<Value>, InngestFailure> {
        let answer = self.ask("POST", "/v0/gql", Some(&json!({ "query": query }))).await?;
        let body: Option<Value> = serde_json::from_slice(&answer.body).ok();
        Ok(body.filter(|body| !body["data"].is_null() || body["errors"].is_array()))
    }

    /// Compares the app that the server holds with the app of this host.
    pub(super) async fn read_back(&self, app: &AppSubject) -> AppsReading {
        let held = match self.held(&app.id).await {
            Ok(Some(held)) => held,
            Ok(None) => return AppsReading::NotOffered,
            Err(failure) => return AppsReading::Failed(failure),
        };
        match compare(app, held.as_ref()) {
            differences if differences.is_empty() => AppsReading::Agrees,
            differences => AppsReading::Differs(differences),
        }
    }

    /// Returns the app that the server holds. The outer `None`: the server does not tell. The inner one: the server
    /// knows no such app.
    async fn held(&self, app: &str) -> Result<Option<Option<RegisteredApp>>, InngestFailure> {
        // The cloud has no GraphQL of its own.
        if self.api != CLOUD
            && let Some(answer) = self.query(APPS).await?
            && let Some(apps) = answer["data"]["apps"].as_array()
        {
            let is_it =
                |held: &&Value| held["externalID"] == app || (held["externalID"].is_null() && held["name"] == app);
            return Ok(Some(apps.iter().find(is_it).map(held_by_graphql)));
        }
        if self.key.is_none() {
            return Ok(None);
        }
        let answer = self.ask("GET", &format!("/v1/apps/{app}/functions"), None).await?;
        if answer.status != 200 {
            return Ok(None);
        }
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let functions = body.as_array().or_else(|| body["data"].as_array());
        let held = functions.map(|functions| held_by_rest(functions));
        // Ids of another kind tell nothing.
        let of_app = |held: &Option<RegisteredApp>| {
            let mut ids = held.iter().flat_map(|held| held.functions.keys());
            held.is_none() || ids.any(|id| id.starts_with(app))
        };
        Ok(held.filter(of_app))
    }
}

fn held_by_graphql(app: &Value) -> RegisteredApp {
    let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let function = |function: &Value| {
        let triggers = function["triggers"].as_array().map(|triggers| {
            let one = |trigger: &Value| {
                let kind = trigger["type"].as_str().unwrap_or_default().to_lowercase();
                trigger_text(
                    &kind,
                    trigger["value"].as_str().unwrap_or_default(),
                    trigger["condition"].as_str(),
                )
            };
            triggers.iter().map(one).collect()
        });
        let configuration = &function["configuration"];
        let limits = configuration["concurrency"].as_array().map(|limits| {
            // The limits of the plan are nobody's wish.
            let own = limits.iter().filter(|limit| limit["limit"]["isPlanLimit"] != true);
            own.map(|limit| {
                limit_text(
                    limit["limit"]["value"].as_u64().unwrap_or_default(),
                    limit["key"].as_str(),
                )
            })
            .collect()
        });
        let held = RegisteredFunction {
            triggers,
            retries: configuration["retries"]["value"].as_u64(),
            concurrency: limits,
        };
        Some((function["slug"].as_str()?.to_owned(), held))
    };
    RegisteredApp {
        url: text(&app["url"]),
        error: text(&app["error"]),
        functions: app["functions"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(function)
            .collect(),
    }
}

/// Returns the app with these functions, or `None` when there are none: the cloud answers so for an app that it does
/// not know.
fn held_by_rest(functions: &[Value]) -> Option<RegisteredApp> {
    let is_live = |function: &&Value| {
        let archived = function["archived_at"].as_str().unwrap_or_default();
        archived.is_empty() || archived.starts_with("0001")
    };
    let function = |function: &Value| {
        let id = function["slug"].as_str().or_else(|| function["id"].as_str())?;
        let config = match &function["config"] {
            Value::String(text) => serde_json::from_str(text).unwrap_or_default(),
            config => config.clone(),
        };
        let triggers = config["triggers"].as_array().map(|triggers| {
            let one = |trigger: &Value| match trigger["cron"].as_str() {
                Some(cron) => trigger_text("cron", cron, None),
                None => trigger_text(
                    "event",
                    trigger["event"].as_str().unwrap_or_default(),
                    trigger["expression"].as_str(),
                ),
            };
            triggers.iter().map(one).collect()
        });
        let held = RegisteredFunction {
            triggers,
            ..RegisteredFunction::default()
        };
        Some((id.to_owned(), held))
    };
    let functions: BTreeMap<_, _> = functions.iter().filter(is_live).filter_map(function).collect();
    (!functions.is_empty()).then(|| RegisteredApp {
        functions,
        ..RegisteredApp::default()
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{held_by_graphql, held_by_rest};

    #[test]
    fn what_graphql_says_is_read() {
        let held = held_by_graphql(
            &json!({"url": "http://localhost:3111/api/inngest", "error": "", "functions": [{
            "slug": "app-a", "triggers": [{"type": "EVENT", "value": "a", "condition": null}, {"type": "CRON", "value": "0 7 * * *"}],
            "configuration": {"retries": {"value": 2}, "concurrency": [
                {"limit": {"value": 25, "isPlanLimit": true}, "key": null}, {"limit": {"value": 1, "isPlanLimit": false}, "key": "event.data.x"}]}}]}),
        );
        assert_eq!(held.error, None);
        let function = &held.functions["app-a"];
        assert_eq!(function.retries, Some(2));
        let of = |set: &Option<std::collections::BTreeSet<String>>| set.iter().flatten().cloned().collect::<Vec<_>>();
        assert_eq!(of(&function.triggers), ["cron 0 7 * * *", "event a"]);
        assert_eq!(of(&function.concurrency), ["1 by event.data.x"]);
    }

    #[test]
    fn what_the_api_says_is_read() {
        let held = held_by_rest(&[
            json!({"id": "app-a", "archived_at": "0001-01-01T00:00:00Z", "config": "{\"triggers\":[{\"cron\":\"0 7 * * *\"}]}"}),
            json!({"id": "app-gone", "archived_at": "2026-01-01T00:00:00Z", "config": {}}),
        ])
        .unwrap();
        assert_eq!(held.functions.keys().collect::<Vec<_>>(), ["app-a"]);
        assert_eq!(held_by_rest(&[]), None);
    }
}
