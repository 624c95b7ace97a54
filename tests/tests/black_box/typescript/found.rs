//! Functions in the modules of a folder, data that is imported, and types that are taken for values.

use harness::{Baton, Project, Run};
use serde_json::json;

use super::{returned, returning};

fn function(id: &str) -> String {
    format!(
        "inngest.createFunction({{ id: \"{id}\", checkpointing: false, triggers: [{{ event: \"fixture/{id}\" }}] }}, async () => \"{id}\")"
    )
}

#[tokio::test]
async fn functions_in_objects_lists_and_instances_are_found_once_and_no_getter_is_called() {
    let project = Project::new();
    let text = format!(
        "import {{ inngest }} from \"../lib/client\";\nconst a = {};\nconst b = {};\nconst c = {};\nconst d = {};\n\
         export const all: any = {{ a, deep: {{ list: [[b], {{ a }}] }}, get bad() {{ throw new Error(\"called\"); }} }};\n\
         all.itself = all;\nexport default [[c], new Set([a])];\nexport const map = new Map([[\"d\", d]]);\n\
         class Service {{ bytes = new Uint8Array(1e6); e = {}; get bad() {{ throw new Error(\"called\"); }} }}\n\
         export const service = new Service();\n",
        function("a"),
        function("b"),
        function("c"),
        function("d"),
        function("e"),
    );
    project.write("functions/shape.ts", text);
    let baton = Baton::dev(&project).ready().await;
    for id in ["a", "b", "c", "d", "e"] {
        let answer = baton.executor().discover(&Run::of(&format!("fixture-{id}"))).await;
        let answer = answer.unwrap_or_else(|lost| panic!("{lost}"));
        assert_eq!(answer.status, 200, "{id}: {answer}\n{}", baton.stderr().tail());
    }
}

#[tokio::test]
async fn yaml_and_toml_are_imported_as_what_they_say_and_an_edit_of_them_reloads() {
    let project = Project::new();
    project.write("lib/a.yaml", "name: yaml\nlist: [1, 2]\n");
    project.write("lib/b.toml", "name = \"toml\"\n[inside]\nvalue = 1.5\n");
    project.write("lib/c.json", "{ \"name\": \"json\", \"not-a-name\": 1 }");
    let beginning = "import a, { list } from \"../lib/a.yaml\" with { type: \"yaml\" };\n\
                     import b, { inside } from \"../lib/b.toml\";\n\
                     import { name } from \"../lib/c.json\";";
    project.write(
        "functions/shape.ts",
        returning(
            beginning,
            "[a, list, b.name, inside.value, name, require(\"../lib/a.yaml\").name, \
             (await import(\"../lib/b.toml\", { with: { type: \"toml\" } })).default.name]",
        ),
    );
    let baton = Baton::dev(&project).ready().await;
    let expected = json!([{ "name": "yaml", "list": [1, 2] }, [1, 2], "toml", 1.5, "json", "yaml", "toml"]);
    assert_eq!(returned(&baton).await, expected);
    project.write("lib/b.toml", "name = \"other\"\n[inside]\nvalue = 2\n");
    let _ = baton.reload().await.activated();
    assert_eq!(returned(&baton).await[2], "other");
    project.write("lib/a.yaml", "name: [\n");
    let report = baton.reload().await;
    assert_eq!(report.error()["file"], "lib/a.yaml", "{report:?}");
}

#[tokio::test]
async fn a_type_that_is_exported_as_a_value_is_told_to_be_one() {
    let project = Project::new();
    let baton = Baton::dev(&project).ready().await;
    project.write("lib/types.ts", "export interface Shape { a: number }\n");
    project.write("lib/index.ts", "export * from \"./types\";\n");
    project.write(
        "lib/again.ts",
        "export const one = 1;\nexport { Shape } from \"./index\";\n",
    );
    project.write(
        "functions/shape.ts",
        returning("import { one } from \"../lib/again\";", "one"),
    );
    let report = baton.reload().await;
    let error = report.error();
    assert_eq!(
        (&error["file"], &error["line"]),
        (&json!("lib/again.ts"), &json!(2)),
        "{report:?}"
    );
    let help = error["help"].as_str().unwrap_or_default();
    assert!(help.contains("Shape is a type in lib/types.ts"), "{report:?}");
    assert!(help.contains("export type { Shape }"), "{report:?}");
}
