//! A frame: one message of a connection, with its kind.

use bytes::Bytes;
use prost::Message as _;
use thiserror::Error;

use crate::kind::Kind;
use crate::message::{
    ConnectMessage, GatewayConnectionReadyData, GatewayExecutorRequestData, SdkResponse, SystemError,
    WorkerConnectRequestData, WorkerReplyAckData, WorkerRequestAckData, WorkerRequestExtendLeaseAckData,
    WorkerRequestExtendLeaseData, WorkerStatusData,
};

/// One message of a connection: the content of one binary WebSocket frame.
#[derive(Clone, Debug, PartialEq)]
pub enum Frame {
    /// See [`Kind::GatewayHello`].
    GatewayHello,
    /// See [`Kind::WorkerConnect`].
    WorkerConnect(WorkerConnectRequestData),
    /// See [`Kind::GatewayConnectionReady`].
    GatewayConnectionReady(GatewayConnectionReadyData),
    /// See [`Kind::GatewayExecutorRequest`].
    GatewayExecutorRequest(GatewayExecutorRequestData),
    /// See [`Kind::WorkerReady`].
    WorkerReady,
    /// See [`Kind::WorkerRequestAck`].
    WorkerRequestAck(WorkerRequestAckData),
    /// See [`Kind::WorkerReply`].
    WorkerReply(SdkResponse),
    /// See [`Kind::WorkerReplyAck`].
    WorkerReplyAck(WorkerReplyAckData),
    /// See [`Kind::WorkerPause`].
    WorkerPause,
    /// See [`Kind::WorkerHeartbeat`].
    WorkerHeartbeat,
    /// See [`Kind::GatewayHeartbeat`].
    GatewayHeartbeat,
    /// See [`Kind::GatewayClosing`].
    GatewayClosing,
    /// See [`Kind::WorkerRequestExtendLease`].
    WorkerRequestExtendLease(WorkerRequestExtendLeaseData),
    /// See [`Kind::WorkerRequestExtendLeaseAck`].
    WorkerRequestExtendLeaseAck(WorkerRequestExtendLeaseAckData),
    /// See [`Kind::SyncFailed`].
    SyncFailed(SystemError),
    /// See [`Kind::WorkerStatus`].
    WorkerStatus(WorkerStatusData),
    /// A frame of a newer protocol.
    Unknown {
        /// Its number; not one of the known kinds.
        number: i32,
        /// Its content.
        payload: Bytes,
    },
}

/// A frame that cannot be sent, or cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FrameError {
    /// The frame has more bytes than the receiver reads.
    #[error("frame is too large: {size} bytes, where {limit} are allowed")]
    TooLarge {
        /// The frame's bytes.
        size: usize,
        /// The most bytes that are allowed.
        limit: usize,
    },
    /// The bytes are no frame at all.
    #[error("malformed frame: {0}")]
    Malformed(prost::DecodeError),
    /// The frame has a kind, but a content that does not fit it.
    #[error("malformed payload of {kind}: {why}")]
    MalformedPayload {
        /// The frame's kind.
        kind: Kind,
        /// The decoder's reason.
        why: prost::DecodeError,
    },
}

impl Frame {
    /// Reads the content of a binary WebSocket frame.
    ///
    /// # Errors
    /// Content of more than `limit` bytes is not read; bytes that are no frame are refused.
    pub fn decode(bytes: Bytes, limit: usize) -> Result<Self, FrameError> {
        if bytes.len() > limit {
            return Err(FrameError::TooLarge {
                size: bytes.len(),
                limit,
            });
        }
        let ConnectMessage { kind, payload } = ConnectMessage::decode(bytes).map_err(FrameError::Malformed)?;
        let kind = Kind::of(kind);
        let malformed = |why| FrameError::MalformedPayload { kind, why };
        Ok(match kind {
            Kind::GatewayHello => Self::GatewayHello,
            Kind::WorkerConnect => Self::WorkerConnect(decoded(payload).map_err(malformed)?),
            Kind::GatewayConnectionReady => Self::GatewayConnectionReady(decoded(payload).map_err(malformed)?),
            Kind::GatewayExecutorRequest => Self::GatewayExecutorRequest(decoded(payload).map_err(malformed)?),
            Kind::WorkerReady => Self::WorkerReady,
            Kind::WorkerRequestAck => Self::WorkerRequestAck(decoded(payload).map_err(malformed)?),
            Kind::WorkerReply => Self::WorkerReply(decoded(payload).map_err(malformed)?),
            Kind::WorkerReplyAck => Self::WorkerReplyAck(decoded(payload).map_err(malformed)?),
            Kind::WorkerPause => Self::WorkerPause,
            Kind::WorkerHeartbeat => Self::WorkerHeartbeat,
            Kind::GatewayHeartbeat => Self::GatewayHeartbeat,
            Kind::GatewayClosing => Self::GatewayClosing,
            Kind::WorkerRequestExtendLease => Self::WorkerRequestExtendLease(decoded(payload).map_err(malformed)?),
            Kind::WorkerRequestExtendLeaseAck => {
                Self::WorkerRequestExtendLeaseAck(decoded(payload).map_err(malformed)?)
            }
            Kind::SyncFailed => Self::SyncFailed(decoded(payload).map_err(malformed)?),
            Kind::WorkerStatus => Self::WorkerStatus(decoded(payload).map_err(malformed)?),
            Kind::Unknown(number) => Self::Unknown { number, payload },
        })
    }

