//! The additions of bundlers and Bun to ES modules beyond the language: `require`, `__dirname` and `__filename`, and
//! files that are imported as their text.

use deno_ast::ParsedSource;
use deno_ast::swc::ast::{Decl, ImportSpecifier, ModuleDecl, ModuleItem, ObjectPatProp, Pat, Program, Stmt};
use deno_core::url::Url;

use super::transpile::ParsedText;

/// The specifier of a module that gives CommonJS's names to the one that imports it.
pub(crate) const COMMONJS_NAMES: &str = "baton:commonjs-names";

const NAMES: [&str; 3] = ["require", "__dirname", "__filename"];

/// The extensions of files whose default export is their text.
const TEXTS: [&str; 6] = ["txt", "md", "sql", "html", "graphql", "gql"];

/// Tells whether an import without attributes gives the file's text.
pub(crate) fn is_text(url: &Url) -> bool {
    let extension = url.path().rsplit_once('.').map(|(_, extension)| extension);
    extension.is_some_and(|extension| TEXTS.contains(&extension))
}

/// Tells whether the text has one of CommonJS's names in it, in whatever meaning.
pub(crate) fn may_use_names(text: &str) -> bool {
    NAMES.iter().any(|name| text.contains(name))
}

/// Returns an import, for the end of an ES module, of the names that its text has and does not declare. Imports count
/// before all else, so no line moves.
pub(crate) fn import_of_names(parsed: &ParsedText) -> Option<String> {
    parsed.walk(names_to_import)
}

fn names_to_import(parsed: &ParsedSource) -> Option<String> {
    let text = parsed.text();
    let declared = declared(parsed);
    let names: Vec<_> = NAMES
        .into_iter()
        .filter(|name| text.contains(name) && !declared.iter().any(|declared| declared == name))
        .collect();
    (!names.is_empty()).then(|| format!("\nimport {{ {} }} from \"{COMMONJS_NAMES}\";\n", names.join(", ")))
}

/// Returns the URL of the module of the names for one module.
pub(crate) fn names_for(referrer: &Url) -> Option<Url> {
    let mut url = Url::parse(COMMONJS_NAMES).ok()?;
    url.set_query(Some(referrer.path()));
    Some(url)
}

/// Returns the text of the module with this URL, if it is one of the names.
pub(crate) fn names_module(url: &Url) -> Option<String> {
    if url.scheme() != "baton" || !url.as_str().starts_with(COMMONJS_NAMES) {
        return None;
    }
    let file = Url::parse(&format!("file://{}", url.query()?))
        .ok()?
        .to_file_path()
        .ok()?;
    let quoted = |path: &std::path::Path| serde_json::Value::from(path.to_string_lossy()).to_string();
    Some(format!(
        "import {{ createRequire }} from \"node:module\";\nexport const __filename = {};\n\
         export const __dirname = {};\nexport const require = createRequire(__filename);\n",
        quoted(&file),
        quoted(file.parent()?),
    ))
}

/// Returns the names that the module declares itself at its top.
fn declared(parsed: &ParsedSource) -> Vec<String> {
    let program = parsed.program();
    let Program::Module(module) = &*program else {
        return Vec::new();
    };
    let mut names = Vec::new();
    for item in &module.body {
        match item {
            ModuleItem::Stmt(Stmt::Decl(decl)) => of_declaration(decl, &mut names),
            ModuleItem::ModuleDecl(ModuleDecl::ExportDecl(export)) => of_declaration(&export.decl, &mut names),
            ModuleItem::ModuleDecl(ModuleDecl::Import(import)) => {
                names.extend(import.specifiers.iter().map(|specifier| match specifier {
                    ImportSpecifier::Named(named) => named.local.sym.to_string(),
                    ImportSpecifier::Default(default) => default.local.sym.to_string(),
                    ImportSpecifier::Namespace(namespace) => namespace.local.sym.to_string(),
                }));
            }
            _ => {}
        }
    }
    names
}

fn of_declaration(decl: &Decl, names: &mut Vec<String>) {
    match decl {
        Decl::Var(var) => var
            .decls
            .iter()
            .for_each(|declarator| of_pattern(&declarator.name, names)),
        Decl::Fn(function) => names.push(function.ident.sym.to_string()),
        Decl::Class(class) => names.push(class.ident.sym.to_string()),
        _ => {}
    }
}

fn of_pattern(pattern: &Pat, names: &mut Vec<String>) {
    match pattern {
        Pat::Ident(name) => names.push(name.id.sym.to_string()),
        Pat::Array(array) => array
            .elems
            .iter()
            .flatten()
            .for_each(|element| of_pattern(element, names)),
        Pat::Rest(rest) => of_pattern(&rest.arg, names),
        Pat::Assign(assign) => of_pattern(&assign.left, names),
        Pat::Object(object) => {
            for property in &object.props {
                match property {
                    ObjectPatProp::KeyValue(pair) => of_pattern(&pair.value, names),
                    ObjectPatProp::Assign(name) => names.push(name.key.id.sym.to_string()),
                    ObjectPatProp::Rest(rest) => of_pattern(&rest.arg, names),
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use deno_ast::MediaType;
    use deno_core::url::Url;

    use super::{import_of_names, is_text, names_for, names_module};
    use crate::source::transpile;

    fn import_of(text: &str) -> Option<String> {
        let url = Url::parse("file:///p/a.ts").unwrap();
        import_of_names(&transpile::parse(&url, MediaType::TypeScript, text.into()).unwrap())
    }

    #[test]
    fn only_names_that_a_module_has_and_does_not_declare_are_imported() {
        let imported = import_of("export const a = require(__filename);").unwrap();
        assert!(imported.contains("{ require, __filename }"), "{imported}");
        assert_eq!(import_of("const { a: [__dirname] } = x; export { __dirname };"), None);
        assert_eq!(import_of("import { r as require } from 'x'; require();"), None);
        assert_eq!(import_of("export const a = 1;"), None);
    }

    #[test]
    fn a_modules_names_are_about_its_own_place() {
        let url = Url::from_file_path("/p/a folder/x.ts").unwrap();
        let module = names_module(&names_for(&url).unwrap()).unwrap();
        assert!(module.contains("__dirname = \"/p/a folder\""), "{module}");
        assert_eq!(names_module(&url), None);
        assert!(is_text(&Url::parse("file:///p/q.sql").unwrap()) && !is_text(&url));
    }
}
