//! Class fields as TypeScript emits them where `useDefineForClassFields` is off: a field is assigned in the
//! constructor (a static one when its class is made), so that setters run, and a field without a value declares
//! nothing.
//!
//! Two kinds of fields keep the language's own meaning: a field whose name is computed by more than a constant, and a
//! field of a class with standard decorators, since those decide themselves what a field begins with.

use deno_ast::swc::ast::{
    AssignExpr, AssignOp, AssignTarget, BlockStmt, CallExpr, Callee, Class, ClassMember, ClassProp, ComputedPropName,
    Constructor, Expr, ExprOrSpread, ExprStmt, Ident, IdentName, Lit, MemberExpr, MemberProp, PrivateProp, Program,
    PropName, SimpleAssignTarget, StaticBlock, Stmt, Super, ThisExpr,
};
use deno_ast::swc::common::{DUMMY_SP, Span, Spanned as _};
use deno_ast::swc::ecma_visit::{VisitMut, VisitMutWith as _};

/// Rewrites the classes of a program. `has_legacy_decorators`: decorators are TypeScript's own, which look at a field
/// and never at its value.
pub(super) fn assign(program: &mut Program, has_legacy_decorators: bool) {
    program.visit_mut_with(&mut FieldAssignment { has_legacy_decorators });
}

struct FieldAssignment {
    has_legacy_decorators: bool,
}

impl VisitMut for FieldAssignment {
    fn visit_mut_class(&mut self, class: &mut Class) {
        class.visit_mut_children_with(self);
        let keeps_values = !self.has_legacy_decorators && is_decorated(class);
        if !keeps_values {
            move_static_values(class);
            move_values(class);
        }
        for member in &mut class.body {
            if let ClassMember::ClassProp(field) = member {
                let is_initialized = keeps_values && !field.decorators.is_empty();
                // TypeScript emits nothing for a field that is only declared, and still decorates it.
                field.declare |= field.value.is_none() && !is_initialized && target_of(&field.key).is_some();
            }
        }
    }
}

fn is_decorated(class: &Class) -> bool {
    !class.decorators.is_empty()
        || class.body.iter().any(|member| match member {
            ClassMember::ClassProp(field) => !field.decorators.is_empty(),
            ClassMember::PrivateProp(field) => !field.decorators.is_empty(),
            ClassMember::Method(method) => !method.function.decorators.is_empty(),
            ClassMember::PrivateMethod(method) => !method.function.decorators.is_empty(),
            ClassMember::AutoAccessor(accessor) => !accessor.decorators.is_empty(),
            _ => false,
        })
}

/// Assigns the values of static fields in blocks, each where its field stands.
fn move_static_values(class: &mut Class) {
    let mut body = Vec::with_capacity(class.body.len());
    for mut member in std::mem::take(&mut class.body) {
        let assigned = match &mut member {
            ClassMember::ClassProp(field) if field.is_static && !field.declare => assignment_of(field),
            _ => None,
        };
        body.push(member);
        if let Some(assigned) = assigned {
            body.push(ClassMember::StaticBlock(StaticBlock {
                span: DUMMY_SP,
                body: block(vec![assigned]),
            }));
        }
    }
    class.body = body;
}

/// Assigns the values of the other fields in the constructor, which is made where there is none.
fn move_values(class: &mut Class) {
    let is_derived = class.super_class.is_some();
    let at = match constructor_of(class) {
        None => 0,
        Some(constructor) => match &constructor.body {
            Some(body) if is_derived => match body.stmts.iter().position(is_super_call) {
                Some(at) => at + 1,
                // The call of `super` is within an expression: there is no place behind it.
                None => return,
            },
            _ => 0,
        },
    };
    let mut assigned = Vec::new();
    for member in &mut class.body {
        assigned.extend(match member {
            ClassMember::ClassProp(field) if !field.is_static && !field.declare => assignment_of(field),
            ClassMember::PrivateProp(field) if !field.is_static => assignment_of_private(field),
            _ => None,
        });
    }
    if assigned.is_empty() {
        return;
    }
    let made = constructor_of(class).is_none();
    if made {
        let calls_super = is_derived.then(|| super_call(DUMMY_SP)).into_iter().collect();
        let constructor = Constructor {
            key: PropName::Ident(IdentName::new("constructor".into(), DUMMY_SP)),
            body: Some(block(calls_super)),
            ..Constructor::default()
        };
        class.body.insert(0, ClassMember::Constructor(constructor));
    }
    let at = if made { usize::from(is_derived) } else { at };
    if let Some(body) = constructor_of(class).and_then(|constructor| constructor.body.as_mut()) {
        body.stmts.splice(at..at, assigned);
    }
}

