//! Modules that import each other: a circle that works in any order works, and any other circle is named in
//! the error.

use harness::{Baton, Project, Report};
use serde_json::json;

use super::came_to;

/// Returns the report of a reload with these files.
async fn report(files: &[(&str, &str)]) -> Report {
    let project = Project::new();
    let baton = Baton::dev(&project).ready().await;
    for (file, text) in files {
        project.write(file, text);
    }
    baton.reload().await
}

/// Checks that the reload is refused at the file and line, with this circle and this advice.
fn tells(report: &Report, place: (&str, u64), circle: &str, name: &str) {
    let error = report.error();
    assert_eq!(
        (&error["file"], &error["line"]),
        (&json!(place.0), &json!(place.1)),
        "{report:?}"
    );
    let message = error["message"].as_str().unwrap_or_default();
    assert!(
        message.contains(&format!("Cannot access '{name}' before initialization")),
        "{message}"
    );
    assert!(message.ends_with(&format!("circular imports: {circle}")), "{message}");
    let help = error["help"].as_str().unwrap_or_default();
    assert!(
        help.starts_with(&format!("Move {name} into a module of its own")),
        "{help}"
    );
}

const FUNCTION: &str = "import { inngest } from \"../lib/client\";\n";

#[tokio::test]
async fn functions_that_import_each_other_are_told_as_a_circle() {
    let feed = format!(
        "{FUNCTION}import {{ parseItem }} from \"./parse-item\";\nexport const FEED_IMPORT = \"feeds/import\";\n\
         export const importFeed = inngest.createFunction(\n  {{ id: \"import-feed\", triggers: [{{ event: FEED_IMPORT }}] }},\n  \
         async ({{ step }}) => step.invoke(\"parse\", {{ function: parseItem, data: {{}} }}),\n);\n"
    );
    let parse = format!(
        "{FUNCTION}import {{ FEED_IMPORT }} from \"./import-feed\";\nexport const parseItem = inngest.createFunction(\n  \
         {{ id: \"parse-item\", triggers: [{{ event: `${{FEED_IMPORT}}.item` }}] }},\n  async () => 1,\n);\n"
    );
    let report = report(&[("functions/import-feed.ts", &feed), ("functions/parse-item.ts", &parse)]).await;
    let circle = "functions/parse-item.ts → functions/import-feed.ts → functions/parse-item.ts";
    tells(&report, ("functions/parse-item.ts", 4), circle, "FEED_IMPORT");
}

#[tokio::test]
async fn a_longer_circle_a_default_import_and_a_class_are_told_too() {
    let through_others = report(&[
        (
            "functions/one.ts",
            "import { two } from \"../lib/two\";\nexport const one = `one ${two}`;\n",
        ),
        ("lib/two.ts", "export { three as two } from \"./three\";\n"),
        (
            "lib/three.ts",
            "import { one as first } from \"../functions/one\";\n\nexport const three = `three ${first}`;\n",
        ),
    ])
    .await;
    let circle = "lib/three.ts → functions/one.ts → lib/two.ts → lib/three.ts";
    tells(&through_others, ("lib/three.ts", 3), circle, "first");

    let by_default = report(&[
        (
            "functions/one.ts",
            "import { b } from \"../lib/b\";\nconst one = { b };\nexport default one;\n",
        ),
        (
            "lib/b.ts",
            "import a from \"../functions/one\";\nexport const b = [a];\n",
        ),
    ])
    .await;
    tells(
        &by_default,
        ("lib/b.ts", 2),
        "lib/b.ts → functions/one.ts → lib/b.ts",
        "a",
    );

    let by_class = report(&[
        (
            "functions/base.ts",
            "import { Child } from \"../lib/child\";\nexport class Base { child = () => new Child(); }\n",
        ),
        (
            "lib/child.ts",
            "import { Base } from \"../functions/base\";\nexport class Child extends Base {}\n",
        ),
    ])
    .await;
    tells(
        &by_class,
        ("lib/child.ts", 2),
        "lib/child.ts → functions/base.ts → lib/child.ts",
        "Base",
    );
}

#[tokio::test]
async fn a_name_of_the_modules_own_is_no_circle_though_the_module_is_in_one() {
    let report = report(&[
        (
            "functions/one.ts",
            "import { two } from \"../lib/two\";\nexport const one = () => two;\n",
        ),
        (
            "lib/two.ts",
            "import { one } from \"../functions/one\";\nexport const two = [early, one];\nconst early = 1;\n",
        ),
    ])
    .await;
    let error = report.error();
    assert_eq!(
        error["message"], "ReferenceError: Cannot access 'early' before initialization",
        "{report:?}"
    );
    let help = error["help"].as_str().unwrap_or_default();
    assert!(!help.contains("module of its own"), "{report:?}");
}

#[tokio::test]
async fn modules_that_import_each_other_and_use_it_later_load() {
    let project = Project::new();
    project.write(
        "lib/a.ts",
        "import { b } from \"./b\";\nexport const a = () => \"a\";\nexport const both = () => a() + b();\n",
    );
    project.write(
        "lib/b.ts",
        "import { a } from \"./a\";\nexport function b() { return `b${a()}`; }\n",
    );
    assert_eq!(
        came_to(&project, "import { both } from \"../lib/a\";", "both()").await,
        "aba"
    );
}
