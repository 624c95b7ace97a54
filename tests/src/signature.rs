//! Signatures of requests and answers (SDK_SPEC §4.1): HMAC-SHA256 over the body and a time, keyed
//! with the signing key's text without its prefix.

use std::time::{SystemTime, UNIX_EPOCH};

use hmac::{Hmac, Mac};
use sha2::Sha256;

/// The value of `x-inngest-signature` for a body that is in canonical form, made `age` seconds ago.
#[must_use]
pub fn sign(body: &str, key: &str, age: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time since 1970");
    let time = (now.as_secs() - age).to_string();
    format!("t={time}&s={}", digest(body, key, &time))
}

/// Tells whether `signature` is a signature of `body` by `key`, whatever its time.
#[must_use]
pub fn is_by(signature: &str, body: &str, key: &str) -> bool {
    let parts = signature.strip_prefix("t=").and_then(|rest| rest.split_once("&s="));
    parts.is_some_and(|(time, hash)| hash == digest(body, key, time))
}

fn digest(body: &str, key: &str, time: &str) -> String {
    let secret = match key.strip_prefix("signkey-").and_then(|rest| rest.split_once('-')) {
        Some((_environment, secret)) => secret,
        None => key,
    };
    hex(secret, &format!("{body}{time}"))
}

/// HMAC-SHA256 in hex.
#[must_use]
pub fn hex(secret: &str, text: &str) -> String {
    let mut hmac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("a key of any length");
    hmac.update(text.as_bytes());
    let bytes = hmac.finalize().into_bytes();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
