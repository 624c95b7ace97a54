//! Reads the syntax tree of a module: its items, functions and classes.

use std::collections::BTreeMap;

use deno_ast::ParsedSource;
use deno_ast::swc::ast::{
    ArrowExpr, BlockStmtOrExpr, Class, ClassDecl, ClassMember, Decl, DefaultDecl, ExportSpecifier, Expr, ExprStmt,
    FnDecl, ForInStmt, ForOfStmt, Function, ModuleDecl, ModuleItem, ParamOrTsParamProp, Pat, Program, Stmt,
    TsModuleDecl, UsingDecl, VarDecl,
};
use deno_ast::swc::ecma_visit::{Visit, VisitWith as _};

use super::origin::ValueOrigin;
use super::syntax::{names_in, text_of, without_parentheses};
use super::{Effects, ExportOrigin, ImportedName, ModuleEffects, NAMELESS, WHOLE};

pub(super) fn effects(parsed: &ParsedSource) -> ModuleEffects {
    let mut reader = EffectsReader {
        module: ModuleEffects {
            is_script: parsed.compute_is_script(),
            ..ModuleEffects::default()
        },
        ..EffectsReader::default()
    };
    let program = parsed.program();
    match &*program {
        Program::Module(module) => {
            reader.declare_imports(&module.body);
            for item in &module.body {
                match item {
                    ModuleItem::Stmt(Stmt::Decl(declared)) => reader.declare_ahead(declared),
                    ModuleItem::ModuleDecl(ModuleDecl::ExportDecl(export)) => reader.declare_ahead(&export.decl),
                    _ => {}
                }
            }
            module.body.iter().for_each(|item| reader.item(item));
        }
        Program::Script(script) => {
            for statement in &script.body {
                if let Stmt::Decl(declared) = statement {
                    reader.declare_ahead(declared);
                }
            }
            script.body.visit_with(&mut reader);
        }
    }
    reader.finish()
}

/// The owner of the code that is read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum CodeOwner {
    #[default]
    Evaluation,
    /// A function of the module that is called by others, or never.
    Function(String),
    /// A function that the evaluation calls at once.
    Immediate,
}

#[derive(Default)]
pub(super) struct EffectsReader {
    pub(super) module: ModuleEffects,
    pub(super) place: CodeOwner,
    /// The origins of the module's names.
    pub(super) names: BTreeMap<String, ValueOrigin>,
    /// The origins of the names in the functions that are being read, the innermost last.
    pub(super) locals: Vec<BTreeMap<String, ValueOrigin>>,
    /// Exports of names of the module, by the names that they have outside.
    pub(super) exported: Vec<(String, String)>,
}

impl EffectsReader {
    pub(super) fn note(&mut self, note: impl Fn(&mut Effects)) {
        match &self.place {
            CodeOwner::Evaluation => note(&mut self.module.evaluation),
            CodeOwner::Function(name) => note(self.module.functions.entry(name.clone()).or_default()),
            CodeOwner::Immediate => {
                note(&mut self.module.evaluation);
                note(self.module.functions.entry(NAMELESS.to_owned()).or_default());
            }
        }
    }

    pub(super) fn finish(mut self) -> ModuleEffects {
        for (outside, name) in std::mem::take(&mut self.exported) {
            let origin = self.names.get(&name).cloned().unwrap_or_default();
            self.export(outside, origin);
        }
        self.module
    }

    pub(super) fn export(&mut self, name: String, origin: ValueOrigin) {
        let is_code = origin.code.len() == 1 && origin.imports.is_empty();
        let export = match origin {
            ValueOrigin { code, .. } if is_code => {
                code.into_iter().next().map_or(ExportOrigin::Value, ExportOrigin::Code)
            }
            ValueOrigin {
                imports,
                is_global: false,
                code,
                is_made,
                ..
            } if !imports.is_empty() && code.is_empty() => match imports.first() {
                Some(import) if !is_made && imports.len() == 1 => ExportOrigin::Same(import.clone()),
                _ if is_made => ExportOrigin::Made(imports),
                _ => ExportOrigin::Value,
            },
            _ => ExportOrigin::Value,
        };
        self.module.exports.insert(name, export);
    }

