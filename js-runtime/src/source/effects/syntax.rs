//! Questions about single nodes of a syntax tree.

use deno_ast::swc::ast::{Expr, ExprOrSpread, Lit, MemberExpr, MemberProp, ModuleExportName, ObjectPatProp, Pat};

pub(super) fn text_of(name: &ModuleExportName) -> String {
    match name {
        ModuleExportName::Ident(name) => name.sym.to_string(),
        ModuleExportName::Str(name) => name.value.to_string_lossy().into_owned(),
    }
}

pub(super) fn without_parentheses(expression: &Expr) -> &Expr {
    let mut inner = expression;
    while let Expr::Paren(paren) = inner {
        inner = &paren.expr;
    }
    inner
}

/// Returns the argument of a call that has one alone, which is a text.
pub(super) fn only_text(arguments: &[ExprOrSpread]) -> Option<String> {
    match arguments {
        [ExprOrSpread { spread: None, expr }] => match &**expr {
            Expr::Lit(Lit::Str(text)) => Some(text.value.to_string_lossy().into_owned()),
            _ => None,
        },
        _ => None,
    }
}

/// Tells whether this is `process.env`: its values are texts, and the evaluator of a module compares the writes to
/// it.
pub(super) fn is_environment(member: &MemberExpr) -> bool {
    matches!((&*member.obj, &member.prop), (Expr::Ident(object), MemberProp::Ident(name))
        if &*object.sym == "process" && &*name.sym == "env")
}

pub(super) fn is_of_console(callee: &Expr) -> bool {
    matches!(callee, Expr::Member(member) if matches!(&*member.obj, Expr::Ident(object) if &*object.sym == "console"))
}

/// Returns the names that a pattern declares.
pub(super) fn names_in(pattern: &Pat) -> Vec<String> {
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
