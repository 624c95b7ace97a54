//! Native addons: each runs on one platform, which the first bytes of its file tell.

use serde::{Deserialize, Serialize};

/// A native addon of a release.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Addon {
    /// The file, relative to the project's root.
    pub file: String,
    /// The platform: `linux/amd64`.
    pub platform: String,
    /// Tells whether the package says that it is for some systems alone: where it is not meant for, it is not needed.
    #[serde(default)]
    pub optional: bool,
}

/// Returns the platform of this machine.
#[must_use]
pub fn own_platform() -> String {
    let system = match std::env::consts::OS {
        "macos" => "darwin",
        other => other,
    };
    let processor = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    format!("{system}/{processor}")
}

/// Returns the platform of a library, by the first 20 bytes of its file. `None` when it is for no platform of Baton.
#[must_use]
pub fn platform_of(head: &[u8]) -> Option<&'static str> {
    match head {
        [0x7f, b'E', b'L', b'F', ..] => match head.get(18..20)? {
            [0x3e, 0] => Some("linux/amd64"),
            [0xb7, 0] => Some("linux/arm64"),
            _ => None,
        },
        [0xcf, 0xfa, 0xed, 0xfe, processor @ ..] => match processor.get(..4)? {
            [0x07, 0, 0, 0x01] => Some("darwin/amd64"),
            [0x0c, 0, 0, 0x01] => Some("darwin/arm64"),
            _ => None,
        },
        _ => None,
    }
}

/// Returns an addon that cannot run on a platform and whose package has none that can.
#[must_use]
pub fn unfit<'a>(addons: &'a [Addon], platform: &str) -> Option<&'a Addon> {
    addons.iter().filter(|addon| !addon.optional).find(|addon| {
        let package = package_of(&addon.file);
        let mut siblings = addons.iter().filter(|other| package_of(&other.file) == package);
        !siblings.any(|other| other.platform == platform)
    })
}

/// Returns the folder of the package that a file is in.
#[must_use]
pub fn package_of(file: &str) -> &str {
    const FOLDER: &str = "node_modules/";
    let Some(start) = file.rfind(FOLDER).map(|at| at + FOLDER.len()) else {
        return "";
    };
    let rest = file.get(start..).unwrap_or_default();
    let parts = if rest.starts_with('@') { 2 } else { 1 };
    let length = rest.match_indices('/').nth(parts - 1).map_or(rest.len(), |(at, _)| at);
    file.get(..start + length).unwrap_or(file)
}

#[cfg(test)]
mod tests {
    use super::{Addon, package_of, platform_of, unfit};

    fn addon(file: &str, platform: &str) -> Addon {
        Addon {
            file: file.to_owned(),
            platform: platform.to_owned(),
            optional: false,
        }
    }

    #[test]
    fn an_addon_that_no_sibling_replaces_is_unfit_elsewhere() {
        let prebuilt = [
            addon("node_modules/@a/b/prebuilds/linux-x64/b.node", "linux/amd64"),
            addon("node_modules/@a/b/prebuilds/darwin-arm64/b.node", "darwin/arm64"),
        ];
        assert_eq!(unfit(&prebuilt, "linux/amd64"), None);
        assert_eq!(unfit(&prebuilt, "linux/arm64"), prebuilt.first());
        let optional = Addon {
            optional: true,
            ..addon("node_modules/fsevents/fsevents.node", "darwin/arm64")
        };
        assert_eq!(unfit(&[optional], "linux/amd64"), None);
    }

    #[test]
    fn the_package_of_a_file_is_the_innermost() {
        assert_eq!(package_of("node_modules/a/build/x.node"), "node_modules/a");
        assert_eq!(
            package_of("node_modules/a/node_modules/@s/b/x.node"),
            "node_modules/a/node_modules/@s/b"
        );
        assert_eq!(package_of("x.node"), "");
    }

    #[test]
    fn the_first_bytes_tell_the_platform() {
        let mut elf = *b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\x3e\0";
        assert_eq!(platform_of(&elf), Some("linux/amd64"));
        elf[18] = 0xb7;
        assert_eq!(platform_of(&elf), Some("linux/arm64"));
        assert_eq!(platform_of(b"\xcf\xfa\xed\xfe\x0c\0\0\x01"), Some("darwin/arm64"));
        assert_eq!(platform_of(b"MZ"), None);
        assert_eq!(platform_of(b"\x7fELF"), None);
    }
}
