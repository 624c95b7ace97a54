//! The wire of Inngest Connect: the protocol over which a worker dials out to Inngest's gateway, and takes the calls of
//! its functions over one WebSocket.
//!
//! Everything here is pure: bytes and texts in, values out. The worker's side is built on it, and so is the gateway of
//! the tests, so that both speak of the same frames.
//!
//! A WebSocket frame is binary and holds one [`Frame`]. Frames of unknown kinds are kept as [`Frame::Unknown`], and
//! unknown fields are skipped, so that a newer gateway is understood as far as it can be. The other texts of the protocol
//! are [`go_duration`]s, [`signing_key`]s and [`ulid`]s.
//!
//! ```
//! use connect_wire::message::{GatewayExecutorRequestData, WorkerReplyAckData};
//! use connect_wire::{Frame, GATEWAY_FRAME_LIMIT, WORKER_FRAME_LIMIT};
//!
//! # fn main() -> Result<(), connect_wire::FrameError> {
//! // The gateway sends a request.
//! let request = GatewayExecutorRequestData {
//!     request_id: "01JREQUEST".to_owned(),
//!     app_name: "shop".to_owned(),
//!     function_slug: "shop-greet".to_owned(),
//!     lease_id: "01JLEASE".to_owned(),
//!     ..Default::default()
//! };
//! let bytes = Frame::GatewayExecutorRequest(request).encode(WORKER_FRAME_LIMIT)?;
//!
//! // The worker reads it, and says that the request is its own.
//! let Frame::GatewayExecutorRequest(request) = Frame::decode(bytes, WORKER_FRAME_LIMIT)? else {
//!     unreachable!("the kind that was sent");
//! };
//! let bytes = Frame::WorkerRequestAck(request.ack()).encode(GATEWAY_FRAME_LIMIT)?;
//!
//! let Frame::WorkerRequestAck(ack) = Frame::decode(bytes, GATEWAY_FRAME_LIMIT)? else {
//!     unreachable!("the kind that was sent");
//! };
//! assert_eq!((ack.request_id.as_str(), ack.function_slug.as_str()), ("01JREQUEST", "shop-greet"));
//!
//! // A reply that the gateway has taken is acknowledged, too.
//! let taken = Frame::WorkerReplyAck(WorkerReplyAckData { request_id: ack.request_id });
//! assert_eq!(taken.kind(), connect_wire::Kind::WorkerReplyAck);
//! # Ok(())
//! # }
//! ```

#![warn(missing_docs)]

mod frame;
mod kind;

#[cfg(test)]
#[path = "../../host/src/fuzz.rs"]
mod fuzz;

pub mod go_duration;
pub mod message;
pub mod signing_key;
pub mod ulid;

pub use frame::{Frame, FrameError};
pub use kind::Kind;

/// The subprotocol that a worker has to offer when it opens the WebSocket.
pub const SUBPROTOCOL: &str = "v0.connect.inngest.com";

/// The most bytes of a frame that the gateway reads. It closes the connection over a larger one.
pub const GATEWAY_FRAME_LIMIT: usize = 8 << 20;

/// The most bytes of a frame that a worker reads. The payload of a request has at most 4 MiB.
pub const WORKER_FRAME_LIMIT: usize = 10 << 20;

/// The media type of the bodies of `POST /v0/connect/start` and `POST /v0/connect/flush`.
pub const MEDIA_TYPE: &str = "application/protobuf";
