//! Functions' demands on their runtime.

use crate::differential::scenario::{BOTH, Scenario, run};

pub(super) fn runtime() -> Vec<Scenario> {
    [
        ("ask-intl", "`Intl`"),
        ("ask-dates", "dates as text"),
        ("ask-crypto", "`node:crypto`, `crypto.subtle`"),
        ("ask-zlib", "`node:zlib`"),
        ("ask-url", "`URL`"),
        ("ask-text", "`TextEncoder`, `TextDecoder`"),
        ("ask-buffer", "`Buffer`"),
        ("ask-clone", "`structuredClone`"),
        ("ask-form", "`FormData`, `URLSearchParams`"),
        ("ask-timers", "the order of timers and microtasks"),
        ("ask-ticks", "`process.nextTick` and a timer that is due"),
        ("ask-context", "`AsyncLocalStorage`"),
        ("ask-process", "`process`"),
        ("ask-globals", "global names"),
        ("ask-versions", "`process.versions`"),
        ("ask-environment", "`process.env`"),
    ]
    .into_iter()
    .map(|(name, covers)| run(name, covers, BOTH))
    .collect()
}
