//! Asks the host that Inngest calls in place of this one whether it serves.
//!
//! The questions change nothing: `GET /-/ready` is open, and a host of Baton's tells there whether it serves or
//! drains. Where nobody knows that route, behind a proxy or at another program, the question is the SDK's own `GET`,
//! which introspects. A host of Baton's that drains takes no connection any more, so its last word is the answer to a
//! question that was asked before ([`end`]).

use std::io;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use tokio_rustls::rustls;

use super::state::HolderReading;
use super::subject::{AppSubject, Subject, is_local};
use crate::net::{HttpAnswer, HttpError, http};
use crate::status::{Readiness, UnreadyReason};

/// The limit for an answer, the connection included. The route that is asked first needs no user code at a
/// host of Baton's; a host that is stuck for longer answers no call either.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// The pause before a look at a host whose connection was lost. Something between the hosts may end every
/// connection at once.
const LOST_PAUSE: Duration = Duration::from_secs(1);

/// Asks at each of the URLs. One URL that serves is enough: all apps of this host are registered together.
pub(super) async fn ask(subject: &Subject, urls: &[String]) -> HolderReading {
    let mut all = HolderReading::Draining;
    for url in urls {
        let reading = if is_addressed_elsewhere(url, &subject.apps) {
            HolderReading::Unheard(format!("{url} is an address of the machine that Inngest runs on"))
        } else {
            ask_at(url).await
        };
        if weight(&reading) > weight(&all) {
            all = reading;
        }
    }
    all
}

/// Returns the weight of a reading. For several apps, the reading with the largest weight counts.
const fn weight(reading: &HolderReading) -> u8 {
    match reading {
        HolderReading::Draining => 0,
        HolderReading::Gone(_) => 1,
        HolderReading::Unheard(_) => 2,
        HolderReading::Serves => 3,
    }
}

/// Tells whether the URL leads from Inngest's machine to itself, and from this one to somebody else.
fn is_addressed_elsewhere(url: &str, apps: &[AppSubject]) -> bool {
    is_local(url) && !apps.iter().all(|app| is_local(&app.api))
}

async fn ask_at(url: &str) -> HolderReading {
    let asked = async {
        let ready = match get(&format!("{}/-/ready", origin(url))).await {
            Ok(answer) => of_readiness(&answer),
            Err(error) => Some(of_error(url, &error)),
        };
        match ready {
            Some(reading) => reading,
            None => match get(url).await {
                Ok(answer) => of_introspection(url, answer.status),
                Err(error) => of_error(url, &error),
            },
        }
    };
    match tokio::time::timeout(ANSWER_LIMIT, asked).await {
        Ok(reading) => reading,
        Err(_) => HolderReading::Unheard(format!("{url} did not answer within {ANSWER_LIMIT:?}")),
    }
}

/// The end of a registered host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HolderEnd {
    /// The host says that it drains.
    Drains,
    /// The connection to the host is lost: the host may have been killed.
    Lost,
}

/// Waits until the host at this URL ends, maybe forever: only a host of Baton's knows the question.
pub(super) async fn end(url: &str) -> HolderEnd {
    let began = Instant::now();
    match get(&format!("{}/-/ready?wait=drain", origin(url))).await {
        Ok(answer) if of_readiness(&answer) == Some(HolderReading::Draining) => HolderEnd::Drains,
        Ok(_) => std::future::pending().await,
        Err(_) => {
            tokio::time::sleep_until(began + LOST_PAUSE).await;
            HolderEnd::Lost
        }
    }
}

async fn get(url: &str) -> Result<HttpAnswer, HttpError> {
    http::fetch(url, "GET", &[], Bytes::new()).await
}

/// Reads the answer of `GET /-/ready`. Returns `None` when the answer is not of a host of Baton's.
pub(super) fn of_readiness(answer: &HttpAnswer) -> Option<HolderReading> {
    let readiness: Readiness = serde_json::from_slice(&answer.body).ok()?;
    Some(match readiness.reason {
        _ if readiness.ready => HolderReading::Serves,
        Some(UnreadyReason::Draining) => HolderReading::Draining,
        // Calls are held at that host, and would be answered at this one. That host registers by itself once its code
        // loads.
        Some(reason @ (UnreadyReason::Loading | UnreadyReason::Rejected)) => {
            HolderReading::Gone(format!("that host has no code that serves ({})", reason.as_str()))
        }
        // User code holds the isolates of that host: calls wait for it.
        _ => HolderReading::Serves,
    })
}

