//! The requests of the OCI distribution specification that releases need, to one repository of a registry. A request
//! has limits for its first byte and for each pause, follows redirects of downloads, and answers one challenge.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::StreamExt as _;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::Response;
use hyper::body::Frame;
use hyper::header::{
    ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, ETAG, IF_NONE_MATCH, LOCATION, RANGE, RETRY_AFTER,
    WWW_AUTHENTICATE,
};
use miette::Diagnostic;
use serde::Deserialize;
use tokio::sync::Mutex;
use url::Url;

use super::Digest;
use super::artefact::{Descriptor, LARGEST_DOCUMENT, MANIFEST_TYPE};
use super::reference::{ReleaseReference, Transport};
use super::registry_login::{Challenge, Login};
use crate::net::{AnswerBody, HttpError, http};

/// The limit for the beginning of an answer.
const ANSWERED_WITHIN: Duration = Duration::from_secs(30);
/// The limit for the next bytes of an answer, and for the registry to take the next bytes.
const STALLED_AFTER: Duration = Duration::from_secs(30);
/// The redirects of a download: one, to where the registry keeps its bytes, is usual.
const MOST_REDIRECTS: usize = 5;
/// The bytes of a file that are sent at once.
const CHUNK: usize = 128 << 10;
const DIGEST_HEADER: &str = "docker-content-digest";

type UploadBody = UnsyncBoxBody<Bytes, HttpError>;

/// The failure of a request to a registry.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum RegistryError {
    #[error("cannot reach the registry {registry}: {error}")]
    #[diagnostic(help(
        "Check the registry's name, and that it runs. Write oci+http://{registry}/… for a registry without TLS."
    ))]
    Unreachable { registry: String, error: String },
    #[error("the connection to the registry {registry} was lost: {error}")]
    #[diagnostic(help("Retry: a download goes on where it ended."))]
    Lost { registry: String, error: String },
    #[error("the registry {registry} refused the login: {why}")]
    #[diagnostic(help("Log in with a user who may use the repository: `docker login {registry}`."))]
    Unauthorized { registry: String, why: String },
    #[error("release {0} not found")]
    #[diagnostic(help("Push the release: `baton push {0}`."))]
    Missing(String),
    #[error("the registry {registry} is busy: it answered {status}")]
    #[diagnostic(help("Retry later."))]
    Busy {
        registry: String,
        status: u16,
        /// The time for which the registry wants to be left alone.
        wait: Option<Duration>,
    },
    #[error("the registry {registry} refused {what}: {status} {message}")]
    #[diagnostic(help("Check the reference, and read the registry's log."))]
    Refused {
        registry: String,
        what: &'static str,
        status: u16,
        message: String,
    },
    #[error("malformed answer of the registry {registry}: {why}")]
    #[diagnostic(help("Check the reference: another service may answer at this address."))]
    Wrong { registry: String, why: String },
}

impl RegistryError {
    /// Tells whether another try may succeed.
    #[must_use]
    pub const fn is_passing(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Lost { .. } | Self::Busy { .. })
    }
}

/// A repository of a registry.
pub struct Registry {
    pub reference: ReleaseReference,
    /// The login, once it was asked for.
    login: Mutex<Option<Login>>,
    /// The value of the header `Authorization` that was accepted last.
    accepted: Mutex<Option<String>>,
    /// The scheme and host that answer.
    base: Mutex<Option<Url>>,
}

/// The state of a tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TagState {
    /// The tag is where it was.
    Unmoved,
    /// The tag is at this release.
    At(Digest),
}

/// The limit for the beginning of an answer.
#[derive(Clone, Copy)]
enum AnswerLimit<'a> {
    /// The request is short.
    Short,
    /// The request has a long body; its limit is for a pause in it.
    Pause(&'a AtomicU64),
}

struct RegistryCall<'a> {
    limit: AnswerLimit<'a>,
    method: &'static str,
    headers: Vec<(String, String)>,
    body: &'a (dyn Fn() -> UploadBody + Sync),
}

