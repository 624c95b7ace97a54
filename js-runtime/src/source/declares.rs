//! Whether a module does nothing but declare, by its text: it may be evaluated before modules that do more, and
//! before those that it comes after, without anybody noticing.
//!
//! What a declaration calls to have its value (`z.object(…)`, `new Inngest(…)`, `inngest.createFunction(…)`) is taken
//! for harmless, unless its name says otherwise. Whatever reaches outside of the isolate is seen by whoever evaluates it
//! (`compat/witness.rs`).

use deno_ast::swc::ast::{
    ArrowExpr, AssignExpr, AwaitExpr, CallExpr, Callee, Class, Constructor, Decl, DefaultDecl, ExportDecl, Expr,
    ExprStmt, Function, GetterProp, Lit, MemberExpr, MemberProp, ModuleDecl, ModuleItem, NewExpr, Program, SetterProp,
    StaticBlock, Stmt, TaggedTpl, TsModuleDecl, UnaryExpr, UnaryOp, UpdateExpr, UsingDecl,
};
use deno_ast::swc::ecma_visit::{Visit, VisitWith};
use deno_ast::{MediaType, ParsedSource};

use super::transpile::Parsed;

/// Functions that begin something, or let somebody else's code run.
const BEGIN: [&str; 12] = [
    "eval",
    "execFileSync",
    "execSync",
    "fetch",
    "queueMicrotask",
    "require",
    "setImmediate",
    "setInterval",
    "setTimeout",
    "spawn",
    "spawnSync",
    "Worker",
];

/// Methods that change what they are called on, so that their order matters, or begin something.
const CHANGE: [&str; 29] = [
    "add",
    "addEventListener",
    "addListener",
    "append",
    "assign",
    "connect",
    "defineProperties",
    "defineProperty",
    "delete",
    "exec",
    "execFileSync",
    "execSync",
    "forEach",
    "init",
    "listen",
    "on",
    "once",
    "outputSync",
    "push",
    "register",
    "run",
    "send",
    "set",
    "spawnSync",
    "start",
    "subscribe",
    "unshift",
    "use",
    "write",
];

/// Whether files of this kind may be ES modules whose text can be looked at.
pub(crate) fn may_be(media_type: MediaType) -> bool {
    matches!(
        media_type,
        MediaType::TypeScript
            | MediaType::Mts
            | MediaType::Tsx
            | MediaType::JavaScript
            | MediaType::Mjs
            | MediaType::Jsx
    )
}

/// See the module's documentation.
pub(crate) fn only(parsed: &Parsed) -> bool {
    parsed.walk(only_declares)
}

fn only_declares(parsed: &ParsedSource) -> bool {
    if parsed.compute_is_script() {
        return false;
    }
    let program = parsed.program();
    let Program::Module(module) = &*program else {
        return false;
    };
    module.body.iter().all(|item| match item {
        ModuleItem::ModuleDecl(declaration) => is_declared(declaration),
        ModuleItem::Stmt(Stmt::Decl(declaration)) => !acts(declaration),
        ModuleItem::Stmt(Stmt::Expr(ExprStmt { expr, .. })) => matches!(&**expr, Expr::Lit(Lit::Str(_))),
        ModuleItem::Stmt(Stmt::Empty(_)) => true,
        ModuleItem::Stmt(_) => false,
    })
}

fn is_declared(declaration: &ModuleDecl) -> bool {
    match declaration {
        ModuleDecl::Import(_) | ModuleDecl::ExportNamed(_) | ModuleDecl::ExportAll(_) => true,
        ModuleDecl::ExportDecl(ExportDecl { decl, .. }) => !acts(decl),
        ModuleDecl::ExportDefaultDecl(default) => match &default.decl {
            DefaultDecl::Class(class) => !acts(&*class.class),
            DefaultDecl::Fn(_) | DefaultDecl::TsInterfaceDecl(_) => true,
        },
        ModuleDecl::ExportDefaultExpr(default) => !acts(&*default.expr),
        ModuleDecl::TsImportEquals(_) | ModuleDecl::TsExportAssignment(_) | ModuleDecl::TsNamespaceExport(_) => false,
    }
}

/// Whether more happens than that a value is made, when this is evaluated.
fn acts(node: &impl VisitWith<Looking>) -> bool {
    let mut looking = Looking { acts: false };
    node.visit_with(&mut looking);
    looking.acts
}

struct Looking {
    acts: bool,
}

impl Looking {
    fn call(&mut self, callee: &Expr) {
        self.acts |= match callee {
            Expr::Ident(name) => BEGIN.contains(&&*name.sym),
            Expr::Member(MemberExpr {
                prop: MemberProp::Ident(name),
                ..
            }) => CHANGE.contains(&&*name.sym),
            Expr::Member(_) | Expr::Call(_) | Expr::TsNonNull(_) | Expr::TsAs(_) | Expr::TsInstantiation(_) => false,
            // Its body runs at once.
            _ => true,
        };
    }
}

