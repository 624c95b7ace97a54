//! The ways in for a browser, where a token is wanted.

use axum::Json;
use axum::extract::{ConnectInfo, Form, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use serde_json::json;

use super::super::auth::Access;
use super::super::browser_sessions::{RandomnessError, is_own_origin};
use super::super::listen::Peer;
use super::super::{Server, json_errors};
use super::{html, page};

#[derive(Deserialize)]
pub(super) struct Ticket {
    #[serde(default)]
    ticket: String,
}

#[derive(Deserialize)]
pub(super) struct Token {
    #[serde(default)]
    token: String,
}

/// `POST /-/session`: for `baton dashboard`, which shows the URL.
pub(super) async fn session(State(server): State<Server>) -> Response {
    let mut address = server.address;
    if address.ip().is_unspecified() {
        address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
    }
    let page = format!("http://{address}/-/");
    match &*server.access {
        Access::Loopback => Json(json!({ "url": page })).into_response(),
        Access::Token(_) => match server.sessions.ticket() {
            Ok(ticket) => Json(json!({"url": format!("{page}login?ticket={ticket}")})).into_response(),
            Err(error) => no_chance(&error),
        },
    }
}

/// `GET /-/login?ticket=…`.
pub(super) async fn ticket(
    State(server): State<Server>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    headers: HeaderMap,
    Query(Ticket { ticket }): Query<Ticket>,
) -> Response {
    if ticket.is_empty() {
        return html(StatusCode::OK, &page::login(None));
    }
    match server.sessions.redeem(&ticket, &headers) {
        Ok(Some(cookie)) => let_in(peer, "ticket", &cookie),
        Ok(None) => refuse(
            peer,
            "This link was used before, or is older than a minute. Get another one with `baton dashboard`.",
        ),
        Err(error) => no_chance(&error),
    }
}

/// `POST /-/login`.
pub(super) async fn token(
    State(server): State<Server>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    headers: HeaderMap,
    Form(Token { token }): Form<Token>,
) -> Response {
    if !is_own_origin(&headers) {
        return refuse(
            peer,
            "Another page may not log in. Open the login page of this host, and log in there.",
        );
    }
    if !server.access.is_opened_by(&token) {
        return refuse(
            peer,
            "This is not the admin token. Copy it from the file admin-token in the state folder.",
        );
    }
    match server.sessions.open(&headers) {
        Ok(cookie) => let_in(peer, "token", &cookie),
        Err(error) => no_chance(&error),
    }
}

/// `POST /-/logout`.
pub(super) async fn log_out(
    State(server): State<Server>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    headers: HeaderMap,
) -> Response {
    if !is_own_origin(&headers) {
        return refuse(
            peer,
            "Another page may not log out. Press Log out on the page of this host.",
        );
    }
    tracing::info!(target: "audit", action = "logout", %peer, "admin action");
    let cookie = server.sessions.close(&headers);
    ([(header::SET_COOKIE, cookie)], Redirect::to("/-/login")).into_response()
}

fn let_in(peer: Peer, by: &'static str, cookie: &str) -> Response {
    tracing::info!(target: "audit", action = "login", %peer, by, "admin action");
    ([(header::SET_COOKIE, cookie)], Redirect::to("/-/")).into_response()
}

fn refuse(peer: Peer, why: &'static str) -> Response {
    tracing::warn!(%peer, method = "POST", path = "/-/login", reason = why, "admin request refused");
    html(StatusCode::UNAUTHORIZED, &page::login(Some(why)))
}

fn no_chance(error: &RandomnessError) -> Response {
    json_errors::error(StatusCode::INTERNAL_SERVER_ERROR, error.to_string(), "Try again.")
}