    /// Makes the content of a binary WebSocket frame.
    ///
    /// # Errors
    /// A frame of more than `limit` bytes is refused: its receiver would close the connection.
    pub fn encode(&self, limit: usize) -> Result<Bytes, FrameError> {
        let message = ConnectMessage {
            kind: self.kind().number(),
            payload: self.payload(),
        };
        let size = message.encoded_len();
        if size > limit {
            return Err(FrameError::TooLarge { size, limit });
        }
        Ok(message.encode_to_vec().into())
    }

    /// The frame's kind.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::GatewayHello => Kind::GatewayHello,
            Self::WorkerConnect(_) => Kind::WorkerConnect,
            Self::GatewayConnectionReady(_) => Kind::GatewayConnectionReady,
            Self::GatewayExecutorRequest(_) => Kind::GatewayExecutorRequest,
            Self::WorkerReady => Kind::WorkerReady,
            Self::WorkerRequestAck(_) => Kind::WorkerRequestAck,
            Self::WorkerReply(_) => Kind::WorkerReply,
            Self::WorkerReplyAck(_) => Kind::WorkerReplyAck,
            Self::WorkerPause => Kind::WorkerPause,
            Self::WorkerHeartbeat => Kind::WorkerHeartbeat,
            Self::GatewayHeartbeat => Kind::GatewayHeartbeat,
            Self::GatewayClosing => Kind::GatewayClosing,
            Self::WorkerRequestExtendLease(_) => Kind::WorkerRequestExtendLease,
            Self::WorkerRequestExtendLeaseAck(_) => Kind::WorkerRequestExtendLeaseAck,
            Self::SyncFailed(_) => Kind::SyncFailed,
            Self::WorkerStatus(_) => Kind::WorkerStatus,
            Self::Unknown { number, .. } => Kind::Unknown(*number),
        }
    }

    fn payload(&self) -> Bytes {
        match self {
            Self::GatewayHello
            | Self::WorkerReady
            | Self::WorkerPause
            | Self::WorkerHeartbeat
            | Self::GatewayHeartbeat
            | Self::GatewayClosing => Bytes::new(),
            Self::WorkerConnect(data) => data.encode_to_vec().into(),
            Self::GatewayConnectionReady(data) => data.encode_to_vec().into(),
            Self::GatewayExecutorRequest(data) => data.encode_to_vec().into(),
            Self::WorkerRequestAck(data) => data.encode_to_vec().into(),
            Self::WorkerReply(data) => data.encode_to_vec().into(),
            Self::WorkerReplyAck(data) => data.encode_to_vec().into(),
            Self::WorkerRequestExtendLease(data) => data.encode_to_vec().into(),
            Self::WorkerRequestExtendLeaseAck(data) => data.encode_to_vec().into(),
            Self::SyncFailed(data) => data.encode_to_vec().into(),
            Self::WorkerStatus(data) => data.encode_to_vec().into(),
            Self::Unknown { payload, .. } => payload.clone(),
        }
    }
}