impl Registry {
    #[must_use]
    pub fn new(reference: ReleaseReference) -> Self {
        Self {
            reference,
            login: Mutex::default(),
            accepted: Mutex::default(),
            base: Mutex::default(),
        }
    }

    /// Looks where the reference is. `known`: where it was, so that the registry need not say it again.
    ///
    /// # Errors
    /// When the registry is away, or there is no such reference.
    pub async fn look(&self, known: Option<&Digest>) -> Result<TagState, RegistryError> {
        let path = format!("manifests/{}", self.reference.pointer());
        let mut headers = accept_manifest();
        headers.extend(known.map(|digest| (IF_NONE_MATCH.to_string(), format!("\"{digest}\""))));
        let answer = self.ask("HEAD", &path, headers).await?;
        if answer.status() == 304 {
            return Ok(TagState::Unmoved);
        }
        self.expect(&answer, &[200], "the request for the tag")?;
        let name = |name: &str| answer.headers().get(name)?.to_str().ok();
        let said = name(DIGEST_HEADER).or_else(|| name(ETAG.as_str()));
        let digest = match said.and_then(|said| said.trim_matches('"').parse().ok()) {
            Some(digest) => digest,
            // A registry need not say the digest.
            None => Digest::of(&self.manifest(&self.reference.pointer()).await?),
        };
        Ok(match known == Some(&digest) {
            true => TagState::Unmoved,
            false => TagState::At(digest),
        })
    }

    /// Returns the bytes of a manifest, by tag or digest.
    ///
    /// # Errors
    /// When there is none, or it is too large.
    pub async fn manifest(&self, pointer: &str) -> Result<Bytes, RegistryError> {
        let path = format!("manifests/{pointer}");
        let answer = self.ask("GET", &path, accept_manifest()).await?;
        self.expect(&answer, &[200], "the manifest")?;
        self.whole(answer).await
    }

    /// Returns the bytes of a small blob.
    ///
    /// # Errors
    /// When there is none, or it is too large.
    pub async fn small_blob(&self, digest: &Digest) -> Result<Bytes, RegistryError> {
        let answer = self.blob(digest, 0).await?.1;
        self.whole(answer).await
    }

    /// Opens a blob from an offset on. Returns the offset at which the answer begins: 0 where the registry has no
    /// ranges.
    ///
    /// # Errors
    /// When there is none.
    pub async fn blob(&self, digest: &Digest, from: u64) -> Result<(u64, Response<AnswerBody>), RegistryError> {
        let range = (RANGE.to_string(), format!("bytes={from}-"));
        let headers = if from > 0 { vec![range] } else { Vec::new() };
        let answer = self.ask("GET", &format!("blobs/{digest}"), headers).await?;
        self.expect(&answer, &[200, 206], "the blob")?;
        let begins = if answer.status() == 206 { from } else { 0 };
        Ok((begins, answer))
    }

    /// Tells whether the repository has a blob.
    ///
    /// # Errors
    /// When the registry is away.
    pub async fn has_blob(&self, digest: &Digest) -> Result<bool, RegistryError> {
        let what = "the request for a blob";
        let answer = self.ask("HEAD", &format!("blobs/{digest}"), Vec::new()).await?;
        if answer.status() == 404 {
            return Ok(false);
        }
        self.expect(&answer, &[200], what).map(|()| true)
    }

    /// Uploads a blob from a file. `sent` hears of each piece.
    ///
    /// # Errors
    /// When the registry does not take it.
    pub async fn upload_file(
        &self,
        blob: &Descriptor,
        file: &Path,
        sent: impl Fn(u64) + Clone + Send + Sync + 'static,
    ) -> Result<(), RegistryError> {
        let progress = Arc::<AtomicU64>::default();
        let body = || {
            let (sent, progress) = (sent.clone(), progress.clone());
            let pieces = pieces(file.to_owned()).map(move |piece| {
                let piece = piece?;
                progress.fetch_add(piece.len() as u64, Ordering::Relaxed);
                sent(piece.len() as u64);
                Ok(Frame::data(piece))
            });
            BodyExt::boxed_unsync(StreamBody::new(pieces))
        };
        self.upload(&blob.digest, blob.size, &body, AnswerLimit::Pause(&progress))
            .await
    }

