//! The stream of `GET /-/events`: server-sent events, `generation` and `reload`
//! among them (docs/http.md).

use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::Value;

use crate::deadline;
use crate::http::{Call, Door};
use crate::pattern::mismatch;

/// One event.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub name: String,
    pub data: Value,
}

/// An open stream.
#[derive(Debug)]
pub struct Events {
    body: Incoming,
    unread: String,
    /// The events that came so far.
    pub seen: Vec<Event>,
}

impl Events {
    /// Opens the stream: every later event is in it.
    pub(crate) async fn open(call: Call, door: &Door) -> Self {
        let answer = deadline::within("the stream of events", String::new, call.open(door))
            .await
            .unwrap_or_else(|lost| panic!("{lost}"));
        assert_eq!(answer.status().as_u16(), 200, "GET /-/events");
        let kind = answer.headers().get("content-type").and_then(|kind| kind.to_str().ok());
        assert!(
            kind.is_some_and(|kind| kind.starts_with("text/event-stream")),
            "GET /-/events is of type {kind:?}"
        );
        Self {
            body: answer.into_body(),
            unread: String::new(),
            seen: Vec::new(),
        }
    }

    /// The next event called `name` whose data fits `pattern`; events before it
    /// are passed over, but stay in [`Events::seen`].
    pub async fn next(&mut self, name: &str, pattern: &Value) -> Event {
        let what = format!("the event {name} with {pattern}");
        let found = tokio::time::timeout(deadline::DEADLINE, async {
            loop {
                let event = self.receive().await?;
                self.seen.push(event.clone());
                if event.name == name && mismatch(&event.data, pattern).is_none() {
                    return Some(event);
                }
            }
        })
        .await;
        match found {
            Ok(Some(event)) => event,
            Ok(None) => panic!("the stream ended before: {what}\nseen: {:#?}", self.seen),
            Err(_) => panic!("waited in vain: {what}\nseen: {:#?}", self.seen),
        }
    }

    /// The next event, `None` at the end of the stream.
    async fn receive(&mut self) -> Option<Event> {
        loop {
            if let Some((block, rest)) = self.unread.split_once("\n\n") {
                let event = parse(block);
                self.unread = rest.to_owned();
                match event {
                    Some(event) => return Some(event),
                    None => continue,
                }
            }
            let frame = self.body.frame().await?.ok()?;
            if let Ok(data) = frame.into_data() {
                self.unread
                    .push_str(&String::from_utf8_lossy(&data).replace("\r\n", "\n"));
            }
        }
    }
}

/// An event, or `None` for comments that only keep the stream alive.
fn parse(block: &str) -> Option<Event> {
    let mut name = "message";
    let mut data = Vec::new();
    for line in block.lines() {
        match line.split_once(':') {
            Some(("event", value)) => name = value.trim_start(),
            Some(("data", value)) => data.push(value.strip_prefix(' ').unwrap_or(value)),
            _ => {}
        }
    }
    if data.is_empty() {
        return None;
    }
    let data = serde_json::from_str(&data.join("\n")).unwrap_or_default();
    Some(Event {
        name: name.to_owned(),
        data,
    })
}
