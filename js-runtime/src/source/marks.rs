//! Marks in an ES module of the project at its top-level awaits: which one it has come to is known then, also while
//! something else goes on, which is when V8 does not say.
//!
//! `await value` becomes `await mark(url, n, value)`: its value is made before the mark, so an await within another comes
//! before it. Behind the module's end is a last mark.

use std::ops::Range;

use deno_ast::swc::ast::{ArrowExpr, AwaitExpr, ClassMember, ForOfStmt, Function, UsingDecl};
use deno_ast::swc::ecma_visit::{Visit, VisitWith as _};
use deno_ast::{MediaType, ModuleItemRef, ParsedSource, SourceRangedForSpanned};
use deno_core::url::Url;

use super::commonjs::Edits;
use super::transpile::{self, Emitted};

/// The number of the mark behind the end.
pub(crate) const DONE: i32 = -1;

/// The call that marks. Nobody is told where there is no prelude, as in worker threads.
const MARK: &str = "(globalThis[Symbol.for(\"baton:mark\")] ?? ((_url, _n, value) => value))";

/// Marks what a module was emitted as; the numbers are those of its awaits in the order of their beginnings.
pub(crate) fn mark(url: &Url, emitted: Emitted) -> Emitted {
    // What was emitted parses.
    match transpile::parse(url, MediaType::JavaScript, emitted.code.clone()) {
        Ok(parsed) => parsed.walk(|parsed| marked(url, &emitted, parsed)),
        Err(_) => emitted,
    }
}

fn marked(url: &Url, emitted: &Emitted, parsed: &ParsedSource) -> Emitted {
    let mut looking = Looking {
        parsed,
        awaited: Vec::new(),
    };
    for item in parsed.program_ref().body() {
        match item {
            ModuleItemRef::ModuleDecl(item) => item.visit_with(&mut looking),
            ModuleItemRef::Stmt(item) => item.visit_with(&mut looking),
        }
    }
    let mut awaited = looking.awaited;
    awaited.sort_by_key(|(begins, _)| *begins);
    let name = serde_json::Value::from(url.as_str());
    let mut edits = Edits::default();
    for (number, (_, values)) in awaited.into_iter().enumerate() {
        for value in values {
            edits.insert(value.start, format!("{MARK}({name}, {number}, "));
            edits.insert(value.end, ")");
        }
    }
    edits.insert(emitted.code.len(), format!("\n;{MARK}({name}, {DONE});\n"));
    let (code, source_map) = edits.apply(&emitted.code, emitted.source_map.as_deref());
    Emitted {
        code: code.into(),
        source_map: source_map.map(Into::into),
    }
}

struct Looking<'a> {
    parsed: &'a ParsedSource,
    /// The beginning of each, and what it waits for.
    awaited: Vec<(usize, Vec<Range<usize>>)>,
}

impl Looking<'_> {
    fn range(&self, node: &impl SourceRangedForSpanned) -> Range<usize> {
        node.range().as_byte_range(self.parsed.text_info_lazy().range().start)
    }
}

impl Visit for Looking<'_> {
    fn visit_await_expr(&mut self, node: &AwaitExpr) {
        let value = self.range(&node.arg);
        self.awaited.push((self.range(node).start, vec![value]));
        node.visit_children_with(self);
    }

    fn visit_for_of_stmt(&mut self, node: &ForOfStmt) {
        if node.is_await {
            let value = self.range(&node.right);
            self.awaited.push((self.range(node).start, vec![value]));
        }
        node.visit_children_with(self);
    }

    fn visit_using_decl(&mut self, node: &UsingDecl) {
        if node.is_await {
            let values = node.decls.iter().filter_map(|declarator| declarator.init.as_ref());
            let values = values.map(|init| self.range(init)).collect();
            self.awaited.push((self.range(node).start, values));
        }
        node.visit_children_with(self);
    }

    fn visit_function(&mut self, _: &Function) {}

    fn visit_arrow_expr(&mut self, _: &ArrowExpr) {}

    fn visit_class_member(&mut self, node: &ClassMember) {
        match node {
            ClassMember::Method(method) => method.key.visit_with(self),
            ClassMember::ClassProp(property) => property.key.visit_with(self),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use deno_core::url::Url;

    use super::{MARK, mark};
    use crate::source::transpile::Emitted;

    #[test]
    fn each_await_at_the_top_is_marked_with_its_number_and_so_is_the_end() {
        let url = Url::parse("file:///p/a.ts").unwrap();
        let text =
            "const a = await b(await c());\nfor await (const d of e){ await d; }\nconst f = async ()=>await g;\n";
        let emitted = Emitted {
            code: text.into(),
            source_map: None,
        };
        let marked = mark(&url, emitted)
            .code
            .replace(MARK, "M")
            .replace("\"file:///p/a.ts\"", "u");
        let expected = "const a = await M(u, 0, b(await M(u, 1, c())));\nfor await (const d of M(u, 2, e)){ await M(u, 3, d); }\n\
                        const f = async ()=>await g;\n\n;M(u, -1);\n";
        assert_eq!(marked, expected);
    }
}
