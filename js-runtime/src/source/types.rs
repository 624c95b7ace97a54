//! The names that a module exports, by its text: the types, which evaluated modules do not have, and the values.

use deno_ast::swc::ast::{Decl, ExportSpecifier, ModuleDecl, ModuleExportName, ModuleItem, Program};
use deno_ast::{MediaType, ParsedSource};
use deno_core::url::Url;

use super::transpile;

/// The answer of a module's text about a name that it does not export as a value.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NonValueExport {
    Type,
    /// One of these modules may export it, given by their specifiers, under this name.
    Elsewhere(Vec<(String, String)>),
}

/// Looks for a type that is exported under a name.
pub(crate) fn export_of(url: &Url, text: &str, name: &str) -> NonValueExport {
    match transpile::parse(url, MediaType::from_specifier(url), text.into()) {
        Ok(parsed) => parsed.walk(|parsed| export_in(parsed, name)),
        Err(_) => NonValueExport::Elsewhere(Vec::new()),
    }
}

fn export_in(parsed: &ParsedSource, name: &str) -> NonValueExport {
    let program = parsed.program();
    let Program::Module(module) = &*program else {
        return NonValueExport::Elsewhere(Vec::new());
    };
    let declared: Vec<&Decl> = module.body.iter().filter_map(declaration).collect();
    let mut elsewhere = Vec::new();
    for item in &module.body {
        let ModuleItem::ModuleDecl(item) = item else {
            continue;
        };
        match item {
            ModuleDecl::ExportDecl(export) if type_name(&export.decl) == Some(name) => return NonValueExport::Type,
            ModuleDecl::ExportAll(export) => {
                elsewhere.push((export.src.value.to_string_lossy().into_owned(), name.to_owned()));
            }
            ModuleDecl::ExportNamed(export) => {
                let named = export.specifiers.iter().filter_map(ExportSpecifier::as_named);
                for named in named {
                    let original = text_of(&named.orig);
                    if named.exported.as_ref().map_or_else(|| original.clone(), text_of) != name {
                        continue;
                    }
                    let is_type = |decl: &&Decl| type_name(decl) == Some(&original);
                    if export.type_only || named.is_type_only || declared.iter().any(is_type) {
                        return NonValueExport::Type;
                    }
                    match &export.src {
                        Some(source) => elsewhere.push((source.value.to_string_lossy().into_owned(), original)),
                        None => elsewhere.extend(imported(&module.body, &original)),
                    }
                }
            }
            _ => {}
        }
    }
    NonValueExport::Elsewhere(elsewhere)
}

/// Returns the names of the values that a module exports itself, in their order.
pub(crate) fn values_of(url: &Url, text: &str) -> Vec<String> {
    match transpile::parse(url, MediaType::from_specifier(url), text.into()) {
        Ok(parsed) => parsed.walk(values_in),
        Err(_) => Vec::new(),
    }
}

fn values_in(parsed: &ParsedSource) -> Vec<String> {
    let program = parsed.program();
    let Program::Module(module) = &*program else {
        return Vec::new();
    };
    let types: Vec<_> = module
        .body
        .iter()
        .filter_map(declaration)
        .filter_map(type_name)
        .collect();
    let mut names = Vec::new();
    for item in &module.body {
        match item {
            ModuleItem::ModuleDecl(ModuleDecl::ExportDecl(export)) => match &export.decl {
                Decl::Fn(function) => names.push(function.ident.sym.to_string()),
                Decl::Class(class) => names.push(class.ident.sym.to_string()),
                Decl::TsEnum(numbers) => names.push(numbers.id.sym.to_string()),
                Decl::Var(variables) => {
                    let variables = variables.decls.iter().filter_map(|variable| variable.name.as_ident());
                    names.extend(variables.map(|variable| variable.sym.to_string()));
                }
                _ => {}
            },
            ModuleItem::ModuleDecl(ModuleDecl::ExportNamed(export)) if !export.type_only => {
                let named = export.specifiers.iter().filter_map(ExportSpecifier::as_named);
                let named =
                    named.filter(|named| !named.is_type_only && !types.contains(&text_of(&named.orig).as_str()));
                names.extend(named.map(|named| text_of(named.exported.as_ref().unwrap_or(&named.orig))));
            }
            ModuleItem::ModuleDecl(ModuleDecl::ExportDefaultDecl(_) | ModuleDecl::ExportDefaultExpr(_)) => {
                names.push("default".to_owned());
            }
            _ => {}
        }
    }
    names
}

