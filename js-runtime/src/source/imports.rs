//! The place of an import in a text.

use deno_ast::swc::ast::{ModuleDecl, ModuleItem, Program};
use deno_ast::{MediaType, ParsedSource, SourceRangedForSpanned};
use deno_core::url::Url;

use super::transpile;

/// Returns the offset at which the text imports the specifier: that of the static import, else that of the first
/// string literal that reads like the specifier.
pub(crate) fn offset_of_import(url: &Url, text: &str, specifier: &str) -> usize {
    let literal = || {
        ['"', '\'', '`']
            .iter()
            .filter_map(|quote| text.find(&format!("{quote}{specifier}{quote}")))
            .min()
            .unwrap_or(0)
    };
    let Ok(parsed) = transpile::parse(url, MediaType::from_specifier(url), text.into()) else {
        return literal();
    };
    parsed
        .walk(|parsed| offset_of_declaration(parsed, specifier))
        .unwrap_or_else(literal)
}

fn offset_of_declaration(parsed: &ParsedSource, specifier: &str) -> Option<usize> {
    let program = parsed.program();
    let Program::Module(module) = &*program else {
        return None;
    };
    module.body.iter().find_map(|item| {
        let source = match item {
            ModuleItem::ModuleDecl(ModuleDecl::Import(import)) => Some(&import.src),
            ModuleItem::ModuleDecl(ModuleDecl::ExportAll(export)) => Some(&export.src),
            ModuleItem::ModuleDecl(ModuleDecl::ExportNamed(export)) => export.src.as_ref(),
            _ => None,
        }?;
        let found = source.value.to_string_lossy() == specifier;
        found.then(|| source.range().start.as_byte_index(parsed.range().start))
    })
}

#[cfg(test)]
mod tests {
    use super::offset_of_import;
    use deno_core::url::Url;

    #[test]
    fn the_import_is_found_where_it_is_and_not_in_a_comment_above() {
        let url = Url::parse("file:///p/a.ts").unwrap();
        let text = "// was: import \"./gone\"\nimport { a } from \"./gone\";\n";
        assert_eq!(offset_of_import(&url, text, "./gone"), text.rfind("\"./gone").unwrap());
        let dynamic = "const a = await import('./gone');";
        assert_eq!(offset_of_import(&url, dynamic, "./gone"), dynamic.find('\'').unwrap());
    }
}
