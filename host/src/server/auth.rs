//! Decides who may reload, roll back, and look: in pure code, by the place that a request comes from.
//!
//! - The control socket admits everybody who can open it. It lies in a folder that only its owner can enter.
//! - `baton dev` admits programs on this machine. A page in a browser is no such program, whatever its way here: its
//!   `Origin` is foreign, or its `Host` is a name that was rebound to this address. A request that a proxy passes on
//!   is remote, whatever the proxy's own address.
//! - `baton start` admits the bearer of the admin token, or a browser that has shown it ([`super::browser_sessions`]).

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::Response;
use subtle::ConstantTimeEq as _;

use super::edge::parse_host;
use super::listen::Peer;
use super::{Server, json_errors};

/// The rule in force.
#[derive(Debug)]
pub enum Access {
    /// `baton dev`.
    Loopback,
    /// `baton start`; holds the token's digest.
    Token(blake3::Hash),
}

impl Access {
    #[must_use]
    pub fn token(token: &str) -> Self {
        Self::Token(blake3::hash(token.as_bytes()))
    }

    /// Tells whether this is the admin token. The digests have equal length: the time of the comparison tells
    /// nothing.
    pub(super) fn is_opened_by(&self, token: &str) -> bool {
        match self {
            Self::Loopback => false,
            Self::Token(digest) => blake3::hash(token.trim().as_bytes())
                .as_bytes()
                .ct_eq(digest.as_bytes())
                .into(),
        }
    }
}

/// The reason why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum Refusal {
    #[error("only programs on this machine may do this")]
    NotLoopback,
    #[error("a proxy passed this request on, so it does not count as coming from this machine")]
    Forwarded,
    #[error("the Host header names neither localhost nor a loopback address")]
    ForeignHost,
    #[error("a web page of another origin may not do this")]
    ForeignOrigin,
    #[error("this needs the admin token")]
    NoToken,
    #[error("this is not the admin token")]
    WrongToken,
}

impl Refusal {
    const fn status(self) -> StatusCode {
        match self {
            Self::NoToken | Self::WrongToken => StatusCode::UNAUTHORIZED,
            _ => StatusCode::FORBIDDEN,
        }
    }

    const fn help(self) -> &'static str {
        match self {
            Self::NoToken | Self::WrongToken => {
                "Send `Authorization: Bearer …` with the token from the file admin-token in the state folder, \
                 or use `baton reload`, which does."
            }
            _ => "Use `baton reload` or `baton status` on this machine, or call http://127.0.0.1 directly.",
        }
    }
}

/// Lets admins through.
pub(super) async fn require_admin(
    State(server): State<Server>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    request: Request,
    next: Next,
) -> Response {
    match admit(&server, peer, &request) {
        Ok(()) => next.run(request).await,
        Err(response) => response,
    }
}

/// Tells whether the request is an admin's; if not, returns the answer to it.
pub(super) fn admit(server: &Server, peer: Peer, request: &Request) -> Result<(), Response> {
    let (headers, uri) = (request.headers(), request.uri());
    match decide(&server.access, peer, headers, uri) {
        Ok(()) => Ok(()),
        Err(Refusal::NoToken) if server.sessions.admits(request.method(), headers) => Ok(()),
        Err(refusal) => {
            tracing::warn!(%peer, method = %request.method(), path = uri.path(), reason = %refusal, "admin request refused");
            Err(json_errors::error(
                refusal.status(),
                refusal.to_string(),
                refusal.help(),
            ))
        }
    }
}

/// Tells whether the sender of a request may read the details of its failure: an admin may, and in `baton dev` a
/// program on this machine.
pub(super) fn may_see_details(server: &Server, peer: Peer, request: &Request) -> bool {
    decide(&server.access, peer, request.headers(), request.uri()).is_ok()
}

/// Refuses a request to run a function that a web page makes in `baton dev`, where no signature is asked for. Any
/// page that a developer has open could run functions, for the browser asks nobody before a plain POST. Inngest's dev
/// server sends no Origin.
pub(super) fn refuse_web_pages(server: &Server, peer: Peer, request: &Request) -> Result<(), Response> {
    if !matches!((&*server.access, peer), (Access::Loopback, Peer::Tcp(_))) || request.method().is_safe() {
        return Ok(());
    }
    let headers = request.headers();
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .unwrap_or_default();
    if !is_of_web_page(headers, host) {
        return Ok(());
    }
    let refusal = Refusal::ForeignOrigin;
    tracing::warn!(%peer, method = %request.method(), reason = %refusal, "request of a web page refused");
    let help = "Call the function from a program, or by the dashboard at /-/.";
    Err(json_errors::error(refusal.status(), refusal.to_string(), help))
}

