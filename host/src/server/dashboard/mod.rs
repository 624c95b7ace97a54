//! The dashboard: one page, rendered here, that a script keeps up to date.
//!
//! | method, path | who | what |
//! |---|---|---|
//! | `GET /-/` | admin, else the login page | the page |
//! | `GET /-/panels` | admin | the parts of the page that change, rendered anew |
//! | `POST /-/invoke` | admin | runs a function to its end; a line of JSON for each thing that happens |
//! | `POST /-/session` | admin | a URL that opens the page in a browser, once |
//! | `GET/POST /-/login` | open | a ticket of such a URL, or the admin token: a cookie |
//! | `POST /-/logout` | the page | ends its session |
//! | `GET /-/dashboard.css`, `.js` | open | the same for everybody |
//!
//! The calls on the page come from `GET /-/events?calls=1` ([`super::feed`]). Nothing is loaded from elsewhere, and
//! the content security policy says so.
//!
//! # Files
//!
//! - the page: `panels.rs` renders the parts that change, `values.rs` the values in them (pure), `page.js` draws the
//!   calls and asks for the panels anew, `invoke.rs` and `login.rs` have its routes

mod canary_panel;
mod invoke;
mod login;
mod page;
mod panels;
mod values;

use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use maud::Markup;

use self::panels::Panels;

use super::auth::{Access, admit};
use super::listen::Peer;
use super::{Server, status};

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// The routes behind the admin's door.
pub(super) fn for_admins() -> Router<Server> {
    Router::new()
        .route("/-/panels", get(panels))
        .route("/-/invoke", post(invoke::invoke))
        .route("/-/session", post(login::session))
}

/// The routes that check their callers themselves.
pub(super) fn for_everybody() -> Router<Server> {
    Router::new()
        .route("/-/", get(page))
        .route("/-", get(|| async { axum::response::Redirect::permanent("/-/") }))
        .route("/-/login", get(login::ticket).post(login::token))
        .route("/-/logout", post(login::log_out))
        .route(
            "/-/dashboard.css",
            get(|headers: HeaderMap| async move { asset(&headers, "text/css; charset=utf-8", include_str!("page.css")) }),
        )
        .route(
            "/-/dashboard.js",
            get(|headers: HeaderMap| async move {
                asset(&headers, "text/javascript; charset=utf-8", include_str!("page.js"))
            }),
        )
}

async fn page(State(server): State<Server>, ConnectInfo(peer): ConnectInfo<Peer>, request: Request) -> Response {
    if let Err(refused) = admit(&server, peer, &request) {
        return match (&*server.access, peer) {
            (Access::Token(_), Peer::Tcp(_)) => html(StatusCode::UNAUTHORIZED, &page::login(None)),
            _ => refused,
        };
    }
    let panels = render(&server).await;
    let has_session = matches!(*server.access, Access::Token(_));
    html(StatusCode::OK, &page::page(&server.project, &panels, has_session))
}

async fn panels(State(server): State<Server>) -> Response {
    html(StatusCode::OK, &render(&server).await.all())
}

async fn render(server: &Server) -> Panels {
    let status = status::of(server, status::StatusScope::AllHosts).await;
    let timeline = &server.table.timeline;
    Panels::new(&status, &timeline.reloads(), &timeline.last_calls())
}

fn html(status: StatusCode, markup: &Markup) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::CACHE_CONTROL, "no-store"),
        // (`no-referrer` would take the `Origin` from the login form.)
        (header::REFERRER_POLICY, "same-origin"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (status, headers, markup.0.clone()).into_response()
}

/// Answers with a file of the binary. A browser asks for the file again with each page, and gets it again when the
/// binary is another one.
fn asset(headers: &HeaderMap, kind: &'static str, text: &'static str) -> Response {
    let tag = format!("\"{}\"", &blake3::hash(text.as_bytes()).to_hex()[..16]);
    let same = headers
        .get(header::IF_NONE_MATCH)
        .is_some_and(|known| known.as_bytes() == tag.as_bytes());
    let mut response = match same {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => ([(header::CONTENT_TYPE, kind)], text).into_response(),
    };
    let mut insert = |name: HeaderName, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            response.headers_mut().insert(name, value);
        }
    };
    insert(header::ETAG, &tag);
    insert(header::CACHE_CONTROL, "no-cache");
    insert(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    response
}

#[cfg(test)]
mod tests {
    #[test]
    fn style_and_script_leave_room_for_the_page_in_60_kb() {
        let size = include_str!("page.css").len() + include_str!("page.js").len();
        assert!(size < 45_000, "{size} bytes");
    }
}