/// Reads the answer of the SDK, or of the program at its place. A refusal (401, 405, 500) is an answer as well.
fn of_introspection(url: &str, status: u16) -> HolderReading {
    match status {
        // A proxy answers so, with nobody behind it.
        502..=504 => HolderReading::Gone(format!("{url} answers {status}")),
        // A proxy that knows the host no more answers so, or a handler without GET.
        404 | 410 => HolderReading::Unheard(format!("{url} answers {status}")),
        _ => HolderReading::Serves,
    }
}

fn of_error(url: &str, error: &HttpError) -> HolderReading {
    let text = format!("{url} does not answer: {error}");
    let Some(error) = error.downcast_ref::<io::Error>() else {
        return HolderReading::Unheard(text);
    };
    if error.kind() == io::ErrorKind::ConnectionRefused {
        return HolderReading::Gone(text);
    }
    // Somebody is there, and Inngest may trust that certificate.
    if error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()) {
        return HolderReading::Serves;
    }
    HolderReading::Unheard(text)
}

/// Returns the scheme and the authority of a URL.
pub(super) fn origin(url: &str) -> &str {
    let authority = url.find("://").map_or(0, |at| at + 3);
    let end = url[authority..].find(['/', '?']).map_or(url.len(), |at| authority + at);
    &url[..end]
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::{HolderReading, ask_at, of_introspection, of_readiness, origin};
    use crate::net::HttpAnswer;

    fn kind(reading: &HolderReading) -> &'static str {
        match reading {
            HolderReading::Serves => "serves",
            HolderReading::Draining => "draining",
            HolderReading::Gone(_) => "gone",
            HolderReading::Unheard(_) => "unheard",
        }
    }

    #[test]
    fn a_host_of_batons_says_by_itself_how_it_is() {
        let of = |ready: bool, reason: Option<&str>| {
            let body = json!({"ready": ready, "generation": null, "reason": reason, "last_good": false});
            let answer = HttpAnswer {
                body: body.to_string().into(),
                ..HttpAnswer::default()
            };
            of_readiness(&answer).as_ref().map(kind)
        };
        assert_eq!(of(true, None), Some("serves"));
        assert_eq!(of(false, Some("isolates_blocked")), Some("serves"));
        assert_eq!(of(false, Some("draining")), Some("draining"));
        assert_eq!(of(false, Some("loading")), Some("gone"));
        assert_eq!(of(false, Some("rejected")), Some("gone"));
        for foreign in [r#"{"ready":true}"#, "<html>", "{}"] {
            let answer = HttpAnswer {
                body: foreign.into(),
                ..HttpAnswer::default()
            };
            assert_eq!(of_readiness(&answer), None, "{foreign}");
        }
    }

    #[test]
    fn others_are_judged_by_the_status_of_the_sdks_path() {
        let of = |status| kind(&of_introspection("http://a.example/x", status));
        for status in [200, 301, 401, 403, 405, 500] {
            assert_eq!(of(status), "serves", "{status}");
        }
        for status in [502, 503, 504] {
            assert_eq!(of(status), "gone", "{status}");
        }
        assert_eq!(of(404), "unheard");
    }

    #[test]
    fn the_origin_of_a_url_is_without_its_path() {
        assert_eq!(origin("http://a.example:1/x/y?z=/"), "http://a.example:1");
        assert_eq!(origin("https://a.example"), "https://a.example");
        assert_eq!(origin("http://a.example?x=1"), "http://a.example");
    }

    /// Answers the first request with a 404 and the second with this status, as other programs than Baton do.
    async fn foreign(status: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/api/inngest", listener.local_addr().unwrap());
        tokio::spawn(async move {
            for status in ["404 Not Found", status] {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut read = [0; 4096];
                let _ = stream.read(&mut read).await;
                let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        url
    }

    #[tokio::test]
    async fn who_does_not_know_the_route_is_asked_at_the_url_itself_and_a_free_port_is_nobody() {
        assert_eq!(kind(&ask_at(&foreign("401 Unauthorized").await).await), "serves");
        assert_eq!(kind(&ask_at(&foreign("502 Bad Gateway").await).await), "gone");
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/api/inngest", listener.local_addr().unwrap());
        drop(listener);
        assert_eq!(kind(&ask_at(&url).await), "gone");
        assert_eq!(
            kind(&ask_at("http://no-such-host.invalid/api/inngest").await),
            "unheard"
        );
    }
}
