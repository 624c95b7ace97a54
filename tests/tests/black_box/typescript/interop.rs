//! Default imports of CommonJS that was compiled from ES modules. TypeScript in a package without `"type": "module"`
//! gets `exports.default`; all others get `module.exports`, as in Node.

use harness::{Baton, Project};
use serde_json::json;

use super::{came_to, returned, returning};

/// The first line of a module that TypeScript or Babel has compiled.
const COMPILED: &str = "Object.defineProperty(exports, \"__esModule\", { value: true });\n";

fn write_package(project: &Project, name: &str, files: &[(&str, &str)]) {
    let folder = format!("functions/node_modules/{name}");
    let description = json!({ "name": name, "main": "main.js" });
    project.write(&format!("{folder}/package.json"), description.to_string());
    for (file, text) in files {
        project.write(&format!("{folder}/{file}"), text);
    }
}

/// Makes a project without a type, and packages of all sorts.
fn project() -> Project {
    let project = Project::new();
    project.write("package.json", r#"{ "name": "bare", "private": true }"#);
    let retry = format!(
        "{COMPILED}let times = 0;\nexports.named = \"named\";\n\
         exports.default = function retry() {{ times += 1; return times; }};\n"
    );
    write_package(&project, "compiled", &[("main.js", &retry)]);
    let chosen = "if (true) module.exports = require(\"./real.js\");\n";
    let real = format!("{COMPILED}exports.default = () => \"real\";\nexports.other = 1;\n");
    write_package(&project, "chosen", &[("main.js", chosen), ("real.js", &real)]);
    write_package(&project, "plain", &[("main.js", "module.exports = () => \"plain\";\n")]);
    let without = format!("{COMPILED}exports.only = \"only\";\n");
    write_package(&project, "without", &[("main.js", &without)]);
    let function = "module.exports = () => \"itself\";\nmodule.exports.default = () => \"default\";\n\
                    Object.defineProperty(module.exports, \"__esModule\", { value: true });\n";
    write_package(&project, "function", &[("main.js", function)]);
    // The syntax makes these ES modules; a second instance would count anew.
    let esm = "let times = 0;\nexport default () => ++times;\nexport const __esModule = true;\n";
    write_package(&project, "syntax", &[("main.js", esm)]);
    project
}

#[tokio::test]
async fn a_default_import_in_a_package_without_a_type_is_exports_default() {
    let project = project();
    project.write("lib/own.js", format!("{COMPILED}exports.default = () => \"own\";\n"));
    project.write(
        "functions/again.ts",
        "export { default } from \"compiled\";\nexport { default as b } from \"chosen\";\n",
    );
    project.write(
        "functions/page.tsx",
        "import compiled from \"compiled\";\nexport const kind = typeof compiled;\n",
    );
    let beginning = r#"import retry, { named } from "compiled";
import * as all from "compiled";
import { default as chosen, other } from "chosen";
import plain from "plain";
import without, { only } from "without";
import itself from "function";
import own from "../lib/own";
import again, { b } from "./again";
import { kind } from "./page";"#;
    let expression = r#"[
    typeof retry, named, all.default === retry, all.named,
    chosen(), other, plain(), without.only, only, itself(), own(),
    again === retry, b(), kind,
    (await import("compiled")).default === retry,
    require("compiled").default === retry,
    import.meta.resolve("compiled").endsWith("/compiled/main.js"),
  ]"#;
    let value = came_to(&project, beginning, expression).await;
    assert_eq!(
        value,
        json!([
            "function", "named", true, "named", "real", 1, "plain", "only", "only", "default", "own", true, "real",
            "function", true, true, true
        ])
    );
}

#[tokio::test]
async fn both_kinds_of_importers_share_one_module_and_each_has_its_own_default() {
    let project = project();
    // The first file is a module by its extension, the others by their package.
    project.write(
        "functions/node.mts",
        "import compiled from \"compiled\";\nexport { compiled };\n",
    );
    project.write("functions/esm/package.json", r#"{ "type": "module" }"#);
    project.write(
        "functions/esm/esm.ts",
        "import compiled from \"compiled\";\nexport { compiled };\n",
    );
    project.write(
        "functions/plain.mjs",
        "import compiled from \"compiled\";\nexport { compiled };\n",
    );
    project.write(
        "functions/first.ts",
        "import compiled from \"compiled\";\nimport next from \"syntax\";\nexport const first = [compiled(), next()];\n",
    );
    let beginning = r#"import { first } from "./first";
import { compiled as node } from "./node.mjs";
import { compiled as esm } from "./esm/esm";
import { compiled as plain } from "./plain.mjs";
import compiled from "compiled";
import next from "syntax";
const second = [compiled(), next()];"#;
    let expression =
        "[first, second, [node, esm, plain].map((all) => [typeof all, all.default === compiled, all === node])]";
    let value = came_to(&project, beginning, expression).await;
    let as_node = json!(["object", true, true]);
    assert_eq!(value, json!([[1, 1], [2, 2], [as_node, as_node, as_node]]));
}

#[tokio::test]
async fn a_type_that_is_added_is_a_change_of_what_a_default_import_is() {
    let project = project();
    project.write(
        "functions/shape.ts",
        returning("import all from \"compiled\";", "typeof all"),
    );
    let baton = Baton::dev(&project).ready().await;
    assert_eq!(returned(&baton).await, "function");
    project.write("package.json", r#"{ "name": "bare", "type": "module" }"#);
    let _ = baton.reload().await.activated();
    assert_eq!(returned(&baton).await, "object");
}

#[tokio::test]
async fn an_error_within_the_module_names_its_file_and_where_it_is_imported() {
    let project = project();
    write_package(
        &project,
        "broken",
        &[("main.js", "\nthrow new Error(\"out of order\");\n")],
    );
    project.write("functions/plain.ts", "export {};\n");
    let baton = Baton::dev(&project).ready().await;
    project.write("functions/shape.ts", returning("import all from \"broken\";", "all"));
    let report = baton.reload().await;
    let error = report.error();
    assert!(
        error["message"]
            .as_str()
            .is_some_and(|text| text.contains("out of order")),
        "{error:#}"
    );
    assert_eq!(
        (&error["file"], &error["line"]),
        (&json!("functions/shape.ts"), &json!(2))
    );
    assert!(
        error["stack"]
            .as_str()
            .is_some_and(|stack| stack.contains("broken/main.js:2")),
        "{error:#}"
    );
    assert!(!error.to_string().contains("exports.default"), "{error:#}");
}
