//! Conditions of a package's `exports` under which another file stands in the place of the found one.

use serde_json::{Map, Value};

/// The conditions of other runtimes and of tools: a project that names one of these here would get files that do not
/// run.
const OF_OTHERS: [&str; 16] = [
    "browser",
    "bun",
    "deno",
    "edge-light",
    "edge-routine",
    "electron",
    "fastly",
    "import",
    "moddable",
    "netlify",
    "node",
    "react-native",
    "require",
    "types",
    "worker",
    "workerd",
];

/// Returns the first condition before the one under which this file stands; `file` as `exports` writes it (`./a.js`).
pub(crate) fn before<'a>(exports: &'a Map<String, Value>, file: &str) -> Option<&'a str> {
    exports
        .values()
        .find_map(|value| match value {
            Value::Object(inside) => before(inside, file),
            _ => None,
        })
        .or_else(|| {
            let stands = exports.values().position(|value| value == file)?;
            let conditions = exports.keys().take(stands).map(String::as_str);
            let mut conditions = conditions.filter(|name| !name.starts_with('.') && !OF_OTHERS.contains(name));
            conditions.next()
        })
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value, json};

    use super::before;

    #[test]
    fn a_condition_counts_that_stands_before_the_file_and_is_no_other_runtimes() {
        let told = |exports: Value, file: &str| {
            let exports: Map<String, Value> = serde_json::from_value(exports).unwrap();
            before(&exports, file).map(str::to_owned)
        };
        let exports = json!({ ".": { "types": "./a.d.ts", "react-server": "./empty.js", "default": "./index.js" } });
        assert_eq!(told(exports.clone(), "./index.js").as_deref(), Some("react-server"));
        assert_eq!(told(exports.clone(), "./empty.js"), None);
        assert_eq!(told(exports, "./other.js"), None);
        let nested = json!({ "./a": { "acme": "./src.ts", "import": { "browser": "./b.js", "default": "./a.js" } } });
        assert_eq!(
            told(nested, "./a.js"),
            None,
            "the file of a condition within another one"
        );
        assert_eq!(told(json!({ ".": "./a.js", "./b": "./b.js" }), "./b.js"), None);
    }
}