/// Returns the constructor that is more than an overload.
fn constructor_of(class: &mut Class) -> Option<&mut Constructor> {
    class.body.iter_mut().find_map(|member| match member {
        ClassMember::Constructor(constructor) if constructor.body.is_some() => Some(constructor),
        _ => None,
    })
}

fn is_super_call(stmt: &Stmt) -> bool {
    let Stmt::Expr(ExprStmt { expr, .. }) = stmt else {
        return false;
    };
    matches!(
        &**expr,
        Expr::Call(CallExpr {
            callee: Callee::Super(_),
            ..
        })
    )
}

/// Takes the value of a field whose name can be written again.
fn assignment_of(field: &mut ClassProp) -> Option<Stmt> {
    let target = target_of(&field.key)?;
    let value = field.value.take()?;
    Some(assignment(field.span, target, value))
}

fn assignment_of_private(field: &mut PrivateProp) -> Option<Stmt> {
    let value = field.value.take()?;
    Some(assignment(
        field.span,
        MemberProp::PrivateName(field.key.clone()),
        value,
    ))
}

/// Returns the name of a field, for a member of `this`.
fn target_of(key: &PropName) -> Option<MemberProp> {
    let computed = |expr: Expr| {
        MemberProp::Computed(ComputedPropName {
            span: DUMMY_SP,
            expr: expr.into(),
        })
    };
    match key {
        PropName::Ident(name) => Some(MemberProp::Ident(name.clone())),
        PropName::Str(text) => Some(computed(Lit::Str(text.clone()).into())),
        PropName::Num(number) => Some(computed(Lit::Num(number.clone()).into())),
        PropName::BigInt(number) => Some(computed(Lit::BigInt(number.clone()).into())),
        PropName::Computed(name) => is_constant(&name.expr).then(|| computed((*name.expr).clone())),
    }
}

/// Tells whether an expression gives the same each time, as `KEY` and `Symbol.iterator` do.
fn is_constant(expr: &Expr) -> bool {
    match expr {
        Expr::Lit(_) | Expr::Ident(_) => true,
        Expr::Member(member) => member.prop.is_ident() && is_constant(&member.obj),
        _ => false,
    }
}

pub(super) fn member_of_this(target: MemberProp) -> MemberExpr {
    MemberExpr {
        span: target.span(),
        obj: Expr::This(ThisExpr { span: DUMMY_SP }).into(),
        prop: target,
    }
}

pub(super) fn assignment(span: Span, target: MemberProp, value: Box<Expr>) -> Stmt {
    let left = member_of_this(target);
    let assigned = AssignExpr {
        span,
        op: AssignOp::Assign,
        left: AssignTarget::Simple(SimpleAssignTarget::Member(left)),
        right: value,
    };
    statement(span, Expr::Assign(assigned))
}

/// Makes `super(...arguments)`.
fn super_call(span: Span) -> Stmt {
    let arguments = Expr::Ident(Ident::new_no_ctxt("arguments".into(), DUMMY_SP));
    let call = CallExpr {
        span,
        callee: Callee::Super(Super { span: DUMMY_SP }),
        args: vec![ExprOrSpread {
            spread: Some(DUMMY_SP),
            expr: arguments.into(),
        }],
        ..CallExpr::default()
    };
    statement(span, Expr::Call(call))
}

fn statement(span: Span, expr: Expr) -> Stmt {
    Stmt::Expr(ExprStmt {
        span,
        expr: expr.into(),
    })
}

pub(super) fn block(stmts: Vec<Stmt>) -> BlockStmt {
    BlockStmt {
        stmts,
        ..BlockStmt::default()
    }
}
