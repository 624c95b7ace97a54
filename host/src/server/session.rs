//! How a browser is let in that cannot send the admin token with each request: it shows the token once, or a
//! ticket that `baton dashboard` was given, and gets a cookie.
//!
//! The cookie is sent by no other site (`SameSite=Strict`) and read by no script (`HttpOnly`); what changes
//! anything needs the page's own `Origin` besides. Sessions are in memory and end with the host.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, Method, header};

const COOKIE: &str = "baton-session";
/// How long a ticket opens a session.
const TICKET: Duration = Duration::from_mins(1);
const SESSION: Duration = Duration::from_hours(12);
/// How many of each there are at most; the oldest makes room.
const MOST: usize = 64;

/// See the module's documentation.
#[derive(Debug, Default)]
pub struct Sessions(Mutex<Secrets>);

/// Digests, as nothing that is kept opens anything.
#[derive(Debug, Default)]
struct Secrets {
    tickets: Vec<(blake3::Hash, Instant)>,
    sessions: Vec<(blake3::Hash, Instant)>,
}

/// There is no chance to be had from the system.
#[derive(Debug, thiserror::Error)]
#[error("the system gives no random bytes: {0}")]
pub struct NoChance(getrandom::Error);

impl Sessions {
    /// What opens one session, within a minute.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn ticket(&self) -> Result<String, NoChance> {
        let secret = secret()?;
        keep(&mut self.lock().tickets, &secret, TICKET);
        Ok(secret)
    }

    /// A session for a ticket, once: the `Set-Cookie` header.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn redeem(&self, ticket: &str) -> Result<Option<String>, NoChance> {
        let digest = blake3::hash(ticket.as_bytes());
        let known = {
            let mut secrets = self.lock();
            let known = is_valid(&secrets.tickets, &digest, TICKET);
            secrets.tickets.retain(|(ticket, _)| *ticket != digest);
            known
        };
        known.then(|| self.open()).transpose()
    }

    /// A session: the `Set-Cookie` header.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn open(&self) -> Result<String, NoChance> {
        let secret = secret()?;
        keep(&mut self.lock().sessions, &secret, SESSION);
        let age = SESSION.as_secs();
        Ok(format!(
            "{COOKIE}={secret}; Path=/; Max-Age={age}; HttpOnly; SameSite=Strict"
        ))
    }

    /// Whether the request is of a session, and of a page of ours where it changes anything.
    #[must_use]
    pub fn admits(&self, method: &Method, headers: &HeaderMap) -> bool {
        let Some(secret) = cookie(headers) else {
            return false;
        };
        let own_page = method.is_safe() || is_own_origin(headers);
        own_page && is_valid(&self.lock().sessions, &blake3::hash(secret.as_bytes()), SESSION)
    }

    fn lock(&self) -> MutexGuard<'_, Secrets> {
        // Nothing panics while it holds the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a page that this host has served sent it.
#[must_use]
pub fn is_own_origin(headers: &HeaderMap) -> bool {
    let (Some(origin), Some(host)) = (headers.get(header::ORIGIN), headers.get(header::HOST)) else {
        return false;
    };
    let origin = origin.as_bytes();
    // Behind a proxy that ends TLS it is https.
    let host_of = |scheme: &[u8]| origin.strip_prefix(scheme).is_some_and(|rest| rest == host.as_bytes());
    host_of(b"http://") || host_of(b"https://")
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

/// `blake3::Hash` compares in constant time.
fn is_valid(all: &[(blake3::Hash, Instant)], digest: &blake3::Hash, lasts: Duration) -> bool {
    all.iter()
        .any(|(known, since)| known == digest && since.elapsed() < lasts)
}

fn secret() -> Result<String, NoChance> {
    let mut secret = [0_u8; 32];
    getrandom::fill(&mut secret).map_err(NoChance)?;
    Ok(secret.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderName, Method};

    use super::Sessions;

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
        assert!(sessions.redeem("guessed").unwrap().is_none());
        let cookie = sessions.redeem(&ticket).unwrap().unwrap();
        assert!(sessions.redeem(&ticket).unwrap().is_none(), "a second time");
        let pair = cookie.split(';').next().unwrap();
        assert!(sessions.admits(&Method::GET, &headers(&[("cookie", pair)])));
        assert!(!sessions.admits(&Method::GET, &headers(&[("cookie", "baton-session=guessed")])));
        assert!(!sessions.admits(&Method::GET, &headers(&[])));
    }

    #[test]
    fn only_our_own_page_changes_anything() {
        let sessions = Sessions::default();
        let cookie = sessions.open().unwrap();
        assert!(cookie.contains("HttpOnly; SameSite=Strict"), "{cookie}");
        let pair = cookie.split(';').next().unwrap();
        let from = |origin: &str| headers(&[("cookie", pair), ("host", "baton.example"), ("origin", origin)]);
        assert!(sessions.admits(&Method::PUT, &from("https://baton.example")));
        assert!(!sessions.admits(&Method::PUT, &from("https://evil.example")));
        assert!(!sessions.admits(&Method::PUT, &from("https://baton.example.evil.example")));
        let none = headers(&[("cookie", pair), ("host", "baton.example")]);
        assert!(!sessions.admits(&Method::POST, &none), "a request that no page sent");
    }
}