impl Visit for Looking {
    fn visit_call_expr(&mut self, call: &CallExpr) {
        match &call.callee {
            Callee::Expr(callee) => self.call(callee),
            Callee::Import(_) | Callee::Super(_) => self.acts = true,
        }
        call.visit_children_with(self);
    }

    fn visit_new_expr(&mut self, new: &NewExpr) {
        self.call(&new.callee);
        new.visit_children_with(self);
    }

    fn visit_assign_expr(&mut self, _: &AssignExpr) {
        self.acts = true;
    }

    fn visit_update_expr(&mut self, _: &UpdateExpr) {
        self.acts = true;
    }

    fn visit_await_expr(&mut self, _: &AwaitExpr) {
        self.acts = true;
    }

    fn visit_unary_expr(&mut self, unary: &UnaryExpr) {
        self.acts |= unary.op == UnaryOp::Delete;
        unary.visit_children_with(self);
    }

    fn visit_tagged_tpl(&mut self, _: &TaggedTpl) {
        // `sql`, `$`: what they do is anybody's guess.
        self.acts = true;
    }

    fn visit_using_decl(&mut self, _: &UsingDecl) {
        self.acts = true;
    }

    fn visit_ts_module_decl(&mut self, module: &TsModuleDecl) {
        self.acts |= !module.declare;
    }

    fn visit_static_block(&mut self, _: &StaticBlock) {
        self.acts = true;
    }

    fn visit_class(&mut self, class: &Class) {
        let of_members = class.body.iter().filter_map(|member| member.as_method());
        let decorators = of_members.map(|method| method.function.decorators.len()).sum::<usize>();
        self.acts |= decorators + class.decorators.len() > 0;
        class.visit_children_with(self);
    }

    // What is not evaluated yet.

    fn visit_function(&mut self, _: &Function) {}

    fn visit_arrow_expr(&mut self, _: &ArrowExpr) {}

    fn visit_constructor(&mut self, _: &Constructor) {}

    fn visit_getter_prop(&mut self, _: &GetterProp) {}

    fn visit_setter_prop(&mut self, _: &SetterProp) {}

    fn visit_decl(&mut self, declaration: &Decl) {
        declaration.visit_children_with(self);
    }
}

#[cfg(test)]
mod tests {
    use deno_ast::MediaType;
    use deno_core::url::Url;

    use crate::source::transpile::parse;

    fn only_declares(text: &str) -> bool {
        let url = Url::parse("file:///project/a.ts").unwrap();
        let text = format!("import {{ inngest }} from './client.ts';\n{text}");
        super::only(&parse(&url, MediaType::TypeScript, text.into()).unwrap())
    }

    #[test]
    fn functions_schemas_clients_and_values_are_declarations() {
        for text in [
            "",
            "'use strict'; export const inngest = new Inngest({ id: 'app', apiKey: process.env.KEY! });",
            "export default inngest.createFunction({ id: 'a' }, { event: 'e' }, async ({ step }) => {
               await step.run('a', () => fetch('http://x')); count += 1; });",
            "export const schema = z.object({ a: z.lazy(() => other), b: z.array(z.string()).min(1) }).strict();",
            "interface A { a: string } type B = A; declare module 'x' { const a: string } enum C { D = 1, E = D << 1 }",
            "export class Service { static readonly limit = 3; #db = connect(); start() { this.#db.connect(); } }",
            "export function helper() { globalThis.x = 1; } export * from './other.ts'; const { a, b = 2 } = config;",
            "export const ai = openai<Model>({ model }); export const all = [a, b, ...c].map((one) => one.id);",
        ] {
            assert!(only_declares(text), "{text}");
        }
    }

    #[test]
    fn what_runs_waits_writes_or_registers_is_more() {
        for text in [
            "register(inngest);",
            "export const a = await load();",
            "globalThis.a = 1;",
            "let a = 0; const b = a++;",
            "const a = (b.c = 1);",
            "if (process.env.A) { begin(); }",
            "const timer = setInterval(() => {}, 1000);",
            "const a = registry.register('a', {});",
            "export const app = new Hono().use(logger);",
            "const a = (() => begin())();",
            "const lazy = import('./lazy.ts');",
            "const rows = sql`select 1`;",
            "export class A { static { begin(); } }",
            "@Entity() export class A {}",
            "namespace A { export const b = begin(); }",
            "const worker = new Worker('./worker.ts');",
            "for (const a of all) a();",
            "const a = delete process.env.A;",
            "export const commit = execFileSync('git', ['rev-parse', 'HEAD']).toString();",
            "export const commit = childProcess.spawnSync('git', ['rev-parse', 'HEAD']).stdout;",
            "export const commit = new Deno.Command('git', { args: ['rev-parse', 'HEAD'] }).outputSync().stdout;",
        ] {
            assert!(!only_declares(text), "{text}");
        }
    }

    #[test]
    fn a_script_is_no_module() {
        let url = Url::parse("file:///project/a.js").unwrap();
        let parsed = parse(&url, MediaType::JavaScript, "const a = require('a');".into()).unwrap();
        assert!(!super::only(&parsed));
    }
}
