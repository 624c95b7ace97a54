//! The effects of a module, by its syntax tree: the code of others that it runs while it is evaluated, and what of
//! others that changes.
//!
//! A module may be evaluated out of its place where it changes nothing that another one can find, and finds nothing that
//! another one changes. Names tell nothing about that; where a value comes from does. What a call of a package gives
//! is that package's: code of packages is taken for code that gives a value and leaves nothing behind, where the value
//! is used. A call whose value nobody uses is there for what it changes. What functions of the project do is read in
//! them, where the evaluation calls them.
//!
//! Whatever cannot be told counts as a change of something global.

use std::collections::{BTreeMap, BTreeSet};

use deno_ast::swc::ast::{
    ArrayLit, ArrowExpr, AssignExpr, AssignTarget, BlockStmtOrExpr, CallExpr, Callee, Class, ClassDecl, ClassMember,
    Decl, DefaultDecl, ExportSpecifier, Expr, ExprOrSpread, ExprStmt, FnDecl, ForInStmt, ForOfStmt, Function,
    ImportSpecifier, Lit, MemberExpr, MemberProp, ModuleDecl, ModuleExportName, ModuleItem, NewExpr, ObjectLit,
    ObjectPatProp, OptChainBase, ParamOrTsParamProp, Pat, Program, Prop, PropName, PropOrSpread, SimpleAssignTarget,
    Stmt, TsModuleDecl, UnaryOp, UsingDecl, VarDecl,
};
use deno_ast::swc::ecma_visit::{Visit, VisitWith};
use deno_ast::{MediaType, ParsedSource};

use super::transpile::Parsed;

/// Something that a module imports.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Import {
    /// As it is written.
    pub(crate) specifier: String,
    /// The name of the export; [`WHOLE`] is the module itself.
    pub(crate) name: String,
}

/// A module as one value.
pub(crate) const WHOLE: &str = "*";

/// What some code runs and changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Effects {
    /// The global object, something built in, or something unknown is changed.
    pub(crate) globals: bool,
    /// The module waits, or loads another one: it is evaluated in its place.
    pub(crate) in_place: bool,
    /// Variables of the module are changed.
    pub(crate) own_state: bool,
    /// Something of an argument is called or changed.
    pub(crate) uses_arguments: bool,
    /// Imports of which something is changed.
    pub(crate) changes: BTreeSet<Import>,
    /// Imports that are called, or have something of theirs called or given to what is built in.
    pub(crate) calls: BTreeSet<Import>,
    /// Imports whose calls gave a value of which something is called.
    pub(crate) calls_results_of: BTreeSet<Import>,
    /// Imports that are given to what is imported, as an argument.
    pub(crate) gives: BTreeSet<Import>,
    /// Functions and classes of the module that are called.
    pub(crate) runs: BTreeSet<String>,
    /// Functions and classes of the module that are given to what is imported, as an argument.
    pub(crate) gives_code: BTreeSet<String>,
}

/// What an export of a module is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Export {
    /// What calls of these gave.
    Made(BTreeSet<Import>),
    /// A function or class of the module.
    Code(String),
    /// The export of another module.
    Same(Import),
    /// Another value.
    Value,
}

/// See the module's documentation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ModuleEffects {
    pub(crate) evaluation: Effects,
    /// Of functions and classes by their names, when they are called; those without a name are [`NAMELESS`].
    pub(crate) functions: BTreeMap<String, Effects>,
    pub(crate) exports: BTreeMap<String, Export>,
    /// Modules whose exports are exported too.
    pub(crate) exports_all_of: Vec<String>,
    /// Modules that are imported without a name.
    pub(crate) imported_for_effect: Vec<String>,
    /// Only an ES module can be evaluated on its own.
    pub(crate) is_script: bool,
}

/// All functions of a module that have no name of their own.
pub(crate) const NAMELESS: &str = "";

impl ModuleEffects {
    /// Of a module that cannot be read.
    pub(crate) fn unknown() -> Self {
        Self {
            evaluation: Effects {
                globals: true,
                ..Effects::default()
            },
            is_script: true,
            ..Self::default()
        }
    }

    pub(crate) fn of(parsed: &Parsed) -> Self {
        parsed.walk(effects)
    }
}

