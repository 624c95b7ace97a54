//! CommonJS of ES modules, as TypeScript makes it where a project's settings say so. Each import is a `require` where
//! it stands. Each export is a property of `exports` from the start, undefined until its declaration is evaluated. An
//! importer of a name looks at that property each time.
//!
//! It is made of the transpiler's output, by edits that leave each line where it is. Beyond TypeScript, a default
//! import of a module without a default is the module's `exports` whatever `esModuleInterop` says.

mod equals;
mod export_names;
mod facts;
mod text_edits;

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::ops::Range;

use deno_ast::swc::ast::{
    AssignExpr, AssignPatProp, AssignTarget, BreakStmt, CallExpr, Callee, ClassDecl, ContinueStmt, Decl, DefaultDecl,
    ExportDefaultDecl, ExportDefaultExpr, ExportSpecifier, Expr, FnDecl, Ident, ImportDecl, ImportSpecifier,
    LabeledStmt, ModuleDecl, ModuleExportName, ModuleItem, NamedExport, OptCall, Pat, Program, Prop,
    SimpleAssignTarget, Stmt, TaggedTpl, UpdateExpr, VarDecl, VarDeclarator,
};
use deno_ast::swc::common::SyntaxContext;
use deno_ast::swc::ecma_visit::{Visit, VisitWith as _};
use deno_ast::{MediaType, ParsedSource, SourceRangedForSpanned};
use deno_core::url::Url;
use js_runtime_api::LoadError;

pub(super) use self::equals::{prepare, wants_preparation};
pub(crate) use self::export_names::{Names, names};
pub(crate) use self::facts::Facts;
pub(crate) use self::text_edits::TextEdits;
use super::emitted::EmittedCode;
use super::transpile;

/// The beginning of the code of a compiled ES module.
const MARK: &str = "\"use strict\"; Object.defineProperty(exports, \"__esModule\", { value: true });";

/// The beginning of the code of a module whose `exports` are assigned as a whole.
const ASSIGNED: &str = "\"use strict\";";

const IMPORT_DEFAULT: &str = "var __importDefault = function (mod) { return mod && mod.__esModule ? mod : \
    mod != null && mod[Symbol.toStringTag] === \"Module\" && \"default\" in mod ? mod : { default: mod }; };";

/// The same helper where `esModuleInterop` is off: a property of this name is the default.
const IMPORT_OWN_DEFAULT: &str = "var __importDefault = function (mod) { return mod != null && \
    (mod.__esModule || \"default\" in Object(mod)) ? mod : { default: mod }; };";

const IMPORT_STAR: &str = "var __importStar = function (mod) { \
    if (mod != null && (mod.__esModule || mod[Symbol.toStringTag] === \"Module\")) return mod; \
    var result = {}; \
    if (mod != null) for (const key of Object.getOwnPropertyNames(mod)) if (key !== \"default\") \
    Object.defineProperty(result, key, { enumerable: true, get: function () { return mod[key]; } }); \
    Object.defineProperty(result, \"default\", { enumerable: true, value: mod }); return result; };";

const EXPORT_STAR: &str = "var __exportStar = function (mod, exports) { \
    for (const key in mod) if (key !== \"default\" && !Object.prototype.hasOwnProperty.call(exports, key)) \
    Object.defineProperty(exports, key, { enumerable: true, get: function () { return mod[key]; } }); };";

/// The settings of a module that decide its form.
#[derive(Debug, Clone, Copy)]
pub(super) struct FormSettings {
    /// The setting `esModuleInterop`.
    pub(super) interop: bool,
    /// Tells whether the module has `export =`.
    pub(super) assigns_exports: bool,
}

/// Makes CommonJS of the code that was emitted for an ES module.
///
/// # Errors
/// When what was emitted cannot be parsed.
pub(super) fn convert(url: &Url, emitted: &EmittedCode, settings: FormSettings) -> Result<EmittedCode, LoadError> {
    let parsed = transpile::parse(url, MediaType::JavaScript, emitted.code.clone())?.with_scopes();
    Ok(parsed.walk(|parsed| convert_parsed(parsed, emitted, settings)))
}