/// Tells whether the request is of a page that the host at `host`, a name of this machine, has not served.
fn is_of_web_page(headers: &HeaderMap, host: &str) -> bool {
    let is_foreign = |origin: &HeaderValue| !is_local(host) || origin.as_bytes() != format!("http://{host}").as_bytes();
    let is_cross_site = |site: &HeaderValue| matches!(site.as_bytes(), b"cross-site" | b"same-site");
    headers.get(header::ORIGIN).is_some_and(is_foreign) || headers.get("sec-fetch-site").is_some_and(is_cross_site)
}

fn decide(access: &Access, peer: Peer, headers: &HeaderMap, uri: &Uri) -> Result<(), Refusal> {
    match (access, peer) {
        (_, Peer::Control) => Ok(()),
        (Access::Loopback, Peer::Tcp(address)) => {
            if !address.ip().to_canonical().is_loopback() {
                return Err(Refusal::NotLoopback);
            }
            if headers.keys().any(|name| is_of_proxy(name.as_str())) {
                return Err(Refusal::Forwarded);
            }
            let host = headers
                .get(header::HOST)
                .and_then(|host| host.to_str().ok())
                .or_else(|| uri.authority().map(AsRef::as_ref));
            let host = host.filter(|host| is_local(host)).ok_or(Refusal::ForeignHost)?;
            match headers.get(header::ORIGIN) {
                Some(origin) if origin.as_bytes() != format!("http://{host}").as_bytes() => Err(Refusal::ForeignOrigin),
                None if is_of_other_site(headers) => Err(Refusal::ForeignOrigin),
                _ => Ok(()),
            }
        }
        (Access::Token(_), Peer::Tcp(_)) => {
            let value = headers.get(header::AUTHORIZATION).ok_or(Refusal::NoToken)?;
            let token = value
                .to_str()
                .ok()
                .and_then(|value| value.split_once(' '))
                .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
                .map(|(_, token)| token)
                .ok_or(Refusal::WrongToken)?;
            access.is_opened_by(token).then_some(()).ok_or(Refusal::WrongToken)
        }
    }
}

