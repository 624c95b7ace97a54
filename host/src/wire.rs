//! Inngest's wire, as the SDK and its executor speak it (inngest/inngest: `pkg/execution/driver/httpdriver`,
//! `pkg/enums/opcode.go`; inngest/inngest-js: `helpers/consts.ts`): the names of headers, query parameters, statuses
//! and operations, the subject of a call, and the answer within a streamed one.

use std::borrow::Cow;
use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use js_runtime_api::{Body, CallSubject, Caller, Request, Target};
use serde::Deserialize;
use serde_json::Value;

/// The headers of a call.
pub const RUN: &str = "x-run-id";
pub const STEP: &str = "x-inngest-step-id";
pub const JOB: &str = "x-inngest-job-id";
pub const REQUEST: &str = "x-request-id";
pub const QUEUE_GENERATION: &str = "x-inngest-generation-id";
pub const ENVIRONMENT: &str = "x-inngest-env";
/// The execution version, in a call and in its answer.
pub const VERSION: &str = "x-inngest-req-version";
/// The headers of an answer.
pub const SDK: &str = "x-inngest-sdk";
pub const SDK_HANDLED: &str = "x-inngest-sdk-handled";
pub const NO_RETRY: &str = "x-inngest-no-retry";
pub const RETRY_AFTER: &str = "retry-after";
/// The header by which a server says which kind it is.
pub const SERVER_KIND: &str = "x-inngest-server-kind";

/// The query parameters of a call.
pub const FUNCTION_PARAMETER: &str = "fnId";
pub const STEP_PARAMETER: &str = "stepId";

/// The `stepId` of a call that names no step.
pub const DISCOVERY: &str = "step";

/// The status of an answer that streams: the answer proper is in its body.
pub const STREAMED: u16 = 201;
/// The status of an answer whose body holds operations.
pub const OPERATIONS: u16 = 206;

/// The status of the answer to a call for a step that the code does not plan.
pub const STEP_NOT_FOUND: u16 = 500;

/// The length that a name is cut to, in bytes. The timeline keeps thousands of them, and anybody can send one.
pub const NAME_LIMIT: usize = 512;

/// The operations that an SDK reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Opcode {
    #[serde(alias = "Step")]
    StepRun,
    StepError,
    StepFailed,
    StepPlanned,
    Sleep,
    WaitForEvent,
    WaitForSignal,
    InvokeFunction,
    /// A request to a language model.
    #[serde(rename = "AIGateway")]
    AiGateway,
    /// A request.
    Gateway,
    #[serde(alias = "SyncRunComplete")]
    RunComplete,
    DiscoveryRequest,
    DeferAdd,
    DeferAbort,
    /// An operation that is not known here.
    #[serde(other)]
    Unknown,
}

impl Opcode {
    /// Reads the `op` of an operation.
    #[must_use]
    pub fn of(operation: &Value) -> Self {
        Self::deserialize(&operation["op"]).unwrap_or(Self::Unknown)
    }
}

/// Reads the subject of a request from its URL and headers.
#[must_use]
pub fn subject(url: &str, headers: &[(String, String)]) -> CallSubject {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    let parameter = |name: &str| {
        let mut pairs = form_urlencoded::parse(query.as_bytes());
        pairs.find(|(key, _)| key == name).map(|(_, value)| cut(&value))
    };
    let run = headers.iter().find(|(name, _)| name == RUN);
    CallSubject {
        function: parameter(FUNCTION_PARAMETER),
        run: run.map(|(_, value)| cut(value)),
        step: parameter(STEP_PARAMETER),
    }
}

/// Makes the call of an app's function as the SDK's own connection gives it to its handler: nobody has signed it.
#[must_use]
pub fn connection_call(app: &str, url: String, headers: Vec<(String, String)>, body: Bytes) -> Request {
    Request {
        method: "POST".to_owned(),
        subject: subject(&url, &headers),
        url,
        headers,
        body: Body::Full(body),
        target: Target::Connection(app.to_owned()),
        caller: Caller::default(),
    }
}

/// The part of a caller's name (a function's, a run's, a step's, a path) that the host keeps.
#[must_use]
pub fn cut(name: &str) -> String {
    let end = name.floor_char_boundary(NAME_LIMIT);
    // A name may be shown in a line of a terminal.
    name[..end].replace(char::is_control, "?")
}