/// Tells whether files of this kind have a text whose effects can be told.
pub(crate) fn has_code(media_type: MediaType) -> bool {
    matches!(
        media_type,
        MediaType::TypeScript
            | MediaType::Mts
            | MediaType::Cts
            | MediaType::Tsx
            | MediaType::JavaScript
            | MediaType::Mjs
            | MediaType::Cjs
            | MediaType::Jsx
    )
}

fn effects(parsed: &ParsedSource) -> ModuleEffects {
    let mut reader = Reader {
        module: ModuleEffects {
            is_script: parsed.compute_is_script(),
            ..ModuleEffects::default()
        },
        ..Reader::default()
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

/// Where a value comes from; from the module itself if nothing is said.
#[derive(Debug, Clone, Default)]
struct Origin {
    /// These were called for it, or it is of one of these.
    imports: BTreeSet<Import>,
    /// Something global, or built in.
    is_global: bool,
    /// A variable of the module, seen from one of its functions.
    is_state: bool,
    /// An argument of a function.
    is_argument: bool,
    /// Functions or classes of the module.
    code: BTreeSet<String>,
    /// What a call gave.
    is_made: bool,
}

impl Origin {
    fn join(&mut self, other: Self) {
        self.imports.extend(other.imports);
        self.code.extend(other.code);
        self.is_global |= other.is_global;
        self.is_state |= other.is_state;
        self.is_argument |= other.is_argument;
        self.is_made |= other.is_made;
    }

    /// The specifier of a module, if this is all that it exports.
    fn whole_module(&self) -> Option<&str> {
        let only = self
            .imports
            .first()
            .filter(|_| self.imports.len() == 1 && !self.is_made)?;
        (only.name == WHOLE).then_some(&*only.specifier)
    }

    fn code(name: &str) -> Self {
        Self {
            code: [name.to_owned()].into(),
            ..Self::default()
        }
    }

    fn global() -> Self {
        Self {
            is_global: true,
            ..Self::default()
        }
    }
}

/// Whose code is read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Evaluation,
    /// A function of the module that is called by others, or never.
    Function(String),
    /// A function that the evaluation calls at once.
    Immediate,
}

#[derive(Default)]
struct Reader {
    module: ModuleEffects,
    place: Place,
    /// What the names of the module mean.
    names: BTreeMap<String, Origin>,
    /// What those of the functions mean that are being read, the innermost last.
    locals: Vec<BTreeMap<String, Origin>>,
    /// Exports of names of the module, by the names that they have outside.
    exported: Vec<(String, String)>,
}

impl Reader {
    fn note(&mut self, note: impl Fn(&mut Effects)) {
        match &self.place {
            Place::Evaluation => note(&mut self.module.evaluation),
            Place::Function(name) => note(self.module.functions.entry(name.clone()).or_default()),
            Place::Immediate => {
                note(&mut self.module.evaluation);
                note(self.module.functions.entry(NAMELESS.to_owned()).or_default());
            }
        }
    }

    fn finish(mut self) -> ModuleEffects {
        for (outside, name) in std::mem::take(&mut self.exported) {
            let origin = self.names.get(&name).cloned().unwrap_or_default();
            self.export(outside, origin);
        }
        self.module
    }

    fn export(&mut self, name: String, origin: Origin) {
        let is_code = origin.code.len() == 1 && origin.imports.is_empty();
        let export = match origin {
            Origin { code, .. } if is_code => code.into_iter().next().map_or(Export::Value, Export::Code),
            Origin {
                imports,
                is_global: false,
                code,
                is_made,
                ..
            } if !imports.is_empty() && code.is_empty() => match imports.first() {
                Some(import) if !is_made && imports.len() == 1 => Export::Same(import.clone()),
                _ if is_made => Export::Made(imports),
                _ => Export::Value,
            },
            _ => Export::Value,
        };
        self.module.exports.insert(name, export);
    }

    // Names.

    fn declare(&mut self, name: &str, origin: Origin) {
        let names = self.locals.last_mut().unwrap_or(&mut self.names);
        names.entry(name.to_owned()).or_default().join(origin);
    }

    /// Names may be used before the line that declares them.
    fn declare_ahead(&mut self, declared: &Decl) {
        match declared {
            Decl::Fn(function) => self.declare(&function.ident.sym, Origin::code(&function.ident.sym)),
            Decl::Class(class) => self.declare(&class.ident.sym, Origin::code(&class.ident.sym)),
            Decl::TsEnum(constants) => self.declare(&constants.id.sym, Origin::default()),
            Decl::Var(variables) if !variables.declare => {
                for name in variables.decls.iter().flat_map(|declared| names_in(&declared.name)) {
                    self.declare(&name, Origin::default());
                }
            }
            _ => {}
        }
    }

    fn declare_imports(&mut self, items: &[ModuleItem]) {
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

    fn meaning(&self, name: &str) -> Origin {
        if let Some(local) = self.locals.iter().rev().find_map(|names| names.get(name)) {
            return local.clone();
        }
        match self.names.get(name) {
            Some(known) => Origin {
                is_state: self.place != Place::Evaluation && known.code.is_empty() && !is_import(known),
                ..known.clone()
            },
            None if name == "undefined" || self.module.is_script && matches!(name, "module" | "exports") => {
                Origin::default()
            }
            None => Origin::global(),
        }
    }

    /// Gives the names of a pattern what they are taken from.
    fn bind(&mut self, pattern: &Pat, origin: &Origin) {
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

    fn key(&mut self, key: &PropName) {
        if let PropName::Computed(computed) = key {
            self.value(&computed.expr);
        }
    }

    // Code.

    fn item(&mut self, item: &ModuleItem) {
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

    fn export_name(&mut self, name: &str) {
        self.exported.push((name.to_owned(), name.to_owned()));
    }

    fn export_specifier(&mut self, exported: &ExportSpecifier, from_where: Option<&str>) {
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
                let same = Export::Same(Import {
                    specifier: specifier.to_owned(),
                    name: inside,
                });
                self.module.exports.insert(outside, same);
            }
            None => self.exported.push((outside, inside)),
        }
    }

    /// Reads a function, called or not, whose arguments come from somebody else.
    fn body<'a>(&mut self, place: Place, parameters: impl Iterator<Item = &'a Pat>, read: impl FnOnce(&mut Self)) {
        if let Place::Function(name) = &place {
            self.module.functions.entry(name.clone()).or_default();
        }
        let before = std::mem::replace(&mut self.place, place);
        self.locals.push(BTreeMap::new());
        let argument = Origin {
            is_argument: true,
            ..Origin::default()
        };
        parameters.for_each(|parameter| self.bind(parameter, &argument));
        read(self);
        self.locals.pop();
        self.place = before;
    }

    /// Where a function is that has this name.
    fn place_of(&self, name: &str) -> Place {
        match &self.place {
            Place::Evaluation => Place::Function(name.to_owned()),
            // What is in a function is of that function: it is called by it, or by nobody who is known.
            Place::Function(_) | Place::Immediate => self.place.clone(),
        }
    }

    fn function(&mut self, function: &Function, name: &str) -> Origin {
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

    fn arrow(&mut self, arrow: &ArrowExpr, name: &str) -> Origin {
        let place = self.place_of(name);
        self.body(place, arrow.params.iter(), |this| match &*arrow.body {
            BlockStmtOrExpr::BlockStmt(block) => block.visit_with(this),
            BlockStmtOrExpr::Expr(expression) => drop(this.value(expression)),
        });
        self.code_named(name)
    }

    /// A function of the module; one within another is read with it.
    fn code_named(&self, name: &str) -> Origin {
        match self.place {
            Place::Evaluation => Origin::code(name),
            Place::Function(_) | Place::Immediate => Origin::default(),
        }
    }

    fn class(&mut self, class: &Class, name: &str) -> Origin {
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
                // Evaluated with the class.
                other => other.visit_children_with(self),
            }
        }
        self.code_named(name)
    }

    // Values.

    fn value(&mut self, expression: &Expr) -> Origin {
        self.read(expression, true)
    }

    /// Reads an expression; `used` tells whether somebody wants its value.
    fn read(&mut self, expression: &Expr, used: bool) -> Origin {
        match expression {
            Expr::Ident(name) => self.meaning(&name.sym),
            Expr::Member(member) => {
                if let MemberProp::Computed(computed) = &member.prop {
                    self.value(&computed.expr);
                }
                if is_environment(member) {
                    return Origin::default();
                }
                let object = self.value(&member.obj);
                match (object.whole_module(), &member.prop) {
                    (Some(specifier), MemberProp::Ident(name)) => from(specifier, &name.sym),
                    _ => object,
                }
            }
            Expr::Paren(inner) => self.read(&inner.expr, used),
            Expr::TsAs(inner) => self.read(&inner.expr, used),
            Expr::TsNonNull(inner) => self.read(&inner.expr, used),
            Expr::TsSatisfies(inner) => self.read(&inner.expr, used),
            Expr::TsConstAssertion(inner) => self.read(&inner.expr, used),
            Expr::TsTypeAssertion(inner) => self.read(&inner.expr, used),
            Expr::TsInstantiation(inner) => self.read(&inner.expr, used),
            Expr::Call(call) => self.called(call, used),
            Expr::New(new) => self.made(new, used),
            Expr::TaggedTpl(template) => {
                let tag = self.value(&template.tag);
                let arguments: Vec<_> = template.tpl.exprs.iter().map(|value| self.value(value)).collect();
                self.call(&tag, &arguments, used)
            }
            Expr::OptChain(chain) => match &*chain.base {
                OptChainBase::Member(member) => self.value(&member.obj),
                OptChainBase::Call(call) => {
                    let callee = self.value(&call.callee);
                    self.call_with(&callee, &call.args, used)
                }
            },
            Expr::Await(waited) => {
                self.wait();
                self.read(&waited.arg, used)
            }
            Expr::Assign(assignment) => self.assign(assignment),
            Expr::Update(update) => {
                self.assign_to(&update.arg, &Origin::default());
                Origin::default()
            }
            Expr::Unary(unary) => {
                let origin = self.read(&unary.arg, used && unary.op != UnaryOp::Void);
                if unary.op == UnaryOp::Delete {
                    self.change(&origin);
                }
                Origin::default()
            }
            Expr::Bin(binary) => {
                let mut origin = self.value(&binary.left);
                origin.join(self.read(&binary.right, used));
                origin
            }
            Expr::Cond(condition) => {
                self.value(&condition.test);
                let mut origin = self.read(&condition.cons, used);
                origin.join(self.read(&condition.alt, used));
                origin
            }
            Expr::Seq(sequence) => {
                let Some((last, others)) = sequence.exprs.split_last() else {
                    return Origin::default();
                };
                others.iter().for_each(|other| drop(self.read(other, false)));
                self.read(last, used)
            }
            Expr::Array(ArrayLit { elems, .. }) => self.all(elems.iter().flatten()),
            Expr::Object(object) => self.object(object),
            Expr::Arrow(arrow) => self.arrow(arrow, NAMELESS),
            Expr::Fn(function) => self.function(&function.function, NAMELESS),
            Expr::Class(class) => self.class(&class.class, NAMELESS),
            other => {
                other.visit_children_with(self);
                Origin::default()
            }
        }
    }

    fn all<'a>(&mut self, values: impl Iterator<Item = &'a ExprOrSpread>) -> Origin {
        let mut all = Origin::default();
        values.for_each(|value| all.join(self.value(&value.expr)));
        all
    }

    fn object(&mut self, object: &ObjectLit) -> Origin {
        let mut all = Origin::default();
        for property in &object.props {
            let property = match property {
                PropOrSpread::Spread(spread) => {
                    all.join(self.value(&spread.expr));
                    continue;
                }
                PropOrSpread::Prop(property) => property,
            };
            match &**property {
                Prop::Shorthand(name) => all.join(self.meaning(&name.sym)),
                Prop::KeyValue(property) => {
                    self.key(&property.key);
                    all.join(self.value(&property.value));
                }
                Prop::Method(method) => {
                    self.key(&method.key);
                    all.join(self.function(&method.function, NAMELESS));
                }
                Prop::Getter(getter) => {
                    let place = self.place_of(NAMELESS);
                    self.body(place, [].into_iter(), |this| getter.body.visit_with(this));
                }
                Prop::Setter(setter) => {
                    let place = self.place_of(NAMELESS);
                    self.body(place, [&*setter.param].into_iter(), |this| setter.body.visit_with(this));
                }
                Prop::Assign(property) => all.join(self.value(&property.value)),
            }
        }
        all
    }

    fn assign(&mut self, assignment: &AssignExpr) -> Origin {
        let value = self.value(&assignment.right);
        match &assignment.left {
            AssignTarget::Simple(SimpleAssignTarget::Ident(name)) => {
                self.assign_to(&Expr::Ident(name.id.clone()), &value);
            }
            AssignTarget::Simple(SimpleAssignTarget::Member(member)) => {
                self.assign_to(&Expr::Member(member.clone()), &value);
            }
            // Patterns and the like are rare enough to be taken for the worst.
            AssignTarget::Simple(_) | AssignTarget::Pat(_) => self.note(|effects| effects.globals = true),
        }
        value
    }

    /// Notes a change of a variable, or of something that a value has.
    fn assign_to(&mut self, target: &Expr, value: &Origin) {
        let Expr::Ident(name) = target else {
            let target = self.value(target);
            return self.change(&target);
        };
        let name = &*name.sym;
        if let Some(local) = self.locals.iter_mut().rev().find_map(|names| names.get_mut(name)) {
            return local.join(value.clone());
        }
        match self.names.get_mut(name) {
            Some(own) => {
                own.join(value.clone());
                if self.place != Place::Evaluation {
                    self.note(|effects| effects.own_state = true);
                }
            }
            None => self.note(|effects| effects.globals = true),
        }
    }

    /// The module goes on later, if this is part of its evaluation.
    fn wait(&mut self) {
        if !matches!(self.place, Place::Function(_)) {
            self.note(|effects| effects.in_place = true);
        }
    }

    fn change(&mut self, of: &Origin) {
        self.note(|effects| {
            effects.uses_arguments |= of.is_argument;
            effects.changes.extend(of.imports.iter().cloned());
            effects.globals |= of.is_global;
            effects.own_state |= of.is_state;
        });
    }

    fn called(&mut self, call: &CallExpr, used: bool) -> Origin {
        let callee = match &call.callee {
            Callee::Expr(callee) => callee,
            Callee::Super(_) => return self.all(call.args.iter()),
            Callee::Import(_) => {
                self.wait();
                self.all(call.args.iter());
                return Origin::default();
            }
        };
        if let (Expr::Ident(name), Some(specifier)) = (&**callee, only_text(&call.args))
            && &*name.sym == "require"
        {
            return from(&specifier, WHOLE);
        }
        if let Some(origin) = self.called_at_once(callee, &call.args) {
            return origin;
        }
        if is_of_console(callee) {
            // Whoever evaluates the module sees what it says.
            self.note(|effects| effects.in_place = true);
            self.all(call.args.iter());
            return Origin::default();
        }
        let callee = self.value(callee);
        self.call_with(&callee, &call.args, used)
    }

    /// Reads a function that is called where it is written.
    fn called_at_once(&mut self, callee: &Expr, arguments: &[ExprOrSpread]) -> Option<Origin> {
        let callee = without_parentheses(callee);
        if !matches!(callee, Expr::Arrow(_) | Expr::Fn(_)) {
            return None;
        }
        let mut origin = self.all(arguments.iter());
        origin.join(self.run(callee));
        // What it returns is not followed.
        origin.is_global = true;
        Some(origin)
    }

    /// Reads a function that whoever is read calls, sooner or later.
    fn run(&mut self, function: &Expr) -> Origin {
        let before = self.place.clone();
        if before == Place::Evaluation {
            self.place = Place::Immediate;
        }
        let origin = self.value(function);
        self.place = before;
        origin
    }

    fn made(&mut self, new: &NewExpr, used: bool) -> Origin {
        let callee = self.value(&new.callee);
        self.call_with(&callee, new.args.as_deref().unwrap_or_default(), used)
    }

    fn call_with(&mut self, callee: &Origin, arguments: &[ExprOrSpread], used: bool) -> Origin {
        // A package keeps a function that it is given for value; anybody else may call it.
        let runs = callee.imports.is_empty() && callee.code.is_empty();
        let arguments: Vec<_> = arguments
            .iter()
            .map(|argument| match without_parentheses(&argument.expr) {
                function @ (Expr::Arrow(_) | Expr::Fn(_)) if runs => self.run(function),
                other => self.value(other),
            })
            .collect();
        self.call(callee, &arguments, used)
    }

    /// Notes a call, and tells where what it gives comes from.
    fn call(&mut self, callee: &Origin, arguments: &[Origin], used: bool) -> Origin {
        let mut given = Origin::default();
        arguments.iter().for_each(|argument| given.join(argument.clone()));
        let is_of_import = !callee.imports.is_empty();
        self.note(|effects| {
            let calls = if callee.is_made {
                &mut effects.calls_results_of
            } else {
                &mut effects.calls
            };
            calls.extend(callee.imports.iter().cloned());
            effects.runs.extend(callee.code.iter().cloned());
            effects.uses_arguments |= callee.is_argument;
            effects.own_state |= callee.is_state && !is_of_import;
            if !used {
                effects.changes.extend(callee.imports.iter().cloned());
                effects.own_state |= callee.is_state;
                effects.globals |= callee.is_global;
            }
            if is_of_import {
                effects.gives.extend(given.imports.iter().cloned());
                effects.gives_code.extend(given.code.iter().cloned());
            } else {
                // What is built in, or is the module's own, may change what it is given.
                effects.calls.extend(given.imports.iter().cloned());
                effects.runs.extend(given.code.iter().cloned());
                effects.own_state |= given.is_state;
                effects.globals |= given.is_global;
                effects.uses_arguments |= given.is_argument && callee.is_global;
            }
        });
        if is_of_import {
            return Origin {
                imports: callee.imports.clone(),
                is_made: true,
                ..Origin::default()
            };
        }
        let mut result = given;
        result.join(callee.clone());
        result.code = BTreeSet::new();
        result.is_global = false;
        result
    }
}