fn convert_parsed(parsed: &ParsedSource, emitted: &EmittedCode, settings: FormSettings) -> EmittedCode {
    let program = parsed.program();
    let body: Vec<ModuleItem> = match &*program {
        Program::Module(module) => module.body.clone(),
        Program::Script(script) => script.body.iter().cloned().map(ModuleItem::Stmt).collect(),
    };
    let mut converting = Conversion::new(parsed, settings, &body);
    for item in &body {
        converting.item(item);
    }
    let head = converting.head(&body);
    let text = &*emitted.code;
    let begins = text
        .starts_with("#!")
        .then(|| text.find('\n').map_or(text.len(), |at| at + 1));
    converting.edits.insert(begins.unwrap_or(0), head);
    let (code, source_map) = converting.edits.apply(text, emitted.source_map.as_deref());
    EmittedCode {
        code: code.into(),
        source_map: source_map.map(Into::into),
    }
}

struct Conversion<'a> {
    parsed: &'a ParsedSource,
    top_level: SyntaxContext,
    settings: FormSettings,
    edits: TextEdits,
    /// The expressions by which imported names are read.
    imported: HashMap<String, String>,
    /// The variables that are declared where they are exported: these are properties of `exports` and nothing else.
    direct: HashSet<String>,
    /// The names as which declarations are exported, by the declarations' own names.
    exported: HashMap<String, Vec<String>>,
    /// The number of modules that are required so far.
    modules: usize,
    /// The beginning of the names of the variables that hold the modules.
    prefix: String,
    uses_default: bool,
    uses_star: bool,
    uses_export_star: bool,
}

impl<'a> Conversion<'a> {
    fn new(parsed: &'a ParsedSource, settings: FormSettings, body: &[ModuleItem]) -> Self {
        let mut prefix = "module_".to_owned();
        while parsed.text().contains(&prefix) {
            prefix.push('_');
        }
        let mut new = Self {
            parsed,
            top_level: parsed.top_level_context(),
            settings,
            edits: TextEdits::default(),
            imported: HashMap::new(),
            direct: HashSet::new(),
            exported: HashMap::new(),
            modules: 0,
            prefix,
            uses_default: false,
            uses_star: false,
            uses_export_star: false,
        };
        new.collect(body);
        new
    }

    /// Notes the imports and exports, before anything is changed.
    fn collect(&mut self, body: &[ModuleItem]) {
        let mut modules = 0;
        for item in body {
            match item {
                ModuleItem::ModuleDecl(ModuleDecl::Import(import)) if !import.specifiers.is_empty() => {
                    modules += 1;
                    self.collect_import(import, modules);
                }
                ModuleItem::ModuleDecl(ModuleDecl::ExportNamed(export)) if export.src.is_none() => {
                    for (local, name) in local_exports(export) {
                        self.exported.entry(local).or_default().push(name);
                    }
                }
                ModuleItem::ModuleDecl(ModuleDecl::ExportNamed(_)) => modules += 1,
                ModuleItem::ModuleDecl(ModuleDecl::ExportDecl(export)) => match &export.decl {
                    Decl::Var(var) => self.direct.extend(names_of(var)),
                    Decl::Fn(FnDecl { ident, .. }) | Decl::Class(ClassDecl { ident, .. }) => {
                        let name = ident.sym.to_string();
                        self.exported.entry(name.clone()).or_default().push(name);
                    }
                    _ => {}
                },
                ModuleItem::ModuleDecl(ModuleDecl::ExportDefaultDecl(export)) => {
                    let name = match &export.decl {
                        DefaultDecl::Class(class) => class.ident.as_ref(),
                        DefaultDecl::Fn(function) => function.ident.as_ref(),
                        DefaultDecl::TsInterfaceDecl(_) => continue,
                    };
                    let name = name.map_or(DEFAULT, |name| &name.sym).to_owned();
                    self.exported.entry(name).or_default().push("default".to_owned());
                }
                _ => {}
            }
        }
    }

    fn collect_import(&mut self, import: &ImportDecl, number: usize) {
        let module = format!("{}{number}", self.prefix);
        for specifier in &import.specifiers {
            let (local, read) = match specifier {
                ImportSpecifier::Named(named) => {
                    let name = named
                        .imported
                        .as_ref()
                        .map_or_else(|| named.local.sym.to_string(), name_of);
                    let read = if name == "default" {
                        format!("{module}_default.default")
                    } else {
                        property(&module, &name)
                    };
                    (&named.local, read)
                }
                ImportSpecifier::Default(default) => (&default.local, format!("{module}_default.default")),
                // A constant of its own.
                ImportSpecifier::Namespace(_) => continue,
            };
            self.imported.insert(local.sym.to_string(), read);
        }
    }

