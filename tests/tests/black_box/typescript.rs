//! TypeScript as people write it, for a compiler, a bundler or another runtime: the settings of `tsconfig.json`,
//! modules of both kinds, files that are imported as data (docs/typescript.md).

mod circles;
mod commonjs;
mod conditions;
mod fields;
mod found;
mod interop;
mod jsx;
mod table;

use harness::{Baton, Project, Run};
use serde_json::{Value, json};

/// Returns a function that returns the value of an expression, in a file with this beginning.
pub(crate) fn returning(beginning: &str, expression: &str) -> String {
    format!(
        r#"import {{ inngest }} from "../lib/client";
{beginning}
export const shape = inngest.createFunction(
  {{ id: "shape", retries: 1, checkpointing: false, triggers: [{{ event: "fixture/shape" }}] }},
  async () => ({expression}),
);
"#
    )
}

/// Returns the result of the function of [`returning`].
pub(crate) async fn returned(baton: &Baton) -> Value {
    let answer = baton.executor().discover(&Run::of("fixture-shape")).await;
    let answer = answer.unwrap_or_else(|lost| panic!("{lost}\n{}", baton.stderr().tail()));
    assert_eq!(answer.status, 200, "{answer}\n{}", baton.stderr().tail());
    answer.json()
}

async fn came_to(project: &Project, beginning: &str, expression: &str) -> Value {
    project.write("functions/shape.ts", returning(beginning, expression));
    returned(&Baton::dev(project).ready().await).await
}

#[tokio::test]
async fn paths_and_base_url_of_extended_configurations_lead_where_typescript_says() {
    let project = Project::new();
    project.write(
        "tsconfig.json",
        r#"{
          // as people write it
          "extends": ["./config/base", "./config/more.json"],
          "compilerOptions": { "baseUrl": "." },
        }"#,
    );
    let paths =
        r#"{ "compilerOptions": { "paths": { "@/*": ["src/*"], "~one": ["src/one.ts"], "gone/*": ["nowhere/*"] } } }"#;
    project.write("config/base.json", paths);
    project.write("config/more.json", "{}");
    project.write("src/one.ts", "export const one = 1;\n");
    project.write("src/deep/index.ts", "export { one as two } from \"@/one\";\n");
    let beginning = r#"import { two } from "@/deep";
import { one } from "~one";
import { one as based } from "src/one";
import { basename } from "path";"#;
    let value = came_to(&project, beginning, "[one, two, based, basename(\"/a/b\")]").await;
    assert_eq!(value, json!([1, 1, 1, "b"]));
}

