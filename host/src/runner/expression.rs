//! Conditions of Inngest in CEL: `event.data.id == async.data.id && async.data.amount > 100`.
//!
//! A field that an event lacks is no error to Inngest (inngest/inngest: `pkg/expressions/unknown.go`): it is equal to
//! `null` alone, and in an order it counts as the zero or the empty text. So such fields are filled in before the
//! expression is evaluated.

use std::collections::HashMap;

use cel::common::ast::operators::{EQUALS, GREATER, GREATER_EQUALS, INDEX, LESS, LESS_EQUALS, NOT_EQUALS};
use cel::common::ast::{CallExpr, EntryExpr, Expr, IdedExpr, LiteralValue};
use cel::{ExecutionError, Program};
use serde_json::{Map, Value, json};

use crate::expressions::with_program;

/// The truth of an expression about two events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Holds,
    Fails,
    /// The expression is no CEL, is too long, or calls a function that Inngest or this runner does not know.
    NotUnderstood,
}

/// Evaluates an expression over `event`, which began the run, and `async`, which has come.
#[must_use]
pub fn evaluate(expression: &str, event: &Value, came: &Value) -> Verdict {
    with_program(expression, |program| match program {
        Ok(program) => verdict(program, event, came),
        Err(_) => Verdict::NotUnderstood,
    })
}

fn verdict(program: &Program, event: &Value, came: &Value) -> Verdict {
    let mut scope = json!({ "event": event, "async": came });
    fill_in(program.expression(), &mut scope);
    let mut context = cel::Context::default();
    for name in ["event", "async"] {
        context.add_variable_from_value(name, in_cel(&scope[name]));
    }
    match program.execute(&context) {
        Ok(cel::Value::Bool(true)) => Verdict::Holds,
        Err(ExecutionError::UndeclaredReference(_)) => Verdict::NotUnderstood,
        // As at Inngest, an expression that cannot be evaluated over these events does not match them.
        Ok(_) | Err(_) => Verdict::Fails,
    }
}

/// Returns a value as CEL has it: whole numbers are integers, whatever their sign.
fn in_cel(value: &Value) -> cel::Value {
    match value {
        Value::Null => cel::Value::Null,
        Value::Bool(truth) => (*truth).into(),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => whole.into(),
            None => number.as_f64().unwrap_or(f64::NAN).into(),
        },
        Value::String(text) => text.as_str().into(),
        Value::Array(items) => items.iter().map(in_cel).collect::<Vec<_>>().into(),
        Value::Object(fields) => {
            let fields = fields.iter().map(|(name, value)| (name.clone(), in_cel(value)));
            fields.collect::<HashMap<_, _>>().into()
        }
    }
}

/// Gives the fields that an expression names, and that are missing, the values that Inngest takes them for.
fn fill_in(expression: &IdedExpr, scope: &mut Value) {
    let mut nodes = vec![expression];
    let mut paths = Vec::new();
    while let Some(IdedExpr { expr, .. }) = nodes.pop() {
        if let Expr::Call(CallExpr { func_name, args, .. }) = expr
            && let [one, other] = args.as_slice()
        {
            fill_in_comparison(func_name, &one.expr, &other.expr, scope);
        }
        paths.extend(path(expr));
        nodes.extend(children(expr));
    }
    for path in paths {
        insert(scope, &path, Value::Null);
    }
}

fn fill_in_comparison(operator: &str, one: &Expr, other: &Expr, scope: &mut Value) {
    for (side, beside) in [(one, other), (other, one)] {
        let Some(missing) = path(side).filter(|path| look_up(scope, path).is_none()) else {
            continue;
        };
        let value = match operator {
            LESS | LESS_EQUALS | GREATER | GREATER_EQUALS => zero_like(beside, scope),
            // A missing field is not equal to another missing field.
            EQUALS | NOT_EQUALS if path(beside).is_some_and(|path| look_up(scope, &path).is_none()) => false.into(),
            _ => continue,
        };
        insert(scope, &missing, value);
        return;
    }
}

/// Returns the zero or the empty text, by the type of the value that it is compared with.
fn zero_like(beside: &Expr, scope: &Value) -> Value {
    let is_text = match beside {
        Expr::Literal(literal) => matches!(literal, LiteralValue::String(_)),
        _ => path(beside).is_some_and(|path| look_up(scope, &path).is_some_and(Value::is_string)),
    };
    if is_text { "".into() } else { 0.into() }
}

/// Returns the names of a field from its root on: `event`, `data`, `items`, `0`. `None` for any other expression.
fn path(mut expr: &Expr) -> Option<Vec<String>> {
    let mut names = Vec::new();
    loop {
        match expr {
            Expr::Ident(root) if root == "event" || root == "async" => {
                names.push(root.clone());
                names.reverse();
                return Some(names);
            }
            Expr::Select(select) if !select.test => {
                names.push(select.field.clone());
                expr = &select.operand.expr;
            }
            Expr::Call(CallExpr { func_name, args, .. }) if func_name == INDEX => {
                let [of, at] = args.as_slice() else { return None };
                names.push(match &at.expr {
                    Expr::Literal(LiteralValue::String(name)) => name.inner().to_owned(),
                    Expr::Literal(LiteralValue::Int(at)) => at.inner().to_string(),
                    _ => return None,
                });
                expr = &of.expr;
            }
            _ => return None,
        }
    }
}