/// The answer proper within a streamed answer (`createStream` of the SDK's handler).
#[derive(Debug, Deserialize)]
pub struct StreamedAnswer {
    pub status: u16,
    #[serde(default)]
    pub headers: HashMap<String, Value>,
    #[serde(default)]
    pub body: Value,
}

impl StreamedAnswer {
    /// Reads the answer proper from the body of an answer with the status [`STREAMED`], which begins with blanks.
    #[must_use]
    pub fn read(body: &[u8]) -> Option<Self> {
        serde_json::from_slice(body.trim_ascii()).ok()
    }

    /// Returns the headers whose values are texts, with names in lower case.
    pub fn headers(&self) -> impl Iterator<Item = (String, String)> {
        let headers = self.headers.iter();
        headers.filter_map(|(name, value)| Some((name.to_ascii_lowercase(), value.as_str()?.to_owned())))
    }

    /// The body.
    #[must_use]
    pub fn into_body(self) -> Vec<u8> {
        match self.body {
            Value::String(text) => text.into_bytes(),
            other => other.to_string().into_bytes(),
        }
    }
}

/// The beginning of an answer: its status and headers.
pub type AnswerHead<'a> = (u16, &'a [(String, String)]);

/// An answer of the SDK, taken out of its envelope where it was streamed.
#[derive(Debug)]
pub struct SdkAnswer<'a> {
    status: u16,
    headers: Cow<'a, [(String, String)]>,
    body: Cow<'a, [u8]>,
}

/// An element of the body of an answer with the status [`OPERATIONS`].
#[derive(Deserialize)]
struct Operation {
    id: String,
    op: Opcode,
}

/// The time that a step took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepTime {
    /// The hashed id of the step; empty for the call in which the function returned.
    pub step: String,
    /// The name of the step in the code.
    pub name: String,
    pub took: Duration,
}

/// An element of such a body, with the time that its step took.
#[derive(Deserialize)]
struct TimedOperation {
    id: String,
    op: Opcode,
    #[serde(rename = "displayName")]
    name: Option<String>,
    timing: Option<Interval>,
}

/// A step that an answer executes, or has Inngest execute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BegunStep {
    /// The hashed id.
    pub id: String,
    /// The time that it took, where the SDK executed and measured it.
    pub time: Option<StepTime>,
}

impl BegunStep {
    fn of(operation: TimedOperation) -> Option<Self> {
        let TimedOperation { id, op, name, timing } = operation;
        let is_executed = match op {
            Opcode::StepRun => true,
            Opcode::StepFailed
            | Opcode::Sleep
            | Opcode::WaitForEvent
            | Opcode::WaitForSignal
            | Opcode::InvokeFunction
            | Opcode::AiGateway
            | Opcode::Gateway => false,
            _ => return None,
        };
        let time = timing.filter(|_| is_executed).map(|timing| StepTime {
            name: cut(name.as_deref().unwrap_or(&id)),
            step: cut(&id),
            took: Duration::from_nanos(timing.length),
        });
        Some(Self { id: cut(&id), time })
    }
}

/// An interval as Go writes it, in nanoseconds.
#[derive(Deserialize)]
struct Interval {
    /// The length.
    #[serde(rename = "b")]
    length: u64,
}

/// An element of such a body, with the error of its step.
#[derive(Deserialize)]
struct FailedOperation {
    op: Opcode,
    error: Option<ThrownError>,
}

/// An error that user code threw, as the SDK writes it.
#[derive(Deserialize)]
struct ThrownError {
    name: Option<String>,
    message: Option<String>,
    stack: Option<String>,
}

impl ThrownError {
    /// The error in one line, with the place in the project's own code that threw it, as far as that is known.
    fn words(&self) -> String {
        let name = self.name.as_deref().unwrap_or("Error");
        let message = self.message.as_deref().unwrap_or_default();
        let frames = self.stack.iter().flat_map(|stack| stack.lines()).map(str::trim);
        let mut own = frames.filter(|line| line.starts_with("at ") && !line.contains("node_modules"));
        let place = own.next().map(|frame| format!(" ({frame})")).unwrap_or_default();
        cut(&format!("{name}: {message}{place}"))
    }
}

