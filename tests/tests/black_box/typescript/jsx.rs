//! JSX for each value of `jsx`, and with the pragmas of a file.

use harness::Project;
use serde_json::{Value, json};

use super::came_to;

/// Makes a project whose functions find stand-ins of `react` and `preact`. An element of these names the call that
/// made it.
fn project() -> Project {
    let project = Project::new();
    for name in ["react", "preact"] {
        let folder = format!("functions/node_modules/{name}");
        let runtime = |call: &str| {
            format!(
                "export const {call} = (type, props) => ({{ by: \"{name} {call}\", type: type.name ?? type, ...props }});\n\
                 export const {call}s = {call};\nexport const jsxDEV = jsx;\nexport const Fragment = \"fragment\";\n",
                call = call
            )
        };
        project.write(
            &format!("{folder}/package.json"),
            json!({ "name": name, "type": "module", "exports": {
                ".": "./main.js", "./jsx-runtime": "./jsx.js", "./jsx-dev-runtime": "./dev.js",
            } })
            .to_string(),
        );
        project.write(&format!("{folder}/jsx.js"), runtime("jsx"));
        let dev = format!(
            "export const jsxDEV = (type, props) => ({{ by: \"{name} jsxDEV\", type: type.name ?? type, ...props }});\n\
             export const Fragment = \"fragment\";\n"
        );
        project.write(&format!("{folder}/dev.js"), dev);
        let main = format!(
            "const createElement = (type, props, ...children) => ({{ by: \"{name} createElement\", type: type.name ?? type, \
             ...props, children: children.length > 1 ? children : children[0] }});\n\
             const Fragment = \"fragment\";\nexport {{ createElement, Fragment, createElement as h }};\n\
             export default {{ createElement, Fragment }};\n"
        );
        project.write(&format!("{folder}/main.js"), main);
    }
    project
}

const PAGE: &str = "const Name = 0;\nexport const page = <p id=\"x\"><>{\"Ada\"}</></p>;\n";

fn page(by: &str) -> Value {
    let inner = json!({ "by": by, "type": "fragment", "children": "Ada" });
    json!({ "by": by, "type": "p", "id": "x", "children": inner })
}

/// Returns the values of pages with these settings and beginnings, in order.
async fn pages(cases: &[(&str, &str)]) -> Value {
    let project = project();
    let (mut beginning, mut names) = (String::new(), Vec::new());
    for (index, (settings, pragmas)) in cases.iter().enumerate() {
        let folder = format!("functions/p{index}");
        project.write(
            &format!("{folder}/tsconfig.json"),
            format!("{{ \"compilerOptions\": {settings} }}"),
        );
        project.write(&format!("{folder}/page.tsx"), format!("{pragmas}{PAGE}"));
        beginning += &format!("import {{ page as p{index} }} from \"./p{index}/page\";\n");
        names.push(format!("p{index}"));
    }
    came_to(&project, &beginning, &format!("[{}]", names.join(", "))).await
}

#[tokio::test]
async fn each_value_of_jsx_becomes_what_a_bundler_or_typescript_makes_of_it() {
    let value = pages(&[
        (r#"{ "jsx": "preserve" }"#, ""),
        (r#"{ "jsx": "react-native" }"#, ""),
        ("{}", ""),
        (r#"{ "jsx": "react-jsx" }"#, ""),
        (r#"{ "jsx": "react-jsxdev" }"#, ""),
        (r#"{ "jsx": "preserve", "jsxImportSource": "preact" }"#, ""),
        (r#"{ "jsx": "react" }"#, "import React from \"react\";\n"),
        (
            r#"{ "jsx": "react", "jsxFactory": "h", "jsxFragmentFactory": "Fragment" }"#,
            "import { h, Fragment } from \"preact\";\n",
        ),
        (
            r#"{ "jsx": "preserve", "jsxFactory": "h", "jsxFragmentFactory": "Fragment" }"#,
            "import { h, Fragment } from \"preact\";\n",
        ),
        (
            r#"{ "jsx": "react", "reactNamespace": "Preact" }"#,
            "import Preact from \"preact\";\n",
        ),
    ])
    .await;
    let expected = [
        "react jsx",
        "react jsx",
        "react jsx",
        "react jsx",
        "react jsxDEV",
        "preact jsx",
        "react createElement",
        "preact createElement",
        "preact createElement",
        "preact createElement",
    ];
    for (index, by) in expected.into_iter().enumerate() {
        assert_eq!(value[index], page(by), "page {index}");
    }
}

#[tokio::test]
async fn a_files_own_pragmas_count_before_the_tsconfig() {
    let factory = "/** @jsx h */\n/** @jsxFrag Fragment */\nimport { h, Fragment } from \"preact\";\n";
    let value = pages(&[
        (r#"{ "jsx": "preserve" }"#, factory),
        (r#"{ "jsx": "react" }"#, factory),
        // With this setting TypeScript ignores a factory.
        (r#"{ "jsx": "react-jsx" }"#, factory),
        (r#"{ "jsx": "react-jsx" }"#, "/** @jsxImportSource preact */\n"),
        (r#"{ "jsx": "react" }"#, "/** @jsxImportSource preact */\n"),
        (
            r#"{ "jsx": "react-jsx" }"#,
            "/** @jsxRuntime classic */\nimport React from \"react\";\n",
        ),
        (r#"{ "jsx": "react" }"#, "/* @jsxRuntime automatic */\n"),
    ])
    .await;
    let expected = [
        "preact createElement",
        "preact createElement",
        "react jsx",
        "preact jsx",
        "preact jsx",
        "react createElement",
        "react jsx",
    ];
    for (index, by) in expected.into_iter().enumerate() {
        assert_eq!(value[index], page(by), "page {index}");
    }
}
