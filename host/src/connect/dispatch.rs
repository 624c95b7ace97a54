//! Between a request of the gateway and a call: the request that the SDK's handler sees, and the reply from its answer.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use connect_wire::message::{GatewayExecutorRequestData, SdkResponse, SdkResponseStatus};
use js_runtime_api::{CallError, CallSubject, Request, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::apps::Presentation;
use crate::calls::{CallKind, Executor};
use crate::generation::{CallInfo, LeaseRefusal};
use crate::wire::{self, SdkAnswer};

/// The header that says over which kind of server the call came.
const EXPECTED_SERVER_KIND: &str = "x-inngest-expected-server-kind";
/// The most bytes of an answer that are read: no frame has room for more.
const LARGEST_ANSWER: usize = 16 << 20;

/// Executes a request that was acknowledged, and returns its reply.
pub async fn execute(
    executor: Executor,
    presentation: Arc<Presentation>,
    request: GatewayExecutorRequestData,
) -> SdkResponse {
    let began = Instant::now();
    let (mut call, info) = call(&request);
    let course = executor.begin(CallKind::Run, &info, &mut call);
    let lease = match executor.lease_acknowledged(request.request_payload.len(), &info).await {
        Ok(lease) => lease,
        Err(gone) => return refused(&request, &presentation, &gone),
    };
    let id = lease.generation().id;
    let has_app = lease
        .generation()
        .manifest
        .apps
        .iter()
        .any(|app| app.id == request.app_name);
    if !has_app {
        let message = format!("the project has no Inngest app {:?} any more", request.app_name);
        return failure(&request, &presentation, &message);
    }
    let result = executor.execute(course, lease, info.clone(), call).await;
    match result {
        Ok(response) => {
            executor.log_answer(id, &info, response.status, began.elapsed());
            reply(&request, &presentation, response).await
        }
        Err(error) => {
            let (function, run, step) = (&info.function, &info.run, &info.step);
            let failure_id = &request.request_id;
            tracing::error!(generation = id.0, function, run, step, %error, failure = failure_id, ms = began.elapsed().as_millis(), "call failed");
            let message = match error {
                // It may hold passwords and paths: the log has them.
                CallError::Threw(_) | CallError::NoAnswer(_) => {
                    format!("the handler failed: the log of the host has the details, with the failure {failure_id}")
                }
                other => other.to_string(),
            };
            failure(&request, &presentation, &message)
        }
    }
}

/// Returns the request as the SDK's own connection would give it to its handler, and what the host knows of it.
fn call(request: &GatewayExecutorRequestData) -> (Request, CallInfo) {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair(wire::FUNCTION_PARAMETER, &request.function_slug);
    if let Some(step) = &request.step_id {
        query.append_pair(wire::STEP_PARAMETER, step);
    }
    let url = format!("http://connect.inngest.com/?{}", query.finish());
    let said: SaidInBody = serde_json::from_slice(&request.request_payload).unwrap_or_default();
    let user: Value = serde_json::from_slice(&request.user_trace_ctx).unwrap_or_default();
    let text = |name: &str| user[name].as_str().map(str::to_owned);
    let named = [
        ("host", Some("connect.inngest.com".to_owned())),
        ("content-type", Some("application/json".to_owned())),
        ("content-length", Some(request.request_payload.len().to_string())),
        (EXPECTED_SERVER_KIND, Some("connect".to_owned())),
        (wire::REQUEST, Some(request.request_id.clone())),
        (wire::JOB, Some(request.job_id.clone())),
        (wire::RUN, Some(request.run_id.clone())),
        (wire::VERSION, said.version.map(|version| version.to_string())),
        (wire::QUEUE_GENERATION, said.ctx.generation_id.map(|id| id.to_string())),
        ("traceparent", text("traceparent")),
        ("tracestate", text("tracestate")),
    ];
    let headers = named.into_iter().filter_map(|(name, value)| {
        let value = value.filter(|value| !value.is_empty())?;
        Some((name.to_owned(), value))
    });
    let body = request.request_payload.clone();
    let call = wire::connection_call(&request.app_name, url, headers.collect(), body.clone());
    let CallSubject { function, run, step } = call.subject.clone();
    let info = CallInfo {
        function,
        run,
        step,
        body,
        request: None,
    };
    (call, info)
}

/// The parts of a call's body that are headers over HTTP.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct SaidInBody {
    version: Option<i64>,
    ctx: SaidContext,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct SaidContext {
    generation_id: Option<i64>,
}

/// Makes the reply of an answer of the SDK.
async fn reply(request: &GatewayExecutorRequestData, presentation: &Presentation, response: Response) -> SdkResponse {
    let Response {
        status, headers, body, ..
    } = response;
    let body = match body.whole(LARGEST_ANSWER).await {
        Ok(body) => body,
        Err(error) => return failure(request, presentation, &error.to_string()),
    };
    let (status, headers, body) = SdkAnswer::read((status, &headers), &body).into_parts();
    let header = |wanted: &str| {
        let mut headers = headers.iter();
        headers
            .find(|(name, _)| name.eq_ignore_ascii_case(wanted))
            .map(|(_, value)| value.as_str())
    };
    let outcome = match status {
        200 => SdkResponseStatus::Done,
        wire::OPERATIONS => SdkResponseStatus::NotCompleted,
        // An SDK says "done" of some errors, and would complete a run with them.
        _ => SdkResponseStatus::Error,
    };
    let version = header(wire::VERSION).and_then(|version| version.parse().ok());
    SdkResponse {
        body: body.into(),
        no_retry: header(wire::NO_RETRY) == Some("true"),
        retry_after: header("retry-after").map(str::to_owned),
        sdk_version: header(wire::SDK)
            .filter(|sdk| sdk.contains(':'))
            .map_or_else(|| sdk(presentation), str::to_owned),
        // Version 0 would pin the run to it.
        request_version: version
            .filter(|version| *version > 0)
            .unwrap_or_else(|| default_version(presentation)),
        ..request.reply(outcome)
    }
}

/// Makes the reply for a request that no generation took.
fn refused(request: &GatewayExecutorRequestData, presentation: &Presentation, gone: &LeaseRefusal) -> SdkResponse {
    SdkResponse {
        retry_after: Some("5".to_owned()),
        ..failure(request, presentation, &gone.to_string())
    }
}

/// Makes the reply of a call that has no answer: Inngest tries again soon, while attempts are left.
pub fn failure(request: &GatewayExecutorRequestData, presentation: &Presentation, message: &str) -> SdkResponse {
    SdkResponse {
        body: failure_body(message),
        retry_after: Some("1".to_owned()),
        sdk_version: sdk(presentation),
        request_version: default_version(presentation),
        ..request.reply(SdkResponseStatus::Error)
    }
}

/// Makes the body of a failure, in the shape of the SDK's own.
fn failure_body(message: &str) -> Bytes {
    json!({"name": "Error", "message": message, "stack": message})
        .to_string()
        .into()
}

fn sdk(presentation: &Presentation) -> String {
    format!("inngest-js:{}", presentation.sdk_version)
}

/// The execution version of an answer that names none.
fn default_version(presentation: &Presentation) -> u32 {
    match presentation.sdk_version.starts_with("v3.") {
        true => 1,
        false => 2,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use connect_wire::message::{GatewayExecutorRequestData, SdkResponseStatus};
    use js_runtime_api::{Body, Response, Target};

    use super::{call, failure, reply};
    use crate::connect::apps::tests::presentation;

    fn request(body: &'static str) -> GatewayExecutorRequestData {
        GatewayExecutorRequestData {
            request_id: "01REQUEST".to_owned(),
            app_name: "shop".to_owned(),
            function_slug: "shop-greet it".to_owned(),
            step_id: Some("step".to_owned()),
            run_id: "01RUN".to_owned(),
            job_id: "01JOB".to_owned(),
            request_payload: Bytes::from_static(body.as_bytes()),
            system_trace_ctx: Bytes::from_static(b"{\"x\":1}"),
            user_trace_ctx: Bytes::from_static(b"{\"traceparent\":\"00-ab\",\"tracestate\":7}"),
            ..GatewayExecutorRequestData::default()
        }
    }

    #[test]
    fn a_request_is_the_one_that_the_sdks_own_connection_makes() {
        let (call, info) = call(&request(r#"{"version":2,"ctx":{"attempt":3,"generation_id":9}}"#));
        assert_eq!(call.url, "http://connect.inngest.com/?fnId=shop-greet+it&stepId=step");
        assert_eq!(call.target, Target::Connection("shop".to_owned()));
        let header = |name: &str| {
            let mut headers = call.headers.iter();
            headers
                .find(|(known, _)| known == name)
                .map(|(_, value)| value.as_str())
        };
        assert_eq!(header("x-request-id"), Some("01REQUEST"));
        assert_eq!(header("x-inngest-job-id"), Some("01JOB"));
        assert_eq!(header("x-inngest-req-version"), Some("2"));
        assert_eq!(header("x-inngest-generation-id"), Some("9"));
        assert_eq!((header("traceparent"), header("tracestate")), (Some("00-ab"), None));
        assert_eq!(
            (info.function.as_deref(), info.run.as_deref()),
            (Some("shop-greet it"), Some("01RUN"))
        );
        assert_eq!(info.attempt(), Some(3));
    }

    async fn status(status: u16, headers: &[(&str, &str)], body: &'static str) -> connect_wire::message::SdkResponse {
        let headers = headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let response = Response {
            status,
            headers: headers.collect(),
            body: Body::Full(Bytes::from_static(body.as_bytes())),
            over: None,
        };
        reply(&request("{}"), &presentation(), response).await
    }

    #[tokio::test]
    async fn only_200_and_206_are_no_errors() {
        assert_eq!(status(200, &[], "1").await.status(), SdkResponseStatus::Done);
        let steps = status(206, &[("x-inngest-req-version", "0")], "[]").await;
        assert_eq!(
            (steps.status(), steps.request_version),
            (SdkResponseStatus::NotCompleted, 2)
        );
        let wrong = status(400, &[("x-inngest-no-retry", "true"), ("retry-after", "7")], "{}").await;
        assert_eq!((wrong.status(), wrong.no_retry), (SdkResponseStatus::Error, true));
        assert_eq!(wrong.retry_after.as_deref(), Some("7"));
        assert_eq!(status(401, &[], "{}").await.status(), SdkResponseStatus::Error);
        let streamed = status(
            201,
            &[],
            r#"  {"status":206,"headers":{"x-inngest-req-version":"1"},"body":"[1]"}"#,
        )
        .await;
        assert_eq!(
            (streamed.status(), streamed.request_version),
            (SdkResponseStatus::NotCompleted, 1)
        );
        assert_eq!(&*streamed.body, b"[1]");
    }

    #[test]
    fn a_failure_is_tried_again_soon_and_echoes_what_the_server_needs() {
        let reply = failure(&request("{}"), &presentation(), "the isolate died");
        assert_eq!((reply.retry_after.as_deref(), reply.no_retry), (Some("1"), false));
        assert_eq!(&*reply.system_trace_ctx, b"{\"x\":1}");
        assert_eq!(reply.sdk_version, "inngest-js:v4.24.0");
    }
}
