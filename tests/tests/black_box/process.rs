//! What user code does to its process stays inside its isolate.

use harness::{Baton, Project, Run, mismatch};
use serde_json::{Value, json};

use crate::calls::{start, version_of};

/// A project with one more function, whose body is given.
fn project_with(body: &str) -> Project {
    let project = Project::new();
    project.write(
        "functions/extra.ts",
        format!(
            "import {{ execFileSync }} from \"node:child_process\";\nimport {{ Inngest }} from \"inngest\";\n\
             void execFileSync;\nconst inngest = new Inngest({{ id: \"fixture\" }});\n\
             export const extra = inngest.createFunction(\n  \
             {{ id: \"extra\", retries: 1, triggers: [{{ event: \"fixture/extra\" }}], checkpointing: false }},\n  \
             async () => {{\n{body}\n  }},\n);\n"
        ),
    );
    project
}

/// What the function returns.
async fn returned(baton: &Baton) -> Value {
    let answer = start(baton, &Run::of("fixture-extra")).answer(baton).await;
    assert_eq!(answer.status, 200, "{answer}");
    answer.json()
}

#[tokio::test]
async fn an_exit_ends_its_isolate_and_nothing_else() {
    let project = project_with("    process.exit(3);");
    let baton = Baton::dev(&project).ready().await;
    for _ in 0..3 {
        let answer = start(&baton, &Run::of("fixture-extra")).answer(&baton).await;
        assert_eq!(answer.status, 500, "{answer}");
        assert_eq!(answer.header("x-inngest-no-retry"), Some("false"), "{answer}");
        assert_eq!(answer.header("retry-after"), Some("1"), "{answer}");
        assert_eq!(version_of(&baton, "version").await, "1", "the next isolate serves");
    }
    let line = baton.wait_for("isolate ended", json!({ "generation": 1 })).await;
    assert!(line.text.contains("process.exit(3)"), "{}", line.text);
    assert!(
        line.text.contains("functions/extra.ts:8"),
        "with its stack: {}",
        line.text
    );
    baton
        .wait_for("call failed", json!({ "function": "fixture-extra" }))
        .await;
    assert_eq!(baton.status().await.current(), 1);
}

#[tokio::test]
async fn an_exit_while_code_is_loaded_rejects_the_code() {
    let project = Project::new();
    let baton = Baton::dev(&project).ready().await;
    project.write("functions/exits.ts", "interface Unused {}\n\nprocess.exit(1);\n");
    let report = baton.reload().await;
    assert_eq!((report.http, report.status()), (422, "rejected"), "{report}");
    let error = json!({ "kind": "evaluate", "file": "functions/exits.ts", "line": 3 });
    assert_eq!(mismatch(report.error(), &error), None, "{report}");
    assert_eq!(version_of(&baton, "version").await, "1");
}

#[tokio::test]
async fn environment_variables_that_a_function_sets_are_gone_with_its_generation() {
    let body = "    const before = process.env.BATON_TEST_MARK ?? null;\n    process.env.BATON_TEST_MARK = \"set\";\n    \
                delete process.env.HOME;\n    \
                const child = execFileSync(\"sh\", [\"-c\", \"echo $BATON_TEST_MARK\"]).toString().trim();\n    \
                return { before, after: process.env.BATON_TEST_MARK, child, home: process.env.HOME ?? null };";
    let project = project_with(body);
    let baton = Baton::dev(&project).ready().await;
    let first = json!({ "before": null, "after": "set", "child": "set", "home": null });
    assert_eq!(returned(&baton).await, first);
    let _ = baton.reload_with("?force=1").await.activated();
    assert_eq!(returned(&baton).await, first, "a new generation begins with the host's");
}

#[tokio::test]
async fn the_working_folder_and_the_umask_are_the_hosts() {
    let body = "    const said = (f: () => void) => { try { f(); return \"done\"; } catch (e) { return String(e); } };\n    \
                return { chdir: said(() => process.chdir(\"/\")), umask: said(() => process.umask(0)), \
                mask: process.umask(), cwd: process.cwd() };";
    let project = project_with(body);
    let baton = Baton::dev(&project).ready().await;
    let said = returned(&baton).await;
    assert!(
        said["chdir"].as_str().is_some_and(|text| text.contains("`cwd` option")),
        "{said}"
    );
    assert!(
        said["umask"].as_str().is_some_and(|text| text.contains("not possible")),
        "{said}"
    );
    assert!(said["mask"].is_u64(), "{said}");
    assert_ne!(said["cwd"], "/");
}

#[tokio::test]
async fn signals_are_the_hosts_whatever_handlers_user_code_installs() {
    let body = "    process.on(\"SIGTERM\", () => console.log(\"a handler of user code ran\"));\n    \
                process.on(\"SIGINT\", () => {});\n    return \"installed\";";
    let project = project_with(body);
    let mut baton = Baton::dev(&project).ready().await;
    assert_eq!(returned(&baton).await, "installed");
    baton.signal("TERM").await;
    assert_eq!(baton.ended().await.code(), Some(0));
}