fn declaration(item: &ModuleItem) -> Option<&Decl> {
    match item {
        ModuleItem::Stmt(statement) => statement.as_decl(),
        ModuleItem::ModuleDecl(ModuleDecl::ExportDecl(export)) => Some(&export.decl),
        ModuleItem::ModuleDecl(_) => None,
    }
}

/// Returns the name of a declaration that declares nothing but a type.
fn type_name(declaration: &Decl) -> Option<&str> {
    match declaration {
        Decl::TsInterface(interface) => Some(&interface.id.sym),
        Decl::TsTypeAlias(alias) => Some(&alias.id.sym),
        _ => None,
    }
}

/// Returns the origin of a name that the module imports: the specifier, and the name there.
fn imported(body: &[ModuleItem], local: &str) -> Option<(String, String)> {
    body.iter().find_map(|item| {
        let ModuleItem::ModuleDecl(ModuleDecl::Import(import)) = item else {
            return None;
        };
        let mut named = import.specifiers.iter().filter_map(|specifier| specifier.as_named());
        let named = named.find(|named| &*named.local.sym == local)?;
        let name = named.imported.as_ref().map_or_else(|| local.to_owned(), text_of);
        Some((import.src.value.to_string_lossy().into_owned(), name))
    })
}

fn text_of(name: &ModuleExportName) -> String {
    match name {
        ModuleExportName::Ident(name) => name.sym.to_string(),
        ModuleExportName::Str(name) => name.value.to_string_lossy().into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use deno_core::url::Url;

    use super::{NonValueExport, export_of, values_of};

    fn found(text: &str) -> NonValueExport {
        export_of(&Url::parse("file:///p/a.ts").unwrap(), text, "Foo")
    }

    #[test]
    fn the_names_of_values_are_those_that_can_be_imported() {
        let text = "type T = 1; const a = 1; class C {} export interface I {} export { a as b, C, T };\
                    export const d = 1, e = 2; export function f() {} export enum E { A } export type { X } from './x';\
                    export default 1;";
        let names = values_of(&Url::parse("file:///p/a.ts").unwrap(), text);
        assert_eq!(names, ["b", "C", "d", "e", "f", "E", "default"]);
    }

    #[test]
    fn types_are_told_from_values_and_followed_to_other_modules() {
        for text in [
            "export interface Foo { a: string }",
            "export type Foo = string;",
            "type Bar = 1; export { Bar as Foo };",
            "export type { Foo } from './b';",
            "interface Foo {} export { Foo };",
        ] {
            assert_eq!(found(text), NonValueExport::Type, "{text}");
        }
        let elsewhere = |places: &[(&str, &str)]| {
            let places = places
                .iter()
                .map(|(specifier, name)| ((*specifier).into(), (*name).into()));
            NonValueExport::Elsewhere(places.collect())
        };
        for (text, places) in [
            ("export * from './b'; export const Foo = 1;", &[("./b", "Foo")][..]),
            ("export { Bar as Foo } from './b';", &[("./b", "Bar")]),
            ("import { Bar } from './b'; export { Bar as Foo };", &[("./b", "Bar")]),
            ("type Foo = string;", &[]),
            ("export class Foo {}", &[]),
        ] {
            assert_eq!(found(text), elsewhere(places), "{text}");
        }
    }
}
