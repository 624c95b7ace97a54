//! The messages of the protocol, field by field (inngest/inngest: `proto/connect/v1/connect.proto`).
//!
//! A field that is an `Option` tells "absent" from "empty"; the others do not, as in proto3.

use bytes::Bytes;

/// The content of a WebSocket frame; [`crate::Frame`] is its meaning.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ConnectMessage {
    /// The number of the frame's kind.
    #[prost(int32, tag = "1")]
    pub kind: i32,
    /// The message that the kind calls for; empty for kinds without one.
    #[prost(bytes = "bytes", tag = "2")]
    pub payload: Bytes,
}

/// The body of `POST /v0/connect/start`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct StartRequest {
    /// The groups of gateways that the worker does not want.
    #[prost(string, repeated, tag = "1")]
    pub exclude_gateways: Vec<String>,
}

/// The answer to `POST /v0/connect/start`, good for one connection.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct StartResponse {
    /// The id of the connection, a ULID: its time is the server's.
    #[prost(string, tag = "1")]
    pub connection_id: String,
    /// The URL of the gateway, `ws:` or `wss:`.
    #[prost(string, tag = "2")]
    pub gateway_endpoint: String,
    /// The gateway's group, for [`StartRequest::exclude_gateways`].
    #[prost(string, tag = "3")]
    pub gateway_group: String,
    /// The token of the connection; it lives for five minutes.
    #[prost(string, tag = "4")]
    pub session_token: String,
    /// The token with which the gateway registers the functions.
    #[prost(string, tag = "5")]
    pub sync_token: String,
}

/// A worker's presentation.
#[derive(Clone, PartialEq, prost::Message)]
pub struct WorkerConnectRequestData {
    /// The id of [`StartResponse::connection_id`].
    #[prost(string, tag = "1")]
    pub connection_id: String,
    /// The name of the worker; its capacity is counted by it.
    #[prost(string, tag = "2")]
    pub instance_id: String,
    /// The tokens of [`StartResponse`].
    #[prost(message, optional, tag = "3")]
    pub auth_data: Option<AuthData>,
    /// The abilities of the SDK, as JSON.
    #[prost(bytes = "bytes", tag = "4")]
    pub capabilities: Bytes,
    /// The apps, at most ten.
    #[prost(message, repeated, tag = "5")]
    pub apps: Vec<AppConfiguration>,
    /// Has the gateway wait for `WORKER_READY` before it sends requests.
    #[prost(bool, tag = "6")]
    pub worker_manual_readiness_ack: bool,
    /// The machine.
    #[prost(message, optional, tag = "7")]
    pub system_attributes: Option<SystemAttributes>,
    /// The name of the environment, where there is one.
    #[prost(string, optional, tag = "8")]
    pub environment: Option<String>,
    /// `connect`.
    #[prost(string, tag = "9")]
    pub framework: String,
    /// The name of the platform, where it has one.
    #[prost(string, optional, tag = "10")]
    pub platform: Option<String>,
    /// The version of the SDK, with a `v` in front.
    #[prost(string, tag = "11")]
    pub sdk_version: String,
    /// The language of the SDK, `typescript`.
    #[prost(string, tag = "12")]
    pub sdk_language: String,
    /// The time at which the attempt to connect began.
    #[prost(message, optional, tag = "13")]
    pub started_at: Option<Timestamp>,
    /// The most requests at a time; without one there is no limit.
    #[prost(int64, optional, tag = "14")]
    pub max_worker_concurrency: Option<i64>,
}

/// The tokens of a connection.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct AuthData {
    /// See [`StartResponse::session_token`].
    #[prost(string, tag = "1")]
    pub session_token: String,
    /// See [`StartResponse::sync_token`].
    #[prost(string, tag = "2")]
    pub sync_token: String,
}

