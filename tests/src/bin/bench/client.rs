//! A client that takes next to no processor time, because it shares two cores with the server that
//! is measured. It opens one connection for each request, makes the bytes of a request beforehand,
//! and reads of an answer only where it ends.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use harness::{Door, Executor, Run};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// The time that an answer may take, unless a caller sets another one.
const PATIENCE: Duration = Duration::from_secs(20);

/// The pause between two checks whether something has happened. It is no timer of tokio, which
/// counts in ms.
const PAUSE: Duration = Duration::from_micros(500);

/// See the module's documentation.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    address: SocketAddr,
    patience: Duration,
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// Head and body.
    pub(crate) text: String,
    /// The time from before its connection to its last byte, in ms.
    pub(crate) took: f64,
}

/// The reason why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lost {
    /// Nobody listens.
    Refused,
    /// The connection ended before the answer did.
    Cut,
    /// Nothing came for too long.
    Late,
}

impl Client {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self {
            address,
            patience: PATIENCE,
        }
    }

    pub(crate) fn patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Sends a request and reads the whole answer.
    pub(crate) async fn ask(&self, request: &[u8]) -> Result<Reply, Lost> {
        let began = Instant::now();
        let text = tokio::time::timeout(self.patience, self.exchange(request)).await;
        let text = text.map_err(|_| Lost::Late)??;
        let status = text.get(9..12).and_then(|status| status.parse().ok());
        Ok(Reply {
            status: status.ok_or(Lost::Cut)?,
            text,
            took: began.elapsed().as_secs_f64() * 1e3,
        })
    }

    async fn exchange(&self, request: &[u8]) -> Result<String, Lost> {
        let lost = |error: std::io::Error| match error.kind() {
            ErrorKind::ConnectionRefused => Lost::Refused,
            _ => Lost::Cut,
        };
        let mut stream = TcpStream::connect(self.address).await.map_err(lost)?;
        stream.write_all(request).await.map_err(lost)?;
        let mut bytes = Vec::with_capacity(2_048);
        while !is_whole(&bytes) {
            if stream.read_buf(&mut bytes).await.map_err(lost)? == 0 {
                return Err(Lost::Cut);
            }
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// Tells whether an answer is there to its end, by its length or its last chunk.
fn is_whole(bytes: &[u8]) -> bool {
    let Some(head) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        return false;
    };
    let (head, body) = (String::from_utf8_lossy(&bytes[..head]), &bytes[head + 4..]);
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse::<usize>().ok())?
    });
    match length {
        Some(length) => body.len() >= length,
        None => body.ends_with(b"0\r\n\r\n"),
    }
}

/// Waits for a moment.
pub(crate) async fn pause() {
    let slept = tokio::task::spawn_blocking(|| std::thread::sleep(PAUSE)).await;
    slept.expect("a thread that sleeps");
}

/// Requests as Inngest's executor makes them, each of a run of its own.
#[derive(Debug)]
pub(crate) struct Requests {
    wires: Vec<Vec<u8>>,
    next: AtomicUsize,
}

impl Requests {
    /// Calls a function of the app `bench` from its beginning. There are many runs, so that a cache
    /// of the last runs is not mistaken for speed.
    pub(crate) fn of(function: &str, data: &Value) -> Self {
        let run = || Run::of(&format!("bench-{function}")).with_data(data.clone());
        Self::from((0..512).map(|_| run()))
    }

    /// Makes the same requests for runs that may have come further.
    pub(crate) fn from(runs: impl Iterator<Item = Run>) -> Self {
        let executor = Executor::new(Door::Tcp(SocketAddr::from(([127, 0, 0, 1], 0))));
        let wires = runs.map(|run| {
            // The executor takes gzip; of all servers here only Deno's compresses its answers.
            let call = executor.request(&run, "step").header("accept-encoding", "identity");
            let (mut wire, body) = call.wire("127.0.0.1");
            wire.extend_from_slice(&body);
            wire
        });
        Self {
            wires: wires.collect(),
            next: AtomicUsize::new(0),
        }
    }

    /// Returns one request after the other, and then starts again with the first one.
    pub(crate) fn next(&self) -> &[u8] {
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        &self.wires[next % self.wires.len()]
    }
}

#[cfg(test)]
mod tests {
    use super::is_whole;

    #[test]
    fn an_answer_is_whole_with_its_last_byte_or_its_last_chunk_and_not_before() {
        for whole in [
            "HTTP/1.1 206 Partial Content\r\nContent-Length: 5\r\n\r\n[{\"}]",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        ] {
            assert!(is_whole(whole.as_bytes()), "{whole:?}");
            for end in 0..whole.len() {
                assert!(!is_whole(&whole.as_bytes()[..end]), "{:?}", &whole[..end]);
            }
        }
    }
}
