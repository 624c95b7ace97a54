//! Inngest's signing keys, as the SDK uses them.

use sha2::{Digest as _, Sha256};

/// Returns the authorisation for requests to Inngest's API: the key's prefix, and a hash of the rest
/// (inngest/inngest: `docs/SDK_SPEC.md` §4.1).
#[must_use]
pub fn bearer(key: &str) -> String {
    let (prefix, secret) = parts(key);
    let bytes = decoded(secret).unwrap_or_default();
    let hash: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{prefix}{hash}")
}

/// Returns the flaw of a key, as far as the key shows it.
#[must_use]
pub fn flaw(key: &str) -> Option<&'static str> {
    let (_, secret) = parts(key);
    if secret.is_empty() {
        return Some("it is empty");
    }
    if key.trim() != key || key.contains(['"', '\'']) {
        return Some("it has spaces or quotes around it");
    }
    match decoded(secret) {
        Some(_) => None,
        None => Some("the part after its prefix is not a hexadecimal number of even length"),
    }
}

/// Splits a key into its prefix (`signkey-prod-`) and the rest.
fn parts(key: &str) -> (&str, &str) {
    let rest = key.strip_prefix("signkey-");
    let prefixed = rest.and_then(|rest| rest.find('-')).map(|at| "signkey-".len() + at + 1);
    key.split_at(prefixed.unwrap_or(0))
}

fn decoded(secret: &str) -> Option<Vec<u8>> {
    let digits = secret.as_bytes().chunks(2);
    digits
        .map(|pair| match pair {
            [_, _] => u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok(),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{bearer, flaw};

    #[test]
    fn a_key_is_hashed_as_the_sdk_hashes_it() {
        // printf 'abcd' | xxd -r -p | sha256sum
        let hash = "123d4c7ef2d1600a1b3a0f6addc60a10f05a3495c9409f2ecbf4cc095d000a6b";
        assert_eq!(bearer("signkey-prod-abcd"), format!("signkey-prod-{hash}"));
        assert_eq!(bearer("abcd"), hash);
    }

    #[test]
    fn a_key_that_cannot_be_one_is_told() {
        assert_eq!(flaw("signkey-prod-abcd"), None);
        assert!(flaw("signkey-prod-abc").is_some());
        assert!(flaw("signkey-prod-").is_some());
        assert!(flaw("\"abcd\"").is_some());
        assert!(flaw("not hex at all").is_some());
    }
}
