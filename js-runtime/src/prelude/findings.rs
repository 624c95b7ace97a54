//! The findings in the text of a module: where it defines Inngest functions, and which uses of steps the SDK accepts
//! although they do something else than the author means.
//!
//! A step is known by its name: `step.run(…)`, `ctx.step.run(…)`. A step with another name is not seen; nothing is
//! said of an unsure case.

mod stored;

use std::sync::Arc;

use deno_ast::swc::ast::{
    ArrowExpr, CallExpr, Callee, DoWhileStmt, Expr, ExprOrSpread, ForInStmt, ForOfStmt, ForStmt, Function, Lit,
    MemberProp, ObjectLit, ObjectPatProp, Pat, Prop, PropName, PropOrSpread, TaggedTpl, Tpl, WhileStmt,
};
use deno_ast::swc::ecma_visit::{Visit, VisitWith};
use deno_ast::{ParsedSource, SourcePos, SourceRangedForSpanned};
use deno_core::url::Url;
use js_runtime_api::{Definition, Warning};

use crate::source::caches::{Caches, StoredForm};
use crate::source::transpile::ParsedText;

use stored::{from_bytes, to_bytes};

/// The findings in one module's text. The callers that know the file name it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Findings {
    pub(crate) functions: Vec<DefinedFunction>,
    /// The warnings, which name functions by the ids as they are written.
    pub(crate) warnings: Vec<Warning>,
}

/// A call of `createFunction`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct DefinedFunction {
    /// The id as it is written; `None` when code makes it.
    pub(crate) id: Option<String>,
    pub(crate) definition: Definition,
}

const STEP_METHODS: [&str; 11] = [
    "run",
    "sleep",
    "sleepUntil",
    "sendEvent",
    "waitForEvent",
    "waitForSignal",
    "sendSignal",
    "invoke",
    "fetch",
    "infer",
    "wrap",
];
/// The names of functions that start a program.
const STARTERS: [&str; 8] = [
    "execSync",
    "execFileSync",
    "spawnSync",
    "spawn",
    "execFile",
    "exec",
    "execa",
    "$",
];
/// The names of methods that start a program: `regexp.exec` and others are something else.
const STARTING_METHODS: [&str; 4] = ["execSync", "execFileSync", "spawnSync", "spawn"];

/// The codes of warnings.
const STEP_NESTED: &str = "step_nested";
const STEP_ID_REPEATED: &str = "step_id_repeated";

/// Tells whether the text is worth parsing.
pub(crate) fn may_tell(text: &str) -> bool {
    text.contains("createFunction") || text.contains("step.")
}

/// Returns the findings in a file's text, looked for once; `look` has none for a text that does not parse.
pub(crate) fn of_file(
    url: &Url,
    hash: &blake3::Hash,
    caches: &Caches,
    look: impl FnOnce() -> Option<Findings>,
) -> Option<Arc<Findings>> {
    caches.told(url, hash, StoredForm { from_bytes, to_bytes }, look)
}

/// Reads the findings in a text.
pub(crate) fn look(parsed: &ParsedText) -> Findings {
    parsed.walk(findings_in)
}

fn findings_in(parsed: &ParsedSource) -> Findings {
    let mut looking = FindingsVisitor {
        parsed,
        findings: Findings::default(),
        within: CodeContext::default(),
    };
    parsed.program().visit_with(&mut looking);
    looking.findings
}

struct FindingsVisitor<'a> {
    parsed: &'a ParsedSource,
    findings: Findings,
    within: CodeContext,
}

/// The surroundings of the place that is being read.
#[derive(Debug, Clone, Default)]
struct CodeContext {
    function: Option<usize>,
    /// The step in whose body the place is, as it is written.
    step: Option<String>,
    /// Tells whether a callback is around the place that runs once for each of many, at the same time.
    fan_out: bool,
    /// Tells whether the place is in the body of a loop.
    repeated: bool,
    /// Tells whether the place is in an argument of `push`: it is not awaited before the loop goes on.
    collected: bool,
}

