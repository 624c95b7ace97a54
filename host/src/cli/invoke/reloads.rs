//! The reloads of a host, from its stream of events.

use std::path::Path;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Method, Request};

use crate::generation::{Outcome, Report};
use crate::net::{AnswerBody, HttpError, http};

pub(super) struct ReloadStream {
    body: AnswerBody,
    unread: String,
}

/// The outcome of a reload.
pub(super) enum ReloadResult {
    Swapped,
    Rejected(Box<Report>),
}

impl ReloadStream {
    /// Opens the stream of events, which tells of every swap from then on.
    pub(super) async fn open(socket: &Path) -> Result<Self, HttpError> {
        let request = Request::builder()
            .method(Method::GET)
            .uri("/-/events")
            .body(Full::new(Bytes::new()))?;
        Ok(Self {
            body: http::send_to_socket(socket, request).await?.into_body(),
            unread: String::new(),
        })
    }

    /// Resolves when new code serves, or is rejected; returns `None` when the host has ended.
    pub(super) async fn next(&mut self) -> Option<ReloadResult> {
        loop {
            while let Some((line, rest)) = self.unread.split_once('\n') {
                let data = line.strip_prefix("data:").map(serde_json::from_str::<Report>);
                self.unread = rest.to_owned();
                // (The data of other events are no reports.)
                let Some(Ok(report)) = data else {
                    continue;
                };
                match report.outcome {
                    Outcome::Activated { .. } => return Some(ReloadResult::Swapped),
                    Outcome::Rejected { .. } => return Some(ReloadResult::Rejected(Box::new(report))),
                    _ => {}
                }
            }
            let frame = self.body.frame().await?.ok()?;
            if let Ok(data) = frame.into_data() {
                self.unread.push_str(&String::from_utf8_lossy(&data));
            }
        }
    }
}
