//! The project's modules that are CommonJS because their settings say so, though they are written as ES modules.
//!
//! Such a module is evaluated by `require`, and by nothing else: to an `import` it is an ES module that requires it.
//! A module stays an ES module if it uses something that only ES modules have (`import.meta`, a top-level `await`, a
//! name that CommonJS defines), or imports such a module: TypeScript would refuse it, and it would not run.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::sync::Arc;

use deno_ast::MediaType;
use deno_core::url::Url;
use deno_error::JsErrorBox;
use js_runtime_api::Entry;

use super::Modules;
use crate::prelude::sdk_package::is_of_sdk;
use crate::resolve::relative;
use crate::source::commonjs::{self, Facts, Names};
use crate::source::emitted::EmittedCode;
use crate::source::transpile;

/// The specifier of the module that gives a compiled module's `module.exports` to the ES module around it.
pub(super) const EXPORTS: &str = "baton:commonjs-exports";

/// The limit for the number of modules that are searched for one that has to be an ES module.
const MOST: usize = 10_000;

impl Modules {
    /// Tells whether a module becomes CommonJS that is made of an ES module.
    pub(crate) fn is_compiled(&self, url: &Url) -> Result<bool, JsErrorBox> {
        // A module with a query is to be evaluated once more, which `require` does not do.
        if url.query().is_some() || url.scheme() != "file" {
            return Ok(false);
        }
        if let Some(known) = self.compiled.borrow().get(url) {
            return Ok(*known);
        }
        let is_compiled = self.asks_for_commonjs(url)?
            && self.facts(url)?.is_some_and(|facts| facts.is_module)
            && !self.leads_to_es_only(url)?;
        self.compiled.borrow_mut().insert(url.clone(), is_compiled);
        Ok(is_compiled)
    }

    /// Tells whether extension, package and settings make a file CommonJS.
    fn asks_for_commonjs(&self, url: &Url) -> Result<bool, JsErrorBox> {
        let media_type = MediaType::from_specifier(url);
        let Ok(path) = url.to_file_path() else {
            return Ok(false);
        };
        if media_type == MediaType::Cts {
            return Ok(!self.node.is_package(url)?);
        }
        if media_type == MediaType::Mts || !self.is_emitted(url, media_type)? || self.node.is_package(url)? {
            return Ok(false);
        }
        if media_type == MediaType::Mjs || !self.compiler_options(url)?.makes_commonjs() {
            return Ok(false);
        }
        let mut folders = path.ancestors().skip(1);
        let package = folders.find_map(|folder| self.sources.package_json(&folder.join("package.json")));
        Ok(package.is_none_or(|package| package.typ != "module"))
    }

    /// Tells whether a module, or one that it imports, directly or not, can only be an ES module.
    fn leads_to_es_only(&self, url: &Url) -> Result<bool, JsErrorBox> {
        let mut seen = HashSet::new();
        let mut left = vec![url.clone()];
        while let Some(url) = left.pop() {
            if !seen.insert(url.clone()) || seen.len() > MOST {
                continue;
            }
            let Some(facts) = self.facts(&url)? else {
                continue;
            };
            if facts.waits || facts.is_es_only && self.asks_for_commonjs(&url)? {
                return Ok(true);
            }
            for specifier in &facts.imports {
                left.extend(self.imported_module(specifier, &url)?);
            }
        }
        Ok(false)
    }

    /// Returns the module behind a specifier, if it may be an ES module.
    fn imported_module(&self, specifier: &str, referrer: &Url) -> Result<Option<Url>, JsErrorBox> {
        if self.node.is_package(referrer)? {
            let found = self.node.resolve(specifier, referrer).ok();
            return Ok(found.filter(|url| url.scheme() == "file" && self.may_be_module(url)));
        }
        let found = match self.required_file(specifier, referrer)? {
            Some(found) if !is_of_sdk(specifier) => found,
            _ => return Ok(None),
        };
        Ok(self.may_be_module(&found).then_some(found))
    }

