//! Signing keys, as requests to Inngest's API carry them: hashed, behind the prefix of their environment.

use sha2::{Digest as _, Sha256};
use thiserror::Error;

/// A signing key that Inngest cannot have given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SigningKeyError {
    /// The rest behind the prefix is not hexadecimal.
    #[error("malformed signing key: expected hexadecimal digits, after a prefix such as `signkey-prod-`")]
    NotHexadecimal,
}

/// Returns the text that follows `Bearer ` in requests to the API: the prefix, `signkey-…-`, as it is, then the SHA-256 of
/// the bytes that the rest of the key names.
///
/// ```
/// let hash = connect_wire::signing_key::hash("signkey-test-00ff")?;
/// assert!(hash.starts_with("signkey-test-"));
/// assert_eq!(hash.len(), "signkey-test-".len() + 64);
/// # Ok::<(), connect_wire::signing_key::SigningKeyError>(())
/// ```
///
/// # Errors
/// A key whose rest is not hexadecimal is refused.
pub fn hash(key: &str) -> Result<String, SigningKeyError> {
    let prefix = prefix(key);
    let secret = &key.as_bytes()[prefix.len()..];
    let digits = secret.chunks(2).map(|pair| match pair {
        [high, low] => Some((digit(*high)? << 4) | digit(*low)?),
        _ => None,
    });
    let bytes: Option<Vec<u8>> = digits.collect();
    let bytes = bytes.ok_or(SigningKeyError::NotHexadecimal)?;
    let hash = Sha256::digest(bytes);
    let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("{prefix}{hash}"))
}

/// Tells whether a key is that of branch environments, with which an environment has to be named.
#[must_use]
pub fn is_for_branches(key: &str) -> bool {
    key.starts_with("signkey-branch-")
}

/// Returns `signkey-<word>-` at the front of a key; it is empty where the key has none.
fn prefix(key: &str) -> &str {
    let word = key.strip_prefix("signkey-").and_then(|rest| rest.split_once('-'));
    match word {
        Some((word, rest)) if is_word(word) => &key[..key.len() - rest.len()],
        _ => "",
    }
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn digit(byte: u8) -> Option<u8> {
    (byte as char).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_hashed_behind_its_prefix() {
        // printf 'abcd' | xxd -r -p | sha256sum
        let expected = "123d4c7ef2d1600a1b3a0f6addc60a10f05a3495c9409f2ecbf4cc095d000a6b";
        assert_eq!(hash("abcd").as_deref(), Ok(expected));
        for prefix in ["signkey-test-", "signkey-prod-", "signkey-branch-", "signkey-a_1-"] {
            assert_eq!(hash(&format!("{prefix}abCD")), Ok(format!("{prefix}{expected}")));
        }
    }

    #[test]
    fn other_keys_are_refused() {
        for key in [
            "signkey-test-abc",
            "signkey-test-xy",
            "signkey-",
            "signkey--ab",
            "signkey-té-ab",
            "schlüssel",
        ] {
            assert_eq!(hash(key), Err(SigningKeyError::NotHexadecimal), "{key}");
        }
    }

    #[test]
    fn keys_of_branches_are_told_apart() {
        assert!(is_for_branches("signkey-branch-ab"));
        assert!(!is_for_branches("signkey-prod-ab"));
    }
}
