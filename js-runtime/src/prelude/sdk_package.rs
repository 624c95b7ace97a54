//! The SDK, where it is more than another package.
//!
//! Compiled CommonJS gets the SDK that is loaded already, an ES module. `require` alone would give something else: it
//! takes the export `module.exports` that the SDK passes on from a package (`export * from "@inngest/ai"`).
//!
//! For `inngest/connect`, a function of the prelude's around the SDK's own (`connect.ts`) sees the call and its
//! arguments. In a worker thread there is no such function, and the SDK's own stays.

use std::path::PathBuf;

use deno_core::url::Url;

use super::SdkCopy;
use crate::resolve::node::NodeResolution;
use crate::source::snapshot::SourceSnapshot;

/// The end of a file's path that exports `connect`.
const CONNECTS: [&str; 2] = ["/node_modules/inngest/connect.js", "/node_modules/inngest/connect.cjs"];

/// The mark that tells the SDK's own module from the one around it.
const OWN: &str = "sdk";

const WRAPPED: &str = "(globalThis[Symbol.for(\"baton:connect\")]?.(real) ?? real)";

/// Tells whether a specifier names the SDK, or a part of it.
pub(crate) fn is_of_sdk(specifier: &str) -> bool {
    let rest = specifier.strip_prefix("inngest");
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Returns the text to be put behind an ES module of the SDK, so that `require` gives all of it.
pub(crate) fn behind_module(url: &Url, text: &str) -> Option<String> {
    let is_sdk = url.scheme() == "file" && url.path().ends_with("/node_modules/inngest/index.js");
    (is_sdk && text.contains("export *")).then(|| {
        let own = serde_json::Value::from(url.as_str());
        format!("\nimport * as self from {own};\nexport {{ self as \"module.exports\" }};\n")
    })
}

/// Returns the ES module around the one at this URL, if that exports `connect`.
pub(crate) fn around_connect(url: &Url) -> Option<String> {
    let connects = exports_connect(url) && url.query() != Some(OWN);
    connects.then(|| {
        let mut own = url.clone();
        own.set_query(Some(OWN));
        let own = serde_json::Value::from(own.as_str());
        format!("import {{ connect as real }} from {own};\nexport * from {own};\nexport const connect = {WRAPPED};\n")
    })
}

/// Returns the text to be put behind the CommonJS module at this URL, if that exports `connect`.
pub(crate) fn behind_required_connect(url: &Url) -> Option<String> {
    exports_connect(url).then(|| {
        format!("\n{{ const real = exports.connect; module.exports = {{ ...module.exports, connect: {WRAPPED} }}; }}\n")
    })
}

fn exports_connect(url: &Url) -> bool {
    url.scheme() == "file" && CONNECTS.iter().any(|end| url.path().ends_with(end))
}

/// Returns the copies of the SDK that were loaded; none where there is one copy, which serves all clients then.
pub(crate) fn copies(sources: &SourceSnapshot, node: &NodeResolution) -> Vec<SdkCopy> {
    let folders = sources.package_folders("inngest");
    if folders.len() < 2 {
        return Vec::new();
    }
    let copy = |folder: PathBuf| {
        let manifest = folder.join("package.json");
        let referrer = Url::from_file_path(&manifest).ok()?;
        let find = |specifier: &str| node.resolve(specifier, &referrer).ok().map(String::from);
        let text = sources.read(&manifest).ok()?;
        let manifest: serde_json::Value = serde_json::from_slice(&text.bytes).ok()?;
        let folder = folder.strip_prefix(&sources.project().root).unwrap_or(&folder);
        Some(SdkCopy {
            main: find("inngest")?,
            folder: folder.display().to_string(),
            version: manifest["version"].as_str()?.to_owned(),
        })
    };
    folders.into_iter().filter_map(copy).collect()
}

#[cfg(test)]
mod tests {
    use deno_core::url::Url;

    use super::{around_connect, behind_module, behind_required_connect};

    #[test]
    fn the_sdk_gives_all_of_itself_to_require() {
        let own = Url::parse("file:///a%20b/node_modules/inngest/index.js").unwrap();
        let text = "export * from \"@inngest/ai\";";
        let behind = behind_module(&own, text).unwrap();
        assert!(behind.contains(&format!("from \"{own}\"")), "{behind}");
        assert_eq!(behind_module(&own, "export {};"), None);
        assert_eq!(behind_module(&own.join("edge.js").unwrap(), text), None);
    }

    #[test]
    fn only_what_exports_connect_has_something_around_it() {
        let url = |path: &str| Url::parse(&format!("file:///p/node_modules/{path}")).unwrap();
        let around = around_connect(&url("inngest/connect.js")).unwrap();
        assert!(
            around.contains("from \"file:///p/node_modules/inngest/connect.js?sdk\""),
            "{around}"
        );
        assert!(behind_required_connect(&url("inngest/connect.cjs")).is_some());
        for path in ["inngest/connect.js?sdk", "inngest/index.js", "other/connect.js"] {
            assert_eq!(around_connect(&url(path)), None, "{path}");
        }
    }
}