impl FindingsVisitor<'_> {
    fn line(&self, at: SourcePos) -> u32 {
        u32::try_from(self.parsed.text_info_lazy().line_index(at) + 1).unwrap_or(u32::MAX)
    }

    fn inside(&mut self, change: impl FnOnce(&mut CodeContext), visit: impl FnOnce(&mut Self)) {
        let before = self.within.clone();
        change(&mut self.within);
        visit(self);
        self.within = before;
    }

    fn warn(&mut self, code: &'static str, at: SourcePos, message: String, help: String) {
        let function = self
            .within
            .function
            .and_then(|function| self.findings.functions.get(function));
        let warning = Warning {
            code: code.into(),
            function: function.and_then(|function| function.id.clone()),
            message,
            line: Some(self.line(at)),
            help: Some(help),
            ..Warning::default()
        };
        self.findings.warnings.push(warning);
    }

    fn define(&mut self, call: &CallExpr) {
        let mut defined = DefinedFunction {
            definition: Definition {
                line: self.line(call.start()),
                ..Definition::default()
            },
            ..DefinedFunction::default()
        };
        let objects = call.args.iter().filter_map(|argument| argument.expr.as_object());
        for (index, options) in objects.enumerate() {
            if index == 0 {
                defined.id = property(options, "id").and_then(text_of);
                let retries = property(options, "retries");
                defined.definition.retries = retries.map(|value| self.line(value.start()));
            }
            let mut texts = TextCollector {
                looking: self,
                definition: &mut defined.definition,
            };
            options.visit_with(&mut texts);
        }
        let handlers = call.args.iter().filter(|argument| is_function(&argument.expr));
        for handler in handlers {
            let mut starters = Starters {
                looking: self,
                first: None,
            };
            handler.visit_with(&mut starters);
            defined.definition.starts_program = starters.first;
        }
        let index = self.findings.functions.len();
        self.findings.functions.push(defined);
        self.inside(
            |within| {
                *within = CodeContext {
                    function: Some(index),
                    ..CodeContext::default()
                };
            },
            |looking| call.visit_children_with(looking),
        );
    }

    fn step(&mut self, call: &CallExpr, method: &str) {
        let id = call.args.first().and_then(|argument| text_of(&argument.expr));
        let shown = match &id {
            Some(id) => format!("step.{method}({id:?})"),
            None => format!("step.{method}(…)"),
        };
        if let Some(outer) = self.within.step.clone() {
            self.warn(
                STEP_NESTED,
                call.start(),
                format!("{shown} is inside of {outer}: Inngest has no steps within steps"),
                "Call it before or after that step, and pass its result on.".to_owned(),
            );
        } else if let Some(id) = id.filter(|_| self.within.fan_out || (self.within.repeated && self.within.collected)) {
            self.warn(
                STEP_ID_REPEATED,
                call.start(),
                format!("{shown} runs several times at once with one id: only their order tells the results apart"),
                format!("Give each its own id: step.{method}(`{id}-${{item.id}}`, …)."),
            );
        }
        self.inside(
            |within| {
                if matches!(method, "run" | "wrap") {
                    within.step = Some(shown);
                }
            },
            |looking| call.visit_children_with(looking),
        );
    }

    fn function(&mut self, own_step: bool, visit: impl FnOnce(&mut Self)) {
        let function = self.within.function;
        self.inside(
            |within| {
                // The `step` of such a function is another one.
                if own_step {
                    *within = CodeContext {
                        function,
                        ..CodeContext::default()
                    };
                }
            },
            visit,
        );
    }

    fn repeated(&mut self, visit: impl FnOnce(&mut Self)) {
        self.inside(|within| within.repeated = true, visit);
    }
}

impl Visit for FindingsVisitor<'_> {
    fn visit_call_expr(&mut self, call: &CallExpr) {
        let Some(method) = method_of(call) else {
            return call.visit_children_with(self);
        };
        match method.as_str() {
            "createFunction" => self.define(call),
            method if STEP_METHODS.contains(&method) && is_of_step(call) => self.step(call, method),
            "map" | "flatMap" | "forEach" | "from" => {
                call.callee.visit_with(self);
                for ExprOrSpread { expr, .. } in &call.args {
                    let callback = is_function(expr);
                    self.inside(|within| within.fan_out |= callback, |looking| expr.visit_with(looking));
                }
            }
            "push" => {
                call.callee.visit_with(self);
                self.inside(
                    |within| within.collected = true,
                    |looking| call.args.visit_with(looking),
                );
            }
            _ => call.visit_children_with(self),
        }
    }

    fn visit_arrow_expr(&mut self, arrow: &ArrowExpr) {
        let own = arrow.params.iter().any(binds_step);
        self.function(own, |looking| arrow.visit_children_with(looking));
    }

    fn visit_function(&mut self, function: &Function) {
        let own = function.params.iter().any(|parameter| binds_step(&parameter.pat));
        self.function(own, |looking| function.visit_children_with(looking));
    }

    fn visit_for_stmt(&mut self, node: &ForStmt) {
        self.repeated(|looking| node.visit_children_with(looking));
    }

    fn visit_for_of_stmt(&mut self, node: &ForOfStmt) {
        self.repeated(|looking| node.visit_children_with(looking));
    }

    fn visit_for_in_stmt(&mut self, node: &ForInStmt) {
        self.repeated(|looking| node.visit_children_with(looking));
    }

    fn visit_while_stmt(&mut self, node: &WhileStmt) {
        self.repeated(|looking| node.visit_children_with(looking));
    }

    fn visit_do_while_stmt(&mut self, node: &DoWhileStmt) {
        self.repeated(|looking| node.visit_children_with(looking));
    }
}

