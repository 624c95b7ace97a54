//! The two requests over HTTP: for a session, and for a reply that no session carries.

use std::time::Duration;

use bytes::Bytes;
use connect_wire::MEDIA_TYPE;
use connect_wire::message::{SdkResponse, StartRequest, StartResponse};
use prost::Message as _;

use super::apps::Presentation;
use super::state::{Loss, Opening};
use crate::net::http;

/// The limit for Inngest to answer a request for a session.
const START_WITHIN: Duration = Duration::from_secs(10);
/// The limit for Inngest to take a reply.
const FLUSH_WITHIN: Duration = Duration::from_secs(5);
/// The most letters of an answer that are shown.
const SHOWN: usize = 300;

/// The header that names the environment.
const ENVIRONMENT: &str = "x-inngest-env";

/// The address at which a flush is posted, and its headers: enough for a host that does not know the presentation.
#[derive(Debug, Clone, PartialEq)]
pub struct ApiAccess {
    api: String,
    headers: Vec<(String, String)>,
}

impl ApiAccess {
    /// Returns the access that a presentation has, with one of its bearers.
    #[must_use]
    pub fn of(presentation: &Presentation, bearer: usize) -> Self {
        let mut headers = vec![("content-type".to_owned(), MEDIA_TYPE.to_owned())];
        if let Some(bearer) = presentation.bearers.get(bearer) {
            headers.push(("authorization".to_owned(), format!("Bearer {}", bearer.0)));
        }
        if let Some(environment) = &presentation.environment {
            headers.push((ENVIRONMENT.to_owned(), environment.clone()));
        }
        Self {
            api: presentation.api.clone(),
            headers,
        }
    }

    async fn post(&self, path: &str, body: Bytes, limit: Duration) -> Result<http::HttpAnswer, String> {
        let url = format!("{}{path}", self.api);
        let answered = tokio::time::timeout(limit, http::fetch(&url, "POST", &self.headers, body)).await;
        match answered {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(format!("no answer from {url}: {error}")),
            Err(_) => Err(format!("no answer from {url} within {limit:?}")),
        }
    }

    /// Hands over a reply for which there is no session. Twice is as good as once.
    ///
    /// # Errors
    /// When Inngest does not take it.
    pub async fn flush(&self, reply: &SdkResponse) -> Result<(), String> {
        let body = reply.encode_to_vec().into();
        let answer = self.post("/v0/connect/flush", body, FLUSH_WITHIN).await?;
        match answer.status {
            200 => Ok(()),
            status => Err(format!(
                "Inngest has not taken the reply (status {status}): {}",
                shown(&answer.body)
            )),
        }
    }
}

/// Asks for a session.
///
/// # Errors
/// When there is none.
pub async fn start(opening: &Opening) -> Result<StartResponse, Loss> {
    let access = ApiAccess::of(&opening.presentation, opening.bearer);
    let request = StartRequest {
        exclude_gateways: opening.exclude.clone(),
    };
    let body = request.encode_to_vec().into();
    let answer = access.post("/v0/connect/start", body, START_WITHIN).await;
    let answer = answer.map_err(Loss::Failed)?;
    match answer.status {
        200 => StartResponse::decode(&*answer.body)
            .map_err(|error| Loss::Failed(format!("malformed answer of Inngest: {error}"))),
        401 => Err(Loss::Unauthorized),
        429 => Err(Loss::TooManyConnections),
        404 => Err(Loss::Failed(format!(
            "{} has no Connect: it is another server, or too old",
            access.api
        ))),
        status => Err(Loss::Failed(format!(
            "Inngest gives no connection (status {status}): {}",
            shown(&answer.body)
        ))),
    }
}

fn shown(body: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(body).chars().take(SHOWN).collect();
    text.replace(char::is_control, " ")
}