    /// Uploads a blob that is in memory.
    ///
    /// # Errors
    /// When the registry does not take it.
    pub async fn upload_bytes(&self, digest: &Digest, bytes: &Bytes) -> Result<(), RegistryError> {
        self.upload(digest, bytes.len() as u64, &|| full(bytes), AnswerLimit::Short)
            .await
    }

    async fn upload(
        &self,
        digest: &Digest,
        size: u64,
        body: &(dyn Fn() -> UploadBody + Sync),
        limit: AnswerLimit<'_>,
    ) -> Result<(), RegistryError> {
        let what = "the upload";
        let no_body = vec![(CONTENT_LENGTH.to_string(), "0".to_owned())];
        let begun = self.ask("POST", "blobs/uploads/", no_body).await?;
        self.expect(&begun, &[202], what)?;
        let location = begun
            .headers()
            .get(LOCATION)
            .and_then(|location| location.to_str().ok());
        let location = location.and_then(|location| self.joined(&begun, location));
        let mut location = location.ok_or_else(|| self.wrong("it has no location for the upload"))?;
        location.query_pairs_mut().append_pair("digest", &digest.to_string());
        let headers = vec![
            (CONTENT_TYPE.to_string(), "application/octet-stream".to_owned()),
            (CONTENT_LENGTH.to_string(), size.to_string()),
        ];
        let call = RegistryCall {
            method: "PUT",
            headers,
            body,
            limit,
        };
        let answer = self.send(location, call).await?;
        self.expect(&answer, &[201], what)
    }

    /// Puts a manifest under the reference's tag.
    ///
    /// # Errors
    /// When the registry does not take it.
    pub async fn put_manifest(&self, pointer: &str, manifest: &Bytes) -> Result<(), RegistryError> {
        let what = "the manifest";
        let headers = vec![
            (CONTENT_TYPE.to_string(), MANIFEST_TYPE.to_owned()),
            (CONTENT_LENGTH.to_string(), manifest.len().to_string()),
        ];
        let call = RegistryCall {
            method: "PUT",
            headers,
            body: &|| full(manifest),
            limit: AnswerLimit::Short,
        };
        let url = self.url(&format!("manifests/{pointer}")).await?;
        let answer = self.send(url, call).await?;
        self.expect(&answer, &[201], what)
    }

    /// The place of the last answer; a location may be relative to it.
    fn joined(&self, answer: &Response<AnswerBody>, location: &str) -> Option<Url> {
        answer.extensions().get::<Url>()?.join(location).ok()
    }

    async fn ask(
        &self,
        method: &'static str,
        path: &str,
        headers: Vec<(String, String)>,
    ) -> Result<Response<AnswerBody>, RegistryError> {
        let mut url = self.url(path).await?;
        let mut headers = headers;
        for _ in 0..=MOST_REDIRECTS {
            let call = RegistryCall {
                method,
                headers: headers.clone(),
                body: &|| BodyExt::boxed_unsync(Empty::new().map_err(|never| match never {})),
                limit: AnswerLimit::Short,
            };
            let answer = self.send(url.clone(), call).await?;
            if ![301, 302, 303, 307, 308].contains(&answer.status().as_u16()) {
                return Ok(answer);
            }
            let location = answer
                .headers()
                .get(LOCATION)
                .and_then(|location| location.to_str().ok());
            url = location
                .and_then(|location| self.joined(&answer, location))
                .ok_or_else(|| self.wrong("its redirect has no location"))?;
            headers.retain(|(name, _)| name != AUTHORIZATION.as_str());
        }
        Err(self.wrong("it has too many redirects"))
    }