/// The body of an answer with the status [`STEP_NOT_FOUND`].
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct StepNotFound {
    requested_step: String,
    #[serde(rename = "totalFoundSteps")]
    _total_found_steps: u64,
}

/// The kind of an element of such a body.
#[derive(Deserialize)]
struct OperationKind {
    op: Opcode,
}

impl<'a> SdkAnswer<'a> {
    #[must_use]
    pub fn read((status, headers): AnswerHead<'a>, body: &'a [u8]) -> Self {
        let streamed = Some(body).filter(|_| status == STREAMED).and_then(StreamedAnswer::read);
        match streamed {
            Some(streamed) => Self {
                status: streamed.status,
                headers: streamed.headers().collect(),
                body: streamed.into_body().into(),
            },
            None => Self {
                status,
                headers: headers.into(),
                body: body.into(),
            },
        }
    }

    /// Returns the status.
    #[must_use]
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// Returns the body.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Returns the status, the headers and the body.
    #[must_use]
    pub fn into_parts(self) -> (u16, Vec<(String, String)>, Vec<u8>) {
        (self.status, self.headers.into_owned(), self.body.into_owned())
    }

    /// Returns the hashed ids of the steps that the answer plans: Inngest will call for each of them.
    #[must_use]
    pub fn planned_steps(&self) -> Vec<String> {
        if self.status != OPERATIONS || !self.mentions("\"StepPlanned\"") {
            return Vec::new();
        }
        let operations: Vec<Operation> = serde_json::from_slice(&self.body).unwrap_or_default();
        let planned = operations
            .into_iter()
            .filter(|operation| operation.op == Opcode::StepPlanned);
        planned.map(|operation| operation.id).collect()
    }

    /// Returns the steps that the answer executes, or has Inngest execute.
    #[must_use]
    pub fn begun_steps(&self) -> Vec<BegunStep> {
        if self.status != OPERATIONS {
            return Vec::new();
        }
        let operations: Vec<TimedOperation> = serde_json::from_slice(&self.body).unwrap_or_default();
        operations.into_iter().filter_map(BegunStep::of).collect()
    }

