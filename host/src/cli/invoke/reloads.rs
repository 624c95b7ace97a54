//! The reloads of a host, from its stream of events.

use std::path::Path;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::{Method, Request};
use serde_json::Value;

use super::super::client;

pub(super) struct Reloads {
    body: Incoming,
    unread: String,
}

impl Reloads {
    /// What is swapped in after this is told.
    pub(super) async fn open(socket: &Path) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let request = Request::builder()
            .method(Method::GET)
            .uri("/-/events")
            .body(Full::new(Bytes::new()))?;
        Ok(Self {
            body: client::open(socket, request).await?.into_body(),
            unread: String::new(),
        })
    }

    /// Resolves when new code serves; `None` when the host has ended.
    pub(super) async fn next(&mut self) -> Option<()> {
        loop {
            while let Some((line, rest)) = self.unread.split_once('\n') {
                let data = line.strip_prefix("data:").map(serde_json::from_str::<Value>);
                let swapped = matches!(&data, Some(Ok(data)) if data["status"] == "activated");
                self.unread = rest.to_owned();
                if swapped {
                    return Some(());
                }
            }
            let frame = self.body.frame().await?.ok()?;
            if let Ok(data) = frame.into_data() {
                self.unread.push_str(&String::from_utf8_lossy(&data));
            }
        }
    }
}