    /// Returns the beginning of the code: the exports, undefined as yet, and functions, which are there from the
    /// start.
    fn head(&self, body: &[ModuleItem]) -> String {
        let mut head = if self.settings.assigns_exports { ASSIGNED } else { MARK }.to_owned();
        for (is_used, helper) in [
            (
                self.uses_default,
                match self.settings.interop {
                    true => IMPORT_DEFAULT,
                    false => IMPORT_OWN_DEFAULT,
                },
            ),
            (self.uses_star, IMPORT_STAR),
            (self.uses_export_star, EXPORT_STAR),
        ] {
            if is_used {
                head.push(' ');
                head.push_str(helper);
            }
        }
        let mut names: Vec<&String> = self.exported.values().flatten().chain(&self.direct).collect();
        let again: Vec<String> = body.iter().flat_map(exported_again).collect();
        names.extend(&again);
        names.sort_unstable();
        names.dedup();
        for name in names.into_iter().filter(|name| *name != "default") {
            let _ = write!(head, " {} = void 0;", property("exports", name));
        }
        for function in body.iter().filter_map(declared_function) {
            head.push_str(&self.assignments(&function, &function));
        }
        head.push(' ');
        head
    }

    /// Returns ` exports.a = read;` for each name as which a declaration is exported.
    fn assignments(&self, local: &str, read: &str) -> String {
        let names = self.exported.get(local).into_iter().flatten();
        names.fold(String::new(), |mut all, name| {
            let _ = write!(all, " {} = {read};", property("exports", name));
            all
        })
    }

    fn range(&self, node: &impl SourceRangedForSpanned) -> Range<usize> {
        node.range().as_byte_range(self.parsed.text_info_lazy().range().start)
    }

    fn next_module(&mut self) -> String {
        self.modules += 1;
        format!("{}{}", self.prefix, self.modules)
    }

    fn star(&mut self, module: &str) -> String {
        if self.settings.interop {
            self.uses_star = true;
            format!("__importStar({module})")
        } else {
            module.to_owned()
        }
    }

    fn item(&mut self, item: &ModuleItem) {
        match item {
            ModuleItem::ModuleDecl(declaration) => self.declaration(declaration),
            ModuleItem::Stmt(statement) => {
                statement.visit_with(self);
                let behind = match statement {
                    Stmt::Decl(Decl::Var(var)) => names_of(var)
                        .iter()
                        .map(|name| self.assignments(name, name))
                        .collect::<String>(),
                    Stmt::Decl(Decl::Class(class)) => self.assignments(&class.ident.sym, &class.ident.sym),
                    _ => return,
                };
                self.edits.insert(self.range(statement).end, behind);
            }
        }
    }

    fn declaration(&mut self, declaration: &ModuleDecl) {
        let range = self.range(declaration);
        match declaration {
            ModuleDecl::Import(import) => {
                let text = self.import(import);
                self.edits.replace(range, text);
            }
            ModuleDecl::ExportAll(export) => {
                self.uses_export_star = true;
                let text = format!(
                    "__exportStar({}, exports);",
                    required(&export.src.value.to_string_lossy())
                );
                self.edits.replace(range, text);
            }
            ModuleDecl::ExportNamed(export) => {
                let text = self.export(export);
                self.edits.replace(range, text);
            }
            ModuleDecl::ExportDecl(export) => match &export.decl {
                Decl::Var(var) => self.variables(range, var),
                Decl::Class(class) => {
                    self.edits
                        .replace(range.start..self.range(&class.class).start, String::new());
                    class.visit_with(self);
                    let behind = self.assignments(&class.ident.sym, &class.ident.sym);
                    self.edits.insert(range.end, behind);
                }
                other => {
                    self.edits.replace(range.start..self.range(other).start, String::new());
                    other.visit_with(self);
                }
            },
            ModuleDecl::ExportDefaultDecl(export) => self.default_declaration(range, export),
            ModuleDecl::ExportDefaultExpr(ExportDefaultExpr { expr, .. }) => {
                // The parentheses around it are no part of the expression.
                let text = &self.parsed.text()[range.clone()];
                let begins = text
                    .find("default")
                    .map_or(range.start, |at| range.start + at + "default".len());
                self.edits.replace(range.start..begins, "exports.default =");
                expr.visit_with(self);
            }
            ModuleDecl::TsImportEquals(_) | ModuleDecl::TsExportAssignment(_) | ModuleDecl::TsNamespaceExport(_) => {}
        }
    }

