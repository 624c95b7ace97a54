//! Reads expressions: their calls and changes, and the origins of their values.

use std::collections::BTreeSet;

use deno_ast::swc::ast::{
    ArrayLit, AssignExpr, AssignTarget, CallExpr, Callee, Expr, ExprOrSpread, MemberProp, NewExpr, ObjectLit,
    OptChainBase, Prop, PropOrSpread, SimpleAssignTarget, UnaryOp,
};
use deno_ast::swc::ecma_visit::VisitWith as _;

use super::origin::{ValueOrigin, from};
use super::reader::{CodeOwner, EffectsReader};
use super::syntax::{is_environment, is_of_console, only_text, without_parentheses};
use super::{NAMELESS, WHOLE};

impl EffectsReader {
    pub(super) fn value(&mut self, expression: &Expr) -> ValueOrigin {
        self.read(expression, true)
    }

    /// Reads an expression; `used` tells whether somebody wants its value.
    pub(super) fn read(&mut self, expression: &Expr, used: bool) -> ValueOrigin {
        match expression {
            Expr::Ident(name) => self.meaning(&name.sym),
            Expr::Member(member) => {
                if let MemberProp::Computed(computed) = &member.prop {
                    self.value(&computed.expr);
                }
                if is_environment(member) {
                    return ValueOrigin::default();
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
                self.assign_to(&update.arg, &ValueOrigin::default());
                ValueOrigin::default()
            }
            Expr::Unary(unary) => {
                let origin = self.read(&unary.arg, used && unary.op != UnaryOp::Void);
                if unary.op == UnaryOp::Delete {
                    self.change(&origin);
                }
                ValueOrigin::default()
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
                    return ValueOrigin::default();
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
                ValueOrigin::default()
            }
        }
    }

    pub(super) fn all<'a>(&mut self, values: impl Iterator<Item = &'a ExprOrSpread>) -> ValueOrigin {
        let mut all = ValueOrigin::default();
        values.for_each(|value| all.join(self.value(&value.expr)));
        all
    }

    pub(super) fn object(&mut self, object: &ObjectLit) -> ValueOrigin {
        let mut all = ValueOrigin::default();
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

    pub(super) fn assign(&mut self, assignment: &AssignExpr) -> ValueOrigin {
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
    pub(super) fn assign_to(&mut self, target: &Expr, value: &ValueOrigin) {
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
                if self.place != CodeOwner::Evaluation {
                    self.note(|effects| effects.own_state = true);
                }
            }
            None => self.note(|effects| effects.globals = true),
        }
    }

    /// Notes that the module goes on later, if this is part of its evaluation.
    pub(super) fn wait(&mut self) {
        if !matches!(self.place, CodeOwner::Function(_)) {
            self.note(|effects| effects.in_place = true);
        }
    }

    pub(super) fn change(&mut self, of: &ValueOrigin) {
        self.note(|effects| {
            effects.uses_arguments |= of.is_argument;
            effects.changes.extend(of.imports.iter().cloned());
            effects.globals |= of.is_global;
            effects.own_state |= of.is_state;
        });
    }

    pub(super) fn called(&mut self, call: &CallExpr, used: bool) -> ValueOrigin {
        let callee = match &call.callee {
            Callee::Expr(callee) => callee,
            Callee::Super(_) => return self.all(call.args.iter()),
            Callee::Import(_) => {
                self.wait();
                self.all(call.args.iter());
                return ValueOrigin::default();
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
            // The evaluator of the module sees what it says.
            self.note(|effects| effects.in_place = true);
            self.all(call.args.iter());
            return ValueOrigin::default();
        }
        let callee = self.value(callee);
        self.call_with(&callee, &call.args, used)
    }

    /// Reads a function that is called where it is written.
    pub(super) fn called_at_once(&mut self, callee: &Expr, arguments: &[ExprOrSpread]) -> Option<ValueOrigin> {
        let callee = without_parentheses(callee);
        if !matches!(callee, Expr::Arrow(_) | Expr::Fn(_)) {
            return None;
        }
        let mut origin = self.all(arguments.iter());
        origin.join(self.run(callee));
        // The function's return value is not followed.
        origin.is_global = true;
        Some(origin)
    }

    /// Reads a function that the code being read calls, sooner or later.
    pub(super) fn run(&mut self, function: &Expr) -> ValueOrigin {
        let before = self.place.clone();
        if before == CodeOwner::Evaluation {
            self.place = CodeOwner::Immediate;
        }
        let origin = self.value(function);
        self.place = before;
        origin
    }

    pub(super) fn made(&mut self, new: &NewExpr, used: bool) -> ValueOrigin {
        let callee = self.value(&new.callee);
        self.call_with(&callee, new.args.as_deref().unwrap_or_default(), used)
    }

    pub(super) fn call_with(&mut self, callee: &ValueOrigin, arguments: &[ExprOrSpread], used: bool) -> ValueOrigin {
        // A package keeps a function that it is given for value; any other callee may call it.
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

    /// Notes a call, and returns the origin of its result.
    pub(super) fn call(&mut self, callee: &ValueOrigin, arguments: &[ValueOrigin], used: bool) -> ValueOrigin {
        let mut given = ValueOrigin::default();
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
                // A function that is built in, or is the module's own, may change its arguments.
                effects.calls.extend(given.imports.iter().cloned());
                effects.runs.extend(given.code.iter().cloned());
                effects.own_state |= given.is_state;
                effects.globals |= given.is_global;
                effects.uses_arguments |= given.is_argument && callee.is_global;
            }
        });
        if is_of_import {
            return ValueOrigin {
                imports: callee.imports.clone(),
                is_made: true,
                ..ValueOrigin::default()
            };
        }
        let mut result = given;
        result.join(callee.clone());
        result.code = BTreeSet::new();
        result.is_global = false;
        result
    }
}
