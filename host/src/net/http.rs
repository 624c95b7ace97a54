//! The HTTP client: one request over a connection of its own, to a URL or to a socket of this machine. HTTP/1 alone;
//! redirects are answers.

use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Body;
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, HOST, HeaderValue};
use hyper::{HeaderMap, Request, Response, Uri};
use hyper_util::rt::TokioIo;
use js_runtime_api::Certificates;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use super::answer_body::{AnswerBody, drive};

/// The largest answer that is read whole, in bytes.
const LARGEST_ANSWER: usize = 64 << 20;

/// The reason why there is no answer: an [`std::io::Error`] where there is no connection.
pub type HttpError = Box<dyn std::error::Error + Send + Sync>;

/// An answer that was read whole.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HttpAnswer {
    pub status: u16,
    /// The headers, their names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl HttpAnswer {
    /// Makes an answer whose body is there.
    #[must_use]
    pub fn new(status: u16, headers: &HeaderMap, body: impl Into<Vec<u8>>) -> Self {
        let headers = headers.iter().map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            (name.as_str().to_owned(), value)
        });
        Self {
            status,
            headers: headers.collect(),
            body: body.into(),
        }
    }

    /// Reads an answer to its end.
    ///
    /// # Errors
    /// When the connection is lost, or the answer is larger than a client reads.
    pub async fn read(response: Response<AnswerBody>) -> Result<Self, HttpError> {
        let (head, body) = response.into_parts();
        let body = Limited::new(body, LARGEST_ANSWER).collect().await?.to_bytes();
        Ok(Self::new(head.status.as_u16(), &head.headers, body))
    }

    /// The first header of this name, which is in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }
}

/// A connection to a server.
pub trait ByteStream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> ByteStream for S {}

/// Connects to the server of a URL of `http`, `https`, `ws` or `wss`.
///
/// # Errors
/// When the URL is no such one, or nobody answers there.
pub async fn dial(uri: &Uri) -> Result<Box<dyn ByteStream>, HttpError> {
    let host = uri.host().ok_or("the URL has no host")?.to_owned();
    let (secure, port) = match uri.scheme_str() {
        Some("https" | "wss") => (true, 443),
        Some("http" | "ws") => (false, 80),
        _ => return Err("the URL has another scheme".into()),
    };
    let port = uri.port_u16().unwrap_or(port);
    let tcp = TcpStream::connect((host.trim_matches(['[', ']']), port)).await?;
    // Frames are small, and each is waited for.
    let _ = tcp.set_nodelay(true);
    if secure {
        let name = ServerName::try_from(host)?;
        return Ok(Box::new(tls()?.connect(name, tcp).await?));
    }
    Ok(Box::new(tcp))
}

/// Sends a request to a URL, and reads the answer whole. [`trust`] sets the authorities that `https` trusts.
///
/// # Errors
/// When there is no answer.
pub async fn fetch(
    url: &str,
    method: &str,
    headers: &[(String, String)],
    body: Bytes,
) -> Result<HttpAnswer, HttpError> {
    HttpAnswer::read(open(url, method, headers, Full::new(body)).await?).await
}

/// Sends a request to a URL, and returns the answer as soon as its body begins.
///
/// # Errors
/// When there is no answer.
pub async fn open<B>(
    url: &str,
    method: &str,
    headers: &[(String, String)],
    body: B,
) -> Result<Response<AnswerBody>, HttpError>
where
    B: Body<Data: Send, Error: Into<HttpError>> + Send + 'static,
{
    let uri: Uri = url.parse()?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err("the URL is neither http nor https".into());
    }
    let stream = dial(&uri).await?;
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let mut http = Request::builder()
        .method(method)
        .uri(uri.path_and_query().map_or("/", |path| path.as_str()));
    for (name, value) in headers {
        http = http.header(name, value);
    }
    let mut http = http.body(body)?;
    let authority = authority.rsplit('@').next().unwrap_or_default();
    http.headers_mut().insert(HOST, HeaderValue::from_str(authority)?);
    send(stream, http).await
}

/// Sends a request to a socket of this machine.
///
/// # Errors
/// When nobody listens there, or there is no answer.
pub async fn send_to_socket<B>(socket: &Path, request: Request<B>) -> Result<Response<AnswerBody>, HttpError>
where
    B: Body<Data: Send, Error: Into<HttpError>> + Send + 'static,
{
    send(UnixStream::connect(socket).await?, request).await
}

/// Sends a request over a connection, which ends with the answer's last byte.
///
/// # Errors
/// When there is no answer.
pub async fn send<S, B>(stream: S, mut request: Request<B>) -> Result<Response<AnswerBody>, HttpError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    B: Body<Data: Send, Error: Into<HttpError>> + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let headers = request.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    headers
        .entry(HOST)
        .or_insert_with(|| HeaderValue::from_static("localhost"));
    let connection = drive(connection);
    let response = sender.send_request(request).await?;
    Ok(response.map(|body| AnswerBody::new(body, connection)))
}

/// The authorities that requests trust: those of the generation that is current, and before there is one those of the
/// host's own environment.
static TRUSTED: RwLock<Option<Arc<Certificates>>> = RwLock::new(None);

/// Has requests trust these authorities from now on.
pub fn trust(certificates: Certificates) {
    *TRUSTED.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(certificates));
}

fn trusted() -> Arc<Certificates> {
    let known = TRUSTED.read().unwrap_or_else(PoisonError::into_inner).clone();
    known.unwrap_or_else(|| Arc::new(Certificates::of(|name| std::env::var(name).ok(), Path::new(""))))
}

fn tls() -> Result<TlsConnector, HttpError> {
    Ok(TlsConnector::from(Arc::new(trusted().client()?)))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::fetch;

    /// Answers one request, and returns it.
    async fn answer_once(listener: TcpListener, answer: &'static str) -> String {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = vec![0; 4096];
        let length = stream.read(&mut request).await.unwrap();
        stream.write_all(answer.as_bytes()).await.unwrap();
        String::from_utf8_lossy(&request[..length]).to_lowercase()
    }

    #[tokio::test]
    async fn a_request_names_its_host_without_who_asks_and_ends_its_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let answer = "HTTP/1.1 302 Found\r\nLocation: /b\r\ncontent-length: 3\r\n\r\nno\n";
        let url = format!("http://name:word@{address}/a?b=c#d");
        let headers = [("x-own".to_owned(), "1".to_owned())];
        let (request, answer) = tokio::join!(
            answer_once(listener, answer),
            fetch(&url, "POST", &headers, Bytes::from_static(b"{}"))
        );
        assert!(request.starts_with("post /a?b=c http/1.1\r\n"), "{request}");
        for line in [
            format!("host: {address}"),
            "connection: close".to_owned(),
            "x-own: 1".to_owned(),
        ] {
            assert!(request.contains(&format!("\r\n{line}\r\n")), "{line}: {request}");
        }
        let answer = answer.unwrap();
        assert_eq!((answer.status, answer.header("location")), (302, Some("/b")));
        assert_eq!(answer.body, b"no\n");
    }

    #[tokio::test]
    async fn what_is_no_url_of_http_is_not_asked() {
        for url in ["ftp://127.0.0.1/", "/a", "http://"] {
            fetch(url, "GET", &[], Bytes::new()).await.unwrap_err();
        }
    }
}
