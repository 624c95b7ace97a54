use std::path::PathBuf;
use std::sync::Arc;

use deno_ast::MediaType;
use deno_core::url::Url;

use super::{Interference, ProjectModules};
use crate::source::effects::ModuleEffects;
use crate::source::transpile::parse;

const CLIENT: (&str, &str) = (
    "client.ts",
    "import { Inngest } from 'inngest'; export const inngest = new Inngest({ id: 'app' });",
);

/// Modules by their names and texts; what is no file of theirs is of a package.
fn project(modules: &[(&str, &str)]) -> ProjectModules {
    let path = |name: &str| PathBuf::from(format!("/p/{name}"));
    let mut project = ProjectModules::default();
    for (name, text) in modules {
        let url = Url::from_file_path(path(name)).unwrap();
        let parsed = parse(&url, MediaType::from_path(&path(name)), (*text).into()).unwrap();
        project.effects.insert(path(name), Arc::new(ModuleEffects::of(&parsed)));
        let mut imports = Vec::new();
        let quoted = text.split(['\'', '"']).skip(1).step_by(2);
        for specifier in quoted {
            let file = match specifier.strip_prefix("./") {
                Some(own) => path(own),
                None => path(&format!("node_modules/{specifier}.js")),
            };
            let url = match specifier.strip_prefix("node:") {
                Some(_) => specifier.to_owned(),
                None => Url::from_file_path(&file).unwrap().into(),
            };
            let meanings = project.meanings.entry(path(name)).or_default();
            meanings.insert(specifier.into(), url.into());
            imports.push(file);
        }
        project.imports.insert(path(name), imports);
    }
    project
}

fn names(files: impl IntoIterator<Item = PathBuf>) -> Vec<String> {
    let name = |file: PathBuf| file.strip_prefix("/p").unwrap().display().to_string();
    let mut names: Vec<_> = files.into_iter().map(name).collect();
    names.sort();
    names
}

fn between(modules: &[(&str, &str)]) -> [Vec<String>; 3] {
    let Interference {
        acting,
        changed,
        outside,
    } = Interference::between(&project(modules));
    [names(acting), names(changed), names(outside)]
}

/// Returns the names for a module alone, beside a client and a library.
fn alone(text: &str) -> [Vec<String>; 3] {
    let text = format!(
        "import {{ z }} from 'zod'; import {{ inngest }} from './client.ts'; import * as lib from './lib.ts'; {text}"
    );
    let lib = "import { z } from 'zod'; export const table = new Map(); export const config = { port: 1 };
      export const Order = z.object({}); export const double = (n: number) => n * 2;
      let count = 0; export function next() { return ++count; }
      export function register(name: string) { table.set(name, 1); }
      export const define = (id: string, run: () => void) => inngest.createFunction({ id }, run);
      export function each(all: any[], run: (one: any) => void) { for (const one of all) run(one); }
      import { inngest } from './client.ts';";
    between(&[CLIENT, ("lib.ts", lib), ("a.ts", &text)])
}

const NOTHING: [&[&str]; 3] = [&[], &[], &[]];

#[test]
fn what_only_gives_values_acts_on_nobody() {
    for text in [
        "export default inngest.createFunction({ id: 'a' }, { event: 'e' }, async ({ step }) => {
           await step.run('a', () => fetch('x')); lib.table.set('a', 1); globalThis.count += 1; });",
        "export const schema = z.object({ a: z.lazy(() => other), b: lib.Order.extend({}) }).strict();",
        "interface A { a: string } type B = A; declare module 'x' { const a: string } enum C { D = 1, E = D << 1 }",
        "export class Service { static readonly limit = 3; #db = connect(); start() { this.#db.connect(); } }",
        "export function helper() { globalThis.x = 1; } export * from './client.ts'; const { port } = lib.config;",
        "const key = String(process.env.KEY ?? ''); const numbers = [1, 2].map((one) => one * 2);",
        "const twice = lib.double(2); const own = (n: number) => n + twice; export const three = own(1);",
        "const table = new Map(); table.set('a', 1); let n = 0; n++; for (const one of [1]) table.set(String(one), n);",
        "export const made = lib.define('a', () => { globalThis.a = 1; });",
        "let most = 0; if (process.env.A) { most = Math.max(1, 2); }",
        "let seen = 0; export const done = lib.each([1], () => { seen += 1; });",
        "export const all = lib; import type { X } from './lib.ts'; import { type Y } from './lib.ts';",
    ] {
        assert_eq!(alone(text), NOTHING, "{text}");
    }
}

