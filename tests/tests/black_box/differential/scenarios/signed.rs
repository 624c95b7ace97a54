//! Cloud mode: the keys with which a caller may call, and those that sign the
//! answers.

use harness::http::Call;
use harness::signature;

use crate::differential::scenario::{BOTH, Scenario, calls, run_of};
use crate::differential::side::{FALLBACK_KEY, KEY, Side};

const PATH: &str = "/api/inngest";
const SIGNATURE: &str = "x-inngest-signature";

fn call(side: &Side) -> Call {
    side.executor().request(&run_of("step-run"), "step")
}

fn signed(call: Call, key: &str, age: u64) -> Call {
    let body = String::from_utf8(call.bytes().to_vec()).expect("a text");
    call.header(SIGNATURE, &signature::sign(&body, key, age))
}

fn introspection() -> Vec<(&'static str, Call)> {
    vec![
        ("GET unsigned", Call::new("GET", PATH)),
        ("GET by the key", signed(Call::new("GET", PATH), KEY, 0)),
        (
            "GET by the fallback key",
            signed(Call::new("GET", PATH), FALLBACK_KEY, 0),
        ),
        (
            "GET by another key",
            signed(Call::new("GET", PATH), "signkey-test-00", 0),
        ),
    ]
}

pub(super) fn cloud() -> Vec<Scenario> {
    vec![
        calls("signed", "a call signed with the key", BOTH, |side| {
            vec![("POST", signed(call(side), KEY, 0))]
        }),
        calls("signed-error", "a signed answer with an error", BOTH, |side| {
            let call = side.executor().request(&run_of("error-in-function"), "step");
            vec![("POST", signed(call, KEY, 0))]
        }),
        calls("signed-fallback", "a call signed with the fallback key", BOTH, |side| {
            vec![("POST", signed(call(side), FALLBACK_KEY, 0))]
        }),
        calls("signed-wrong", "a call signed with another key", BOTH, |side| {
            vec![("POST", signed(call(side), "signkey-test-00000000", 0))]
        }),
        calls("signed-stale", "a call signed ten minutes ago", BOTH, |side| {
            vec![("POST", signed(call(side), KEY, 600))]
        }),
        calls("unsigned", "an unsigned call", BOTH, |side| vec![("POST", call(side))]),
        calls("signed-nonsense", "a header that is not a signature", BOTH, |side| {
            vec![
                ("POST", call(side).header(SIGNATURE, "nonsense")),
                ("POST", call(side).header(SIGNATURE, "t=1&s=")),
                ("POST", call(side).header(SIGNATURE, "")),
            ]
        }),
        calls("signed-other-body", "the signature of another body", BOTH, |side| {
            let of_another = signature::sign("{}", KEY, 0);
            vec![("POST", call(side).header(SIGNATURE, &of_another))]
        }),
        calls(
            "signed-white-space",
            "the signature of the body's canonical form",
            BOTH,
            |side| {
                let call = signed(call(side), KEY, 0);
                let spaced = String::from_utf8(call.bytes().to_vec())
                    .expect("a text")
                    .replacen('{', "{ ", 1);
                vec![("POST", call.body(spaced))]
            },
        ),
        calls(
            "signed-introspect",
            "`GET`: unsigned, signed with each key and with another key",
            BOTH,
            |_| introspection(),
        ),
        calls(
            "signed-register",
            "`PUT`, out of band: unsigned, signed",
            BOTH,
            |side| {
                let put = || super::configured::sync(side, PATH).header("x-inngest-server-kind", "cloud");
                vec![
                    ("PUT unsigned", put()),
                    ("PUT by the key", signed(put(), KEY, 0)),
                    ("PUT by another key", signed(put(), "signkey-test-00", 0)),
                ]
            },
        ),
        calls(
            "signed-register-in-band",
            "`PUT`, in band: unsigned, signed with each key",
            BOTH,
            |side| {
                let put = || super::configured::sync(side, PATH).header("x-inngest-sync-kind", "in_band");
                vec![
                    ("PUT unsigned", put()),
                    ("PUT by the key", signed(put(), KEY, 0)),
                    ("PUT by the fallback key", signed(put(), FALLBACK_KEY, 0)),
                ]
            },
        ),
        calls("signed-probe", "`probe=trust`", BOTH, |_| {
            let probe = || Call::new("POST", format!("{PATH}?fnId=parity-step-run&stepId=step&probe=trust")).body("{}");
            vec![("POST unsigned", probe()), ("POST by the key", signed(probe(), KEY, 0))]
        }),
        calls(
            "signed-send-event",
            "`step.sendEvent` with an event key",
            BOTH,
            |side| {
                let call = side.executor().request(&run_of("send-event"), "step");
                vec![("POST", signed(call, KEY, 0))]
            },
        ),
        calls(
            "signed-send-signal",
            "`step.sendSignal` with a signing key",
            BOTH,
            |side| {
                let call = side.executor().request(&run_of("send-signal"), "step");
                vec![("POST", signed(call, KEY, 0))]
            },
        ),
    ]
}

pub(super) fn keyless() -> Vec<Scenario> {
    vec![
        calls("keyless-introspect", "`GET`", BOTH, |_| {
            vec![("GET", Call::new("GET", PATH))]
        }),
        calls("keyless-register", "`PUT`", BOTH, |side| {
            vec![("PUT", super::configured::sync(side, PATH))]
        }),
        calls("keyless-call", "`POST`", BOTH, |side| vec![("POST", call(side))]),
    ]
}
