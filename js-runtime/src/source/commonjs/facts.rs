//! Facts about a module that decide whether it can be CommonJS.

use deno_ast::ParsedSource;
use deno_ast::swc::ast::{
    ArrowExpr, AwaitExpr, BindingIdent, CallExpr, Callee, ClassDecl, ClassMember, FnDecl, ForOfStmt, Function,
    ImportDecl, ImportSpecifier, MetaPropExpr, MetaPropKind, ModuleDecl, ModuleItem, ObjectLit, Program, Prop,
    PropOrSpread, TsModuleRef, UsingDecl,
};
use deno_ast::swc::ecma_visit::{Visit, VisitWith as _};

/// Names that a CommonJS module is given.
const GIVEN: [&str; 5] = ["exports", "require", "module", "__filename", "__dirname"];

/// The facts that the module's documentation describes.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Facts {
    /// Tells whether the module has imports or exports of an ES module.
    pub(crate) is_module: bool,
    /// Tells whether the module waits while it is evaluated.
    pub(crate) waits: bool,
    /// Tells whether the module uses something that only ES modules have, or declares a name that a CommonJS module
    /// is given.
    pub(crate) is_es_only: bool,
    /// The specifiers of its import declarations, but for those of types.
    pub(crate) imports: Vec<String>,
}

impl Facts {
    pub(crate) fn of(parsed: &ParsedSource) -> Self {
        let mut facts = Self::default();
        let mut looking = FactsVisitor {
            facts: &mut facts,
            depth: 0,
        };
        match &*parsed.program() {
            Program::Module(module) => {
                for item in &module.body {
                    if let ModuleItem::ModuleDecl(declaration) = item {
                        looking.note(declaration);
                    }
                }
                module.visit_with(&mut looking);
            }
            Program::Script(script) => script.visit_with(&mut looking),
        }
        facts
    }
}

struct FactsVisitor<'a> {
    facts: &'a mut Facts,
    /// The number of functions around the place that is being read.
    depth: usize,
}

impl FactsVisitor<'_> {
    fn note(&mut self, declaration: &ModuleDecl) {
        let specifier = match declaration {
            ModuleDecl::Import(import) => {
                self.facts.is_module = true;
                (!is_of_types(import)).then_some(&import.src)
            }
            ModuleDecl::ExportAll(export) => {
                self.facts.is_module = true;
                (!export.type_only).then_some(&export.src)
            }
            ModuleDecl::ExportNamed(export) => {
                self.facts.is_module = true;
                export.src.as_ref().filter(|_| !export.type_only)
            }
            ModuleDecl::TsImportEquals(import) if !import.is_type_only => match &import.module_ref {
                TsModuleRef::TsExternalModuleRef(module) => {
                    self.facts
                        .imports
                        .push(module.expr.value.to_string_lossy().into_owned());
                    None
                }
                TsModuleRef::TsEntityName(_) => None,
            },
            ModuleDecl::TsImportEquals(_) | ModuleDecl::TsExportAssignment(_) | ModuleDecl::TsNamespaceExport(_) => {
                None
            }
            ModuleDecl::ExportDecl(_) | ModuleDecl::ExportDefaultDecl(_) | ModuleDecl::ExportDefaultExpr(_) => {
                self.facts.is_module = true;
                None
            }
        };
        self.facts
            .imports
            .extend(specifier.map(|specifier| specifier.value.to_string_lossy().into_owned()));
    }

    fn declares(&mut self, name: &str) {
        self.facts.is_es_only |= GIVEN.contains(&name);
    }

    fn wait(&mut self) {
        self.facts.waits |= self.depth == 0;
    }

    fn inside(&mut self, visit: impl FnOnce(&mut Self)) {
        self.depth += 1;
        visit(self);
        self.depth -= 1;
    }
}

fn is_of_types(import: &ImportDecl) -> bool {
    let is_type =
        |specifier: &ImportSpecifier| matches!(specifier, ImportSpecifier::Named(named) if named.is_type_only);
    import.type_only || !import.specifiers.is_empty() && import.specifiers.iter().all(is_type)
}

/// Tells whether attributes say more than that the module is JSON, which `require` knows by itself.
fn says_more_than_json(attributes: &ObjectLit) -> bool {
    attributes.props.iter().any(|property| {
        let value = match property {
            PropOrSpread::Prop(property) => match &**property {
                Prop::KeyValue(pair) => pair.value.as_lit().and_then(|literal| literal.as_str()),
                _ => None,
            },
            PropOrSpread::Spread(_) => None,
        };
        value.is_none_or(|value| value.value.as_str() != Some("json"))
    })
}