    fn may_be_module(&self, url: &Url) -> bool {
        let media_type = MediaType::from_specifier(url);
        let is_code = media_type.is_emittable() || matches!(media_type, MediaType::JavaScript | MediaType::Mjs);
        let is_package = self.node.is_package(url).unwrap_or(false);
        is_code && (!is_package || !self.node.is_maybe_cjs(url, media_type).unwrap_or(true))
    }

    pub(super) fn facts(&self, url: &Url) -> Result<Option<Arc<Facts>>, JsErrorBox> {
        let Ok(path) = url.to_file_path() else {
            return Ok(None);
        };
        // A file that cannot be read, or does not parse, is reported when it is loaded.
        let Ok(file) = self.sources.read(&path) else {
            return Ok(None);
        };
        let media_type = self.read_as(url, MediaType::from_specifier(url))?;
        Ok(self.caches.facts(url, &file.hash, || {
            let text = String::from_utf8_lossy(&file.bytes);
            let parsed = transpile::parse(url, media_type, text.trim_start_matches('\u{feff}').into());
            parsed.ok().map(|parsed| parsed.walk(Facts::of))
        }))
    }

    /// Returns the file that `require` finds for a module of the project, if Baton decides it.
    pub(crate) fn required_file(&self, specifier: &str, referrer: &Url) -> Result<Option<Url>, JsErrorBox> {
        if self.node.is_builtin(specifier) {
            return Ok(None);
        }
        if relative::is_relative(specifier) {
            let url = referrer.join(specifier).map_err(JsErrorBox::from_err)?;
            return Ok(relative::find(&url, &self.sources));
        }
        if let Some(found) = self.mapped(specifier, referrer, false)? {
            return Ok(Some(found));
        }
        let found = if is_of_sdk(specifier) {
            // The SDK is loaded once, and evaluated ahead.
            self.node.resolve(specifier, referrer)
        } else {
            self.node.resolve_required(specifier, referrer)
        };
        Ok(found.ok().filter(|url| url.scheme() == "file"))
    }

    /// Returns the ES module around a compiled one.
    pub(super) fn around(url: &Url, emitted: &EmittedCode) -> String {
        let Names { is_module, own, others } = commonjs::names(url, emitted);
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        let mut code = format!("import mod from \"{EXPORTS}\";\n");
        for other in others {
            let _ = writeln!(code, "export * from {};", quoted(&other));
        }
        for (number, name) in own.iter().enumerate().filter(|(_, name)| *name != "default") {
            let name = quoted(name);
            let _ = writeln!(
                code,
                "const e{number} = mod?.[{name}]; export {{ e{number} as {name} }};"
            );
        }
        if !is_module {
            code.push_str("export default mod;\n");
        } else if own.iter().any(|name| name == "default") {
            code.push_str("export default mod.default;\n");
        }
        code
    }

    /// Returns the text of the module that requires a compiled one, if this URL is such a module's.
    pub(super) fn exports_module(&self, url: &Url) -> Option<String> {
        if url.scheme() != "baton" || !url.as_str().starts_with(EXPORTS) {
            return None;
        }
        let file = Url::parse(&format!("file://{}", url.query()?)).ok()?;
        let file = file.to_file_path().ok()?;
        let is_main = match &self.sources.project().entry {
            Entry::File(entry) => *entry == file || self.sources.canonical(entry).is_ok_and(|entry| entry == file),
            Entry::Folder(_) => false,
        };
        let file = serde_json::Value::from(file.to_string_lossy());
        // A parent of null would mean that errors are Node's to report.
        Some(format!(
            "import Module from \"node:module\";\nexport default Module._load({file}, undefined, {is_main});\n"
        ))
    }
}

/// Returns the URL of the module that requires a compiled one, for the ES module around that.
pub(super) fn exports_for(around: &Url) -> Option<Url> {
    let mut url = Url::parse(EXPORTS).ok()?;
    url.set_query(Some(around.path()));
    Some(url)
}