    pub(super) fn item(&mut self, item: &ModuleItem) {
        let ModuleItem::ModuleDecl(declaration) = item else {
            return item.visit_with(self);
        };
        match declaration {
            ModuleDecl::Import(_) => {}
            ModuleDecl::ExportDecl(export) => {
                match &export.decl {
                    Decl::Class(class) => self.export_name(&class.ident.sym),
                    Decl::Fn(function) => self.export_name(&function.ident.sym),
                    Decl::Var(variables) => {
                        let names = variables.decls.iter().flat_map(|declared| names_in(&declared.name));
                        names.for_each(|name| self.export_name(&name));
                    }
                    _ => {}
                }
                export.decl.visit_with(self);
            }
            ModuleDecl::ExportNamed(export) => {
                let from_where = export
                    .src
                    .as_ref()
                    .map(|source| source.value.to_string_lossy().into_owned());
                for exported in &export.specifiers {
                    self.export_specifier(exported, from_where.as_deref());
                }
            }
            ModuleDecl::ExportAll(export) => {
                self.module
                    .exports_all_of
                    .push(export.src.value.to_string_lossy().into_owned());
            }
            ModuleDecl::ExportDefaultDecl(export) => {
                let origin = match &export.decl {
                    DefaultDecl::Class(class) => {
                        let name = class.ident.as_ref().map_or("default", |name| &name.sym);
                        self.class(&class.class, name)
                    }
                    DefaultDecl::Fn(function) => {
                        let name = function.ident.as_ref().map_or("default", |name| &name.sym);
                        self.function(&function.function, name)
                    }
                    DefaultDecl::TsInterfaceDecl(_) => return,
                };
                self.export("default".to_owned(), origin);
            }
            ModuleDecl::ExportDefaultExpr(export) => {
                let origin = self.value(&export.expr);
                self.export("default".to_owned(), origin);
            }
            ModuleDecl::TsImportEquals(_) | ModuleDecl::TsExportAssignment(_) | ModuleDecl::TsNamespaceExport(_) => {
                self.note(|effects| effects.in_place = true);
            }
        }
    }

    pub(super) fn export_name(&mut self, name: &str) {
        self.exported.push((name.to_owned(), name.to_owned()));
    }

    pub(super) fn export_specifier(&mut self, exported: &ExportSpecifier, from_where: Option<&str>) {
        let (outside, inside) = match exported {
            ExportSpecifier::Namespace(namespace) => (text_of(&namespace.name), WHOLE.to_owned()),
            ExportSpecifier::Default(default) => (default.exported.sym.to_string(), "default".to_owned()),
            ExportSpecifier::Named(named) => {
                let inside = text_of(&named.orig);
                (named.exported.as_ref().map_or_else(|| inside.clone(), text_of), inside)
            }
        };
        match from_where {
            Some(specifier) => {
                let same = ExportOrigin::Same(ImportedName {
                    specifier: specifier.to_owned(),
                    name: inside,
                });
                self.module.exports.insert(outside, same);
            }
            None => self.exported.push((outside, inside)),
        }
    }

