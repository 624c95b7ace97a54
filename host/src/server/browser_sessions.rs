//! Lets in a browser that cannot send the admin token with each request: the browser shows the token once, or a
//! ticket that `baton dashboard` was given, and gets a cookie.
//!
//! The cookie is sent by no other site (`SameSite=Strict`) and read by no script (`HttpOnly`). A request that changes
//! anything needs the page's own `Origin` besides. Sessions are in memory and end with the host.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, Method, header};

const COOKIE: &str = "baton-session";
/// The time for which a ticket opens a session.
const TICKET: Duration = Duration::from_mins(1);
const SESSION: Duration = Duration::from_hours(12);
/// The most tickets, and the most sessions; the oldest makes room.
const MOST: usize = 64;

/// The sessions of browsers; see the module's documentation.
#[derive(Debug, Default)]
pub struct Sessions(Mutex<SessionDigests>);

/// The digests of tickets and sessions: nothing that is kept opens anything.
#[derive(Debug, Default)]
struct SessionDigests {
    tickets: Vec<(blake3::Hash, Instant)>,
    sessions: Vec<(blake3::Hash, Instant)>,
}

/// The system's lack of random bytes.
#[derive(Debug, thiserror::Error)]
#[error("the system gives no random bytes: {0}")]
pub struct RandomnessError(getrandom::Error);

impl Sessions {
    /// Makes a ticket, which opens one session within a minute.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn ticket(&self) -> Result<String, RandomnessError> {
        let secret = secret()?;
        keep(&mut self.lock().tickets, &secret, TICKET);
        Ok(secret)
    }

    /// Opens a session for a ticket, once; returns the `Set-Cookie` header.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn redeem(&self, ticket: &str, headers: &HeaderMap) -> Result<Option<String>, RandomnessError> {
        let digest = blake3::hash(ticket.as_bytes());
        let known = {
            let mut secrets = self.lock();
            let known = is_valid(&secrets.tickets, &digest, TICKET);
            secrets.tickets.retain(|(ticket, _)| *ticket != digest);
            known
        };
        known.then(|| self.open(headers)).transpose()
    }

    /// Opens a session for the browser that sends these headers; returns the `Set-Cookie` header.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn open(&self, headers: &HeaderMap) -> Result<String, RandomnessError> {
        let secret = secret()?;
        keep(&mut self.lock().sessions, &secret, SESSION);
        Ok(set_cookie(&secret, SESSION, headers))
    }

    /// Ends the session of a request; returns the `Set-Cookie` header that takes the cookie away.
    #[must_use]
    pub fn close(&self, headers: &HeaderMap) -> String {
        if let Some(secret) = cookie(headers) {
            let digest = blake3::hash(secret.as_bytes());
            self.lock().sessions.retain(|(session, _)| *session != digest);
        }
        set_cookie("", Duration::ZERO, headers)
    }

    /// Tells whether the request has a session, and comes from a page of ours where it changes anything.
    #[must_use]
    pub fn admits(&self, method: &Method, headers: &HeaderMap) -> bool {
        let Some(secret) = cookie(headers) else {
            return false;
        };
        let own_page = method.is_safe() || is_own_origin(headers);
        own_page && is_valid(&self.lock().sessions, &blake3::hash(secret.as_bytes()), SESSION)
    }

    fn lock(&self) -> MutexGuard<'_, SessionDigests> {
        // Nothing panics while it holds the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes the `Set-Cookie` header: only the dashboard's own routes get the cookie, and no route of the app.
fn set_cookie(secret: &str, lasts: Duration, headers: &HeaderMap) -> String {
    let (age, secure) = (lasts.as_secs(), if is_encrypted(headers) { "; Secure" } else { "" });
    format!("{COOKIE}={secret}; Path=/-/; Max-Age={age}; HttpOnly; SameSite=Strict{secure}")
}

/// Tells whether the browser speaks to a proxy that ends TLS.
fn is_encrypted(headers: &HeaderMap) -> bool {
    let text = |name: &str| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    };
    let forwarded = text("forwarded").to_ascii_lowercase();
    text("origin").starts_with("https://")
        || text("x-forwarded-proto").eq_ignore_ascii_case("https")
        || forwarded
            .split([';', ','])
            .any(|part| matches!(part.trim(), "proto=https" | "proto=\"https\""))
}

/// Tells whether a page that this host has served sent the request.
#[must_use]
pub fn is_own_origin(headers: &HeaderMap) -> bool {
    let (Some(origin), Some(host)) = (headers.get(header::ORIGIN), headers.get(header::HOST)) else {
        return false;
    };
    let origin = origin.as_bytes();
    // Behind a proxy that ends TLS the scheme is https.
    let host_of = |scheme: &[u8]| origin.strip_prefix(scheme).is_some_and(|rest| rest == host.as_bytes());
    host_of(b"http://") || host_of(b"https://")
}

