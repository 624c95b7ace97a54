//! A relay before a registry, which fails when a test says so. It passes requests without a body: those of a host that
//! pulls.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::http::{Answer, Call, Door};
use crate::registry::Registry;

/// The way in which a relay answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelayMood {
    /// The answers are the registry's.
    Passing,
    /// Each answer has this status. The caller is asked to come again after an hour.
    Failing(u16),
    /// Nothing is answered until the mood changes.
    Silent,
    /// Blobs are not answered until the mood changes.
    HoldingBlobs,
    /// The body of a blob ends after so many bytes, and with it the connection.
    CuttingBlobs(usize),
}

/// A running relay, stopped on drop.
#[derive(Debug)]
pub struct RegistryRelay {
    address: SocketAddr,
    mood: watch::Sender<RelayMood>,
    requests: Arc<Mutex<Vec<RelayedRequest>>>,
    server: JoinHandle<()>,
}

/// A request that went through a relay.
#[derive(Clone, Debug, Default)]
pub struct RelayedRequest {
    pub method: String,
    pub path: String,
    /// The header `Range`.
    pub range: Option<String>,
}

impl RegistryRelay {
    /// Listens on a free port of the loopback, and passes everything.
    pub async fn before(registry: &Registry) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let behind = Door::Tcp(registry.address().parse().expect("the registry's address"));
        let (mood, moods) = watch::channel(RelayMood::Passing);
        let requests = Arc::<Mutex<Vec<RelayedRequest>>>::default();
        let seen = requests.clone();
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (behind, moods, seen) = (behind.clone(), moods.clone(), seen.clone());
                // The task ends with its one answer, or with the test.
                tokio::spawn(async move {
                    let _ = relay(stream, &behind, moods, &seen).await;
                });
            }
        });
        Self {
            address,
            mood,
            requests,
            server,
        }
    }

    /// Changes the way in which the relay answers from now on.
    pub fn set(&self, mood: RelayMood) {
        self.mood.send_replace(mood);
    }

    /// The reference of a repository and tag behind the relay.
    #[must_use]
    pub fn reference(&self, name: &str) -> String {
        format!("{}/{name}", self.address)
    }

    /// The requests so far.
    #[must_use]
    pub fn requests(&self) -> Vec<RelayedRequest> {
        self.requests.lock().expect("no poison").clone()
    }
}

impl Drop for RegistryRelay {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Answers one request, and closes the connection.
async fn relay(
    stream: TcpStream,
    behind: &Door,
    mut moods: watch::Receiver<RelayMood>,
    seen: &Mutex<Vec<RelayedRequest>>,
) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    // The host tries TLS first.
    if stream.fill_buf().await?.first() == Some(&0x16) {
        stream
            .write_all(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n")
            .await?;
        return stream.shutdown().await;
    }
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    let mut words = line.split_whitespace();
    let (Some(method), Some(path)) = (words.next(), words.next()) else {
        // A greeting in TLS.
        return stream
            .write_all(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n")
            .await;
    };
    let mut request = RelayedRequest {
        method: method.to_owned(),
        path: path.to_owned(),
        range: None,
    };
    let mut call = Call::new(method, path);
    loop {
        let mut header = String::new();
        if stream.read_line(&mut header).await? == 0 || header.trim().is_empty() {
            break;
        }
        let (name, value) = header.split_once(':').unwrap_or_default();
        let value = value.trim();
        call = match name.to_ascii_lowercase().as_str() {
            "accept" => call.header("accept", value),
            "if-none-match" => call.header("if-none-match", value),
            "range" => {
                request.range = Some(value.to_owned());
                call.header("range", value)
            }
            _ => call,
        };
    }
    seen.lock().expect("no poison").push(request.clone());
    let is_blob = request.path.contains("/blobs/");
    let mood = *moods
        .wait_for(|mood| *mood != RelayMood::Silent && !(is_blob && *mood == RelayMood::HoldingBlobs))
        .await
        .map_err(std::io::Error::other)?;
    if let RelayMood::Failing(status) = mood {
        let head =
            format!("HTTP/1.1 {status} Failing\r\nretry-after: 3600\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
        return stream.write_all(head.as_bytes()).await;
    }
    let Answer { status, headers, body } = call.send(behind).await.map_err(|lost| std::io::Error::other(lost.0))?;
    let mut head = format!("HTTP/1.1 {status} Relayed\r\nconnection: close\r\n");
    for (name, value) in &headers {
        if name != "connection" {
            head.push_str(&format!("{name}: {}\r\n", value.to_str().expect("a text header")));
        }
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes()).await?;
    let sent = match mood {
        RelayMood::CuttingBlobs(most) if is_blob => body.slice(..most.min(body.len())),
        _ => body,
    };
    stream.write_all(&sent).await?;
    stream.flush().await
}
