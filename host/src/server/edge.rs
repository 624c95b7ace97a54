//! Checks a request before anybody looks at it, and settles its host and its path.
//!
//! The target of the request line wins over the `Host` header (RFC 9112, 3.2.2), which afterwards names the same
//! host. The host never decides about the path. A request that no app can be asked is refused here, and is no failure
//! of the app.

use axum::http::header::{ALLOW, CONNECTION, HOST, HeaderValue};
use axum::http::uri::PathAndQuery;
use axum::http::{Request, StatusCode, Uri};
use axum::response::Response;

use super::json_errors;

/// The methods that the Fetch standard forbids to everybody, and RFC 9110 to everybody but proxies.
const FORBIDDEN_METHODS: [&str; 3] = ["CONNECT", "TRACE", "TRACK"];

/// The reason why a request is malformed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum Fault {
    #[error("no route takes this method")]
    Method,
    #[error("the request has more than one Host header")]
    SeveralHosts,
    #[error("the Host header is malformed: expected a name or an address, and perhaps a port")]
    Host,
    #[error("the target of the request is malformed")]
    Target,
}

impl Fault {
    fn answer(self) -> Response {
        let (status, help) = match self {
            Self::Method => (
                StatusCode::METHOD_NOT_ALLOWED,
                "Use GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS.",
            ),
            Self::SeveralHosts | Self::Host => (
                StatusCode::BAD_REQUEST,
                "Send one Host header, such as `localhost:3111`.",
            ),
            Self::Target => (StatusCode::BAD_REQUEST, "Ask for a path, such as `/api/inngest`."),
        };
        let mut response = json_errors::error(status, self.to_string(), help);
        let headers = response.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        if self == Self::Method {
            headers.insert(
                ALLOW,
                HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
            );
        }
        response
    }
}

/// Settles host and path of a request.
///
/// # Errors
/// With the answer to a request that is malformed.
pub(super) fn settle<B>(request: &mut Request<B>) -> Result<(), Box<Response>> {
    settled(request).map_err(|fault| {
        tracing::debug!(reason = %fault, "malformed request refused");
        Box::new(fault.answer())
    })
}

fn settled<B>(request: &mut Request<B>) -> Result<(), Fault> {
    let method = request.method().as_str();
    if FORBIDDEN_METHODS
        .iter()
        .any(|forbidden| forbidden.eq_ignore_ascii_case(method))
    {
        return Err(Fault::Method);
    }
    let mut hosts = request.headers().get_all(HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err(Fault::SeveralHosts);
    }
    // (An empty host is that of a target without a host.)
    if host.is_some_and(|host| !host.is_empty() && host.to_str().ok().and_then(parse_host).is_none()) {
        return Err(Fault::Host);
    }
    let uri = request.uri();
    if let Some(authority) = uri.authority() {
        let is_http = uri
            .scheme_str()
            .is_some_and(|scheme| matches!(scheme, "http" | "https"));
        if !is_http || parse_host(authority.as_str()).is_none() {
            return Err(Fault::Target);
        }
        let authority = HeaderValue::from_str(authority.as_str()).map_err(|_| Fault::Target)?;
        let path = uri.path_and_query().cloned();
        *request.uri_mut() = Uri::from(path.unwrap_or(PathAndQuery::from_static("/")));
        request.headers_mut().insert(HOST, authority);
    }
    // (`OPTIONS *` asks about the server as a whole.)
    if !request.uri().path().starts_with('/') {
        *request.uri_mut() = Uri::from_static("/");
    }
    Ok(())
}

/// Takes a host apart as browsers do: its name or address, and its port.
pub(super) fn parse_host(text: &str) -> Option<(&str, Option<u16>)> {
    let (name, port) = match text.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, Some(port)),
        _ => (text, None),
    };
    let port = match port {
        None | Some("") => None,
        Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => Some(port.parse().ok()?),
        Some(_) => return None,
    };
    let is_name = name.is_ascii() && url::Host::parse(name).is_ok();
    is_name.then_some((name, port))
}

#[cfg(test)]
mod tests {
    use axum::http::{Method, Request};

    use super::{Fault, parse_host, settled};

    fn check(method: &str, target: &str, hosts: &[&str], expected: Result<(&str, &str), Fault>) {
        let mut request = Request::builder().method(Method::from_bytes(method.as_bytes()).unwrap());
        for host in hosts {
            request = request.header("host", *host);
        }
        let mut request = request.uri(target).body(()).unwrap();
        let settled = settled(&mut request).map(|()| {
            let host = request.headers().get("host").map_or("", |host| host.to_str().unwrap());
            (host, request.uri().path_and_query().unwrap().as_str())
        });
        assert_eq!(settled, expected, "{method} {target} {hosts:?}");
    }

    #[test]
    fn a_request_is_of_one_host_and_its_target_wins() {
        check("GET", "/a?b", &["localhost:3111"], Ok(("localhost:3111", "/a?b")));
        check("GET", "/a", &[], Ok(("", "/a")));
        check(
            "GET",
            "http://evil.com/-/status",
            &["localhost"],
            Ok(("evil.com", "/-/status")),
        );
        check("GET", "http://evil.com", &["localhost"], Ok(("evil.com", "/")));
        check("OPTIONS", "*", &["a.example"], Ok(("a.example", "/")));
        check("GET", "ftp://a/b", &["a"], Err(Fault::Target));
        check("GET", "http://user@a/b", &["a"], Err(Fault::Target));
        check("GET", "/a", &["a", "a"], Err(Fault::SeveralHosts));
        for method in ["TRACE", "CONNECT", "track"] {
            check(method, "/a", &["a"], Err(Fault::Method));
        }
        for host in [
            "a b",
            "[",
            "a:99999",
            "a:x",
            "x/admin?",
            "x#",
            "user@a",
            "[::1",
            "[::1]x",
            "a?b",
            "256.1.1.1",
        ] {
            check("GET", "/a", &[host], Err(Fault::Host));
        }
    }

    #[test]
    fn hosts_are_taken_apart() {
        assert_eq!(parse_host("a_b.example:80"), Some(("a_b.example", Some(80))));
        assert_eq!(parse_host("[::1]:3111"), Some(("[::1]", Some(3111))));
        assert_eq!(parse_host("[::1]"), Some(("[::1]", None)));
        assert_eq!(parse_host("localhost:"), Some(("localhost", None)));
        assert_eq!(parse_host("localhost:80@evil.com"), None);
        assert_eq!(parse_host("[::1].evil.com"), None);
    }
}
