//! `import a = require("b")` and `export = a` of a module that has imports or exports of ES modules too.

use deno_ast::swc::ast::{
    AssignExpr, AssignOp, AssignTarget, ExportNamedSpecifier, ExportSpecifier, Expr, ExprStmt, Ident, IdentName,
    ImportDecl, ImportPhase, ImportSpecifier, ImportStarAsSpecifier, MemberExpr, MemberProp, ModuleDecl,
    ModuleExportName, ModuleItem, NamedExport, Program, SimpleAssignTarget, Stmt, TsImportEqualsDecl, TsModuleRef,
};
use deno_ast::swc::common::DUMMY_SP;
use deno_ast::{ModuleItemRef, ParsedSource};

/// The beginning of the specifier of an import that stands for `import a = require("b")`: the transpiler leaves the
/// import out where only its types are used, as TypeScript does.
pub(super) const REQUIRE: &str = "baton:require=";

/// Tells whether a module has one of the two.
pub(crate) fn wants_preparation(parsed: &ParsedSource) -> bool {
    parsed.program_ref().body().any(|item| {
        let ModuleItemRef::ModuleDecl(declaration) = item else {
            return false;
        };
        matches!(
            declaration,
            ModuleDecl::TsImportEquals(_) | ModuleDecl::TsExportAssignment(_)
        )
    })
}

/// Replaces both forms by forms that the transpiler knows; tells whether there is an `export =`. That one is
/// evaluated last.
pub(crate) fn prepare(program: &mut Program) -> bool {
    let Program::Module(module) = program else {
        return false;
    };
    let mut body = Vec::with_capacity(module.body.len());
    let mut assigned = None;
    for item in std::mem::take(&mut module.body) {
        match item {
            ModuleItem::ModuleDecl(ModuleDecl::TsImportEquals(import)) if !import.is_type_only => {
                body.extend(required(*import));
            }
            ModuleItem::ModuleDecl(ModuleDecl::TsExportAssignment(export)) => assigned = Some(export.expr),
            other => body.push(other),
        }
    }
    let assigns = assigned.is_some();
    body.extend(assigned.map(assignment));
    module.body = body;
    assigns
}

fn required(import: TsImportEqualsDecl) -> Vec<ModuleItem> {
    let TsModuleRef::TsExternalModuleRef(module) = &import.module_ref else {
        return vec![ModuleItem::ModuleDecl(ModuleDecl::TsImportEquals(import.into()))];
    };
    let mut source = module.expr.clone();
    source.value = format!("{REQUIRE}{}", source.value.to_string_lossy()).into();
    source.raw = None;
    let local = import.id.clone();
    let namespace = ImportStarAsSpecifier {
        span: import.span,
        local: local.clone(),
    };
    let declaration = ImportDecl {
        span: import.span,
        specifiers: vec![ImportSpecifier::Namespace(namespace)],
        src: source.into(),
        type_only: false,
        with: None,
        phase: ImportPhase::Evaluation,
    };
    let exported = import.is_export.then(|| {
        let specifier = ExportNamedSpecifier {
            span: DUMMY_SP,
            orig: ModuleExportName::Ident(local),
            exported: None,
            is_type_only: false,
        };
        ModuleItem::ModuleDecl(ModuleDecl::ExportNamed(NamedExport {
            span: DUMMY_SP,
            specifiers: vec![ExportSpecifier::Named(specifier)],
            src: None,
            type_only: false,
            with: None,
        }))
    });
    std::iter::once(ModuleItem::ModuleDecl(ModuleDecl::Import(declaration)))
        .chain(exported)
        .collect()
}

/// Makes `module.exports = a;`.
fn assignment(value: Box<Expr>) -> ModuleItem {
    let exports = MemberExpr {
        span: DUMMY_SP,
        obj: Ident::new_no_ctxt("module".into(), DUMMY_SP).into(),
        prop: MemberProp::Ident(IdentName::new("exports".into(), DUMMY_SP)),
    };
    let assign = AssignExpr {
        span: DUMMY_SP,
        op: AssignOp::Assign,
        left: AssignTarget::Simple(SimpleAssignTarget::Member(exports)),
        right: value,
    };
    ModuleItem::Stmt(Stmt::Expr(ExprStmt {
        span: DUMMY_SP,
        expr: Box::new(Expr::Assign(assign)),
    }))
}
