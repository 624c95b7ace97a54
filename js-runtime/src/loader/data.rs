//! Files that are imported for their content: JSON, text, and files that built-in modules parse.

use deno_ast::MediaType;
use deno_core::url::Url;
use deno_error::JsErrorBox;
use js_runtime_api::LoadErrorKind;

use super::Modules;
use crate::built_in::Data;
use crate::position::Position;
use crate::source::bundled;
use crate::source::snapshot::SourceFile;

impl Data {
    pub(super) fn as_module(&self) -> String {
        if self.keys.is_empty() {
            return format!("export default {};", self.expression);
        }
        let quoted = |key: &String| serde_json::Value::from(key.as_str()).to_string();
        let keys = self.keys.iter().map(quoted).enumerate();
        let keys =
            keys.map(|(number, key)| format!("const e{number} = data[{key}]; export {{ e{number} as {key} }};\n"));
        let keys = keys.collect::<String>();
        format!("const data = {};\nexport default data;\n{keys}", self.expression)
    }

    pub(super) fn as_commonjs(&self) -> String {
        format!("module.exports = {};", self.expression)
    }
}

impl Modules {
    /// Refuses a file that is not JSON, with its own place: V8 names the place of the import.
    pub(super) fn check_json(&self, url: &Url, file: &SourceFile) -> Result<(), JsErrorBox> {
        let Err(error) = serde_json::from_slice::<serde::de::IgnoredAny>(&file.bytes) else {
            return Ok(());
        };
        // V8 reads past a byte order mark.
        if file.bytes.starts_with("\u{feff}".as_bytes()) {
            return Ok(());
        }
        // A value is refused for more reasons, with plainer words.
        let error = serde_json::from_slice::<serde_json::Value>(&file.bytes)
            .err()
            .unwrap_or(error);
        let text = String::from_utf8_lossy(&file.bytes);
        let at = Position::new(url, &text, error.line(), error.column());
        let reason = error.to_string();
        let reason = reason.split(" at line ").next().unwrap_or(&reason);
        Err(self.fail(at.into_error(LoadErrorKind::Syntax, format!("not valid JSON: {reason}"))))
    }

    /// Returns the content of a file that is no code; `None` for a file of code.
    pub(super) fn content(&self, url: &Url, file: &SourceFile) -> Result<Option<Data>, JsErrorBox> {
        if bundled::is_text(url) {
            let expression = serde_json::Value::from(&*self.text(url, file)?).to_string();
            let keys = Vec::new();
            return Ok(Some(Data { expression, keys }));
        }
        // Bundlers import JSON without an attribute; JSON is a JavaScript expression.
        if MediaType::from_specifier(url) == MediaType::Json {
            let expression = self.text(url, file)?.to_string();
            let is_map = !self.node.is_package(url)? && expression.trim_start().starts_with('{');
            let map = is_map.then(|| serde_json::from_str::<serde_json::Map<_, serde_json::Value>>(&expression).ok());
            let keys = map.flatten().map(|map| map.into_iter().map(|(key, _)| key));
            let keys = keys.into_iter().flatten().filter(|key| is_importable(key)).collect();
            return Ok(Some(Data { expression, keys }));
        }
        let extension = url.path().rsplit_once('.').map_or("", |(_, extension)| extension);
        let Some(parse) = self.built_ins.parser_of(extension) else {
            return Ok(None);
        };
        let parsed = parse(&self.text(url, file)?);
        let mut data = parsed.map_err(|message| {
            let at = Position::start_of(url, &String::from_utf8_lossy(&file.bytes));
            self.fail(at.into_error(LoadErrorKind::Syntax, message))
        })?;
        data.keys.retain(|key| is_importable(key));
        Ok(Some(data))
    }
}

/// Tells whether a key is another export than the default one.
fn is_importable(key: &str) -> bool {
    key != "default"
}
