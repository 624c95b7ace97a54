//! The V8 inside: its version, and the day of its release. Fixes of V8 come with another version of the `v8` crate,
//! which the Deno crates pin; SECURITY.md says which are missing.

use deno_core::v8;
use js_runtime_api::EngineRelease;

/// The `v8` crate that Cargo.lock has.
const PACKAGE: &str = "v8 150.4.0";
/// The day on which that version was published.
const RELEASED: &str = "2026-07-26";

/// Describes the V8 that this binary was built with.
pub(crate) const fn release() -> EngineRelease {
    EngineRelease {
        name: "V8",
        version: v8::VERSION_STRING,
        package: PACKAGE,
        released: RELEASED,
    }
}

#[cfg(test)]
mod tests {
    use super::{PACKAGE, release};

    /// Checks the release against the lockfile, and against the security notes.
    #[test]
    fn the_release_is_that_of_the_lockfile_and_of_the_security_notes() {
        let lock = include_str!("../../Cargo.lock");
        let (name, version) = PACKAGE.split_once(' ').unwrap();
        let pinned = format!("name = \"{name}\"\nversion = \"{version}\"\n");
        assert!(
            lock.contains(&pinned),
            "write the version and the day of its release here"
        );
        let notes = include_str!("../../SECURITY.md");
        for told in [
            version,
            release().released,
            release().version.trim_end_matches("-rusty"),
        ] {
            assert!(notes.contains(told), "SECURITY.md does not say {told}");
        }
    }
}