impl Visit for FactsVisitor<'_> {
    fn visit_import_decl(&mut self, import: &ImportDecl) {
        self.facts.is_es_only |= import.with.as_deref().is_some_and(says_more_than_json);
        import.visit_children_with(self);
    }

    fn visit_meta_prop_expr(&mut self, meta: &MetaPropExpr) {
        self.facts.is_es_only |= meta.kind == MetaPropKind::ImportMeta;
    }

    fn visit_binding_ident(&mut self, name: &BindingIdent) {
        self.declares(&name.id.sym);
    }

    fn visit_fn_decl(&mut self, declaration: &FnDecl) {
        self.declares(&declaration.ident.sym);
        declaration.visit_children_with(self);
    }

    fn visit_class_decl(&mut self, declaration: &ClassDecl) {
        self.declares(&declaration.ident.sym);
        declaration.visit_children_with(self);
    }

    fn visit_import_specifier(&mut self, specifier: &ImportSpecifier) {
        let local = match specifier {
            ImportSpecifier::Named(named) => &named.local,
            ImportSpecifier::Default(default) => &default.local,
            ImportSpecifier::Namespace(namespace) => &namespace.local,
        };
        self.declares(&local.sym);
    }

    fn visit_call_expr(&mut self, call: &CallExpr) {
        // `eval` would see other names than it was written for.
        if let Callee::Expr(callee) = &call.callee {
            self.facts.is_es_only |= callee.as_ident().is_some_and(|name| name.sym == *"eval");
        }
        call.visit_children_with(self);
    }

    fn visit_await_expr(&mut self, node: &AwaitExpr) {
        self.wait();
        node.visit_children_with(self);
    }

    fn visit_for_of_stmt(&mut self, node: &ForOfStmt) {
        if node.is_await {
            self.wait();
        }
        node.visit_children_with(self);
    }

    fn visit_using_decl(&mut self, node: &UsingDecl) {
        if node.is_await {
            self.wait();
        }
        node.visit_children_with(self);
    }

    // Bodies of functions wait when they are called.
    fn visit_function(&mut self, node: &Function) {
        self.inside(|looking| node.visit_children_with(looking));
    }

    fn visit_arrow_expr(&mut self, node: &ArrowExpr) {
        self.inside(|looking| node.visit_children_with(looking));
    }

    fn visit_class_member(&mut self, node: &ClassMember) {
        match node {
            // A computed name is evaluated with the class.
            ClassMember::Method(method) => {
                method.key.visit_with(self);
                method.function.visit_with(self);
            }
            ClassMember::ClassProp(property) => {
                property.key.visit_with(self);
                self.inside(|looking| property.value.visit_with(looking));
            }
            _ => self.inside(|looking| node.visit_children_with(looking)),
        }
    }
}

#[cfg(test)]
mod tests {
    use deno_ast::MediaType;
    use deno_core::url::Url;

    use super::Facts;
    use crate::source::transpile;

    fn facts(text: &str) -> Facts {
        let url = Url::parse("file:///p/a.ts").unwrap();
        transpile::parse(&url, MediaType::TypeScript, text.into())
            .unwrap()
            .walk(Facts::of)
    }

    #[test]
    fn what_only_an_es_module_can_do_is_seen() {
        for text in [
            "export const a = import.meta.url;",
            "const require = createRequire(x); export {};",
            "import { a as module } from 'a';",
            "export const f = (exports: any) => 1;",
            "import a from './a.sql' with { type: 'text' };",
            "export const a = eval('b');",
        ] {
            assert!(facts(text).is_es_only, "{text}");
        }
        for text in [
            "export const a = require('b'); module.exports.c = exports;",
            "import a from './a.json' with { type: 'json' }; a.require = 1;",
            "export const a = { module: 1 }.module;",
        ] {
            assert!(!facts(text).is_es_only, "{text}");
        }
    }

    #[test]
    fn only_what_a_module_does_at_once_waits() {
        for text in [
            "await a;",
            "export const a = { b: await c };",
            "for await (const a of b) {}",
            "class A { [await b]() {} }",
            "if (a) { await using b = c; }",
        ] {
            assert!(facts(text).waits, "{text}");
        }
        for text in [
            "async () => await a;",
            "class A { async b() { await c; } d = async () => await e; }",
            "async function a() { for await (const b of c) {} }",
        ] {
            assert!(!facts(text).waits, "{text}");
        }
    }

    #[test]
    fn imports_of_values_are_listed() {
        let text = "import a from 'a'; import type B from 'b'; import { type C } from 'c'; import 'd';
            export * from 'e'; export { f } from 'f'; export type { G } from 'g'; import h = require('h'); import('i');";
        assert_eq!(facts(text).imports, ["a", "d", "e", "f", "h"]);
        assert!(facts(text).is_module && !facts("const a = require('a');").is_module);
    }
}
