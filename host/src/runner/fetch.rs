//! One HTTP request to anywhere, as Inngest makes it for `step.fetch` and `step.ai`.

use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, HOST, HeaderValue};
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use js_runtime_api::Certificates;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use super::answer::Raw;
use super::op::HttpRequest;
use super::sdk::Lost;
use crate::http_connection::drive;

/// The largest answer that is read, in bytes.
const LARGEST_ANSWER: usize = 64 << 20;

/// Makes it, over a connection of its own. Redirects are answers.
///
/// # Errors
/// When there is no answer.
pub async fn fetch(request: HttpRequest) -> Result<Raw, Lost> {
    let HttpRequest {
        url,
        method,
        headers,
        body,
        ..
    } = request;
    exchange(&url, &method, &headers, body.into())
        .await
        .map_err(|error| Lost(format!("{url} does not answer: {error}")))
}

pub(crate) type Error = Box<dyn std::error::Error + Send + Sync>;

/// The same for bytes.
///
/// # Errors
/// When there is no answer.
pub(crate) async fn exchange(url: &str, method: &str, headers: &[(String, String)], body: Bytes) -> Result<Raw, Error> {
    let uri: Uri = url.parse()?;
    let host = uri.host().ok_or("the URL has no host")?.to_owned();
    let secure = match uri.scheme_str() {
        Some("https") => true,
        Some("http") => false,
        _ => return Err("the URL is neither http nor https".into()),
    };
    let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
    let tcp = TcpStream::connect((host.trim_matches(['[', ']']), port)).await?;
    let authority = uri.authority().map_or(host.as_str(), |authority| authority.as_str());
    let mut http = Request::builder()
        .method(method)
        .uri(uri.path_and_query().map_or("/", |path| path.as_str()));
    for (name, value) in headers {
        http = http.header(name, value);
    }
    let mut http = http.body(Full::new(body))?;
    let authority = authority.rsplit('@').next().unwrap_or_default();
    http.headers_mut().insert(HOST, HeaderValue::from_str(authority)?);
    http.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    if secure {
        let name = ServerName::try_from(host)?;
        send(tls()?.connect(name, tcp).await?, http).await
    } else {
        send(tcp, http).await
    }
}

/// The authorities that requests trust: those of the generation that is current, and before there is one those of the
/// host's own environment.
static TRUSTED: RwLock<Option<Arc<Certificates>>> = RwLock::new(None);

/// Has requests trust these from now on.
pub fn trust(certificates: Certificates) {
    *TRUSTED.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(certificates));
}

fn trusted() -> Arc<Certificates> {
    let known = TRUSTED.read().unwrap_or_else(PoisonError::into_inner).clone();
    known.unwrap_or_else(|| Arc::new(Certificates::of(|name| std::env::var(name).ok(), Path::new(""))))
}

fn tls() -> Result<TlsConnector, Error> {
    Ok(TlsConnector::from(Arc::new(trusted().client()?)))
}

async fn send<S>(stream: S, request: Request<Full<Bytes>>) -> Result<Raw, Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let _connection = drive(connection);
    let (head, body) = sender.send_request(request).await?.into_parts();
    let headers = head.headers.iter().map(|(name, value)| {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        (name.as_str().to_owned(), value)
    });
    Ok(Raw {
        status: head.status.as_u16(),
        headers: headers.collect(),
        body: Limited::new(body, LARGEST_ANSWER).collect().await?.to_bytes().into(),
    })
}
