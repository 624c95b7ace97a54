//! Passing a request on to the host that has taken over, by way of its control socket.
//!
//! Only requests that this host has not begun are passed on, so nothing is done twice. While the other host is being
//! started again, the request waits.

use std::path::PathBuf;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CONNECTION, CONTENT_LENGTH, HeaderValue, TRANSFER_ENCODING};
use axum::http::{HeaderMap, HeaderName, Method, Request, StatusCode, Uri};
use axum::response::Response;
use js_runtime_api::{Body as Bytewise, header_bytes};
use tokio::net::UnixStream;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::calls::GENERATION_HEADER;
use super::json_errors;
use crate::net::{HttpError, http, own_control_socket};

/// The pause between two looks for a host that is not there yet.
const PAUSE: Duration = Duration::from_millis(20);

/// The way to the host that accepts.
#[derive(Debug, Clone)]
pub struct Successor {
    /// The path of the control socket of the host that accepts.
    pub socket: PathBuf,
    /// The time for which a request waits for such a host.
    pub hold: Duration,
    /// The token that is cancelled when there will be no such host.
    pub ending: CancellationToken,
}

impl Successor {
    /// Returns the other host's answer to a request.
    pub async fn ask(&self, method: Method, uri: &Uri, headers: HeaderMap, body: impl Into<Body>) -> Response {
        match self.get(method, uri, headers, body).await {
            Ok(response) => response,
            Err(error) => {
                tracing::warn!(%error, "cannot pass a request on to the host that has taken over");
                let message = format!("the host that has taken over does not answer: {error}");
                json_errors::retry_after(
                    json_errors::error(StatusCode::SERVICE_UNAVAILABLE, message, "Retry in a few seconds."),
                    1,
                )
            }
        }
    }

    /// Returns the other host's answer to a request that was read for a call.
    pub(super) async fn pass_on(&self, request: js_runtime_api::Request) -> Response {
        let js_runtime_api::Request {
            method,
            url,
            headers,
            body,
            ..
        } = request;
        let (Ok(method), Ok(uri)) = (method.parse(), url.parse()) else {
            return json_errors::error(
                StatusCode::BAD_REQUEST,
                "malformed request",
                "Check its method and its URL.",
            );
        };
        let headers = headers.iter().filter_map(|(name, value)| {
            Some((
                HeaderName::try_from(name).ok()?,
                HeaderValue::from_bytes(&header_bytes(value)).ok()?,
            ))
        });
        let body = match body {
            Bytewise::Full(body) => Body::from(body),
            Bytewise::Stream(parts) => Body::from_stream(parts),
            // No request has such a body.
            Bytewise::Upgraded(_) => Body::empty(),
        };
        self.ask(method, &uri, headers.collect(), body).await
    }

    pub(super) async fn get(
        &self,
        method: Method,
        uri: &Uri,
        headers: HeaderMap,
        body: impl Into<Body>,
    ) -> Result<Response, HttpError> {
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let mut request = Request::builder().method(method).uri(path).body(body.into())?;
        *request.headers_mut() = headers;
        let headers = request.headers_mut();
        headers.remove(CONTENT_LENGTH);
        headers.remove(TRANSFER_ENCODING);
        let mut response = http::send(self.connect().await?, request).await?;
        // These headers belong to the connection between the hosts.
        response.headers_mut().remove(CONNECTION);
        response.headers_mut().remove(TRANSFER_ENCODING);
        response.headers_mut().remove(GENERATION_HEADER);
        Ok(response.map(Body::new))
    }

    /// Tells whether no other host has taken the place of this one yet.
    fn leads_here(&self) -> bool {
        let own = own_control_socket(&self.socket, std::process::id());
        std::fs::read_link(&self.socket).is_ok_and(|target| Some(target.as_os_str()) == own.file_name())
    }

    async fn connect(&self) -> std::io::Result<UnixStream> {
        let until = Instant::now() + self.hold;
        loop {
            let connected = if self.leads_here() {
                Err(std::io::ErrorKind::NotConnected.into())
            } else {
                UnixStream::connect(&self.socket).await
            };
            match connected {
                Err(_) if Instant::now() < until && !self.ending.is_cancelled() => tokio::time::sleep(PAUSE).await,
                connected => return connected,
            }
        }
    }
}
