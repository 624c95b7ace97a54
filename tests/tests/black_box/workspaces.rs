//! Monorepos as npm, pnpm and yarn lay them out, with packages that are linked as TypeScript: they load, and an edit
//! in one of their packages is noticed.

use std::process::Command;

use harness::{Baton, Project};
use serde_json::json;

use crate::typescript::{returned, returning};

/// Makes the workspace: an app, a package that it uses, and a package that this one uses.
fn workspace(dependency: &str) -> Project {
    let project = Project::new();
    project.remove("package.json");
    let package = |name: &str, uses: Option<&str>, rest: &str| {
        let uses = uses
            .map(|name| format!("\"{name}\": \"{dependency}\""))
            .unwrap_or_default();
        format!(
            r#"{{ "name": "{name}", "version": "1.0.0", "private": true, "type": "module", "dependencies": {{ {uses} }}{rest} }}"#
        )
    };
    let exports = r#", "exports": { ".": "./src/index.ts", "./*": "./src/*.ts" }"#;
    let root = package("root", None, r#", "workspaces": ["packages/*", "apps/*"]"#);
    project.write("package.json", root);
    project.write("pnpm-workspace.yaml", "packages:\n  - packages/*\n  - apps/*\n");
    project.write(
        "apps/worker/package.json",
        package("@demo/worker", Some("@demo/prices"), ""),
    );
    project.write(
        "packages/prices/package.json",
        package("@demo/prices", Some("@demo/money"), exports),
    );
    let prices = "import { format } from \"@demo/money\";\nimport { base } from \"./base.js\";\n\
                  export const price: string = format(base);\n";
    project.write("packages/prices/src/index.ts", prices);
    project.write("packages/prices/src/base.ts", "export const base: number = 7;\n");
    project.write("packages/prices/src/more.ts", "export enum More { A = \"more\" }\n");
    let main = r#", "main": "src/index.ts""#;
    project.write("packages/money/package.json", package("@demo/money", None, main));
    project.write(
        "packages/money/src/index.ts",
        "export const format = (n: number): string => `${n} €`;\n",
    );
    let beginning = "import { price } from \"@demo/prices\";\nimport { More } from \"@demo/prices/more\";";
    let function = returning(beginning, "[price, More.A]").replace("../lib/", "../../../lib/");
    project.write("apps/worker/functions/shape.ts", function);
    project
}

/// Runs a package manager from the test's own packages; it fetches nothing.
fn install(project: &Project, program: &str, arguments: &[&str]) {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("compat/node_modules/.bin");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(std::iter::once(folder).chain(std::env::split_paths(&path))).expect("a PATH");
    let done = Command::new(program)
        .args(arguments)
        .env("PATH", path)
        .env("npm_config_update_notifier", "false")
        .current_dir(project.root())
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    let said = [done.stdout, done.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(done.status.success(), "{program}: {}", said.concat());
}

/// Installs over the link to the fixture's packages, puts the SDK's link back, and checks that an edit is noticed.
async fn an_edit_in_a_linked_package_is_noticed(project: &Project, install: impl FnOnce()) {
    let packages = project.root().join("node_modules");
    let sdk = std::fs::canonicalize(&packages).expect("the fixture's packages");
    std::fs::remove_file(&packages).expect("no link to them");
    install();
    for package in ["inngest", "zod"] {
        let link = packages.join(package);
        std::fs::create_dir_all(&packages).expect("a folder of packages");
        std::os::unix::fs::symlink(sdk.join(package), link).expect("a link to the SDK");
    }
    let baton = Baton::dev_on(project, "apps/worker/functions")
        .watching("files")
        .ready()
        .await;
    assert_eq!(returned(&baton).await, json!(["7 €", "more"]));

    project.write(
        "packages/money/src/index.ts",
        "export const format = (n: number): string => `${n} $`;\n",
    );
    let _ = baton.wait_for("generation activated", json!({ "generation": 2 })).await;
    assert_eq!(returned(&baton).await, json!(["7 $", "more"]));
    project.write("packages/prices/src/base.ts", "export const base: number = 8;\n");
    let _ = baton.wait_for("generation activated", json!({ "generation": 3 })).await;
    assert_eq!(returned(&baton).await, json!(["8 $", "more"]));
}

#[tokio::test]
async fn of_npm() {
    let project = workspace("*");
    let arguments = ["install", "--offline", "--no-audit", "--no-fund", "--ignore-scripts"];
    an_edit_in_a_linked_package_is_noticed(&project, || install(&project, "npm", &arguments)).await;
}

#[tokio::test]
async fn of_pnpm() {
    let project = workspace("workspace:*");
    let arguments = ["install", "--offline", "--ignore-scripts"];
    an_edit_in_a_linked_package_is_noticed(&project, || install(&project, "pnpm", &arguments)).await;
}

#[tokio::test]
async fn of_yarn() {
    let project = workspace("1.0.0");
    let arguments = ["install", "--offline", "--ignore-scripts", "--ignore-engines"];
    an_edit_in_a_linked_package_is_noticed(&project, || install(&project, "yarn", &arguments)).await;
}