    /// Sends a request; where the registry wants a login, once more with it. No login goes to another host.
    async fn send(&self, url: Url, call: RegistryCall<'_>) -> Result<Response<AnswerBody>, RegistryError> {
        let is_own = self
            .base
            .lock()
            .await
            .as_ref()
            .is_some_and(|base| base.origin() == url.origin());
        let accepted = if is_own {
            self.accepted.lock().await.clone()
        } else {
            None
        };
        let first = self.send_once(&url, &call, accepted).await?;
        if first.status() != 401 || !is_own {
            return Ok(first);
        }
        let challenge = first
            .headers()
            .get(WWW_AUTHENTICATE)
            .and_then(|header| header.to_str().ok());
        let Some(challenge) = challenge.and_then(Challenge::read) else {
            return Ok(first);
        };
        let Some(authorization) = self.authorize(challenge).await? else {
            return Ok(first);
        };
        *self.accepted.lock().await = Some(authorization.clone());
        self.send_once(&url, &call, Some(authorization)).await
    }

    async fn send_once(
        &self,
        url: &Url,
        call: &RegistryCall<'_>,
        authorization: Option<String>,
    ) -> Result<Response<AnswerBody>, RegistryError> {
        let mut headers = call.headers.clone();
        headers.extend(authorization.map(|value| (AUTHORIZATION.to_string(), value)));
        let sent = http::open(url.as_str(), call.method, &headers, (call.body)());
        let answered = match call.limit {
            AnswerLimit::Short => tokio::time::timeout(ANSWERED_WITHIN, sent).await.ok(),
            AnswerLimit::Pause(progress) => unless_it_pauses(sent, progress).await,
        };
        let answered = answered.unwrap_or_else(|| Err("no answer within 30 seconds".into()));
        let mut answer = answered.map_err(|error| self.unreachable(&error))?;
        let status = answer.status().as_u16();
        if status == 429 || status >= 500 {
            let wait = answer.headers().get(RETRY_AFTER).and_then(|wait| wait.to_str().ok());
            return Err(RegistryError::Busy {
                registry: self.reference.registry.clone(),
                status,
                wait: wait.and_then(|wait| wait.parse().ok()).map(Duration::from_secs),
            });
        }
        answer.extensions_mut().insert(url.clone());
        Ok(answer)
    }

    /// Returns the authorization that a challenge wants; `None` where there is no login for it.
    async fn authorize(&self, challenge: Challenge) -> Result<Option<String>, RegistryError> {
        let mut login = self.login.lock().await;
        let login = match &*login {
            Some(login) => login.clone(),
            None => {
                let found = Login::to(&self.reference.registry).await;
                let found = found.map_err(|why| self.unauthorized(why))?;
                login.insert(found).clone()
            }
        };
        let basic = |name: &str, password: &str| format!("Basic {}", STANDARD.encode(format!("{name}:{password}")));
        match (challenge, login) {
            (Challenge::Basic, Login::Password { name, password }) => Ok(Some(basic(&name, &password))),
            (Challenge::Basic, Login::Anonymous | Login::Identity(_)) => Ok(None),
            (Challenge::Bearer { realm, service, scope }, login) => {
                let scope = scope.unwrap_or_else(|| format!("repository:{}:pull", self.reference.repository));
                let mut url = Url::parse(&realm).map_err(|_| self.wrong("its token realm is not a URL"))?;
                if self.reference.transport == Transport::Secure && url.scheme() != "https" {
                    return Err(self.wrong("its token realm has no TLS"));
                }
                let service = service.unwrap_or_default();
                let answer = match &login {
                    Login::Identity(token) => {
                        let body = form_urlencoded::Serializer::new(String::new())
                            .append_pair("grant_type", "refresh_token")
                            .append_pair("service", &service)
                            .append_pair("scope", &scope)
                            .append_pair("client_id", "baton")
                            .append_pair("refresh_token", token)
                            .finish();
                        let form = "application/x-www-form-urlencoded".to_owned();
                        let headers = [(CONTENT_TYPE.to_string(), form)];
                        self.token_from(url, "POST", &headers, body.into()).await
                    }
                    Login::Anonymous | Login::Password { .. } => {
                        url.query_pairs_mut().append_pair("service", &service);
                        for scope in scope.split(' ') {
                            url.query_pairs_mut().append_pair("scope", scope);
                        }
                        let headers: Vec<_> = match &login {
                            Login::Password { name, password } => {
                                vec![(AUTHORIZATION.to_string(), basic(name, password))]
                            }
                            _ => Vec::new(),
                        };
                        self.token_from(url, "GET", &headers, Bytes::new()).await
                    }
                };
                answer.map(|token| Some(format!("Bearer {token}")))
            }
        }
    }

