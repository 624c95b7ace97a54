//! Projects that are CommonJS because `tsconfig.json` says so: they are served as CommonJS, reloaded and
//! blamed.

use harness::{Baton, Project};
use serde_json::json;

use super::{came_to, returned, returning};

const SETTINGS: &str =
    r#"{ "compilerOptions": { "module": "commonjs", "target": "ES2022", "esModuleInterop": true } }"#;

fn project() -> Project {
    let project = Project::new();
    project.write("package.json", r#"{ "name": "bare", "private": true }"#);
    project.write("tsconfig.json", SETTINGS);
    project
}

#[tokio::test]
async fn statements_between_imports_run_between_them_and_edits_reload() {
    let project = project();
    project.write("lib/settings.ts", "process.env.PLACE = \"set\";\n");
    project.write("lib/place.ts", "export const place = process.env.PLACE;\n");
    project.write("lib/text.sql", "select 1");
    project.write("lib/data.json", r#"{ "a": 1 }"#);
    let beginning = "process.env.PLACE = \"own\";\nimport { place } from \"../lib/place\";\n\
                     import text from \"../lib/text.sql\";\nimport data from \"../lib/data.json\";";
    project.write(
        "functions/shape.ts",
        returning(beginning, "[place, text, data.a, typeof module]"),
    );
    let baton = Baton::dev(&project).ready().await;
    assert_eq!(returned(&baton).await, json!(["own", "select 1", 1, "object"]));
    project.write("lib/place.ts", "export const place = `${process.env.PLACE} again`;\n");
    let _ = baton.reload().await.activated();
    assert_eq!(returned(&baton).await, json!(["own again", "select 1", 1, "object"]));
    project.write("lib/data.json", r#"{ "a": 2 }"#);
    let _ = baton.reload().await.activated();
    assert_eq!(returned(&baton).await, json!(["own again", "select 1", 2, "object"]));
}

#[tokio::test]
async fn a_package_of_both_kinds_is_there_once_and_paths_lead_from_require_too() {
    let project = project();
    project.write(
        "tsconfig.json",
        r#"{ "compilerOptions": { "module": "node16", "paths": { "@/*": ["./lib/*"] } } }"#,
    );
    let folder = "functions/node_modules/dual";
    project.write(
        &format!("{folder}/package.json"),
        r#"{ "name": "dual", "exports": { "import": "./main.mjs", "require": "./main.cjs" } }"#,
    );
    project.write(
        &format!("{folder}/main.mjs"),
        "export class Dual {}\nexport const kind = \"import\";\n",
    );
    project.write(
        &format!("{folder}/main.cjs"),
        "exports.Dual = class {};\nexports.kind = \"require\";\n",
    );
    project.write(
        "functions/node_modules/user/package.json",
        r#"{ "name": "user", "main": "main.js" }"#,
    );
    project.write(
        "functions/node_modules/user/main.js",
        "const { Dual } = require(\"dual\");\nexports.made = new Dual();\n",
    );
    project.write("lib/one.ts", "export const one = 1;\n");
    project.write(
        "lib/two.cts",
        "import { one } from \"@/one\";\nexport const two = one + 1;\n",
    );
    let beginning = "import { Dual, kind } from \"dual\";\nimport { made } from \"user\";\n\
                     import { one } from \"@/one\";\nimport { two } from \"@/two.cjs\";";
    let expression = "[kind, made instanceof Dual, one, two, require(\"@/one\").one, \
                      (await import(\"@/one\")).one, require.resolve(\"@/one\").endsWith(\"/lib/one.ts\")]";
    let value = came_to(&project, beginning, expression).await;
    assert_eq!(value, json!(["require", true, 1, 2, 1, 1, true]));
}

#[tokio::test]
async fn a_module_that_waits_stays_an_es_module_with_those_that_import_it() {
    let project = project();
    project.write("lib/waits.ts", "export const value = await Promise.resolve(1);\n");
    project.write("lib/between.ts", "export { value } from \"./waits\";\n");
    project.write("lib/meta.ts", "export const here = import.meta.url.slice(-7);\n");
    project.write("lib/alone.ts", "export const kind = typeof module;\n");
    let beginning = "import { value } from \"../lib/between\";\nimport { here } from \"../lib/meta\";\n\
                     import { kind } from \"../lib/alone\";";
    let value = came_to(&project, beginning, "[value, here, kind, typeof module]").await;
    assert_eq!(value, json!([1, "meta.ts", "object", "undefined"]));
}

#[tokio::test]
async fn an_entry_file_is_the_main_module() {
    let project = project();
    project.write(
        "src/server.ts",
        "import { createServer } from \"node:http\";\nimport { serve } from \"inngest/node\";\n\
         import { inngest } from \"../lib/client\";\n\
         const shape = inngest.createFunction({ id: \"shape\", retries: 1, checkpointing: false, triggers: [{ event: \"fixture/shape\" }] }, \
         async () => [typeof require.main, require.main === module]);\n\
         if (require.main === module) createServer(serve({ client: inngest, functions: [shape] })).listen(3000);\n",
    );
    let baton = Baton::dev_on(&project, "src/server.ts").ready().await;
    assert_eq!(returned(&baton).await, json!(["object", true]));
}

#[tokio::test]
async fn what_fails_is_blamed_where_it_is_written() {
    let project = project();
    let baton = Baton::dev(&project).ready().await;
    let place = |report: &harness::Report| {
        let error = report.error();
        (error["file"].clone(), error["line"].clone())
    };
    project.write(
        "functions/shape.ts",
        "import { one } from \"../lib/one\";\n\nexport const shape = one;\n",
    );
    project.write(
        "lib/one.ts",
        "import { basename } from \"node:path\";\ninterface Gone { a: string }\n\nexport const one = (null as any as Gone).a + basename(\"\");\n",
    );
    assert_eq!(place(&baton.reload().await), (json!("lib/one.ts"), json!(4)));

    project.write(
        "lib/one.ts",
        "export const one = 1;\nimport { two } from \"./nowhere\";\nexport { two };\n",
    );
    let report = baton.reload().await;
    assert_eq!(place(&report), (json!("lib/one.ts"), json!(2)), "{report:?}");
    project.write(
        "lib/one.ts",
        "\nimport { one } from \"not-installed\";\nexport { one };\n",
    );
    let report = baton.reload().await;
    assert_eq!(place(&report), (json!("lib/one.ts"), json!(2)), "{report:?}");
    let help = report.error()["help"].as_str().unwrap_or_default();
    assert!(help.contains("npm install not-installed"), "{report:?}");
    project.write("lib/one.ts", "export const one = ;\n");
    assert_eq!(place(&baton.reload().await), (json!("lib/one.ts"), json!(1)));
}

#[tokio::test]
async fn worker_threads_run_such_modules_too() {
    let project = project();
    project.write("lib/one.ts", "export const one = 1;\n");
    project.write(
        "lib/worker.ts",
        "import { parentPort } from \"node:worker_threads\";\nimport { one } from \"./one\";\n\
         parentPort!.postMessage([one, typeof module]);\n",
    );
    let beginning = "import { join } from \"node:path\";\nimport { once } from \"node:events\";\n\
                     import { Worker } from \"node:worker_threads\";";
    let expression = "(await once(new Worker(join(__dirname, \"../lib/worker.ts\")), \"message\"))[0]";
    let value = came_to(&project, beginning, expression).await;
    assert_eq!(value, json!([1, "object"]));
}
