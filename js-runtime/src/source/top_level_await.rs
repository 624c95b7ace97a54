//! The places at which a module waits while it is evaluated, by its syntax.

use std::ops::Range;

use deno_ast::swc::ast::{ArrowExpr, AwaitExpr, ClassMember, ForOfStmt, Function, ModuleDecl, UsingDecl};
use deno_ast::swc::ecma_visit::{Visit, VisitWith};
use deno_ast::{MediaType, ParsedSource, SourceRangedForSpanned};
use deno_core::url::Url;

use super::transpile::{self, ParsedText};

/// An `await` outside of functions, also that of `for await` and `await using`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TopLevelAwait {
    pub(crate) offset: usize,
    /// The expressions whose values it waits for.
    pub(super) values: Vec<Range<usize>>,
    /// Tells whether the awaited value is exported, so that the modules that import it want it.
    pub(crate) is_exported: bool,
}

/// Returns the places, in their order; none where the text cannot be parsed.
pub(crate) fn waits(url: &Url, text: &str) -> Vec<TopLevelAwait> {
    // Most texts have none.
    let parsed = text.contains("await").then(|| parse(url, text)).flatten();
    parsed.map(|parsed| parsed.walk(waits_in)).unwrap_or_default()
}

pub(super) fn waits_in(parsed: &ParsedSource) -> Vec<TopLevelAwait> {
    let mut looking = AwaitVisitor {
        parsed,
        exported: None,
        waits: Vec::new(),
    };
    for item in parsed.program_ref().body() {
        match item {
            deno_ast::ModuleItemRef::ModuleDecl(item) => item.visit_with(&mut looking),
            deno_ast::ModuleItemRef::Stmt(item) => item.visit_with(&mut looking),
        }
    }
    looking.waits.sort_by_key(|wait| wait.offset);
    looking.waits
}

fn parse(url: &Url, text: &str) -> Option<ParsedText> {
    transpile::parse(url, MediaType::from_specifier(url), text.into()).ok()
}

struct AwaitVisitor<'a> {
    parsed: &'a ParsedSource,
    /// The exported declaration that is being read.
    exported: Option<Range<usize>>,
    waits: Vec<TopLevelAwait>,
}

impl AwaitVisitor<'_> {
    fn range(&self, node: &impl SourceRangedForSpanned) -> Range<usize> {
        node.range().as_byte_range(self.parsed.text_info_lazy().range().start)
    }

    fn note(&mut self, node: &impl SourceRangedForSpanned, values: Vec<Range<usize>>) {
        let offset = self.range(node).start;
        let is_exported = self.exported.as_ref().is_some_and(|range| range.contains(&offset));
        self.waits.push(TopLevelAwait {
            offset,
            values,
            is_exported,
        });
    }
}

impl Visit for AwaitVisitor<'_> {
    fn visit_await_expr(&mut self, node: &AwaitExpr) {
        let value = self.range(&node.arg);
        self.note(node, vec![value]);
        node.visit_children_with(self);
    }

    fn visit_for_of_stmt(&mut self, node: &ForOfStmt) {
        if node.is_await {
            let value = self.range(&node.right);
            self.note(node, vec![value]);
        }
        node.visit_children_with(self);
    }

    fn visit_using_decl(&mut self, node: &UsingDecl) {
        if node.is_await {
            let values = node.decls.iter().filter_map(|declarator| declarator.init.as_ref());
            let values = values.map(|init| self.range(init)).collect();
            self.note(node, values);
        }
        node.visit_children_with(self);
    }

    fn visit_module_decl(&mut self, node: &ModuleDecl) {
        let exports = matches!(
            node,
            ModuleDecl::ExportDecl(_) | ModuleDecl::ExportDefaultExpr(_) | ModuleDecl::ExportDefaultDecl(_)
        );
        self.exported = exports.then(|| self.range(node));
        node.visit_children_with(self);
        self.exported = None;
    }

    // Bodies of functions wait when they are called.
    fn visit_function(&mut self, _: &Function) {}

    fn visit_arrow_expr(&mut self, _: &ArrowExpr) {}

    fn visit_class_member(&mut self, node: &ClassMember) {
        match node {
            // Only the static members of a class, and computed names, are evaluated with it; and these cannot wait
            // but in a name.
            ClassMember::Method(method) => method.key.visit_with(self),
            ClassMember::ClassProp(property) => property.key.visit_with(self),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use deno_core::url::Url;

    use super::waits;

    fn told(text: &str) -> Vec<(&str, bool)> {
        let url = Url::parse("file:///p/db.ts").unwrap();
        let of_line = |offset: usize| text[offset..].split(['\n', ';']).next().unwrap();
        waits(&url, text)
            .into_iter()
            .map(|wait| (of_line(wait.offset), wait.is_exported))
            .collect()
    }

    #[test]
    fn only_what_is_evaluated_with_the_module_waits() {
        let text = r#"/**
* await doSomeAction().catch(rethrow)
 */
// await nothing
const text = `
await in a text`;
const later = async () => await f();
async function g() {
await f();
}
class A { async m() { await f() } static async s() { await f() } p = async () => await f() }
const o = { async m() { await f() } };
"#;
        assert_eq!(told(text), []);
        let text = "  await first();
export const db: Db = await second<Db>();
if (text) { await third(`${await fourth()}`) }
for await (const x of fifth()) {}
await using x = sixth();
class B { [await seventh()]() {} }
export default await eighth();
const { a = await ninth() } = await tenth();
";
        let found: Vec<_> = told(text);
        let names = [
            "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth",
        ];
        assert_eq!(found.len(), names.len(), "{found:?}");
        for ((found, is_exported), name) in found.iter().zip(names) {
            assert!(found.contains(name), "{found} {name}");
            assert_eq!(*is_exported, matches!(name, "second" | "eighth"), "{name}");
        }
    }
}