fn children(expr: &Expr) -> Vec<&IdedExpr> {
    match expr {
        Expr::Call(CallExpr { target, args, .. }) => target.as_deref().into_iter().chain(args).collect(),
        Expr::Select(select) => vec![&select.operand],
        Expr::List(list) => list.elements.iter().collect(),
        Expr::Map(map) => {
            let entries = map.entries.iter().map(|entry| match &entry.expr {
                EntryExpr::MapEntry(entry) => vec![&entry.key, &entry.value],
                EntryExpr::StructField(field) => vec![&field.value],
            });
            entries.flatten().collect()
        }
        Expr::Comprehension(over) => vec![
            &over.iter_range,
            &over.accu_init,
            &over.loop_cond,
            &over.loop_step,
            &over.result,
        ],
        Expr::Unspecified | Expr::Ident(_) | Expr::Literal(_) | Expr::Struct(_) => Vec::new(),
    }
}

fn look_up<'a>(scope: &'a Value, path: &[String]) -> Option<&'a Value> {
    path.iter().try_fold(scope, |value, name| match value {
        Value::Array(items) => items.get(name.parse::<usize>().ok()?),
        other => other.get(name),
    })
}

/// Inserts a value where a path leads to nothing, with the objects on the way.
fn insert(scope: &mut Value, path: &[String], value: Value) {
    let Some((last, parents)) = path.split_last() else {
        return;
    };
    let parent = parents.iter().try_fold(scope, |parent, name| match parent {
        Value::Array(items) => items.get_mut(name.parse::<usize>().ok()?),
        Value::Object(fields) => Some(fields.entry(name).or_insert_with(|| Map::new().into())),
        _ => None,
    });
    if let Some(Value::Object(fields)) = parent {
        fields.entry(last).or_insert(value);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::{Verdict, evaluate};

    fn check(expression: &str, expected: Verdict) {
        let event = json!({"name": "a", "data": {"id": 7, "tags": ["x", "y"], "a b": null, "n": 2}});
        let came = json!({"name": "b", "data": {"id": 7.0, "by": "Ada \"L\"", "ok": true}});
        assert_eq!(evaluate(expression, &event, &came), expected, "{expression}");
    }

    #[test]
    fn an_expression_is_evaluated_over_both_events() {
        for holds in [
            "event.data.id == async.data.id",
            "async.data.id==event.data.id&&async.data.ok == true",
            "async.data.by == 'Ada \"L\"'",
            "async.data.by != \"Bob\" && (event.data.tags[1] == \"y\")",
            "event.data[\"a b\"] == null",
            "async.data.id > 3",
            "async.data.ok == false || async.data.id == 7",
            "async.data.ok",
            "!async.data.ok || size(event.data.tags) == 2",
            "'x' in event.data.tags",
            "event.data.tags.exists(tag, tag == 'y')",
            "has(async.data.by) && !has(async.data.gone)",
            "async.data.by.startsWith('Ada')",
            "async.data.by.matches('^A.a')",
            "event.data.n + 1 == 3",
        ] {
            check(holds, Verdict::Holds);
        }
        for fails in [
            "async.data.ok == false",
            "async.data.id > 7",
            "'z' in event.data.tags",
            "async.data.by",
        ] {
            check(fails, Verdict::Fails);
        }
        for other in ["", "event.data.", "no_such_function(event)", "vars.x == 1", "1 +"] {
            check(other, Verdict::NotUnderstood);
        }
    }

    /// Agrees with `pkg/expressions/unknown_test.go` of Inngest.
    #[test]
    fn a_missing_field_is_null_and_in_an_order_zero() {
        for (expression, holds) in [
            ("event.data.missing == 'foo'", false),
            ("event.data.missing == null", true),
            ("event.data.missing == 0", false),
            ("event.data.a == event.data.b", false),
            ("event.data.missing == async.data.missing", false),
            ("event.data.missing != 'foo'", true),
            ("event.data.missing != null", false),
            ("event.data.missing != 0", true),
            ("event.data.missing < 5", true),
            ("5 < event.data.missing", false),
            ("event.data.n > event.data.missing", true),
            ("event.data.missing >= 5", false),
            ("5 >= event.data.missing", true),
            ("event.data.missing < 'foo'", true),
            ("event.data.missing in ['a', 'b']", false),
            ("event.data.some.missing == null", true),
            ("event.data.missing.contains('a')", false),
            ("event.data.tags[9] == 'a'", false),
        ] {
            check(expression, if holds { Verdict::Holds } else { Verdict::Fails });
        }
    }

    proptest! {
        #[test]
        fn nothing_that_is_written_breaks_it(text in "[a-z&|?:<>=!.()\"'\\[\\]{}0-9\\\\é ]{0,60}") {
            let _ = evaluate(&text, &json!({}), &json!({"data": [1]}));
        }

        #[test]
        fn nothing_about_events_breaks_it(text in "(event|async)(\\.data|\\.a|\\[0\\]|\\[\"a\"\\]){0,4} (==|<|in|&&) (event|async)(\\.data|\\.a|\\[0\\]){0,4}") {
            let _ = evaluate(&text, &json!({"data": {"a": [null]}}), &json!({"data": [1], "a": "x"}));
        }
    }
}
