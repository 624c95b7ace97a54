//! Conditions that a project names: in `tsconfig.json`, in `baton.toml`, in the `NODE_OPTIONS` of the host.

use harness::{Baton, Project};
use serde_json::{Value, json};

use super::{returned, returning};

/// Makes a project that imports and requires packages by their conditions, and has an import `#how` of its
/// own.
fn project() -> Project {
    let project = Project::new();
    // The description is a text, because the order of conditions counts.
    let package = |name: &str, description: &str, files: &[(&str, &str)]| {
        let folder = format!("functions/node_modules/{name}");
        project.write(&format!("{folder}/package.json"), description);
        for (file, text) in files {
            project.write(&format!("{folder}/{file}"), text);
        }
    };
    package(
        "server-only",
        r#"{ "name": "server-only", "exports": { ".": { "react-server": "./empty.js", "default": "./index.js" } } }"#,
        &[
            (
                "index.js",
                "throw new Error(\"This module cannot be imported from a Client Component module.\");\n",
            ),
            ("empty.js", ""),
        ],
    );
    package(
        "chosen",
        r#"{ "name": "chosen", "exports": { ".": {
            "react-server": { "import": "./server.mjs", "require": "./server.cjs" },
            "development": { "import": "./development.mjs", "require": "./development.cjs" },
            "import": "./other.mjs",
            "default": "./other.cjs"
        } } }"#,
        &[
            ("server.mjs", "export default \"server\";\n"),
            ("server.cjs", "module.exports = \"server\";\n"),
            ("development.mjs", "export default \"development\";\n"),
            ("development.cjs", "module.exports = \"development\";\n"),
            ("other.mjs", "export default \"other\";\n"),
            ("other.cjs", "module.exports = \"other\";\n"),
        ],
    );
    // A package that depends on another is under the same conditions.
    package(
        "inner",
        r#"{ "name": "inner", "type": "module", "main": "main.js" }"#,
        &[("main.js", "export { default } from \"chosen\";\n")],
    );
    let imports = r##"{ "name": "fixture", "type": "module", "imports": {
        "#how": { "react-server": "./functions/how/server.ts", "default": "./functions/how/other.ts" }
    } }"##;
    project.write("package.json", imports);
    for how in ["server", "other"] {
        let text = format!("export const how: string = \"{how}\";\n");
        project.write(&format!("functions/how/{how}.ts"), text);
    }
    project.write(
        "functions/shape.ts",
        returning(
            "import chosen from \"chosen\";\nimport inner from \"inner\";\nimport { how } from \"#how\";",
            "[chosen, require(\"chosen\"), inner, how, (await import(\"chosen\")).default]",
        ),
    );
    project
}

fn server() -> Value {
    json!(["server", "server", "server", "server", "server"])
}

fn other() -> Value {
    json!(["other", "other", "other", "other", "other"])
}

#[tokio::test]
async fn a_condition_is_named_in_the_tsconfig_and_a_change_of_it_is_a_change_of_the_code() {
    let project = project();
    let baton = Baton::dev(&project).ready().await;
    assert_eq!(returned(&baton).await, other());
    project.write("tsconfig.json", r#"{ "extends": "./base.json" }"#);
    project.write(
        "base.json",
        r#"{ "compilerOptions": { "customConditions": ["react-server"] } }"#,
    );
    let _ = baton.reload().await.activated();
    assert_eq!(returned(&baton).await, server());
    project.write("base.json", r#"{ "compilerOptions": { "customConditions": [] } }"#);
    let _ = baton.reload().await.activated();
    assert_eq!(returned(&baton).await, other());
}

#[tokio::test]
async fn a_condition_is_named_in_baton_toml_and_counts_from_the_next_start_on() {
    let project = project();
    project.write("baton.toml", "[resolve]\nconditions = [\"react-server\"]\n");
    let mut baton = Baton::dev(&project).ready().await;
    assert_eq!(returned(&baton).await, server());

    project.write("baton.toml", "");
    project.write("functions/more.ts", "export {};\n");
    let _ = baton.reload().await.activated();
    assert_eq!(returned(&baton).await, server());
    baton.signal("TERM").await;
    baton.ended().await;
    assert_eq!(returned(&Baton::dev(&project).ready().await).await, other());
}

#[tokio::test]
async fn a_condition_is_named_in_node_options_beside_the_others() {
    let project = project();
    project.write("baton.toml", "[resolve]\nconditions = [\"development\"]\n");
    let node_options = "--enable-source-maps --conditions=react-server";
    let baton = Baton::dev(&project).env("NODE_OPTIONS", node_options).ready().await;
    assert_eq!(returned(&baton).await, server(), "the package's own order decides");
    drop(baton);
    let baton = Baton::dev(&project).env("NODE_OPTIONS", "-C unheard-of").ready().await;
    let development = json!(["development", "development", "development", "other", "development"]);
    assert_eq!(returned(&baton).await, development);
}

#[tokio::test]
async fn a_module_that_is_only_for_servers_loads_under_its_condition_alone() {
    let project = project();
    let baton = Baton::dev(&project).ready().await;
    project.write("functions/only.ts", "import \"server-only\";\n");
    let report = baton.reload().await;
    assert_eq!(report.status(), "rejected", "{report:?}");
    let help = report.error()["help"].as_str().unwrap_or_default();
    assert!(
        help.contains("conditions = [\"react-server\"] below [resolve]"),
        "{report:?}"
    );
    project.write(
        "tsconfig.json",
        r#"{ "compilerOptions": { "customConditions": ["react-server"] } }"#,
    );
    let _ = baton.reload().await.activated();
    assert_eq!(returned(&baton).await, server());
}

#[tokio::test]
async fn conditions_that_are_no_list_of_names_are_refused() {
    let project = project();
    project.write("baton.toml", "[resolve]\nconditions = \"react-server\"\n");
    let finished = Baton::dev(&project).to_the_end().await;
    finished.refuses(78, &["baton.toml", "expected a list of conditions"]);
}
