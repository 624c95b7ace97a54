//! The outcome of one call of a run, as the canary counts it.

use serde::Deserialize;
use serde::de::IgnoredAny;
use std::collections::HashMap;
use std::time::Duration;

use crate::wire::{SdkAnswer, StepTime};

/// The attempts of a call of which nothing tells how many Inngest makes: its own number.
const USUAL_ATTEMPTS: u32 = 4;

/// The outcome of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallEffect {
    /// The call did what it was for; `ends_run`: the function has returned.
    Done { ends_run: bool },
    /// The function or the step threw; `ends_run`: for good.
    Failed { ends_run: bool },
    /// The isolate ended under the call; `ends_run`: Inngest calls no more.
    Died { ends_run: bool },
    /// The function asked to be called again at a time of its choice.
    Postponed,
}

/// The outcome of one call, its steps and their times, and its error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallReport {
    pub effect: CallEffect,
    /// The hashed ids of the steps that have a result now, or will have one.
    pub steps: Vec<String>,
    /// The times of the steps that the call executed.
    pub times: Vec<StepTime>,
    /// The error that the function or a step threw.
    pub error: Option<String>,
}

impl From<CallEffect> for CallReport {
    fn from(effect: CallEffect) -> Self {
        Self {
            effect,
            steps: Vec::new(),
            times: Vec::new(),
            error: None,
        }
    }
}

impl CallReport {
    /// Reads the answer to a call with this body. `took`: the time that the isolate took for it.
    #[must_use]
    pub fn read(answer: &SdkAnswer<'_>, body: &[u8], attempts: Option<u32>, took: Duration) -> Self {
        let effect = CallEffect::read(answer, body, attempts);
        let begun = answer.begun_steps();
        let steps = begun.iter().map(|step| step.id.clone()).collect();
        let mut times: Vec<_> = begun.into_iter().filter_map(|step| step.time).collect();
        if effect == (CallEffect::Done { ends_run: true }) {
            times.push(StepTime::of_return(took));
        }
        let error = matches!(effect, CallEffect::Failed { .. })
            .then(|| answer.error())
            .flatten();
        Self {
            effect,
            steps,
            times,
            error,
        }
    }
}

/// The parts of a call's body that say where its run stands.
#[derive(Deserialize)]
struct RunStanding {
    ctx: StandingContext,
    #[serde(default)]
    steps: HashMap<String, IgnoredAny>,
}

#[derive(Deserialize)]
struct StandingContext {
    #[serde(default)]
    attempt: u32,
    max_attempts: Option<u32>,
    /// Tells whether the steps are too large for the body.
    #[serde(default)]
    use_api: bool,
}

/// Tells whether a call is the first one of its run: nothing is memoised, and nothing was attempted.
#[must_use]
pub fn is_first_call(body: &[u8]) -> bool {
    let body: Result<RunStanding, _> = serde_json::from_slice(body);
    body.is_ok_and(|body| body.ctx.attempt == 0 && body.steps.is_empty() && !body.ctx.use_api)
}

/// Tells whether Inngest makes no further attempt after this call. `attempts`: the number that the function's
/// configuration says.
fn is_last_attempt(body: &[u8], attempts: Option<u32>) -> bool {
    let body: Result<RunStanding, _> = serde_json::from_slice(body);
    body.is_ok_and(|RunStanding { ctx, .. }| {
        let most = ctx.max_attempts.or(attempts).unwrap_or(USUAL_ATTEMPTS);
        ctx.attempt.saturating_add(1) >= most
    })
}

impl CallEffect {
    /// Reads the outcome from the answer to a call with this body.
    #[must_use]
    pub fn read(answer: &SdkAnswer<'_>, body: &[u8], attempts: Option<u32>) -> Self {
        if answer.ends_well() {
            return Self::Done { ends_run: true };
        }
        if !answer.has_failed() {
            return Self::Done { ends_run: false };
        }
        if answer.is_postponed() {
            return Self::Postponed;
        }
        // A step that failed for good is an error that the function may catch.
        let is_of_function = answer.fails_function();
        let ends_run = is_of_function && (answer.ends_run() || is_last_attempt(body, attempts));
        Self::Failed { ends_run }
    }

    /// The outcome of a call with this body whose isolate ended.
    #[must_use]
    pub fn died(body: &[u8], attempts: Option<u32>) -> Self {
        Self::Died {
            ends_run: is_last_attempt(body, attempts),
        }
    }

    /// The outcome of a call with this body whose handler threw, or never answers.
    #[must_use]
    pub fn threw(body: &[u8], attempts: Option<u32>) -> Self {
        Self::Failed {
            ends_run: is_last_attempt(body, attempts),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{CallEffect, is_first_call};
    use crate::wire::SdkAnswer;

    fn outcome(status: u16, headers: &[(&str, &str)], answer: &str, body: &str) -> CallEffect {
        let headers = headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let headers: Vec<_> = headers.collect();
        CallEffect::read(
            &SdkAnswer::read((status, &headers), answer.as_bytes()),
            body.as_bytes(),
            None,
        )
    }

    const FIRST: &str = r#"{"ctx":{"attempt":0,"max_attempts":3},"steps":{}}"#;
    const LAST: &str = r#"{"ctx":{"attempt":2,"max_attempts":3},"steps":{}}"#;

    #[test]
    fn the_first_call_of_a_run_has_neither_steps_nor_attempts_behind_it() {
        assert!(is_first_call(FIRST.as_bytes()));
        assert!(!is_first_call(LAST.as_bytes()));
        assert!(!is_first_call(br#"{"ctx":{"attempt":0},"steps":{"a":{"data":1}}}"#));
        assert!(!is_first_call(br#"{"ctx":{"attempt":0,"use_api":true},"steps":{}}"#));
        assert!(!is_first_call(b"{"));
        assert!(!is_first_call(b""));
    }

    #[test]
    fn answers_are_told_apart() {
        let done = |ends_run| CallEffect::Done { ends_run };
        let failed = |ends_run| CallEffect::Failed { ends_run };
        assert_eq!(outcome(200, &[], "{}", FIRST), done(true));
        assert_eq!(
            outcome(206, &[], r#"[{"id":"a","op":"RunComplete"}]"#, FIRST),
            done(true)
        );
        assert_eq!(outcome(206, &[], r#"[{"id":"a","op":"StepRun"}]"#, LAST), done(false));
        assert_eq!(
            outcome(206, &[], r#"[{"id":"a","op":"StepError"}]"#, FIRST),
            failed(false)
        );
        assert_eq!(
            outcome(206, &[], r#"[{"id":"a","op":"StepFailed"}]"#, LAST),
            failed(false)
        );
        assert_eq!(outcome(500, &[], "{}", FIRST), failed(false));
        assert_eq!(outcome(500, &[], "{}", LAST), failed(true));
        assert_eq!(
            outcome(400, &[("x-inngest-no-retry", "true")], "{}", FIRST),
            failed(true)
        );
        assert_eq!(
            outcome(500, &[("retry-after", "5")], "{}", FIRST),
            CallEffect::Postponed
        );
    }

    #[test]
    fn the_last_attempt_is_told_by_the_call_by_the_function_or_by_what_is_usual() {
        let body = br#"{"ctx":{"attempt":1},"steps":{}}"#;
        assert_eq!(CallEffect::died(body, Some(2)), CallEffect::Died { ends_run: true });
        assert_eq!(CallEffect::died(body, None), CallEffect::Died { ends_run: false });
        assert_eq!(
            CallEffect::threw(LAST.as_bytes(), Some(9)),
            CallEffect::Failed { ends_run: true }
        );
    }
}