/// Returns a `Cookie` header without the session's cookie, which no app gets; `None` when no other cookie is left.
#[must_use]
pub fn without_cookie(value: &str) -> Option<String> {
    if !value.contains(COOKIE) {
        return Some(value.to_owned());
    }
    let is_ours = |pair: &str| {
        pair.trim()
            .strip_prefix(COOKIE)
            .is_some_and(|rest| rest.starts_with('='))
    };
    let others: Vec<_> = value.split(';').map(str::trim).filter(|pair| !is_ours(pair)).collect();
    (!others.is_empty()).then(|| others.join("; "))
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(header::COOKIE).iter();
    let mut pairs = cookies
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'));
    pairs.find_map(|pair| pair.trim().strip_prefix(COOKIE)?.strip_prefix('='))
}

fn keep(all: &mut Vec<(blake3::Hash, Instant)>, secret: &str, lasts: Duration) {
    all.retain(|(_, since)| since.elapsed() < lasts);
    if all.len() >= MOST {
        all.remove(0);
    }
    all.push((blake3::hash(secret.as_bytes()), Instant::now()));
}

/// Tells whether a digest is known and has not expired. `blake3::Hash` compares in constant time.
fn is_valid(all: &[(blake3::Hash, Instant)], digest: &blake3::Hash, lasts: Duration) -> bool {
    all.iter()
        .any(|(known, since)| known == digest && since.elapsed() < lasts)
}

fn secret() -> Result<String, RandomnessError> {
    let mut secret = [0_u8; 32];
    getrandom::fill(&mut secret).map_err(RandomnessError)?;
    Ok(secret.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderName, Method};

    use super::{Sessions, without_cookie};

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pairs = pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()));
        pairs.collect()
    }

    #[test]
    fn a_ticket_opens_one_session() {
        let sessions = Sessions::default();
        let ticket = sessions.ticket().unwrap();
        let none = headers(&[]);
        assert!(sessions.redeem("guessed", &none).unwrap().is_none());
        let cookie = sessions.redeem(&ticket, &none).unwrap().unwrap();
        assert!(sessions.redeem(&ticket, &none).unwrap().is_none(), "a second time");
        let pair = cookie.split(';').next().unwrap();
        assert!(sessions.admits(&Method::GET, &headers(&[("cookie", pair)])));
        assert!(!sessions.admits(&Method::GET, &headers(&[("cookie", "baton-session=guessed")])));
        assert!(!sessions.admits(&Method::GET, &headers(&[])));
    }

    #[test]
    fn only_our_own_page_changes_anything() {
        let sessions = Sessions::default();
        let cookie = sessions.open(&headers(&[])).unwrap();
        assert!(
            cookie.contains("Path=/-/;") && cookie.ends_with("HttpOnly; SameSite=Strict"),
            "{cookie}"
        );
        let pair = cookie.split(';').next().unwrap();
        let from = |origin: &str| headers(&[("cookie", pair), ("host", "baton.example"), ("origin", origin)]);
        assert!(sessions.admits(&Method::PUT, &from("https://baton.example")));
        assert!(!sessions.admits(&Method::PUT, &from("https://evil.example")));
        assert!(!sessions.admits(&Method::PUT, &from("https://baton.example.evil.example")));
        let none = headers(&[("cookie", pair), ("host", "baton.example")]);
        assert!(!sessions.admits(&Method::POST, &none), "a request that no page sent");
    }

    #[test]
    fn behind_tls_the_cookie_is_sent_over_nothing_else() {
        let secure = |pairs: &[(&'static str, &str)]| {
            let cookie = Sessions::default().open(&headers(pairs)).unwrap();
            cookie.ends_with("; Secure")
        };
        assert!(secure(&[("origin", "https://baton.example")]));
        assert!(secure(&[("x-forwarded-proto", "https")]));
        assert!(secure(&[("forwarded", "for=1.2.3.4;proto=https")]));
        assert!(!secure(&[
            ("origin", "http://127.0.0.1:3111"),
            ("x-forwarded-proto", "http")
        ]));
    }

    #[test]
    fn whoever_logs_out_has_no_session_and_others_keep_theirs() {
        let sessions = Sessions::default();
        let open = || {
            let cookie = sessions.open(&headers(&[])).unwrap();
            headers(&[("cookie", cookie.split(';').next().unwrap())])
        };
        let (mine, theirs) = (open(), open());
        let gone = sessions.close(&mine);
        assert!(gone.starts_with("baton-session=; Path=/-/; Max-Age=0;"), "{gone}");
        assert!(!sessions.admits(&Method::GET, &mine));
        assert!(sessions.admits(&Method::GET, &theirs));
    }

    #[test]
    fn the_cookie_is_taken_from_what_the_app_gets() {
        let without = |value| without_cookie(value).unwrap_or_else(|| "nothing".to_owned());
        assert_eq!(without("a=1; baton-session=secret; b=2"), "a=1; b=2");
        assert_eq!(without("baton-session=secret"), "nothing");
        assert_eq!(without("baton-sessions=1;  b=2"), "baton-sessions=1; b=2");
        assert_eq!(without("a=1;b=2"), "a=1;b=2", "whatever else is as it was");
    }
}