    /// Reads a function, called or not, whose arguments come from somebody else.
    pub(super) fn body<'a>(
        &mut self,
        place: CodeOwner,
        parameters: impl Iterator<Item = &'a Pat>,
        read: impl FnOnce(&mut Self),
    ) {
        if let CodeOwner::Function(name) = &place {
            self.module.functions.entry(name.clone()).or_default();
        }
        let before = std::mem::replace(&mut self.place, place);
        self.locals.push(BTreeMap::new());
        let argument = ValueOrigin {
            is_argument: true,
            ..ValueOrigin::default()
        };
        parameters.for_each(|parameter| self.bind(parameter, &argument));
        read(self);
        self.locals.pop();
        self.place = before;
    }

    /// Returns the place of a function that has this name.
    pub(super) fn place_of(&self, name: &str) -> CodeOwner {
        match &self.place {
            CodeOwner::Evaluation => CodeOwner::Function(name.to_owned()),
            // A function within a function belongs to the outer one: that calls it, or no known code does.
            CodeOwner::Function(_) | CodeOwner::Immediate => self.place.clone(),
        }
    }

    pub(super) fn function(&mut self, function: &Function, name: &str) -> ValueOrigin {
        if !function.decorators.is_empty() {
            self.note(|effects| effects.globals = true);
        }
        if function.body.is_some() {
            let place = self.place_of(name);
            let parameters = function.params.iter().map(|parameter| &parameter.pat);
            self.body(place, parameters, |this| function.body.visit_with(this));
        }
        self.code_named(name)
    }

    pub(super) fn arrow(&mut self, arrow: &ArrowExpr, name: &str) -> ValueOrigin {
        let place = self.place_of(name);
        self.body(place, arrow.params.iter(), |this| match &*arrow.body {
            BlockStmtOrExpr::BlockStmt(block) => block.visit_with(this),
            BlockStmtOrExpr::Expr(expression) => drop(this.value(expression)),
        });
        self.code_named(name)
    }

    /// Returns the origin for a function of the module; a function within another is read with it.
    pub(super) fn code_named(&self, name: &str) -> ValueOrigin {
        match self.place {
            CodeOwner::Evaluation => ValueOrigin::code(name),
            CodeOwner::Function(_) | CodeOwner::Immediate => ValueOrigin::default(),
        }
    }

    pub(super) fn class(&mut self, class: &Class, name: &str) -> ValueOrigin {
        let methods = class.body.iter().filter_map(|member| member.as_method());
        if !class.decorators.is_empty() || methods.into_iter().any(|method| !method.function.decorators.is_empty()) {
            self.note(|effects| effects.globals = true);
        }
        let above = class.super_class.as_ref().map(|above| self.value(above));
        let place = self.place_of(name);
        self.body(place.clone(), [].into_iter(), |this| {
            if let Some(above) = above {
                this.call(&above, &[], true);
            }
        });
        for member in &class.body {
            match member {
                ClassMember::Constructor(constructor) => {
                    let parameters = constructor.params.iter().filter_map(|parameter| match parameter {
                        ParamOrTsParamProp::Param(parameter) => Some(&parameter.pat),
                        ParamOrTsParamProp::TsParamProp(_) => None,
                    });
                    self.body(place.clone(), parameters, |this| constructor.body.visit_with(this));
                }
                ClassMember::Method(method) => {
                    self.key(&method.key);
                    let parameters = method.function.params.iter().map(|parameter| &parameter.pat);
                    self.body(place.clone(), parameters, |this| method.function.body.visit_with(this));
                }
                ClassMember::PrivateMethod(method) => {
                    let parameters = method.function.params.iter().map(|parameter| &parameter.pat);
                    self.body(place.clone(), parameters, |this| method.function.body.visit_with(this));
                }
                ClassMember::ClassProp(property) if !property.is_static => {
                    self.key(&property.key);
                    self.body(place.clone(), [].into_iter(), |this| property.value.visit_with(this));
                }
                ClassMember::PrivateProp(property) if !property.is_static => {
                    self.body(place.clone(), [].into_iter(), |this| property.value.visit_with(this));
                }
                // Other members are evaluated with the class.
                other => other.visit_children_with(self),
            }
        }
        self.code_named(name)
    }
}

impl Visit for EffectsReader {
    fn visit_expr(&mut self, expression: &Expr) {
        self.value(expression);
    }

    fn visit_expr_stmt(&mut self, statement: &ExprStmt) {
        self.read(&statement.expr, false);
    }

    fn visit_var_decl(&mut self, variables: &VarDecl) {
        if variables.declare {
            return;
        }
        for declared in &variables.decls {
            let name = declared.name.as_ident().map(|name| name.id.sym.to_string());
            let name = name.as_deref().unwrap_or(NAMELESS);
            let origin = match declared.init.as_deref().map(without_parentheses) {
                Some(Expr::Arrow(arrow)) => self.arrow(arrow, name),
                Some(Expr::Fn(function)) => self.function(&function.function, name),
                Some(Expr::Class(class)) => self.class(&class.class, name),
                Some(value) => self.value(value),
                None => ValueOrigin::default(),
            };
            self.bind(&declared.name, &origin);
        }
    }

    fn visit_fn_decl(&mut self, declared: &FnDecl) {
        let name = &*declared.ident.sym;
        let origin = self.function(&declared.function, name);
        self.declare(name, origin);
    }

    fn visit_class_decl(&mut self, declared: &ClassDecl) {
        let name = &*declared.ident.sym;
        let origin = self.class(&declared.class, name);
        self.declare(name, origin);
    }

    fn visit_for_of_stmt(&mut self, statement: &ForOfStmt) {
        let of = self.value(&statement.right);
        self.each(&statement.left, &of);
        if statement.is_await {
            self.wait();
        }
        statement.body.visit_with(self);
    }

    fn visit_for_in_stmt(&mut self, statement: &ForInStmt) {
        self.value(&statement.right);
        self.each(&statement.left, &ValueOrigin::default());
        statement.body.visit_with(self);
    }

    fn visit_using_decl(&mut self, declared: &UsingDecl) {
        self.note(|effects| effects.in_place = true);
        declared.visit_children_with(self);
    }

    fn visit_ts_module_decl(&mut self, module: &TsModuleDecl) {
        if !module.declare {
            self.note(|effects| effects.in_place = true);
            module.visit_children_with(self);
        }
    }
}
