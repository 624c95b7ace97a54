//! The exchanges of a registration: the SDK in an isolate tells Inngest of an app, and Inngest tells which app it
//! holds.

use std::sync::Arc;
use std::time::Duration;

use js_runtime_api::{Body, CallSubject, Caller, Request, Response};
use serde_json::{Value, json};

use super::inngest_failure::InngestFailure;
use super::inngest_server::Inngest;
use super::state::{AppsReading, Event};
use super::subject::{AppSubject, Subject};
use crate::generation::Generation;
use crate::status::FailureKind;

/// The longest time that an isolate may take; the SDK in it gives Inngest less.
const ISOLATE_LIMIT: Duration = Duration::from_secs(20);
/// The message of the SDK when Inngest did not refuse.
const REGISTERED: &str = "Successfully registered";

/// Lets each app of the project tell Inngest of its functions.
pub(super) async fn register(generation: Arc<Generation>, subject: Subject) -> Event {
    for app in &subject.apps {
        if let Err(failure) = register_app(&generation, &subject, app).await {
            return Event::Told(Err(failure));
        }
    }
    Event::Told(Ok(()))
}

async fn register_app(generation: &Generation, subject: &Subject, app: &AppSubject) -> Result<(), InngestFailure> {
    // The knock comes first, because the SDK would complain of each attempt.
    inngest(subject, app).knock().await?;
    if generation.pool.all_blocked() {
        let text = "user code holds every isolate: none can register";
        return Err(InngestFailure::new(FailureKind::NoIsolate, text));
    }
    let body = json!({ "url": app.url }).to_string();
    let authority = app.url.split_once("://").map_or(app.url.as_str(), |(_, rest)| rest);
    let authority = authority.split('/').next().unwrap_or_default();
    let request = Request {
        method: "PUT".to_owned(),
        url: app.url.clone(),
        headers: vec![
            ("host".to_owned(), authority.to_owned()),
            ("content-type".to_owned(), "application/json".to_owned()),
            ("content-length".to_owned(), body.len().to_string()),
        ],
        body: Body::Full(body.into()),
        subject: CallSubject::default(),
        target: app.target.clone(),
        caller: Caller::default(),
    };
    let answer = tokio::time::timeout(ISOLATE_LIMIT, generation.register(request)).await;
    match answer {
        Ok(Ok(Response {
            status,
            body: Body::Full(body),
            ..
        })) => understood(status, &body),
        Ok(Ok(_)) => Err(InngestFailure::new(FailureKind::Refused, "the SDK's answer streams")),
        Ok(Err(error)) => Err(InngestFailure::new(FailureKind::NoIsolate, error.to_string())),
        Err(_) => {
            let text = format!("no isolate answered within {ISOLATE_LIMIT:?}");
            Err(InngestFailure::new(FailureKind::NoIsolate, text))
        }
    }
}

/// Reads the report of the SDK on Inngest's answer. The report is 200 also for a refusal that has no status within
/// (inngest/inngest-js: `registerResSchema`).
fn understood(status: u16, body: &[u8]) -> Result<(), InngestFailure> {
    let said: Value = serde_json::from_slice(body).unwrap_or_default();
    let message = said["message"].as_str();
    if status == 200 && message == Some(REGISTERED) {
        return Ok(());
    }
    let text = match message {
        Some(message) => message.to_owned(),
        None => String::from_utf8_lossy(body).chars().take(300).collect(),
    };
    let kind = match status {
        504 => FailureKind::Silent,
        503 => FailureKind::NoIsolate,
        401 => FailureKind::Unauthorized,
        _ if ["status code: 401", "Unauthorized", "Authentication failed"]
            .iter()
            .any(|words| text.contains(words)) =>
        {
            FailureKind::Unauthorized
        }
        _ => FailureKind::Refused,
    };
    let text = match kind {
        FailureKind::Unauthorized => format!("Inngest does not accept the signing key: {text}"),
        _ => format!("{text} (status {})", status),
    };
    Err(InngestFailure::new(kind, text))
}

/// Compares each app with the app that Inngest holds.
pub(super) async fn read_back(subject: Subject) -> Event {
    let mut differences = Vec::new();
    let mut unoffered = false;
    for app in &subject.apps {
        match inngest(&subject, app).read_back(app).await {
            AppsReading::Agrees => {}
            AppsReading::Differs(found) => differences.extend(found),
            AppsReading::NotOffered => unoffered = true,
            failed @ AppsReading::Failed(_) => return Event::Read(failed),
        }
    }
    Event::Read(match (differences.is_empty(), unoffered) {
        (false, _) => AppsReading::Differs(differences),
        (true, true) => AppsReading::NotOffered,
        (true, false) => AppsReading::Agrees,
    })
}

fn inngest(subject: &Subject, app: &AppSubject) -> Inngest {
    Inngest {
        api: app.api.clone(),
        key: subject.key.clone().filter(|_| !subject.dev),
        env: subject.env.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::{FailureKind, understood};

    fn kind(status: u16, body: &str) -> Option<FailureKind> {
        understood(status, body.as_bytes()).err().map(|failure| failure.kind)
    }

    #[test]
    fn a_refusal_in_a_good_answer_is_a_refusal() {
        assert_eq!(
            kind(200, r#"{"message":"Successfully registered","modified":false}"#),
            None
        );
        let mode = r#"{"message":"Expected server kind dev, got cloud","modified":false}"#;
        assert_eq!(kind(200, mode), Some(FailureKind::Refused));
        assert_eq!(
            kind(500, r#"{"message":"Failed to register; status code: 401"}"#),
            Some(FailureKind::Unauthorized)
        );
        let port = r#"{"message":"Failed to register; cannot reach 127.0.0.1:40123"}"#;
        assert_eq!(kind(500, port), Some(FailureKind::Refused));
        assert_eq!(kind(504, r#"{"message":"late"}"#), Some(FailureKind::Silent));
        assert_eq!(kind(200, "<html>"), Some(FailureKind::Refused));
    }
}