/// One app of a worker.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct AppConfiguration {
    /// The id of the app.
    #[prost(string, tag = "1")]
    pub app_name: String,
    /// The version that its authors gave it.
    #[prost(string, optional, tag = "2")]
    pub app_version: Option<String>,
    /// Its functions, a JSON array.
    #[prost(bytes = "bytes", tag = "4")]
    pub functions: Bytes,
    /// The SDK's observations of what it was used for, a message that is not read.
    #[prost(bytes = "bytes", optional, tag = "5")]
    pub feature_observations: Option<Bytes>,
}

/// The machine of a worker.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct SystemAttributes {
    /// The number of its processors.
    #[prost(int32, tag = "1")]
    pub cpu_cores: i32,
    /// Its memory in bytes.
    #[prost(int64, tag = "2")]
    pub mem_bytes: i64,
    /// The name of its system, such as `linux`.
    #[prost(string, tag = "3")]
    pub os: String,
}

/// A moment (`google.protobuf.Timestamp`).
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Timestamp {
    /// The seconds since 1970.
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    /// The nanoseconds since then.
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}

/// The gateway's intervals, as Go prints durations ([`crate::go_duration`]).
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct GatewayConnectionReadyData {
    /// The time between two heartbeats; ten seconds where it is empty.
    #[prost(string, tag = "1")]
    pub heartbeat_interval: String,
    /// The time between two extensions of a lease; five seconds where it is empty.
    #[prost(string, tag = "2")]
    pub extend_lease_interval: String,
    /// The time between two of the worker's statuses; none are wanted where it is empty or zero.
    #[prost(string, tag = "3")]
    pub status_interval: String,
}

/// A request to execute.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct GatewayExecutorRequestData {
    /// The id of this dispatch: a retry has another one.
    #[prost(string, tag = "1")]
    pub request_id: String,
    /// The account's id.
    #[prost(string, tag = "2")]
    pub account_id: String,
    /// The environment's id.
    #[prost(string, tag = "3")]
    pub env_id: String,
    /// The app's id in Inngest.
    #[prost(string, tag = "4")]
    pub app_id: String,
    /// The app's id in the code.
    #[prost(string, tag = "5")]
    pub app_name: String,
    /// The function's id in Inngest.
    #[prost(string, tag = "6")]
    pub function_id: String,
    /// The function's id in the code, with the app's in front.
    #[prost(string, tag = "7")]
    pub function_slug: String,
    /// `step`, or the hashed id of a planned step.
    #[prost(string, optional, tag = "8")]
    pub step_id: Option<String>,
    /// The body that the call would have over HTTP.
    #[prost(bytes = "bytes", tag = "9")]
    pub request_payload: Bytes,
    /// Inngest's trace context, a JSON object that the answer has to carry.
    #[prost(bytes = "bytes", tag = "10")]
    pub system_trace_ctx: Bytes,
    /// The user's trace context, a JSON object with `traceparent` and `tracestate`.
    #[prost(bytes = "bytes", tag = "11")]
    pub user_trace_ctx: Bytes,
    /// The run's id.
    #[prost(string, tag = "12")]
    pub run_id: String,
    /// The lease, a ULID: its time is the lease's end by the server's clock.
    #[prost(string, tag = "13")]
    pub lease_id: String,
    /// The id of the item in Inngest's queue.
    #[prost(string, tag = "14")]
    pub job_id: String,
}

impl GatewayExecutorRequestData {
    /// Returns the acknowledgement of the request.
    #[must_use]
    pub fn ack(&self) -> WorkerRequestAckData {
        WorkerRequestAckData {
            request_id: self.request_id.clone(),
            account_id: self.account_id.clone(),
            env_id: self.env_id.clone(),
            app_id: self.app_id.clone(),
            function_slug: self.function_slug.clone(),
            step_id: self.step_id.clone(),
            system_trace_ctx: self.system_trace_ctx.clone(),
            user_trace_ctx: self.user_trace_ctx.clone(),
            run_id: self.run_id.clone(),
        }
    }

