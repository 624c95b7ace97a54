//! A WebSocket as a browser would open it: texts of less than 126 bytes in both directions (RFC
//! 6455).

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::deadline;

const TEXT: u8 = 0x81;
const CLOSE: u8 = 0x88;
const MASKED: u8 = 0x80;
/// The key of the RFC's example; the RFC has the answer to it, too.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// An open WebSocket.
#[derive(Debug)]
pub struct WebSocket(TcpStream);

impl WebSocket {
    /// Opens a WebSocket; panics when it is refused.
    pub async fn open(port: u16, path: &str) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let mut stream = TcpStream::connect(address).await.expect("a connection");
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: {KEY}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.expect("a request");
        let mut head = Vec::new();
        let read = async {
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.expect("an answer"));
            }
        };
        deadline::within("an answer to an upgrade", String::new, read).await;
        let head = String::from_utf8_lossy(&head).into_owned();
        assert!(head.starts_with("HTTP/1.1 101") && head.contains(ACCEPT), "{head}");
        Self(stream)
    }

    /// Sends a text, and returns the answer.
    pub async fn ask(&mut self, text: &str) -> String {
        self.send(TEXT, text.as_bytes()).await;
        let (kind, payload) = self.next().await;
        assert_eq!(kind, TEXT, "a text");
        String::from_utf8(payload).expect("a text")
    }

    /// Sends a close, and waits for the other side's close.
    pub async fn close(mut self) {
        self.send(CLOSE, &1000_u16.to_be_bytes()).await;
        assert_eq!(self.next().await.0, CLOSE);
    }

    /// Resolves when the other side has closed the connection.
    pub async fn ends(mut self) {
        let mut rest = Vec::new();
        // The read fails if the other side resets a connection that it cuts.
        let _ = self.0.read_to_end(&mut rest).await;
    }

    async fn send(&mut self, kind: u8, payload: &[u8]) {
        let length = u8::try_from(payload.len()).expect("a short text");
        // Zeros are a valid mask.
        let mut frame = vec![kind, MASKED | length, 0, 0, 0, 0];
        frame.extend_from_slice(payload);
        self.0.write_all(&frame).await.expect("a sent frame");
    }

    async fn next(&mut self) -> (u8, Vec<u8>) {
        let read = async {
            let kind = self.0.read_u8().await.expect("a frame");
            let length = self.0.read_u8().await.expect("its length");
            let mut payload = vec![0; usize::from(length)];
            self.0.read_exact(&mut payload).await.expect("its text");
            (kind, payload)
        };
        deadline::within("a frame", String::new, read).await
    }
}