    async fn token_from(
        &self,
        url: Url,
        method: &str,
        headers: &[(String, String)],
        body: Bytes,
    ) -> Result<String, RegistryError> {
        #[derive(Deserialize)]
        struct AccessToken {
            #[serde(default)]
            token: String,
            #[serde(default)]
            access_token: String,
        }
        let asked = tokio::time::timeout(ANSWERED_WITHIN, http::fetch(url.as_str(), method, headers, body));
        let answer = asked.await.unwrap_or_else(|_| Err("no token within 30 seconds".into()));
        let answer = answer.map_err(|error| self.unreachable(&error))?;
        if answer.status != 200 {
            return Err(self.unauthorized(format!("the token service answered {}", answer.status)));
        }
        let token: AccessToken =
            serde_json::from_slice(&answer.body).map_err(|_| self.wrong("its token is not JSON"))?;
        [token.token, token.access_token]
            .into_iter()
            .find(|token| !token.is_empty())
            .ok_or_else(|| self.wrong("its token is empty"))
    }

    async fn url(&self, path: &str) -> Result<Url, RegistryError> {
        let base = self.base().await?;
        let path = format!("v2/{}/{path}", self.reference.repository);
        base.join(&path).map_err(|error| self.wrong(error))
    }

    /// The scheme and host that answer. A registry of this machine may have no TLS.
    async fn base(&self) -> Result<Url, RegistryError> {
        let mut base = self.base.lock().await;
        if let Some(base) = &*base {
            return Ok(base.clone());
        }
        let host = self.reference.api_host();
        let of = |scheme: &str| Url::parse(&format!("{scheme}://{host}/")).map_err(|error| self.wrong(error));
        let found = match self.reference.transport {
            Transport::Secure => of("https")?,
            Transport::Plain => of("http")?,
            Transport::Local => {
                let secure = of("https")?;
                let url = format!("{secure}v2/");
                let greeted = tokio::time::timeout(ANSWERED_WITHIN, http::fetch(&url, "GET", &[], Bytes::new()));
                match greeted
                    .await
                    .unwrap_or_else(|_| Err("no answer within 30 seconds".into()))
                {
                    Ok(_) => secure,
                    Err(error) if speaks_no_tls(&error) => of("http")?,
                    Err(error) => return Err(self.unreachable(&error)),
                }
            }
        };
        Ok(base.insert(found).clone())
    }

    fn expect(&self, answer: &Response<AnswerBody>, wanted: &[u16], what: &'static str) -> Result<(), RegistryError> {
        let status = answer.status().as_u16();
        match status {
            _ if wanted.contains(&status) => Ok(()),
            401 | 403 => Err(self.unauthorized(format!("it answered {status}"))),
            404 => Err(RegistryError::Missing(self.reference.to_string())),
            _ => Err(RegistryError::Refused {
                registry: self.reference.registry.clone(),
                what,
                status,
                message: answer.status().canonical_reason().unwrap_or_default().to_owned(),
            }),
        }
    }