    /// Returns an extension of the request's lease.
    #[must_use]
    pub fn extension(&self, lease_id: impl Into<String>) -> WorkerRequestExtendLeaseData {
        WorkerRequestExtendLeaseData {
            request_id: self.request_id.clone(),
            account_id: self.account_id.clone(),
            env_id: self.env_id.clone(),
            app_id: self.app_id.clone(),
            function_slug: self.function_slug.clone(),
            step_id: self.step_id.clone(),
            system_trace_ctx: self.system_trace_ctx.clone(),
            user_trace_ctx: self.user_trace_ctx.clone(),
            run_id: self.run_id.clone(),
            lease_id: lease_id.into(),
        }
    }

    /// Returns an answer with the request's ids and trace contexts, and without a body.
    #[must_use]
    pub fn reply(&self, status: SdkResponseStatus) -> SdkResponse {
        SdkResponse {
            request_id: self.request_id.clone(),
            account_id: self.account_id.clone(),
            env_id: self.env_id.clone(),
            app_id: self.app_id.clone(),
            status: status.into(),
            system_trace_ctx: self.system_trace_ctx.clone(),
            user_trace_ctx: self.user_trace_ctx.clone(),
            run_id: self.run_id.clone(),
            ..SdkResponse::default()
        }
    }
}

/// The acknowledgement of a request: the worker owns it.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct WorkerRequestAckData {
    /// See [`GatewayExecutorRequestData::request_id`].
    #[prost(string, tag = "1")]
    pub request_id: String,
    /// See [`GatewayExecutorRequestData::account_id`].
    #[prost(string, tag = "2")]
    pub account_id: String,
    /// See [`GatewayExecutorRequestData::env_id`].
    #[prost(string, tag = "3")]
    pub env_id: String,
    /// See [`GatewayExecutorRequestData::app_id`].
    #[prost(string, tag = "4")]
    pub app_id: String,
    /// See [`GatewayExecutorRequestData::function_slug`].
    #[prost(string, tag = "5")]
    pub function_slug: String,
    /// See [`GatewayExecutorRequestData::step_id`].
    #[prost(string, optional, tag = "6")]
    pub step_id: Option<String>,
    /// See [`GatewayExecutorRequestData::system_trace_ctx`].
    #[prost(bytes = "bytes", tag = "7")]
    pub system_trace_ctx: Bytes,
    /// See [`GatewayExecutorRequestData::user_trace_ctx`].
    #[prost(bytes = "bytes", tag = "8")]
    pub user_trace_ctx: Bytes,
    /// See [`GatewayExecutorRequestData::run_id`].
    #[prost(string, tag = "9")]
    pub run_id: String,
}

/// A wish to hold the lease of a request for longer.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct WorkerRequestExtendLeaseData {
    /// See [`GatewayExecutorRequestData::request_id`].
    #[prost(string, tag = "1")]
    pub request_id: String,
    /// See [`GatewayExecutorRequestData::account_id`].
    #[prost(string, tag = "2")]
    pub account_id: String,
    /// See [`GatewayExecutorRequestData::env_id`].
    #[prost(string, tag = "3")]
    pub env_id: String,
    /// See [`GatewayExecutorRequestData::app_id`].
    #[prost(string, tag = "4")]
    pub app_id: String,
    /// See [`GatewayExecutorRequestData::function_slug`].
    #[prost(string, tag = "5")]
    pub function_slug: String,
    /// See [`GatewayExecutorRequestData::step_id`].
    #[prost(string, optional, tag = "6")]
    pub step_id: Option<String>,
    /// See [`GatewayExecutorRequestData::system_trace_ctx`].
    #[prost(bytes = "bytes", tag = "7")]
    pub system_trace_ctx: Bytes,
    /// See [`GatewayExecutorRequestData::user_trace_ctx`].
    #[prost(bytes = "bytes", tag = "8")]
    pub user_trace_ctx: Bytes,
    /// See [`GatewayExecutorRequestData::run_id`].
    #[prost(string, tag = "9")]
    pub run_id: String,
    /// The lease as the worker knows it.
    #[prost(string, tag = "10")]
    pub lease_id: String,
}