/// Tells whether a header is one by which a proxy, a tunnel or a content network names its client.
fn is_of_proxy(name: &str) -> bool {
    const NAMES: [&str; 8] = [
        "forwarded",
        "via",
        "x-real-ip",
        "x-client-ip",
        "x-original-forwarded-for",
        "true-client-ip",
        "fly-client-ip",
        "fastly-client-ip",
    ];
    const PREFIXES: [&str; 8] = [
        "x-forwarded-",
        "cf-",
        "tailscale-",
        "ngrok-",
        "x-envoy-",
        "x-amzn-trace-",
        "x-appengine-",
        "x-azure-",
    ];
    NAMES.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Tells whether a browser says that a page of another site asks. A link that a person follows to the dashboard is
/// not the page's request.
fn is_of_other_site(headers: &HeaderMap) -> bool {
    let is = |name: &str, values: &[&[u8]]| {
        headers
            .get(name)
            .is_some_and(|value| values.contains(&value.as_bytes()))
    };
    let is_followed = is("sec-fetch-mode", &[b"navigate"]) && is("sec-fetch-dest", &[b"document"]);
    is("sec-fetch-site", &[b"cross-site", b"same-site"]) && !is_followed
}

/// Tells whether a `Host` header names this machine.
pub(super) fn is_local(host: &str) -> bool {
    let name = parse_host(host).map(|(name, _)| name);
    matches!(name, Some("localhost" | "127.0.0.1" | "[::1]"))
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderName, Uri};

    use super::{Access, Refusal, decide, is_of_web_page};
    use crate::server::listen::Peer;

    fn check(access: &Access, peer: Peer, headers: &[(&'static str, &str)], expected: Result<(), Refusal>) {
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
            .collect();
        assert_eq!(
            decide(access, peer, &headers, &Uri::from_static("/-/status")),
            expected,
            "{peer} {headers:?}"
        );
    }

    fn tcp(address: &str) -> Peer {
        Peer::Tcp(format!("{address}:5000").parse().unwrap())
    }

    #[test]
    fn pages_of_other_origins_are_told_from_programs_and_from_the_dashboard() {
        let of = |host: &str, headers: &[(&'static str, &str)]| {
            let pairs = headers.iter();
            let headers = pairs.map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()));
            is_of_web_page(&headers.collect(), host)
        };
        let here = "127.0.0.1:3111";
        assert!(!of(here, &[]));
        assert!(!of(
            here,
            &[("origin", "http://127.0.0.1:3111"), ("sec-fetch-site", "same-origin")]
        ));
        assert!(!of("host.docker.internal:3111", &[]), "a dev server in a container");
        assert!(of(here, &[("origin", "https://evil.example")]));
        assert!(of(here, &[("origin", "null")]));
        assert!(of(here, &[("origin", "http://127.0.0.1:5173")]));
        assert!(of(here, &[("sec-fetch-site", "cross-site")]));
        // A name that was rebound to this address.
        assert!(of("evil.example:3111", &[("origin", "http://evil.example:3111")]));
    }

    #[test]
    fn in_dev_only_programs_on_this_machine_are_admin() {
        let dev = Access::Loopback;
        let host = ("host", "127.0.0.1:3111");
        check(&dev, tcp("127.0.0.1"), &[host], Ok(()));
        check(&dev, tcp("[::1]"), &[("host", "[::1]:3111")], Ok(()));
        check(&dev, tcp("[::ffff:127.0.0.1]"), &[("host", "localhost")], Ok(()));
        check(
            &dev,
            tcp("127.0.0.1"),
            &[host, ("origin", "http://127.0.0.1:3111")],
            Ok(()),
        );
        check(&dev, tcp("10.0.0.7"), &[host], Err(Refusal::NotLoopback));
        check(
            &dev,
            tcp("127.0.0.1"),
            &[host, ("forwarded", "for=1.2.3.4")],
            Err(Refusal::Forwarded),
        );
        check(
            &dev,
            tcp("127.0.0.1"),
            &[host, ("x-forwarded-for", "127.0.0.1")],
            Err(Refusal::Forwarded),
        );
        for proxy in [
            "via",
            "x-real-ip",
            "cf-connecting-ip",
            "tailscale-user-login",
            "true-client-ip",
        ] {
            check(&dev, tcp("127.0.0.1"), &[host, (proxy, "1")], Err(Refusal::Forwarded));
        }
        let site = |site| ("sec-fetch-site", site);
        check(
            &dev,
            tcp("127.0.0.1"),
            &[host, site("cross-site")],
            Err(Refusal::ForeignOrigin),
        );
        check(
            &dev,
            tcp("127.0.0.1"),
            &[host, site("same-site")],
            Err(Refusal::ForeignOrigin),
        );
        check(&dev, tcp("127.0.0.1"), &[host, site("same-origin")], Ok(()));
        check(&dev, tcp("127.0.0.1"), &[host, site("none")], Ok(()));
        let link = [("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
        check(
            &dev,
            tcp("127.0.0.1"),
            &[&[host, site("cross-site")], &link[..]].concat(),
            Ok(()),
        );
        for odd in [
            "[::1].evil.com",
            "[::1]evil.com",
            "localhost:80@evil.com",
            "localhost:41671.evil.com",
        ] {
            check(&dev, tcp("127.0.0.1"), &[("host", odd)], Err(Refusal::ForeignHost));
        }
        check(
            &dev,
            tcp("127.0.0.1"),
            &[("host", "evil.example:3111")],
            Err(Refusal::ForeignHost),
        );
        check(
            &dev,
            tcp("127.0.0.1"),
            &[("host", "localhost.evil.example")],
            Err(Refusal::ForeignHost),
        );
        check(&dev, tcp("127.0.0.1"), &[], Err(Refusal::ForeignHost));
        check(
            &dev,
            tcp("127.0.0.1"),
            &[host, ("origin", "https://evil.example")],
            Err(Refusal::ForeignOrigin),
        );
        check(
            &dev,
            tcp("127.0.0.1"),
            &[host, ("origin", "null")],
            Err(Refusal::ForeignOrigin),
        );
    }

    #[test]
    fn in_production_the_token_is_wanted_from_everywhere() {
        let start = Access::token("secret");
        check(
            &start,
            tcp("127.0.0.1"),
            &[("host", "127.0.0.1")],
            Err(Refusal::NoToken),
        );
        check(&start, tcp("10.0.0.7"), &[("authorization", "Bearer secret")], Ok(()));
        check(&start, tcp("10.0.0.7"), &[("authorization", "bearer secret")], Ok(()));
        check(
            &start,
            tcp("127.0.0.1"),
            &[("authorization", "Bearer secre")],
            Err(Refusal::WrongToken),
        );
        check(
            &start,
            tcp("127.0.0.1"),
            &[("authorization", "Basic secret")],
            Err(Refusal::WrongToken),
        );
        check(
            &start,
            tcp("127.0.0.1"),
            &[("authorization", "Bearer ")],
            Err(Refusal::WrongToken),
        );
    }

    #[test]
    fn the_control_socket_needs_no_token() {
        check(&Access::token("secret"), Peer::Control, &[], Ok(()));
        check(&Access::Loopback, Peer::Control, &[], Ok(()));
    }
}
