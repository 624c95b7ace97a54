//! Files that look like secrets: keys by their names, and keys in what a file says.

use globset::GlobBuilder;
use memchr::memmem;

/// The names of files that hold keys or passwords.
const NAMES: [&str; 14] = [
    "*.pem",
    "*.key",
    "*.p12",
    "*.pfx",
    "*.jks",
    "*.keystore",
    "id_{rsa,dsa,ecdsa,ed25519}",
    ".npmrc",
    ".netrc",
    ".pypirc",
    ".htpasswd",
    ".git-credentials",
    "service-account*.json",
    "{credentials,client_secret*}.json",
];

/// The words with which keys begin, and the kind of the key.
const WORDS: [(&str, &str); 11] = [
    ("PRIVATE KEY-----", "a private key"),
    ("signkey-prod-", "a signing key of Inngest"),
    ("signkey-branch-", "a signing key of Inngest"),
    ("sk_live_", "a key of Stripe"),
    ("rk_live_", "a key of Stripe"),
    ("ghp_", "a token of GitHub"),
    ("github_pat_", "a token of GitHub"),
    ("glpat-", "a token of GitLab"),
    ("xoxb-", "a token of Slack"),
    ("sk-ant-api", "a key of Anthropic"),
    ("sk-proj-", "a key of OpenAI"),
];

/// The characters of a key that must follow its first word: a mention in a text has fewer.
const LEAST_LENGTH: usize = 16;

/// The most bytes of a file that are looked at.
pub const LOOKED_AT: u64 = 1 << 20;

/// Tells whether a file's name is that of an environment file, which never belongs into a release. Examples do.
#[must_use]
pub fn is_environment_file(name: &str) -> bool {
    let Some(rest) = name.strip_prefix(".env") else {
        return false;
    };
    let is_example = ["example", "sample", "template", "dist", "defaults"]
        .iter()
        .any(|word| rest.strip_prefix('.').is_some_and(|rest| rest.contains(word)));
    (rest.is_empty() || rest.starts_with('.')) && !is_example
}

/// Returns the reason why a file looks like a secret, if it does. `head`: its first bytes, [`LOOKED_AT`] at most.
#[must_use]
pub fn suspicion(name: &str, head: &[u8]) -> Option<&'static str> {
    let is_named_so = NAMES.iter().any(|pattern| {
        let glob = GlobBuilder::new(pattern).build();
        glob.is_ok_and(|glob| glob.compile_matcher().is_match(name))
    });
    if is_named_so {
        return Some("its name is that of a file of keys");
    }
    let found = WORDS.iter().find(|(word, _)| holds_key(head, word));
    found.map(|(_, kind)| *kind)
}

fn holds_key(text: &[u8], word: &str) -> bool {
    let is_key_byte = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=_-".contains(byte);
    memmem::find_iter(text, word).any(|at| {
        let after = text.get(at + word.len()..).unwrap_or_default();
        let line_ends = after.iter().take_while(|byte| b"\r\n\\nr".contains(byte)).count();
        let key = after.get(line_ends..).unwrap_or_default();
        key.iter().take(LEAST_LENGTH).filter(|byte| is_key_byte(byte)).count() == LEAST_LENGTH
    })
}

#[cfg(test)]
mod tests {
    use super::{is_environment_file, suspicion};

    #[test]
    fn environment_files_are_known_by_name_and_examples_are_none() {
        for name in [".env", ".env.local", ".env.production"] {
            assert!(is_environment_file(name), "{name}");
        }
        for name in [
            ".env.example",
            ".env.sample",
            ".env.local.example",
            "env.ts",
            ".envrc",
            "x.env",
        ] {
            assert!(!is_environment_file(name), "{name}");
        }
    }

    #[test]
    fn keys_are_known_by_name_and_by_content() {
        let key = format!("-----BEGIN RSA {}-----\nMIIEowIBAAKCAQEA0Z3VS5JJcds3\n", "PRIVATE KEY");
        let json = format!(r#"{{"k":"-----BEGIN {}-----\nMIIEowIBAAKCAQEA0Z3V"}}"#, "PRIVATE KEY");
        for (name, text) in [
            ("server.pem", ""),
            ("id_ed25519", ""),
            (".npmrc", ""),
            ("service-account-prod.json", ""),
            ("a.ts", key.as_str()),
            ("a.json", json.as_str()),
            ("a.ts", &format!("const k = 'signkey-prod-{}'", "0123456789abcdef0123")),
        ] {
            assert!(suspicion(name, text.as_bytes()).is_some(), "{name}: {text}");
        }
        for (name, text) in [
            ("keyboard.ts", "the signkey-prod- prefix"),
            ("a.ts", "if (text.includes('PRIVATE KEY-----')) throw x"),
            ("key.ts", "ghp_ tokens"),
        ] {
            assert_eq!(suspicion(name, text.as_bytes()), None, "{name}: {text}");
        }
    }
}
