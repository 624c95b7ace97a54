//! Additions to `import.meta` beyond the properties that it has everywhere.

use std::sync::Arc;

use deno_core::url::Url;
use deno_error::JsErrorBox;
use js_runtime_api::Entry;

use super::Modules;

const IS_MAIN: &str = "import.meta.main=true;";

/// Tells whether a module asks `import.meta` for something that is not in it everywhere.
fn uses_more_of_import_meta(code: &str) -> bool {
    code.match_indices("import.meta").any(|(at, meta)| {
        let rest = &code[at + meta.len()..];
        !["url", "dirname", "filename", "resolve"].iter().any(|name| {
            rest.strip_prefix('.')
                .and_then(|rest| rest.strip_prefix(name))
                .is_some_and(|rest| !rest.starts_with(|next: char| next.is_alphanumeric() || next == '_'))
        })
    })
}

impl Modules {
    /// Returns the code with the additions of built-in modules to `import.meta`, for a module of the project that
    /// uses more of it. The additions are in the first line, which the source map then has too far left; no other
    /// line moves.
    pub(super) fn with_import_meta(&self, url: &Url, code: &str) -> Result<Option<Arc<str>>, JsErrorBox> {
        if !uses_more_of_import_meta(code) || code.starts_with("#!") || self.node.is_package(url)? {
            return Ok(None);
        }
        let is_entry = match &self.sources.project().entry {
            Entry::File(entry) => url
                .to_file_path()
                .is_ok_and(|path| path == *entry || self.sources.canonical(entry).is_ok_and(|entry| entry == path)),
            Entry::Folder(_) => false,
        };
        let more = self.built_ins.import_meta();
        Ok(Some(
            format!("{more}{}{code}", if is_entry { IS_MAIN } else { "" }).into(),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::uses_more_of_import_meta;

    #[test]
    fn only_what_is_not_in_import_meta_everywhere_asks_for_more() {
        for usual in [
            "",
            "import.meta.url",
            "new URL(\".\", import.meta.url)",
            "import.meta.resolve(\"x\")",
        ] {
            assert!(!uses_more_of_import_meta(usual), "{usual}");
        }
        for more in [
            "import.meta.dir",
            "import.meta.url + import.meta.path",
            "const { file } = import.meta;",
            "import.meta.urls",
            "import.meta.main",
        ] {
            assert!(uses_more_of_import_meta(more), "{more}");
        }
    }
}