    async fn whole(&self, answer: Response<AnswerBody>) -> Result<Bytes, RegistryError> {
        let mut body = answer.into_body();
        let mut bytes = Vec::new();
        while let Some(piece) = self.next_piece(&mut body).await? {
            if (bytes.len() + piece.len()) as u64 > LARGEST_DOCUMENT {
                return Err(self.wrong(format!("it has more than {LARGEST_DOCUMENT} bytes")));
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes.into())
    }

    /// Returns the next bytes of an answer, within a limit.
    ///
    /// # Errors
    /// When the connection is lost, or nothing comes for too long.
    pub async fn next_piece(&self, body: &mut AnswerBody) -> Result<Option<Bytes>, RegistryError> {
        loop {
            let next = tokio::time::timeout(STALLED_AFTER, body.frame()).await;
            let Some(frame) = next.map_err(|_| self.lost("no more bytes within 30 seconds"))? else {
                return Ok(None);
            };
            let frame = frame.map_err(|error| self.lost(causes(&error.into())))?;
            if let Ok(piece) = frame.into_data() {
                return Ok(Some(piece));
            }
        }
    }

    /// Returns the error for an answer that ended early.
    pub(super) fn lost(&self, error: impl Into<String>) -> RegistryError {
        RegistryError::Lost {
            registry: self.reference.registry.clone(),
            error: error.into(),
        }
    }

    fn unreachable(&self, error: &HttpError) -> RegistryError {
        RegistryError::Unreachable {
            registry: self.reference.registry.clone(),
            error: causes(error),
        }
    }

    fn unauthorized(&self, why: String) -> RegistryError {
        RegistryError::Unauthorized {
            registry: self.reference.registry.clone(),
            why,
        }
    }

    /// Returns the error for a malformed answer.
    pub fn wrong(&self, why: impl ToString) -> RegistryError {
        RegistryError::Wrong {
            registry: self.reference.registry.clone(),
            why: why.to_string(),
        }
    }
}

/// Returns the text of an error and of its causes.
fn causes(error: &HttpError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error.as_ref());
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

/// Waits for an answer for as long as the request's body goes on; `None` when it pauses for too long.
async fn unless_it_pauses<T>(answer: impl Future<Output = T>, progress: &AtomicU64) -> Option<T> {
    let mut answer = std::pin::pin!(answer);
    loop {
        let before = progress.load(Ordering::Relaxed);
        match tokio::time::timeout(STALLED_AFTER, &mut answer).await {
            Ok(answer) => return Some(answer),
            Err(_) if progress.load(Ordering::Relaxed) == before => return None,
            Err(_) => {}
        }
    }
}

/// Tells whether the failure is that of a server that does not know TLS; one with a certificate that is not trusted
/// does.
fn speaks_no_tls(error: &HttpError) -> bool {
    let error = error.downcast_ref::<std::io::Error>();
    let inner = error.and_then(|error| error.get_ref());
    let inner = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>());
    matches!(inner, Some(rustls::Error::InvalidMessage(_)))
}

fn accept_manifest() -> Vec<(String, String)> {
    vec![(ACCEPT.to_string(), MANIFEST_TYPE.to_owned())]
}

fn full(bytes: &Bytes) -> UploadBody {
    BodyExt::boxed_unsync(Full::new(bytes.clone()).map_err(|never| match never {}))
}

/// Reads a file piece by piece.
fn pieces(file: std::path::PathBuf) -> impl futures::Stream<Item = Result<Bytes, HttpError>> + Send {
    use tokio::io::AsyncReadExt as _;
    let begin = async move { tokio::fs::File::open(file).await.map_err(HttpError::from) };
    futures::stream::once(begin).flat_map(|file| {
        futures::stream::unfold(Some(file), |file| async move {
            let mut file = match file? {
                Ok(file) => file,
                Err(error) => return Some((Err(error), None)),
            };
            let mut piece = bytes::BytesMut::with_capacity(CHUNK);
            match file.read_buf(&mut piece).await {
                Ok(0) => None,
                Ok(_) => Some((Ok(piece.freeze()), Some(Ok(file)))),
                Err(error) => Some((Err(error.into()), None)),
            }
        })
    })
}