    fn import(&mut self, import: &ImportDecl) -> String {
        let specifier = import.src.value.to_string_lossy();
        let (is_equals, specifier) = match specifier.strip_prefix(equals::REQUIRE) {
            Some(specifier) => (true, specifier),
            None => (false, &*specifier),
        };
        let required = required(specifier);
        if import.specifiers.is_empty() {
            return format!("{required};");
        }
        let module = self.next_module();
        let mut text = format!("const {module} = {required}");
        let mut exports = String::new();
        let mut takes_default = false;
        for specifier in &import.specifiers {
            let local = &specifier.local().sym;
            if let ImportSpecifier::Namespace(_) = specifier {
                let star = if is_equals { module.clone() } else { self.star(&module) };
                let _ = write!(text, ", {local} = {star}");
                exports.push_str(&self.assignments(local, local));
                continue;
            }
            let read = self.imported.get(&**local).cloned().unwrap_or_default();
            takes_default |= read.ends_with("_default.default");
            for name in self.exported.get(&**local).into_iter().flatten() {
                exports.push_str(&getter(name, &read));
            }
        }
        if takes_default {
            self.uses_default = true;
            let _ = write!(text, ", {module}_default = __importDefault({module})");
        }
        format!("{text};{exports}")
    }

    fn export(&mut self, export: &NamedExport) -> String {
        let Some(source) = &export.src else {
            return String::new();
        };
        let required = required(&source.value.to_string_lossy());
        if export.specifiers.is_empty() {
            return format!("{required};");
        }
        let module = self.next_module();
        let mut text = format!("const {module} = {required};");
        for specifier in &export.specifiers {
            match specifier {
                ExportSpecifier::Namespace(namespace) => {
                    let star = self.star(&module);
                    let _ = write!(text, " {} = {star};", property("exports", &name_of(&namespace.name)));
                }
                ExportSpecifier::Named(named) => {
                    let original = name_of(&named.orig);
                    let name = named.exported.as_ref().map_or_else(|| original.clone(), name_of);
                    let read = if original == "default" {
                        self.uses_default = true;
                        format!("__importDefault({module}).default")
                    } else {
                        property(&module, &original)
                    };
                    text.push_str(&getter(&name, &read));
                }
                // No emitted code has this proposal.
                ExportSpecifier::Default(_) => {}
            }
        }
        text
    }

    /// Edits `export const a = 1, b = () => {};` into properties, and functions that keep their names.
    fn variables(&mut self, range: Range<usize>, var: &VarDecl) {
        let mut before = range.start;
        for (index, declarator) in var.decls.iter().enumerate() {
            let place = self.range(declarator);
            let separator = if index == 0 { "" } else { "; " };
            self.edits.replace(before..place.start, separator);
            self.variable(&place, declarator);
            before = place.end;
        }
        let names = names_of(var);
        let behind = names
            .iter()
            .map(|name| self.assignments(name, &property("exports", name)));
        let behind = behind.collect::<String>();
        let text = &self.parsed.text()[range.clone()];
        let end = if text.ends_with(';') { "" } else { ";" };
        self.edits.insert(range.end, format!("{end}{behind}"));
    }

    fn variable(&mut self, place: &Range<usize>, declarator: &VarDeclarator) {
        match (&declarator.name, declarator.init.as_deref()) {
            (Pat::Ident(_), None) => self.edits.replace(place.clone(), "void 0"),
            (Pat::Ident(name), Some(init @ (Expr::Arrow(_) | Expr::Fn(_) | Expr::Class(_)))) => {
                let name = &name.id.sym;
                self.edits.insert(place.start, "const ");
                init.visit_with(self);
                let behind = format!("; {} = {name}", property("exports", name));
                self.edits.insert(place.end, behind);
            }
            (Pat::Ident(_), Some(_)) => declarator.visit_with(self),
            _ => {
                self.edits.insert(place.start, "(");
                declarator.visit_with(self);
                self.edits.insert(place.end, ")");
            }
        }
    }

