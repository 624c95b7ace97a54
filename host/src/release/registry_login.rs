//! The way into a registry: docker's own logins, and the challenge of a registry that wants one.

use std::time::Duration;

use docker_credential::{CredentialRetrievalError, DockerCredential};

use crate::blocking;

/// The limit for a credential helper.
const HELPED_WITHIN: Duration = Duration::from_secs(30);

/// A login as docker's configuration or its credential helper gives it.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Login {
    /// There is none.
    Anonymous,
    Password {
        name: String,
        password: String,
    },
    /// A token that is exchanged for others.
    Identity(String),
}

/// The demand of a registry that refuses a request without a login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Challenge {
    Basic,
    Bearer {
        realm: String,
        service: Option<String>,
        scope: Option<String>,
    },
}

impl Login {
    /// Asks docker's configuration, and the credential helper that it names.
    ///
    /// # Errors
    /// With the reason, when a configured login cannot be read.
    pub(super) async fn to(registry: &str) -> Result<Self, String> {
        let server = match registry {
            "docker.io" | "index.docker.io" | "registry-1.docker.io" => "https://index.docker.io/v1/".to_owned(),
            other => other.to_owned(),
        };
        let asked = blocking::run("the credential helper", HELPED_WITHIN, move || {
            docker_credential::get_credential(&server)
        });
        match asked.await.map_err(|error| error.to_string())? {
            Ok(DockerCredential::UsernamePassword(name, password)) => Ok(Self::Password { name, password }),
            Ok(DockerCredential::IdentityToken(token)) => Ok(Self::Identity(token)),
            Err(CredentialRetrievalError::ConfigNotFound | CredentialRetrievalError::NoCredentialConfigured) => {
                Ok(Self::Anonymous)
            }
            // A helper says so of a registry that it does not know; its output may hold more than the reason.
            Err(CredentialRetrievalError::HelperFailure { helper, stdout, .. }) => {
                match stdout.contains("credentials not found") {
                    true => Ok(Self::Anonymous),
                    false => Err(format!("the credential helper {helper} failed")),
                }
            }
            Err(error) => Err(error.to_string()),
        }
    }
}

impl Challenge {
    /// Reads the header `WWW-Authenticate`.
    pub(super) fn read(header: &str) -> Option<Self> {
        let (scheme, rest) = header.trim().split_once(' ').unwrap_or((header.trim(), ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Self::Basic);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let realm = parameter(rest, "realm")?;
        Some(Self::Bearer {
            realm,
            service: parameter(rest, "service"),
            scope: parameter(rest, "scope"),
        })
    }
}

/// Returns the value of a parameter: `name="value"`, separated by commas, which may be in values too.
fn parameter(text: &str, name: &str) -> Option<String> {
    let mut rest = text;
    loop {
        let (key, after) = rest.split_once('=')?;
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => after.split_once(',').unwrap_or((after, "")),
        };
        if key.trim().trim_start_matches(',').trim().eq_ignore_ascii_case(name) {
            return Some(value.to_owned());
        }
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use super::Challenge;

    #[test]
    fn challenges_are_read_as_registries_write_them() {
        let bearer = "Bearer realm=\"https://a/token\",service=\"a\", scope=\"repository:x:pull,push\"";
        assert_eq!(
            Challenge::read(bearer),
            Some(Challenge::Bearer {
                realm: "https://a/token".to_owned(),
                service: Some("a".to_owned()),
                scope: Some("repository:x:pull,push".to_owned()),
            })
        );
        assert_eq!(Challenge::read("Basic realm=\"Registry\""), Some(Challenge::Basic));
        for other in ["", "Negotiate", "Bearer", "Bearer realm=\"x", "Bearer service=a"] {
            assert_eq!(Challenge::read(other), None, "{other}");
        }
    }
}