/// The answer to a [`WorkerRequestExtendLeaseData`].
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct WorkerRequestExtendLeaseAckData {
    /// See [`GatewayExecutorRequestData::request_id`].
    #[prost(string, tag = "1")]
    pub request_id: String,
    /// See [`GatewayExecutorRequestData::account_id`].
    #[prost(string, tag = "2")]
    pub account_id: String,
    /// See [`GatewayExecutorRequestData::env_id`].
    #[prost(string, tag = "3")]
    pub env_id: String,
    /// See [`GatewayExecutorRequestData::app_id`].
    #[prost(string, tag = "4")]
    pub app_id: String,
    /// See [`GatewayExecutorRequestData::function_slug`].
    #[prost(string, tag = "5")]
    pub function_slug: String,
    /// The lease from now on; without one it was not extended.
    #[prost(string, optional, tag = "6")]
    pub new_lease_id: Option<String>,
}

/// The outcome of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum SdkResponseStatus {
    /// The function asks for something, and is called again: HTTP's 206.
    NotCompleted = 0,
    /// The function has returned: HTTP's 200.
    Done = 1,
    /// The call has failed: every other status.
    Error = 2,
}

/// The answer to a request, over the socket or as the body of `POST /v0/connect/flush`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct SdkResponse {
    /// See [`GatewayExecutorRequestData::request_id`].
    #[prost(string, tag = "1")]
    pub request_id: String,
    /// See [`GatewayExecutorRequestData::account_id`].
    #[prost(string, tag = "2")]
    pub account_id: String,
    /// See [`GatewayExecutorRequestData::env_id`].
    #[prost(string, tag = "3")]
    pub env_id: String,
    /// See [`GatewayExecutorRequestData::app_id`].
    #[prost(string, tag = "4")]
    pub app_id: String,
    /// The outcome.
    #[prost(enumeration = "SdkResponseStatus", tag = "5")]
    pub status: i32,
    /// The body that the answer would have over HTTP.
    #[prost(bytes = "bytes", tag = "6")]
    pub body: Bytes,
    /// Forbids another attempt.
    #[prost(bool, tag = "7")]
    pub no_retry: bool,
    /// The time of the next attempt, as HTTP's `retry-after` has it.
    #[prost(string, optional, tag = "8")]
    pub retry_after: Option<String>,
    /// The SDK and its version, such as `inngest-js:v4.24.0`.
    #[prost(string, tag = "9")]
    pub sdk_version: String,
    /// The version of the execution, which an unfinished answer pins for the run.
    #[prost(uint32, tag = "10")]
    pub request_version: u32,
    /// See [`GatewayExecutorRequestData::system_trace_ctx`]: the server refuses an answer without it.
    #[prost(bytes = "bytes", tag = "11")]
    pub system_trace_ctx: Bytes,
    /// See [`GatewayExecutorRequestData::user_trace_ctx`].
    #[prost(bytes = "bytes", tag = "12")]
    pub user_trace_ctx: Bytes,
    /// See [`GatewayExecutorRequestData::run_id`].
    #[prost(string, tag = "13")]
    pub run_id: String,
}

/// The gateway's word that it has an answer.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct WorkerReplyAckData {
    /// See [`GatewayExecutorRequestData::request_id`].
    #[prost(string, tag = "1")]
    pub request_id: String,
}

/// The answer to `POST /v0/connect/flush`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct FlushResponse {
    /// See [`GatewayExecutorRequestData::request_id`].
    #[prost(string, tag = "1")]
    pub request_id: String,
}

/// A worker's status, where the gateway wants it.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct WorkerStatusData {
    /// The requests that it executes.
    #[prost(string, repeated, tag = "1")]
    pub in_flight_request_ids: Vec<String>,
    /// Tells that it ends once they are answered.
    #[prost(bool, tag = "2")]
    pub shutdown_requested: bool,
}

/// A refusal.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct SystemError {
    /// The kind of refusal, such as `connect_invalid_function_config`.
    #[prost(string, tag = "1")]
    pub code: String,
    /// More about it.
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub data: Option<Bytes>,
    /// The refusal in words.
    #[prost(string, tag = "3")]
    pub message: String,
}
