//! The attributes `with { type: "yaml" }` and `"toml"` of imports, which bundlers know and V8 does not: they are
//! removed where the file's name says the same, since such a file is taken for its content whatever the import says.

use std::ops::Range;

use deno_ast::swc::ast::{
    CallExpr, Callee, ExportAll, Expr, ImportDecl, Lit, NamedExport, ObjectLit, Prop, PropName, PropOrSpread, Str,
};
use deno_ast::swc::ecma_visit::{Visit, VisitWith as _};
use deno_ast::{MediaType, ParsedSource, SourceRangedForSpanned};
use deno_core::url::Url;

use super::commonjs::TextEdits;
use super::emitted::EmittedCode;
use super::transpile;

/// Removes these attributes from an ES module.
pub(crate) fn without_types_of_data(url: &Url, emitted: EmittedCode) -> EmittedCode {
    let may_have = emitted.code.contains("with") && ["yaml", "toml"].iter().any(|kind| emitted.code.contains(kind));
    if !may_have {
        return emitted;
    }
    // V8 reports a text that does not parse.
    match transpile::parse(url, MediaType::JavaScript, emitted.code.clone()) {
        Ok(parsed) => parsed.walk(|parsed| removed(url, &emitted, parsed)),
        Err(_) => emitted,
    }
}

fn removed(url: &Url, emitted: &EmittedCode, parsed: &ParsedSource) -> EmittedCode {
    let mut looking = AttributeVisitor {
        parsed,
        found: Vec::new(),
    };
    parsed.program_ref().visit_with(&mut looking);
    let mut edits = TextEdits::default();
    looking.found.into_iter().for_each(|range| edits.replace(range, ""));
    edits.apply_to(url, emitted)
}

struct AttributeVisitor<'a> {
    parsed: &'a ParsedSource,
    found: Vec<Range<usize>>,
}

impl AttributeVisitor<'_> {
    fn range(&self, node: &impl SourceRangedForSpanned) -> Range<usize> {
        node.range().as_byte_range(self.parsed.text_info_lazy().range().start)
    }

    /// Notes the attributes behind a specifier.
    fn look(&mut self, specifier: &Str, attributes: Option<&ObjectLit>) {
        if let Some(attributes) = attributes
            && names_its_kind(specifier, attributes)
        {
            self.found.push(self.range(specifier).end..self.range(attributes).end);
        }
    }
}

impl Visit for AttributeVisitor<'_> {
    fn visit_import_decl(&mut self, node: &ImportDecl) {
        self.look(&node.src, node.with.as_deref());
    }

    fn visit_named_export(&mut self, node: &NamedExport) {
        if let Some(specifier) = &node.src {
            self.look(specifier, node.with.as_deref());
        }
    }

    fn visit_export_all(&mut self, node: &ExportAll) {
        self.look(&node.src, node.with.as_deref());
    }

    fn visit_call_expr(&mut self, node: &CallExpr) {
        if let (Callee::Import(_), [specifier, options]) = (&node.callee, &*node.args)
            && let (Expr::Lit(Lit::Str(specifier)), Expr::Object(options)) = (&*specifier.expr, &*options.expr)
            && let Some(Expr::Object(attributes)) = property(options, "with")
            && names_its_kind(specifier, attributes)
        {
            self.found.push(self.range(specifier).end..self.range(options).end);
        }
        node.visit_children_with(self);
    }
}

fn names_its_kind(specifier: &Str, attributes: &ObjectLit) -> bool {
    let specifier = specifier.value.to_string_lossy();
    let extension = specifier.rsplit_once('.').map_or("", |(_, extension)| extension);
    match property(attributes, "type") {
        Some(Expr::Lit(Lit::Str(kind))) => match &*kind.value.to_string_lossy() {
            "yaml" => matches!(extension, "yaml" | "yml"),
            "toml" => extension == "toml",
            _ => false,
        },
        _ => false,
    }
}

fn property<'a>(object: &'a ObjectLit, name: &str) -> Option<&'a Expr> {
    object.props.iter().find_map(|property| match property {
        PropOrSpread::Prop(property) => match &**property {
            Prop::KeyValue(property) => match &property.key {
                PropName::Ident(key) => (&*key.sym == name).then_some(&*property.value),
                PropName::Str(key) => (key.value.to_string_lossy() == name).then_some(&*property.value),
                _ => None,
            },
            _ => None,
        },
        PropOrSpread::Spread(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use deno_core::url::Url;

    use super::without_types_of_data;
    use crate::source::emitted::EmittedCode;

    #[test]
    fn attributes_go_that_say_what_the_files_name_says() {
        let url = Url::parse("file:///p/a.js").unwrap();
        let told = |text: &str| {
            let emitted = EmittedCode {
                code: text.into(),
                source_map: None,
            };
            without_types_of_data(&url, emitted).code.to_string()
        };
        assert_eq!(
            told("import a from \"./a.yaml\" with { type: \"yaml\" };"),
            "import a from \"./a.yaml\";"
        );
        assert_eq!(
            told("export * from './a.toml' with\n{ 'type': 'toml' };x"),
            "export * from './a.toml'\n;x"
        );
        let dynamic = "await import(\"./a.yml\", { with: { type: \"yaml\" } })";
        assert_eq!(told(dynamic), "await import(\"./a.yml\")");
        for other in [
            "import a from \"./a.json\" with { type: \"json\" }; // yaml",
            "import a from \"./a.txt\" with { type: \"yaml\" };",
            "import(\"./a.toml\", { with: { type: \"yaml\" } }); import(name, { with: { type: \"yaml\" } })",
        ] {
            assert_eq!(told(other), other);
        }
    }
}
