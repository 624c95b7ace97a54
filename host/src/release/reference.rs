//! The name of a release in a registry: `ghcr.io/acme/jobs:production`, or with a digest in place of the tag.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use miette::Diagnostic;

use super::Digest;

/// The prefix that tells a reference from a path.
pub const SCHEME: &str = "oci://";
/// The prefix of a reference to a registry without TLS.
pub const PLAIN_SCHEME: &str = "oci+http://";
const DEFAULT_TAG: &str = "latest";

/// The protocol to a registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// HTTPS alone.
    Secure,
    /// HTTP alone, as the reference says.
    Plain,
    /// A registry of this machine: HTTPS, and HTTP where the registry has no TLS.
    Local,
}

/// The release that is meant in its repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pointer {
    /// A name that can move.
    Tag(String),
    /// The release itself.
    Digest(Digest),
}

/// The name of a release: registry, repository, and tag or digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseReference {
    /// Host and port.
    pub registry: String,
    pub repository: String,
    pub pointer: Pointer,
    pub transport: Transport,
}

/// The reason why a text is not a reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Diagnostic)]
#[error("invalid release reference {text:?}: {why}")]
#[diagnostic(help("Write registry/repository:tag, for example ghcr.io/acme/jobs:production."))]
pub struct ReferenceError {
    text: String,
    why: &'static str,
}

impl ReleaseReference {
    /// Tells whether a PATH means a release.
    #[must_use]
    pub fn is_meant(path: &str) -> bool {
        path.starts_with(SCHEME) || path.starts_with(PLAIN_SCHEME)
    }

    /// The tag or digest, as it stands in a URL.
    #[must_use]
    pub fn pointer(&self) -> String {
        match &self.pointer {
            Pointer::Tag(tag) => tag.clone(),
            Pointer::Digest(digest) => digest.to_string(),
        }
    }

    /// The tag, which can move.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        match &self.pointer {
            Pointer::Tag(tag) => Some(tag),
            Pointer::Digest(_) => None,
        }
    }

    /// The host of the registry's API, which differs from the name for Docker Hub.
    #[must_use]
    pub fn api_host(&self) -> &str {
        match self.registry.as_str() {
            "docker.io" | "index.docker.io" => "registry-1.docker.io",
            other => other,
        }
    }
}

impl FromStr for ReleaseReference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let wrong = |why| ReferenceError {
            text: text.chars().take(300).collect(),
            why,
        };
        let (rest, is_plain) = match text.strip_prefix(PLAIN_SCHEME) {
            Some(rest) => (rest, true),
            None => (text.strip_prefix(SCHEME).unwrap_or(text), false),
        };
        let (registry, rest) = rest.split_once('/').ok_or(wrong("it names no registry"))?;
        if !(registry.contains(['.', ':']) || registry == "localhost") || !is_host(registry) {
            return Err(wrong("its first part is not a registry"));
        }
        let (name, digest) = match rest.split_once('@') {
            Some((name, digest)) => (name, Some(digest)),
            None => (rest, None),
        };
        // A colon after the last slash begins a tag.
        let (repository, tag) = match name.rsplit_once(':') {
            Some((repository, tag)) if !tag.contains('/') => (repository, Some(tag)),
            _ => (name, None),
        };
        if repository.len() > 255 || !repository.split('/').all(is_component) {
            return Err(wrong(
                "a repository may have lower-case letters, digits and . _ - between slashes",
            ));
        }
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(wrong("a tag may have at most 128 letters, digits and . _ -"));
        }
        let pointer = match digest {
            Some(digest) => Pointer::Digest(
                digest
                    .parse()
                    .map_err(|_| wrong("its digest is not sha256: and 64 hexadecimal digits"))?,
            ),
            None => Pointer::Tag(tag.unwrap_or(DEFAULT_TAG).to_owned()),
        };
        let transport = match is_plain {
            true => Transport::Plain,
            false if is_local(registry) => Transport::Local,
            false => Transport::Secure,
        };
        Ok(Self {
            registry: registry.to_owned(),
            repository: repository.to_owned(),
            pointer,
            transport,
        })
    }
}

impl fmt::Display for ReleaseReference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            registry, repository, ..
        } = self;
        match &self.pointer {
            Pointer::Tag(tag) => write!(formatter, "{registry}/{repository}:{tag}"),
            Pointer::Digest(digest) => write!(formatter, "{registry}/{repository}@{digest}"),
        }
    }
}

fn is_host(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte))
}

fn is_component(text: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
    let is_edge = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    bytes.first().is_some_and(|byte| is_edge(*byte))
        && bytes.last().is_some_and(|byte| is_edge(*byte))
        && bytes.iter().all(|byte| is_inner(*byte))
}

fn is_tag(text: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.len() <= 128
        && text.bytes().next().is_some_and(is_word)
        && text.bytes().all(|byte| is_word(byte) || b".-".contains(&byte))
}

fn is_local(registry: &str) -> bool {
    let host = match registry.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => registry.split(':').next().unwrap_or_default(),
    };
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::{Digest, Pointer, ReleaseReference, Transport};

    #[test]
    fn a_reference_names_registry_repository_and_tag_or_digest() {
        let digest = Digest::of(b"");
        let pinned = format!("oci://ghcr.io/acme/jobs:a@{digest}");
        for (text, shown, transport) in [
            (
                "ghcr.io/acme/jobs:production",
                "ghcr.io/acme/jobs:production",
                Transport::Secure,
            ),
            ("oci://ghcr.io/acme/jobs", "ghcr.io/acme/jobs:latest", Transport::Secure),
            ("localhost:5000/jobs:1", "localhost:5000/jobs:1", Transport::Local),
            (
                "oci://127.0.0.1:5000/a/b/c",
                "127.0.0.1:5000/a/b/c:latest",
                Transport::Local,
            ),
            ("[::1]:5000/jobs", "[::1]:5000/jobs:latest", Transport::Local),
            (
                "oci+http://registry.internal:5000/jobs",
                "registry.internal:5000/jobs:latest",
                Transport::Plain,
            ),
            (&pinned, &format!("ghcr.io/acme/jobs@{digest}"), Transport::Secure),
        ] {
            let reference: ReleaseReference = text.parse().unwrap();
            assert_eq!(
                (reference.to_string().as_str(), reference.transport),
                (shown, transport)
            );
        }
        let pinned: ReleaseReference = pinned.parse().unwrap();
        assert_eq!((pinned.tag(), &pinned.pointer), (None, &Pointer::Digest(digest)));
    }

    #[test]
    fn other_texts_are_refused_with_the_reason() {
        for (text, said) in [
            ("jobs", "names no registry"),
            ("acme/jobs", "first part is not a registry"),
            ("ghcr.io/Acme/jobs", "lower-case"),
            ("ghcr.io/acme/../jobs", "lower-case"),
            ("ghcr.io//jobs", "lower-case"),
            ("ghcr.io/jobs:a b", "a tag"),
            ("ghcr.io/jobs@sha256:12", "digest"),
            ("gh cr.io/jobs", "first part"),
        ] {
            let error = text.parse::<ReleaseReference>().unwrap_err().to_string();
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