fn decoded<T: prost::Message + Default>(payload: Bytes) -> Result<T, prost::DecodeError> {
    T::decode(payload)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fuzz::fuzz;
    use crate::message::{AppConfiguration, AuthData, SdkResponseStatus, SystemAttributes, Timestamp};
    use crate::{GATEWAY_FRAME_LIMIT, WORKER_FRAME_LIMIT};

    fn request() -> GatewayExecutorRequestData {
        GatewayExecutorRequestData {
            request_id: "request".to_owned(),
            account_id: "account".to_owned(),
            env_id: "env".to_owned(),
            app_id: "app".to_owned(),
            app_name: "shop".to_owned(),
            function_id: "function".to_owned(),
            function_slug: "shop-greet".to_owned(),
            step_id: Some("step".to_owned()),
            request_payload: Bytes::from_static(b"{}"),
            system_trace_ctx: Bytes::from_static(b"{\"a\":1}"),
            user_trace_ctx: Bytes::from_static(b"{\"b\":2}"),
            run_id: "run".to_owned(),
            lease_id: "lease".to_owned(),
            job_id: "job".to_owned(),
        }
    }

    fn connect() -> WorkerConnectRequestData {
        WorkerConnectRequestData {
            connection_id: "connection".to_owned(),
            instance_id: "host".to_owned(),
            auth_data: Some(AuthData {
                session_token: "session".to_owned(),
                sync_token: "sync".to_owned(),
            }),
            capabilities: Bytes::from_static(b"{}"),
            apps: vec![AppConfiguration {
                app_name: "shop".to_owned(),
                app_version: Some("1".to_owned()),
                functions: Bytes::from_static(b"[]"),
                feature_observations: None,
            }],
            worker_manual_readiness_ack: true,
            system_attributes: Some(SystemAttributes {
                cpu_cores: 2,
                mem_bytes: 1 << 40,
                os: "linux".to_owned(),
            }),
            environment: Some("branch".to_owned()),
            framework: "connect".to_owned(),
            platform: None,
            sdk_version: "v4.24.0".to_owned(),
            sdk_language: "typescript".to_owned(),
            started_at: Some(Timestamp {
                seconds: 1_700_000_000,
                nanos: 5,
            }),
            max_worker_concurrency: Some(0),
        }
    }

    fn frames() -> Vec<Frame> {
        vec![
            Frame::GatewayHello,
            Frame::WorkerConnect(connect()),
            Frame::GatewayConnectionReady(GatewayConnectionReadyData {
                heartbeat_interval: "10s".to_owned(),
                extend_lease_interval: "30s".to_owned(),
                status_interval: "0s".to_owned(),
            }),
            Frame::GatewayExecutorRequest(request()),
            Frame::WorkerReady,
            Frame::WorkerRequestAck(request().ack()),
            Frame::WorkerReply(SdkResponse {
                body: Bytes::from_static(b"\"done\""),
                request_version: 2,
                ..request().reply(SdkResponseStatus::Done)
            }),
            Frame::WorkerReplyAck(WorkerReplyAckData {
                request_id: "request".to_owned(),
            }),
            Frame::WorkerPause,
            Frame::WorkerHeartbeat,
            Frame::GatewayHeartbeat,
            Frame::GatewayClosing,
            Frame::WorkerRequestExtendLease(request().extension("lease")),
            Frame::WorkerRequestExtendLeaseAck(WorkerRequestExtendLeaseAckData {
                new_lease_id: Some("newer".to_owned()),
                ..Default::default()
            }),
            Frame::SyncFailed(SystemError {
                code: "connect_invalid_function_config".to_owned(),
                data: None,
                message: "bad cron".to_owned(),
            }),
            Frame::WorkerStatus(WorkerStatusData {
                in_flight_request_ids: vec!["request".to_owned()],
                shutdown_requested: true,
            }),
            Frame::Unknown {
                number: 99,
                payload: Bytes::from_static(b"\xff\xff"),
            },
        ]
    }

    #[test]
    fn every_frame_is_read_as_it_was_written() {
        for frame in frames() {
            let bytes = frame.encode(GATEWAY_FRAME_LIMIT).expect("a small frame");
            assert_eq!(Frame::decode(bytes, WORKER_FRAME_LIMIT), Ok(frame));
        }
    }

    #[test]
    fn bytes_are_those_of_the_protocols_definition() {
        // Field 1 (varint) is the kind, field 2 (bytes) the payload; zero and empty are left out.
        let hello = Frame::GatewayHello.encode(GATEWAY_FRAME_LIMIT);
        assert_eq!(hello.as_deref(), Ok(&[][..]));
        let ready = Frame::WorkerReady.encode(GATEWAY_FRAME_LIMIT);
        assert_eq!(ready.as_deref(), Ok(&[0x08, 4][..]));
        let ack = Frame::WorkerReplyAck(WorkerReplyAckData {
            request_id: "ab".to_owned(),
        });
        assert_eq!(
            ack.encode(GATEWAY_FRAME_LIMIT).as_deref(),
            Ok(&[0x08, 7, 0x12, 4, 0x0a, 2, b'a', b'b'][..])
        );
    }

    #[test]
    fn presence_is_kept_where_the_protocol_has_it() {
        let mut worker = connect();
        worker.max_worker_concurrency = None;
        let without = Frame::WorkerConnect(worker.clone());
        worker.max_worker_concurrency = Some(0);
        let with = Frame::WorkerConnect(worker);
        let bytes = |frame: &Frame| frame.encode(GATEWAY_FRAME_LIMIT).expect("a small frame");
        assert_eq!(bytes(&with).len(), bytes(&without).len() + 2);
        assert_eq!(Frame::decode(bytes(&without), GATEWAY_FRAME_LIMIT), Ok(without));
    }

    #[test]
    fn unknown_fields_are_skipped() {
        // Field 15 of the frame, and field 30 of the payload.
        let bytes = [0x08, 7, 0x12, 7, 0x0a, 1, b'r', 0xf2, 0x01, 1, b'x', 0x78, 1];
        let expected = Frame::WorkerReplyAck(WorkerReplyAckData {
            request_id: "r".to_owned(),
        });
        assert_eq!(Frame::decode(Bytes::copy_from_slice(&bytes), 100), Ok(expected));
    }

    #[test]
    fn a_frame_of_the_limits_size_passes_and_one_byte_more_does_not() {
        let of_body = |body: usize| {
            Frame::WorkerReply(SdkResponse {
                body: vec![b'x'; body].into(),
                ..Default::default()
            })
        };
        let small = of_body(GATEWAY_FRAME_LIMIT / 2)
            .encode(GATEWAY_FRAME_LIMIT)
            .expect("a frame");
        let around = small.len() - GATEWAY_FRAME_LIMIT / 2;
        let most = of_body(GATEWAY_FRAME_LIMIT - around);
        let bytes = most.encode(GATEWAY_FRAME_LIMIT).expect("a frame of the limit's size");
        assert_eq!(bytes.len(), GATEWAY_FRAME_LIMIT);
        assert_eq!(Frame::decode(bytes.clone(), GATEWAY_FRAME_LIMIT), Ok(most));
        let too_large = FrameError::TooLarge {
            size: GATEWAY_FRAME_LIMIT + 1,
            limit: GATEWAY_FRAME_LIMIT,
        };
        let more = of_body(GATEWAY_FRAME_LIMIT - around + 1);
        assert_eq!(more.encode(GATEWAY_FRAME_LIMIT), Err(too_large.clone()));
        let bytes = more.encode(WORKER_FRAME_LIMIT).expect("a frame");
        assert_eq!(Frame::decode(bytes, GATEWAY_FRAME_LIMIT), Err(too_large));
    }

    #[test]
    fn malformed_bytes_are_told_apart_from_malformed_payloads() {
        let cut = Frame::decode(Bytes::from_static(&[0x08]), 100);
        assert!(matches!(cut, Err(FrameError::Malformed(_))), "{cut:?}");
        let payload = Frame::decode(Bytes::from_static(&[0x08, 6, 0x12, 1, 0x0a]), 100);
        assert!(
            matches!(
                payload,
                Err(FrameError::MalformedPayload {
                    kind: Kind::WorkerReply,
                    ..
                })
            ),
            "{payload:?}"
        );
    }

    /// Makes bytes that are almost frames: a frame that is cut, whose bytes are changed, or that others follow.
    fn almost_frames() -> impl Strategy<Value = Vec<u8>> {
        let whole = prop::sample::select(frames()).prop_map(|frame| {
            frame
                .encode(GATEWAY_FRAME_LIMIT)
                .map(|bytes| bytes.to_vec())
                .unwrap_or_default()
        });
        let broken =
            (whole, any::<prop::sample::Index>(), any::<u8>(), 0..4_u8).prop_map(|(mut bytes, at, byte, how)| {
                let at = at.index(bytes.len() + 1);
                match how {
                    0 => bytes.truncate(at),
                    1 => bytes.insert(at, byte),
                    2 if at < bytes.len() => bytes[at] = byte,
                    _ => {}
                }
                bytes
            });
        let other = prop::collection::vec(any::<u8>(), 0..64);
        prop::collection::vec(prop_oneof![4 => broken, 1 => other], 1..3).prop_map(|parts| parts.concat())
    }

    #[test]
    fn fuzz_frames_are_read_or_refused_and_what_is_read_can_be_written() {
        fuzz("frames", &almost_frames(), |bytes| {
            let Ok(frame) = Frame::decode(bytes.into(), GATEWAY_FRAME_LIMIT) else {
                return Ok(());
            };
            let again = frame.encode(GATEWAY_FRAME_LIMIT).expect("a frame as small as it was");
            prop_assert_eq!(Frame::decode(again, GATEWAY_FRAME_LIMIT), Ok(frame));
            Ok(())
        });
    }
}