    /// Tells whether the step that was called for has its result; a step that failed is called for again.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.status == OPERATIONS && !self.mentions("\"StepError\"")
    }

    /// Tells whether the run ends with this answer, as far as one can tell: Inngest knows how many attempts are left.
    #[must_use]
    pub fn ends_run(&self) -> bool {
        let no_retry = |(name, value): &(String, String)| name.eq_ignore_ascii_case(NO_RETRY) && value == "true";
        self.ends_well() || (self.status >= 400 && self.headers.iter().any(no_retry))
    }

    /// Tells whether the answer is the function's result.
    #[must_use]
    pub fn ends_well(&self) -> bool {
        self.status == 200 || self.has_operation("\"RunComplete\"", |op| op == Opcode::RunComplete)
    }

    /// Tells whether the code does not plan the step that was called for, so that the SDK ran no step
    /// (inngest/inngest-js: `components/InngestCommHandler.ts`, `step-not-found`).
    #[must_use]
    pub fn lacks_step(&self, step: &str) -> bool {
        if self.status != STEP_NOT_FOUND || !self.mentions("\"requestedStep\"") {
            return false;
        }
        serde_json::from_slice::<StepNotFound>(&self.body).is_ok_and(|answer| answer.requested_step == step)
    }

    /// Tells whether the function or a step of it failed.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        let is_failure = |op| matches!(op, Opcode::StepError | Opcode::StepFailed);
        self.fails_function()
            || self.has_operation("\"StepError\"", is_failure)
            || self.has_operation("\"StepFailed\"", is_failure)
    }

    /// Tells whether the function itself failed.
    #[must_use]
    pub const fn fails_function(&self) -> bool {
        self.status >= 400
    }

    /// Returns the error that the function or a step of it threw, in one line.
    #[must_use]
    pub fn error(&self) -> Option<String> {
        if self.fails_function() {
            let error: ThrownError = serde_json::from_slice(&self.body).ok()?;
            return Some(error.words());
        }
        let operations: Vec<FailedOperation> = serde_json::from_slice(&self.body).ok()?;
        let mut failed = operations.into_iter();
        let failed = failed.find(|operation| matches!(operation.op, Opcode::StepError | Opcode::StepFailed))?;
        Some(failed.error?.words())
    }

    /// Tells whether the function says when it is to be called again.
    #[must_use]
    pub fn is_postponed(&self) -> bool {
        let mut names = self.headers.iter().map(|(name, _)| name);
        names.any(|name| name.eq_ignore_ascii_case(RETRY_AFTER))
    }

    /// Tells whether there is an operation of a kind that this text, in its name, belongs to.
    fn has_operation(&self, text: &str, is_wanted: impl Fn(Opcode) -> bool) -> bool {
        if self.status != OPERATIONS || !self.mentions(text) {
            return false;
        }
        let operations: Vec<OperationKind> = serde_json::from_slice(&self.body).unwrap_or_default();
        operations.into_iter().any(|operation| is_wanted(operation.op))
    }

    /// Tells whether the body contains a text, which spares most answers a parse.
    fn mentions(&self, text: &str) -> bool {
        memchr::memmem::find(&self.body, text.as_bytes()).is_some()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::{NAME_LIMIT, SdkAnswer, subject};

    fn answer(status: u16, body: &'static str) -> SdkAnswer<'static> {
        SdkAnswer::read((status, &[]), body.as_bytes())
    }

    #[test]
    fn plans_are_told_from_results_and_from_data_that_reads_like_plans() {
        let planned = answer(
            206,
            r#"[{"id":"a1","op":"StepPlanned"},{"id":"b2","op":"StepRun"},{"id":"c3","op":"StepPlanned"}]"#,
        );
        assert_eq!(planned.planned_steps(), ["a1", "c3"]);
        let data = answer(206, r#"[{"id":"a1","op":"StepRun","data":{"op":"StepPlanned"}}]"#);
        assert!(data.planned_steps().is_empty());
        assert!(
            answer(200, r#"[{"id":"a1","op":"StepPlanned"}]"#)
                .planned_steps()
                .is_empty()
        );
        let streamed = r#"   {"status":206,"headers":{},"body":"[{\"id\":\"a1\",\"op\":\"StepPlanned\"}]"}"#;
        assert_eq!(answer(201, streamed).planned_steps(), ["a1"]);
    }

    #[test]
    fn a_step_that_the_code_does_not_plan_is_told_from_a_function_that_failed() {
        let body = r#"{"error":"Could not find step","requestedStep":"a1","foundSteps":[],"totalFoundSteps":0}"#;
        assert!(answer(500, body).lacks_step("a1"));
        assert!(!answer(500, body).lacks_step("b2"));
        assert!(!answer(206, body).lacks_step("a1"));
        let thrown = r#"{"name":"Error","message":"\"requestedStep\"","__serialized":true}"#;
        assert!(!answer(500, thrown).lacks_step("a1"));
    }

    #[test]
    fn a_step_that_failed_is_not_done_and_a_run_ends_with_its_result_or_for_good() {
        assert!(answer(206, r#"[{"id":"a1","op":"StepRun"}]"#).is_done());
        assert!(!answer(206, r#"[{"id":"a1","op":"StepError"}]"#).is_done());
        assert!(!answer(500, "{}").is_done());
        assert!(answer(200, "{}").ends_run());
        assert!(answer(206, r#"[{"id":"a1","op":"RunComplete"}]"#).ends_run());
        assert!(!answer(206, r#"[{"id":"a1","op":"StepRun","data":"RunComplete"}]"#).ends_run());
        assert!(!answer(206, "[]").ends_run());
        assert!(!answer(500, "{}").ends_run());
        let mut failed = answer(400, "{}");
        failed
            .headers
            .to_mut()
            .push(("X-Inngest-No-Retry".to_owned(), "true".to_owned()));
        assert!(failed.ends_run());
    }

    #[test]
    fn steps_that_were_executed_have_the_times_that_the_sdk_measured() {
        let executed = answer(
            206,
            r#"[{"id":"a1","op":"StepRun","displayName":"charge","timing":{"a":1.7e18,"b":250000000},"data":{"timing":{"b":1}}},
                {"id":"b2","op":"StepError","timing":{"a":0,"b":9}},{"id":"c3","op":"StepRun","data":"timing"},
                {"id":"d4","op":"Sleep","timing":{"a":0,"b":9}}]"#,
        );
        let begun = executed.begun_steps();
        let ids: Vec<_> = begun.iter().map(|step| &*step.id).collect();
        assert_eq!(ids, ["a1", "c3", "d4"], "a step that is tried again has no result");
        let time = begun[0].time.as_ref().unwrap();
        assert_eq!((&*time.step, &*time.name), ("a1", "charge"));
        assert_eq!(time.took, Duration::from_millis(250));
        assert_eq!((&begun[1].time, &begun[2].time), (&None, &None));
        assert!(answer(200, r#"[{"id":"a1","op":"StepRun"}]"#).begun_steps().is_empty());
    }

    #[test]
    fn an_error_is_told_in_one_line_with_its_place_in_the_projects_code() {
        let of_function = answer(
            500,
            r#"{"name":"TypeError","message":"no\nway","stack":"TypeError: no\n    at sdk (/p/node_modules/x.js:1:1)\n    at run (/p/functions/a.ts:3:9)"}"#,
        );
        let wanted = "TypeError: no?way (at run (/p/functions/a.ts:3:9))";
        assert_eq!(of_function.error().as_deref(), Some(wanted));
        let of_step = answer(
            206,
            r#"[{"id":"a1","op":"StepError","error":{"name":"Error","message":"broken"}}]"#,
        );
        assert_eq!(of_step.error().as_deref(), Some("Error: broken"));
        assert_eq!(answer(206, r#"[{"id":"a1","op":"StepRun"}]"#).error(), None);
        assert_eq!(answer(500, "Internal").error(), None);
    }

    #[test]
    fn fuzz_of_answers() {
        const PARTS: &[&[u8]] = &[
            b"[{\"id\":\"a1\",\"op\":\"StepPlanned\"}]",
            b"{\"status\":206,\"headers\":{},\"body\":\"[]\"}",
            b"\"StepPlanned\"",
            b"\"StepError\"",
            b"\"status\":",
            b"\"headers\":{\"a\":1}",
            b"\"body\":",
            b"70000",
            b"{",
            b"}",
            b"[",
            b"]",
            b",",
            b":",
            b"\"",
            b"\\",
            b" ",
            b"null",
            b"\xff",
            b"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
        ];
        let statuses = prop::sample::select(vec![200_u16, 201, 206, 400, 500, 0, u16::MAX]);
        let inputs = (statuses, crate::fuzz::bytes_of(PARTS, 24));
        crate::fuzz::fuzz("answers of the SDK", &inputs, |(status, body)| {
            let answer = SdkAnswer::read((status, &[]), &body);
            let planned = answer.planned_steps();
            prop_assert!(planned.is_empty() || answer.status == 206);
            let _ = (
                answer.is_done(),
                answer.ends_run(),
                answer.begun_steps(),
                answer.error(),
            );
            Ok(())
        });
    }

    #[test]
    fn a_call_says_its_function_run_and_step() {
        let headers = [("x-run-id".to_owned(), "01RUN".to_owned())];
        let said = subject(
            "http://127.0.0.1:3111/api/inngest?fnId=app-hello%201&stepId=step",
            &headers,
        );
        assert_eq!(said.function.as_deref(), Some("app-hello 1"));
        assert_eq!(said.run.as_deref(), Some("01RUN"));
        assert_eq!(said.step.as_deref(), Some("step"));
        assert_eq!(subject("http://127.0.0.1:3111/", &[]), Default::default());
    }

    #[test]
    fn names_that_a_caller_sends_are_cut_and_command_no_terminal() {
        let long = "ł".repeat(200_000);
        let headers = [("x-run-id".to_owned(), long.clone())];
        let said = subject(&format!("http://x/api/inngest?fnId=f{long}&stepId={long}"), &headers);
        let lengths = [said.function, said.run, said.step].map(|name| name.unwrap_or_default().len());
        assert_eq!(lengths, [NAME_LIMIT - 1, NAME_LIMIT, NAME_LIMIT]);
        assert_eq!(
            subject("http://x/?fnId=a%0Ab%1B", &[]).function.as_deref(),
            Some("a?b?")
        );
    }
}