#[test]
fn what_changes_the_modules_of_others_leaves_its_place_to_nobody() {
    let acting: &[&str] = &["a.ts"];
    for text in [
        "const id = lib.next();",
        "lib.register('a');",
        "const kept = lib.register('a');",
        "lib.table.set('a', 1);",
        "const size = lib.table.set('a', 1).size;",
        "const alias = lib.table; alias.set('a', 1);",
        "lib.config.port = 2;",
        "const [table] = [lib.table]; table.set('a', 1);",
        "Object.assign(lib.config, { port: 2 });",
        "[0].map(() => lib.table.set('a', 1));",
        "lib.each([1], () => lib.table.set('a', 1));",
        "const run = () => lib.table.set('a', 1); run();",
        "function run() { return lib.next(); } export class A { static n = run(); }",
        "class A { constructor() { lib.table.set('a', 1); } } export const a = new A();",
        "delete lib.config.port;",
        "(() => { lib.table.clear(); })();",
        "export const t = cond ? lib.table.set('a', 1) : 0; import { cond } from 'zod';",
    ] {
        let [acts, changed, _] = alone(text);
        assert_eq!(acts, acting, "{text}");
        assert!(changed.contains(&"lib.ts".to_owned()), "{text}: {changed:?}");
    }
}

#[test]
fn what_changes_something_global_or_a_package_acts_outside() {
    let acting: &[&str] = &["a.ts"];
    for text in [
        "globalThis.x = 1;",
        "const evaluated = [0].map(() => (globalThis.x = 1));",
        "Array.prototype.last = function () { return this[0]; };",
        "Object.assign(globalThis, { x: 1 });",
        "x = 1;",
        "console.log = () => {};",
        "process.on('exit', () => {});",
        "z.setErrorMap(() => {});",
        "z.defaults.strict = true;",
        "import dns from 'node:dns'; dns.setDefaultResultOrder('ipv4first');",
        "const sdk = new Sdk(); sdk.start(); import { Sdk } from 'otel';",
        "declare function somewhere(): void; somewhere();",
        "@z.entity() export class A {}",
    ] {
        let [acts, _, outside] = alone(text);
        assert_eq!([&*acts, &*outside], [acting, acting], "{text}");
    }
    let [_, changed, _] = alone("z.setErrorMap(() => {});");
    assert_eq!(changed, ["node_modules/zod.js"]);
}

#[test]
fn what_waits_or_speaks_keeps_its_place_and_changes_nothing() {
    for text in [
        "export const a = await z.load();",
        "const lazy = import('./lib.ts');",
        "for await (const a of z.all()) {}",
        "console.log('is evaluated');",
        "namespace A { export const b = 1; }",
    ] {
        assert_eq!(alone(text), [vec!["a.ts".to_owned()], vec![], vec![]], "{text}");
    }
}

#[test]
fn exports_are_followed_through_modules_that_pass_them_on() {
    let passes_on = (
        "index.ts",
        "export * from './client.ts'; export { table as rows } from './table.ts';",
    );
    let table = ("table.ts", "export const table = new Map();");
    let uses = |text| ("a.ts", text);
    let [acts, ..] = between(&[
        CLIENT,
        passes_on,
        table,
        uses("import { inngest } from './index.ts'; export const f = inngest.createFunction({});"),
    ]);
    assert!(acts.is_empty(), "{acts:?}");
    let [acts, changed, _] = between(&[
        CLIENT,
        passes_on,
        table,
        uses("import { rows } from './index.ts'; export const size = rows.set(1, 1).size;"),
    ]);
    assert_eq!([acts, changed], [["a.ts"], ["table.ts"]]);
    // A circle, and a name that nobody exports.
    let [acts, ..] = between(&[
        ("b.ts", "export * from './c.ts';"),
        ("c.ts", "export * from './b.ts';"),
        uses("import { x } from './b.ts'; x();"),
    ]);
    assert_eq!(acts, ["a.ts"]);
}

#[test]
fn what_a_function_of_the_project_gives_may_be_of_anything_that_it_reaches() {
    let [acts, changed, _] = between(&[
        ("state.ts", "export const state = { n: 0 };"),
        (
            "get.ts",
            "import { state } from './state.ts'; export const get = () => state;",
        ),
        ("a.ts", "import { get } from './get.ts'; export const n = get().add();"),
    ]);
    assert_eq!(acts, ["a.ts"]);
    assert_eq!(changed, ["get.ts", "state.ts"]);
}