    fn default_declaration(&mut self, range: Range<usize>, export: &ExportDefaultDecl) {
        let text = self.parsed.text().clone();
        let text = &text[range.clone()];
        let begins = text.find("default").map_or(0, |at| at + "default".len());
        let begins = begins + text[begins..].len() - text[begins..].trim_start().len();
        self.edits.replace(range.start..range.start + begins, String::new());
        match &export.decl {
            DefaultDecl::Fn(function) => {
                if function.ident.is_none()
                    && let Some(at) = text[begins..].find('(')
                {
                    self.edits.insert(range.start + begins + at, format!(" {DEFAULT}"));
                }
                function.function.visit_with(self);
            }
            DefaultDecl::Class(class) => {
                if class.ident.is_none() {
                    self.edits
                        .insert(range.start + begins + "class".len(), format!(" {DEFAULT}"));
                }
                class.class.visit_with(self);
                let name = class.ident.as_ref().map_or(DEFAULT, |name| &name.sym);
                let behind = self.assignments(name, name);
                self.edits.insert(range.end, behind);
            }
            DefaultDecl::TsInterfaceDecl(_) => {}
        }
    }

    /// Returns the expression by which a name of the module's top is read, unless that is the name.
    fn read(&self, name: &Ident) -> Option<String> {
        if name.ctxt != self.top_level {
            return None;
        }
        let direct = || self.direct.contains(&*name.sym).then(|| property("exports", &name.sym));
        self.imported.get(&*name.sym).cloned().or_else(direct)
    }

    /// Edits a callee so that it is not called as a method; tells whether it was edited.
    fn callee(&mut self, callee: &Expr) -> bool {
        let Some(name) = callee.as_ident() else {
            return false;
        };
        let Some(read) = self.read(name) else {
            return false;
        };
        self.edits.replace(self.range(name), format!("(0, {read})"));
        true
    }

    /// Returns the names as which the declaration of this name is exported.
    fn exports_of(&self, name: &Ident) -> Vec<String> {
        if name.ctxt != self.top_level {
            return Vec::new();
        }
        self.exported.get(&*name.sym).cloned().unwrap_or_default()
    }
}

/// The name of a default export that has none.
const DEFAULT: &str = "default_1";

impl Visit for Conversion<'_> {
    fn visit_ident(&mut self, name: &Ident) {
        if let Some(read) = self.read(name) {
            self.edits.replace(self.range(name), read);
        }
    }

    fn visit_prop(&mut self, property: &Prop) {
        match property {
            Prop::Shorthand(name) => {
                if let Some(read) = self.read(name) {
                    self.edits.replace(self.range(name), format!("{}: {read}", name.sym));
                }
            }
            other => other.visit_children_with(self),
        }
    }

    fn visit_assign_pat_prop(&mut self, property: &AssignPatProp) {
        if let Some(read) = self.read(&property.key.id) {
            let text = format!("{}: {read}", property.key.id.sym);
            self.edits.replace(self.range(&property.key.id), text);
        }
        property.value.visit_with(self);
    }

    fn visit_call_expr(&mut self, call: &CallExpr) {
        match &call.callee {
            Callee::Expr(callee) if self.callee(callee) => {}
            callee => callee.visit_with(self),
        }
        call.args.visit_with(self);
    }

    fn visit_opt_call(&mut self, call: &OptCall) {
        if !self.callee(&call.callee) {
            call.callee.visit_with(self);
        }
        call.args.visit_with(self);
    }

    fn visit_tagged_tpl(&mut self, tagged: &TaggedTpl) {
        if !self.callee(&tagged.tag) {
            tagged.tag.visit_with(self);
        }
        tagged.tpl.visit_with(self);
    }

    fn visit_assign_expr(&mut self, assign: &AssignExpr) {
        let range = self.range(assign);
        match &assign.left {
            AssignTarget::Simple(SimpleAssignTarget::Ident(name)) => {
                for name in self.exports_of(&name.id) {
                    self.edits
                        .insert(range.start, format!("{} = ", property("exports", &name)));
                }
                assign.visit_children_with(self);
            }
            AssignTarget::Simple(_) => assign.visit_children_with(self),
            AssignTarget::Pat(pattern) => {
                let mut names = Variables::default();
                pattern.visit_with(&mut names);
                let exported: String = names
                    .0
                    .iter()
                    .flat_map(|name| self.exports_of(name).into_iter().map(move |export| (name, export)))
                    .map(|(name, export)| format!(", {} = {}", property("exports", &export), name.sym))
                    .collect();
                if exported.is_empty() {
                    return assign.visit_children_with(self);
                }
                self.edits.insert(range.start, "[");
                assign.visit_children_with(self);
                self.edits.insert(range.end, format!("{exported}][0]"));
            }
        }
    }

    fn visit_update_expr(&mut self, update: &UpdateExpr) {
        let exported = update
            .arg
            .as_ident()
            .map(|name| self.exports_of(name))
            .unwrap_or_default();
        let Some(name) = update.arg.as_ident().filter(|_| !exported.is_empty()) else {
            return update.visit_children_with(self);
        };
        let read = self.read(name).unwrap_or_else(|| name.sym.to_string());
        let range = self.range(update);
        self.edits.insert(range.start, "[");
        update.visit_children_with(self);
        let assigned = exported.iter().fold(String::new(), |mut all, export| {
            let _ = write!(all, ", {} = {read}", property("exports", export));
            all
        });
        self.edits.insert(range.end, format!("{assigned}][0]"));
    }

    // Labels are no variables.

    fn visit_labeled_stmt(&mut self, labeled: &LabeledStmt) {
        labeled.body.visit_with(self);
    }

    fn visit_break_stmt(&mut self, _: &BreakStmt) {}

    fn visit_continue_stmt(&mut self, _: &ContinueStmt) {}
}