/// Collects the texts in an expression.
struct TextCollector<'a, 'b> {
    looking: &'a FindingsVisitor<'b>,
    definition: &'a mut Definition,
}

impl Visit for TextCollector<'_, '_> {
    fn visit_expr(&mut self, expr: &Expr) {
        match text_of(expr) {
            Some(text) => {
                let line = self.looking.line(expr.start());
                self.definition.texts.entry(text).or_insert(line);
            }
            None if is_function(expr) => {}
            None => expr.visit_children_with(self),
        }
    }
}

/// Finds the first call that starts a program.
struct Starters<'a, 'b> {
    looking: &'a FindingsVisitor<'b>,
    first: Option<(String, u32)>,
}

impl Starters<'_, '_> {
    fn note(&mut self, name: &str, at: SourcePos) {
        if self.first.is_none() {
            self.first = Some((name.to_owned(), self.looking.line(at)));
        }
    }
}

impl Visit for Starters<'_, '_> {
    fn visit_call_expr(&mut self, call: &CallExpr) {
        let plain = match &call.callee {
            Callee::Expr(callee) => callee.as_ident().map(|name| name.sym.to_string()),
            _ => None,
        };
        match (plain, method_of(call)) {
            (Some(name), _) if STARTERS.contains(&name.as_str()) => self.note(&name, call.start()),
            (None, Some(method)) if STARTING_METHODS.contains(&method.as_str()) => self.note(&method, call.start()),
            _ => {}
        }
        call.visit_children_with(self);
    }

    fn visit_tagged_tpl(&mut self, template: &TaggedTpl) {
        if template.tag.as_ident().is_some_and(|tag| &*tag.sym == "$") {
            self.note("$", template.start());
        }
        template.visit_children_with(self);
    }
}

/// Returns the name of the method that is called.
fn method_of(call: &CallExpr) -> Option<String> {
    let Callee::Expr(callee) = &call.callee else {
        return None;
    };
    name_of(&callee.as_member()?.prop)
}

fn name_of(property: &MemberProp) -> Option<String> {
    property.as_ident().map(|name| name.sym.to_string())
}

/// Tells whether a call is of a method of `step`, `….step` or `step.ai`.
fn is_of_step(call: &CallExpr) -> bool {
    let Callee::Expr(callee) = &call.callee else {
        return false;
    };
    let mut object = callee.as_member().map(|member| &*member.obj);
    if let Some(Expr::Member(member)) = object
        && name_of(&member.prop).as_deref() == Some("ai")
    {
        object = Some(&member.obj);
    }
    match object {
        Some(Expr::Ident(name)) => &*name.sym == "step",
        Some(Expr::Member(member)) => name_of(&member.prop).as_deref() == Some("step"),
        _ => false,
    }
}

fn is_function(expr: &Expr) -> bool {
    matches!(expr, Expr::Arrow(_) | Expr::Fn(_))
}

/// Tells whether a parameter is, or takes apart, a `step`.
fn binds_step(pattern: &Pat) -> bool {
    match pattern {
        Pat::Ident(name) => &*name.sym == "step",
        Pat::Object(object) => object.props.iter().any(|property| match property {
            ObjectPatProp::Assign(assign) => &*assign.key.sym == "step",
            ObjectPatProp::KeyValue(pair) => binds_step(&pair.value),
            ObjectPatProp::Rest(_) => false,
        }),
        Pat::Assign(assign) => binds_step(&assign.left),
        _ => false,
    }
}

fn property<'a>(object: &'a ObjectLit, name: &str) -> Option<&'a Expr> {
    object.props.iter().find_map(|property| {
        let PropOrSpread::Prop(property) = property else {
            return None;
        };
        let Prop::KeyValue(pair) = &**property else {
            return None;
        };
        let known = match &pair.key {
            PropName::Ident(key) => &*key.sym == name,
            PropName::Str(key) => key.value.to_string_lossy() == name,
            _ => false,
        };
        known.then_some(&*pair.value)
    })
}

