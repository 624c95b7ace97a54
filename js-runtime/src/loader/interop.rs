//! The default export of a CommonJS module that was compiled from an ES module (`__esModule`).
//!
//! To Node it is `module.exports`. To a compiler that makes CommonJS, to bundlers and to Bun it is `exports.default`,
//! and TypeScript in a package without `"type": "module"` is written for these. Both kinds of importers may be in one
//! project: for the latter kind a CommonJS module has a second URL, of an ES module that wraps the same
//! `module.exports`. Its exports by name are the same.

use std::sync::Arc;

use deno_ast::MediaType;
use deno_core::url::Url;
use deno_error::JsErrorBox;

use super::Modules;
use crate::source::second_url::{is_marked, with_mark};

/// The default export at the end of Deno's wrapper, and that of the second one. A module without a default is taken
/// as a whole.
const NODES: &str = "export default mod;\n";
const COMPILED: &str = "export default mod?.__esModule && \"default\" in mod ? mod.default : mod;\n";

/// Gives the wrapper of a CommonJS module the default export that its URL asks for.
pub(super) fn wrapped(url: &Url, wrapper: Arc<str>) -> Arc<str> {
    if !is_marked(url) {
        return wrapper;
    }
    match wrapper.rsplit_once(NODES) {
        Some((before, behind)) => format!("{before}{COMPILED}{behind}").into(),
        None => wrapper,
    }
}

impl Modules {
    /// Returns the URL of a module for one importer: the second URL, if the importer is compiled code to which a
    /// default export is `exports.default`, and the module is CommonJS.
    pub(super) fn for_importer(&self, referrer: &Url, found: Url) -> Result<Url, JsErrorBox> {
        let may_be = !is_marked(&found) && !self.is_compiled(&found)?;
        if may_be && self.takes_exports_default(referrer)? && self.is_commonjs(&found)? {
            return Ok(with_mark(found));
        }
        Ok(found)
    }

    fn takes_exports_default(&self, importer: &Url) -> Result<bool, JsErrorBox> {
        let media_type = MediaType::from_specifier(importer);
        let Ok(path) = importer.to_file_path() else {
            return Ok(false);
        };
        if !media_type.is_emittable() || media_type == MediaType::Mts || self.node.is_package(importer)? {
            return Ok(false);
        }
        let mut folders = path.ancestors().skip(1);
        let package = folders.find_map(|folder| self.sources.package_json(&folder.join("package.json")));
        Ok(package.is_none_or(|package| package.typ != "module"))
    }

    fn is_commonjs(&self, url: &Url) -> Result<bool, JsErrorBox> {
        let media_type = MediaType::from_specifier(url);
        let (true, Ok(path)) = (is_code(media_type), url.to_file_path()) else {
            return Ok(false);
        };
        if self.node.is_package(url)? && !self.node.is_maybe_cjs(url, media_type)? {
            return Ok(false);
        }
        // A file that cannot be read, or does not parse, is reported when it is loaded.
        let Ok(file) = self.sources.read(&path) else {
            return Ok(false);
        };
        let is_script = self.caches.is_script(url, &file.hash, || {
            let text = String::from_utf8_lossy(&file.bytes);
            let parsed = crate::source::transpile::parse(url, media_type, text.trim_start_matches('\u{feff}').into())?;
            Ok::<_, js_runtime_api::LoadError>(parsed.is_script())
        });
        match is_script {
            Ok(is_script) => self.node.is_cjs(url, media_type, is_script),
            Err(_) => Ok(false),
        }
    }
}

/// Tells whether a file may be CommonJS by the language that it is written in.
fn is_code(media_type: MediaType) -> bool {
    let is_module = matches!(media_type, MediaType::Mjs | MediaType::Mts);
    !is_module && (media_type.is_emittable() || matches!(media_type, MediaType::JavaScript | MediaType::Cjs))
}

#[cfg(test)]
mod tests {
    use deno_core::url::Url;

    use super::{with_mark, wrapped};

    #[test]
    fn only_the_default_export_of_the_second_wrapper_differs() {
        let url = Url::parse("file:///p/a.js").unwrap();
        let wrapper = "export const a = mod[\"a\"];\nexport default mod;\nexport { x as \"module.exports\" };\n";
        assert_eq!(&*wrapped(&url, wrapper.into()), wrapper);
        let second = wrapped(&with_mark(url.clone()), wrapper.into());
        assert_eq!(second.lines().count(), wrapper.lines().count());
        assert!(second.contains("? mod.default : mod;\n"), "{second}");
        let esm = "export default 1;\n";
        assert_eq!(&*wrapped(&with_mark(url), esm.into()), esm);
    }
}