/// Collects the variables in a pattern.
#[derive(Default)]
struct Variables(Vec<Ident>);

impl Visit for Variables {
    fn visit_binding_ident(&mut self, name: &deno_ast::swc::ast::BindingIdent) {
        self.0.push(name.id.clone());
    }

    fn visit_expr(&mut self, _: &Expr) {}
}

fn names_of(var: &VarDecl) -> Vec<String> {
    let mut names = Variables::default();
    for declarator in &var.decls {
        declarator.name.visit_with(&mut names);
    }
    names.0.into_iter().map(|name| name.sym.to_string()).collect()
}

/// Returns `(a, b)` for `export { a as b }`.
fn local_exports(export: &NamedExport) -> Vec<(String, String)> {
    let named = export.specifiers.iter().filter_map(ExportSpecifier::as_named);
    named
        .map(|named| {
            let local = name_of(&named.orig);
            let name = named.exported.as_ref().map_or_else(|| local.clone(), name_of);
            (local, name)
        })
        .collect()
}

/// Returns the names that a declaration exports of another module.
fn exported_again(item: &ModuleItem) -> Vec<String> {
    let ModuleItem::ModuleDecl(ModuleDecl::ExportNamed(export)) = item else {
        return Vec::new();
    };
    let specifiers = export.specifiers.iter().filter(|_| export.src.is_some());
    specifiers
        .filter_map(|specifier| match specifier {
            ExportSpecifier::Namespace(namespace) => Some(name_of(&namespace.name)),
            ExportSpecifier::Named(named) => Some(name_of(named.exported.as_ref().unwrap_or(&named.orig))),
            ExportSpecifier::Default(_) => None,
        })
        .collect()
}

/// Returns the name of the function that an item declares.
fn declared_function(item: &ModuleItem) -> Option<String> {
    let declared = |declaration: &Decl| declaration.as_fn_decl().map(|function| function.ident.sym.to_string());
    match item {
        ModuleItem::Stmt(Stmt::Decl(declaration)) => declared(declaration),
        ModuleItem::ModuleDecl(ModuleDecl::ExportDecl(export)) => declared(&export.decl),
        ModuleItem::ModuleDecl(ModuleDecl::ExportDefaultDecl(export)) => match &export.decl {
            DefaultDecl::Fn(function) => Some(function.ident.as_ref().map_or(DEFAULT, |name| &name.sym).to_owned()),
            _ => None,
        },
        _ => None,
    }
}

fn name_of(name: &ModuleExportName) -> String {
    match name {
        ModuleExportName::Ident(name) => name.sym.to_string(),
        ModuleExportName::Str(name) => name.value.to_string_lossy().into_owned(),
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn required(specifier: &str) -> String {
    format!("require({})", quoted(specifier))
}

fn property(object: &str, name: &str) -> String {
    let is_start = |first: char| first.is_alphabetic() || matches!(first, '_' | '$');
    let is_plain = name.starts_with(is_start)
        && name
            .chars()
            .all(|character| character.is_alphanumeric() || matches!(character, '_' | '$'));
    if is_plain {
        format!("{object}.{name}")
    } else {
        format!("{object}[{}]", quoted(name))
    }
}

/// Returns ` Object.defineProperty(…)` for an export of another module.
fn getter(name: &str, read: &str) -> String {
    let name = quoted(name);
    format!(" Object.defineProperty(exports, {name}, {{ enumerable: true, get: function () {{ return {read}; }} }});")
}

#[cfg(test)]
mod tests;
