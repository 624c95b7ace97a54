//! The names of a module and of its functions, and their meanings.

use deno_ast::swc::ast::{Decl, ForHead, ImportSpecifier, ModuleDecl, ModuleItem, ObjectPatProp, Pat, PropName};
use deno_ast::swc::ecma_visit::Visit as _;

use super::WHOLE;
use super::origin::{ValueOrigin, from, is_import};
use super::reader::{CodeOwner, EffectsReader};
use super::syntax::{names_in, text_of};

impl EffectsReader {
    pub(super) fn declare(&mut self, name: &str, origin: ValueOrigin) {
        let names = self.locals.last_mut().unwrap_or(&mut self.names);
        names.entry(name.to_owned()).or_default().join(origin);
    }

    /// Declares names ahead: they may be used before the line that declares them.
    pub(super) fn declare_ahead(&mut self, declared: &Decl) {
        match declared {
            Decl::Fn(function) => self.declare(&function.ident.sym, ValueOrigin::code(&function.ident.sym)),
            Decl::Class(class) => self.declare(&class.ident.sym, ValueOrigin::code(&class.ident.sym)),
            Decl::TsEnum(constants) => self.declare(&constants.id.sym, ValueOrigin::default()),
            Decl::Var(variables) if !variables.declare => {
                for name in variables.decls.iter().flat_map(|declared| names_in(&declared.name)) {
                    self.declare(&name, ValueOrigin::default());
                }
            }
            _ => {}
        }
    }

    pub(super) fn declare_imports(&mut self, items: &[ModuleItem]) {
        for item in items {
            let ModuleItem::ModuleDecl(ModuleDecl::Import(import)) = item else {
                continue;
            };
            let specifier = import.src.value.to_string_lossy().into_owned();
            if import.specifiers.is_empty() && !import.type_only {
                self.module.imported_for_effect.push(specifier.clone());
            }
            for imported in &import.specifiers {
                let (local, name) = match imported {
                    ImportSpecifier::Named(named) => {
                        let name = named
                            .imported
                            .as_ref()
                            .map_or_else(|| named.local.sym.to_string(), text_of);
                        (&named.local, name)
                    }
                    ImportSpecifier::Default(default) => (&default.local, "default".to_owned()),
                    ImportSpecifier::Namespace(namespace) => (&namespace.local, WHOLE.to_owned()),
                };
                let origin = from(&specifier, &name);
                self.names.insert(local.sym.to_string(), origin);
            }
        }
    }

    pub(super) fn meaning(&self, name: &str) -> ValueOrigin {
        if let Some(local) = self.locals.iter().rev().find_map(|names| names.get(name)) {
            return local.clone();
        }
        match self.names.get(name) {
            Some(known) => ValueOrigin {
                is_state: self.place != CodeOwner::Evaluation && known.code.is_empty() && !is_import(known),
                ..known.clone()
            },
            None if name == "undefined" || self.module.is_script && matches!(name, "module" | "exports") => {
                ValueOrigin::default()
            }
            None => ValueOrigin::global(),
        }
    }

    /// Gives the names of a pattern the origin of the value that they are taken from.
    pub(super) fn bind(&mut self, pattern: &Pat, origin: &ValueOrigin) {
        match pattern {
            Pat::Ident(name) => self.declare(&name.id.sym, origin.clone()),
            Pat::Array(array) => array
                .elems
                .iter()
                .flatten()
                .for_each(|pattern| self.bind(pattern, origin)),
            Pat::Rest(rest) => self.bind(&rest.arg, origin),
            Pat::Object(object) => {
                for property in &object.props {
                    match property {
                        ObjectPatProp::KeyValue(property) => {
                            self.key(&property.key);
                            self.bind(&property.value, origin);
                        }
                        ObjectPatProp::Assign(property) => {
                            let mut origin = origin.clone();
                            if let Some(value) = &property.value {
                                origin.join(self.value(value));
                            }
                            self.declare(&property.key.id.sym, origin);
                        }
                        ObjectPatProp::Rest(rest) => self.bind(&rest.arg, origin),
                    }
                }
            }
            Pat::Assign(assign) => {
                let mut origin = origin.clone();
                origin.join(self.value(&assign.right));
                self.bind(&assign.left, &origin);
            }
            Pat::Expr(target) => {
                let target = self.value(target);
                self.change(&target);
            }
            Pat::Invalid(_) => {}
        }
    }

    pub(super) fn key(&mut self, key: &PropName) {
        if let PropName::Computed(computed) = key {
            self.value(&computed.expr);
        }
    }

    pub(super) fn each(&mut self, left: &ForHead, of: &ValueOrigin) {
        match left {
            ForHead::VarDecl(variables) => {
                variables
                    .decls
                    .iter()
                    .for_each(|declared| self.bind(&declared.name, of));
            }
            ForHead::Pat(pattern) => self.bind(pattern, of),
            ForHead::UsingDecl(declared) => self.visit_using_decl(declared),
        }
    }
}