#[tokio::test]
async fn a_tsconfig_that_changes_is_a_change_of_the_code_and_a_broken_one_is_named() {
    let project = Project::new();
    project.write("src/one.ts", "export const which = \"one\";\n");
    project.write("other/one.ts", "export const which = \"other\";\n");
    project.write("tsconfig.json", r#"{ "extends": "./base.json" }"#);
    let base = |folder: &str| format!(r#"{{ "compilerOptions": {{ "paths": {{ "@/*": ["./{folder}/*"] }} }} }}"#);
    project.write("base.json", base("src"));
    project.write(
        "functions/shape.ts",
        returning("import { which } from \"@/one\";", "which"),
    );
    let baton = Baton::dev(&project).ready().await;
    assert_eq!(returned(&baton).await, "one");

    project.write("base.json", base("other"));
    let _ = baton.reload().await.activated();
    assert_eq!(returned(&baton).await, "other");

    project.write("base.json", "{ \"compilerOptions\": ");
    let report = baton.reload().await;
    assert_eq!(report.error()["file"], "base.json", "{report:?}");
    let message = report.error()["message"].as_str().unwrap_or_default();
    assert!(message.contains("it is not valid JSON"), "{message}");
    project.write("tsconfig.json", r#"{ "extends": "@nobody/tsconfig" }"#);
    let report = baton.reload().await;
    let message = report.error()["message"].as_str().unwrap_or_default();
    assert!(message.contains("@nobody/tsconfig"), "{message}");
    assert_eq!(returned(&baton).await, "other", "nothing else came of it");
}

#[tokio::test]
async fn a_solution_that_only_lists_projects_means_the_first_of_them_that_says_something() {
    let project = Project::new();
    let solution = r#"{ "files": [], "references": [{ "path": "./tsconfig.node.json" }, { "path": "./app" }] }"#;
    project.write("tsconfig.json", solution);
    project.write("tsconfig.node.json", r#"{ "compilerOptions": { "strict": true } }"#);
    let app = r#"{ "compilerOptions": { "paths": { "@/*": ["./*"] } } }"#;
    project.write("app/tsconfig.json", app);
    project.write("app/one.ts", "export const one = 1;\n");
    let value = came_to(&project, "import { one } from \"@/one\";", "one").await;
    assert_eq!(value, 1);
}

#[tokio::test]
async fn jsx_becomes_what_the_nearest_tsconfig_says() {
    let project = Project::new();
    let classic = r#"{ "compilerOptions": { "jsx": "react", "jsxFactory": "h", "jsxFragmentFactory": "F" } }"#;
    project.write("tsconfig.json", classic);
    let page = "const F = \"fragment\";
const h = (...all: unknown[]) => all;
export const page = <p class=\"x\">{1}<><b/></></p>;\n";
    project.write("lib/page.tsx", page);
    let automatic = r##"{ "compilerOptions": { "jsx": "react-jsx", "jsxImportSource": "#jsx" } }"##;
    project.write("auto/tsconfig.json", automatic);
    let package = r##"{ "type": "module", "imports": { "#jsx/jsx-runtime": "./runtime.ts" } }"##;
    project.write("auto/package.json", package);
    let runtime = "export const jsx = (type: string, props: object) => ({ type, ...props });\n\
                   export { jsx as jsxs };\nexport const Fragment = \"fragment\";\n";
    project.write("auto/runtime.ts", runtime);
    project.write("auto/page.tsx", "export const page = <p class=\"x\">{1}</p>;\n");
    let beginning = "import { page } from \"../lib/page\";\nimport { page as auto } from \"../auto/page\";";
    let value = came_to(&project, beginning, "[page, auto]").await;
    let classic = json!(["p", { "class": "x" }, 1, ["fragment", null, ["b", null]]]);
    assert_eq!(value, json!([classic, { "type": "p", "class": "x", "children": 1 }]));
}

const DECORATED: &str = r#"
export class Thing {
  constructor(private readonly a: number, readonly b = 2) {}
  @logged sum(): number { return this.a + this.b; }
}
"#;

#[tokio::test]
async fn decorators_are_the_standards_unless_the_tsconfig_asks_for_typescripts_own() {
    let project = Project::new();
    let standard = "function logged(method: Function, context: { kind: string; name: string }) {
  return function (this: unknown, ...values: unknown[]) {
    return [context.kind, context.name, method.apply(this, values)];
  };
}";
    project.write("lib/standard.ts", format!("{standard}{DECORATED}"));
    let both = r#"{ "compilerOptions": { "experimentalDecorators": true, "emitDecoratorMetadata": true } }"#;
    project.write("legacy/tsconfig.json", both);
    let legacy = "const types: unknown[] = [];
(Reflect as any).metadata = (key: string, type: any) => () => { types.push([key, type?.name ?? null]); };
function logged(_: object, key: string, descriptor: PropertyDescriptor) { types.push(key); return descriptor; }
export { types };";
    project.write("legacy/legacy.ts", format!("{legacy}{DECORATED}"));
    let beginning =
        "import { Thing } from \"../lib/standard\";\nimport { Thing as Legacy, types } from \"../legacy/legacy\";";
    let value = came_to(&project, beginning, "[new Thing(1).sum(), new Legacy(1).sum(), types]").await;
    assert_eq!(value[0], json!(["method", "sum", 3]));
    assert_eq!(value[1], 3);
    let types = value[2].as_array().expect("a list");
    for seen in [json!("sum"), json!(["design:returntype", "Number"])] {
        assert!(types.contains(&seen), "{types:?}");
    }
}

#[tokio::test]
async fn what_typescript_adds_to_the_language_is_there() {
    let project = Project::new();
    let beginning = r#"import type { Missing } from "./not/there";
import { type AlsoMissing, kinds } from "../lib/kinds";
enum Color { Red = "r", Blue = "b" }
const enum Size { Small = 1, Large }
namespace Deep { export const x = 5; }
abstract class Base { declare ghost: string; abstract name(): string; }
class Child extends Base { override name() { return "child"; } }
const typed = { a: 1 } satisfies Record<string, number>;
function over(a: number): number;
function over(a: any): any { return a; }
await using resource = { [Symbol.asyncDispose]: async () => {} };"#;
    project.write(
        "lib/kinds.mts",
        "export interface AlsoMissing {}\nexport const kinds = [\"mts\"];\n",
    );
    let expression =
        "[Color.Blue, Size.Large, Deep.x, new Child().name(), \"ghost\" in new Child(), typed!.a, over(2), kinds]";
    let value = came_to(&project, beginning, expression).await;
    assert_eq!(value, json!(["b", 2, 5, "child", false, 1, 2, ["mts"]]));
}

#[tokio::test]
async fn data_is_imported_with_attributes_and_as_bundlers_do() {
    let project = Project::new();
    project.write("data/a.json", "{\"a\":[1]}");
    project.write("data/q.sql", "select 'a' -- ${x}\n");
    project.write("data/t.txt", "péng\n");
    let beginning = r#"import plain from "../data/a.json";
import json from "../data/a.json" with { type: "json" };
import sql from "../data/q.sql";
import text from "../data/t.txt" with { type: "text" };
const name = "a";
const late = await import(`../data/${name}.json`, { with: { type: "json" } });
const { eight } = await import("data:text/javascript,export const eight = 8");
const wasm = new WebAssembly.Module(new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0]));"#;
    let value = came_to(
        &project,
        beginning,
        "[plain, json, sql, text, late.default, eight, wasm instanceof WebAssembly.Module]",
    )
    .await;
    let a = json!({ "a": [1] });
    assert_eq!(value, json!([a, a, "select 'a' -- ${x}\n", "péng\n", a, 8, true]));

    let project = Project::new();
    project.write("data/t.txt", "one");
    project.write(
        "functions/shape.ts",
        returning("import text from \"../data/t.txt\";", "text"),
    );
    let baton = Baton::dev(&project).ready().await;
    project.write("data/t.txt", "two");
    let _ = baton.reload().await.activated();
    assert_eq!(returned(&baton).await, "two", "what is imported counts as code");
}

#[tokio::test]
async fn commonjs_names_are_there_in_es_modules_unless_they_are_declared() {
    let project = Project::new();
    project.write(
        "lib/own.ts",
        "const __dirname = \"mine\";\nexport const own = [__dirname, typeof require];\n",
    );
    project.write("lib/data.json", "{\"n\":7}");
    let beginning = "import { own } from \"../lib/own\";\nconst { n } = require(\"../lib/data.json\");\n\
                     const tail = (path: string) => path.split(\"/\").slice(-2).join(\"/\");";
    let expression = "[n, require.resolve(\"node:fs\"), tail(__filename), tail(__dirname), own, tail(import.meta.filename), \
                      tail(import.meta.dirname), import.meta.url.startsWith(\"file://\")]";
    let value = came_to(&project, beginning, expression).await;
    let here = ["functions/shape.ts", "project/functions"];
    assert_eq!(
        value,
        json!([
            7,
            "node:fs",
            here[0],
            here[1],
            ["mine", "function"],
            here[0],
            here[1],
            true
        ])
    );
}

#[tokio::test]
async fn modules_of_both_kinds_require_and_import_each_other() {
    let project = Project::new();
    // Each module requires or imports the next one: a module waits for the modules below it.
    project.write("lib/a.cjs", "module.exports = { ...require(\"./b.mjs\"), a: 1 };\n");
    project.write("lib/b.mjs", "import c from \"./c.cjs\";\nexport const b = c;\n");
    project.write(
        "lib/c.cjs",
        "exports.d = require(\"./d.mjs\").d;\nexports.name = __filename.split(\"/\").at(-1);\n",
    );
    project.write("lib/d.mjs", "import e from \"./e.cts\";\nexport const d = e.e;\n");
    project.write(
        "lib/e.cts",
        "import fs = require(\"node:fs\");\nexport = { e: typeof fs.readFileSync } as const;\n",
    );
    let value = came_to(&project, "import all from \"../lib/a.cjs\";", "[all.a, all.b]").await;
    assert_eq!(value, json!([1, { "d": "function", "name": "c.cjs" }]));
}

#[tokio::test]
async fn a_package_may_export_what_an_addon_does_or_what_is_not_there() {
    let project = Project::new();
    let again = "function __exportStar(from, to) { Object.assign(to, from); }\n__exportStar(require(\"./inner\"), exports);\n\
                 exports.outer = 2;\nif (process.env.WITH_ADDON) __exportStar(require(\"./build/addon\"), exports);\n";
    let files = [
        ("package.json", r#"{ "name": "native", "main": "main.js" }"#),
        ("main.js", "module.exports = require(\"./again\");\n"),
        ("again.js", again),
        (
            "inner.js",
            "exports.inner = 1;\nif (process.env.WITH_ADDON) module.exports = { ...require(\"./gone\") };\n",
        ),
        ("build/addon.node", "no addon"),
    ];
    for (name, text) in files {
        project.write(&format!("functions/node_modules/native/{name}"), text);
    }
    let beginning = "import native, { inner, outer } from \"native\";";
    assert_eq!(
        came_to(&project, beginning, "[native, inner, outer]").await,
        json!([{ "inner": 1, "outer": 2 }, 1, 2])
    );
}

#[tokio::test]
async fn a_project_without_a_type_is_commonjs_where_it_is_written_so() {
    let project = Project::new();
    project.write("package.json", r#"{ "name": "bare", "private": true }"#);
    project.write("lib/old.js", "exports.old = __dirname.endsWith(\"lib\");\n");
    project.write(
        "lib/mixed.ts",
        "const { old } = require(\"./old\");\nmodule.exports = { mixed: old };\n",
    );
    let beginning = "import { old } from \"../lib/old\";\nimport mixed from \"../lib/mixed\";";
    assert_eq!(
        came_to(&project, beginning, "[old, mixed]").await,
        json!([true, { "mixed": true }])
    );
}