/// Returns the text of an expression that is nothing but text.
fn text_of(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Lit(Lit::Str(text)) => Some(text.value.to_string_lossy().into_owned()),
        Expr::Tpl(Tpl { exprs, quasis, .. }) if exprs.is_empty() => {
            let [only] = quasis.as_slice() else {
                return None;
            };
            only.cooked.as_ref().map(|text| text.to_string_lossy().into_owned())
        }
        Expr::Paren(inner) => text_of(&inner.expr),
        Expr::TsAs(inner) => text_of(&inner.expr),
        Expr::TsConstAssertion(inner) => text_of(&inner.expr),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use deno_ast::MediaType;
    use deno_core::url::Url;

    use super::{Findings, STEP_ID_REPEATED, STEP_NESTED, look};
    use crate::source::transpile;

    fn findings(text: &str) -> Findings {
        let url = Url::parse("file:///p/a.ts").unwrap();
        look(&transpile::parse(&url, MediaType::TypeScript, text.into()).unwrap())
    }

    fn codes(body: &str) -> Vec<(&'static str, u32)> {
        let text = format!(
            "export const f = inngest.createFunction({{ id: 'f' }}, async ({{ event, step }}) => {{\n{body}\n}});"
        );
        let warnings = findings(&text).warnings;
        for warning in &warnings {
            assert_eq!(warning.function.as_deref(), Some("f"));
        }
        warnings
            .iter()
            .map(|warning| {
                let mut known = [STEP_NESTED, STEP_ID_REPEATED].into_iter();
                let code = known.find(|code| *code == warning.code);
                (code.unwrap(), warning.line.unwrap())
            })
            .collect()
    }

    #[test]
    fn a_definition_tells_its_id_and_where_its_texts_are() {
        let text = "\nexport const f = inngest.createFunction(\n  { id: 'f',\n    retries: 0,\n    concurrency: { key: 'event.x' } },\n  \
                    { cron: `0 0 31 2 *` },\n  async () => execSync('ls'),\n);\ncreateFunction();\nc.createFunction({ id: name() }, g);";
        let found = findings(text).functions;
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!(found[0].id.as_deref(), Some("f"));
        let definition = &found[0].definition;
        assert_eq!((definition.line, definition.retries), (2, Some(4)));
        assert_eq!(definition.texts["event.x"], 5);
        assert_eq!(definition.texts["0 0 31 2 *"], 6);
        assert_eq!(definition.starts_program, Some(("execSync".to_owned(), 7)));
        assert_eq!(found[1].id, None);
    }

    #[test]
    fn a_step_inside_of_a_step_is_seen() {
        assert_eq!(
            codes("await step.run('a', async () => {\n await step.sleep('b', '1s');\n});"),
            [("step_nested", 3)]
        );
        assert_eq!(
            codes("await step.run('a', async () => 1);\nawait step.run('b', () => 2);"),
            []
        );
        assert_eq!(
            codes("await step.run('a', () => other(({ step }) => step.run('x', y)));"),
            []
        );
        assert_eq!(
            codes("await step.ai.wrap('a', () => ctx.step.run('b', f));"),
            [("step_nested", 2)]
        );
    }

    #[test]
    fn one_id_for_many_steps_at_once_is_seen() {
        let repeated = [("step_id_repeated", 2)];
        assert_eq!(
            codes("await Promise.all(items.map((item) => step.run('same', () => item)));"),
            repeated
        );
        assert_eq!(
            codes("for (const x of xs) all.push(step.run('same', () => x));"),
            repeated
        );
        assert_eq!(
            codes("items.forEach(async (x) => { await step.sendEvent('same', x); });"),
            repeated
        );
        // The SDK tells these apart.
        assert_eq!(codes("for (const x of xs) await step.run('same', () => x);"), []);
        assert_eq!(
            codes("await Promise.all(xs.map((x) => step.run(`s-${x}`, () => x)));"),
            []
        );
        assert_eq!(codes("await step.run('once', () => xs.map((x) => x + 1));"), []);
        assert_eq!(codes("all.push(step.run('once', f));"), []);
    }

    #[test]
    fn functions_made_in_a_loop_have_steps_of_their_own() {
        let text = "export const all = names.map((name) => inngest.createFunction({ id: name }, async ({ step }) => {\n \
                    await step.run('a', f);\n}));";
        assert_eq!(findings(text).warnings, []);
    }
}