impl Visit for Reader {
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
                None => Origin::default(),
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
        self.each(&statement.left, &Origin::default());
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

impl Reader {
    fn each(&mut self, left: &deno_ast::swc::ast::ForHead, of: &Origin) {
        use deno_ast::swc::ast::ForHead;
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

fn from(specifier: &str, name: &str) -> Origin {
    let import = Import {
        specifier: specifier.to_owned(),
        name: name.to_owned(),
    };
    Origin {
        imports: [import].into(),
        ..Origin::default()
    }
}

/// Tells whether a name means an import itself.
fn is_import(origin: &Origin) -> bool {
    !origin.imports.is_empty() && !origin.is_made
}

fn text_of(name: &ModuleExportName) -> String {
    match name {
        ModuleExportName::Ident(name) => name.sym.to_string(),
        ModuleExportName::Str(name) => name.value.to_string_lossy().into_owned(),
    }
}

fn without_parentheses(expression: &Expr) -> &Expr {
    let mut inner = expression;
    while let Expr::Paren(paren) = inner {
        inner = &paren.expr;
    }
    inner
}

/// The argument of a call that has one alone, which is a text.
fn only_text(arguments: &[ExprOrSpread]) -> Option<String> {
    match arguments {
        [ExprOrSpread { spread: None, expr }] => match &**expr {
            Expr::Lit(Lit::Str(text)) => Some(text.value.to_string_lossy().into_owned()),
            _ => None,
        },
        _ => None,
    }
}

/// Tells whether this is `process.env`: its values are texts, and what is written to it is compared by whoever evaluates a module.
fn is_environment(member: &MemberExpr) -> bool {
    matches!((&*member.obj, &member.prop), (Expr::Ident(object), MemberProp::Ident(name))
        if &*object.sym == "process" && &*name.sym == "env")
}

fn is_of_console(callee: &Expr) -> bool {
    matches!(callee, Expr::Member(member) if matches!(&*member.obj, Expr::Ident(object) if &*object.sym == "console"))
}

/// The names that a pattern declares.
fn names_in(pattern: &Pat) -> Vec<String> {
    match pattern {
        Pat::Ident(name) => vec![name.id.sym.to_string()],
        Pat::Array(array) => array.elems.iter().flatten().flat_map(names_in).collect(),
        Pat::Rest(rest) => names_in(&rest.arg),
        Pat::Assign(assign) => names_in(&assign.left),
        Pat::Object(object) => {
            let names = object.props.iter().flat_map(|property| match property {
                ObjectPatProp::KeyValue(property) => names_in(&property.value),
                ObjectPatProp::Assign(property) => vec![property.key.id.sym.to_string()],
                ObjectPatProp::Rest(rest) => names_in(&rest.arg),
            });
            names.collect()
        }
        Pat::Expr(_) | Pat::Invalid(_) => Vec::new(),
    }
}
