//! The spare isolate: it evaluates ahead of a reload only the modules that the reload would have evaluated.

use harness::{Baton, Launch, Project, Run};
use serde_json::{Value, json};

use crate::calls::start;

/// A function that tells its package's text, and the number of the package's evaluations.
const TOLD: &str = r#"import { Inngest } from "inngest";
import { dep } from "dep";
const inngest = new Inngest({ id: "fixture" });
export const told = inngest.createFunction(
  { id: "told", retries: 1, triggers: [{ event: "fixture/told" }], checkpointing: false },
  async () => ({ dep, version: 1 }),
);
"#;

/// The text of the package at first.
const DEP: &str = "import { hasBegun } from 'began';\nexport const isAhead = !hasBegun();\nexport const dep = 'one';\n";

/// A package that knows whether a load has begun.
const BEGAN: &str =
    "let begun = false;\nexport const begin = () => (begun = true);\nexport const hasBegun = () => begun;\n";

/// A module that a load evaluates first, before `dep`.
const BEGINS: &str = "import { begin } from 'began';\nexport const begun = begin();\n";

/// A function that tells whether `dep` was evaluated before the load began.
const WHEN: &str = r#"import * as dep from "dep";
import { Inngest } from "inngest";
const inngest = new Inngest({ id: "fixture" });
export const when = inngest.createFunction(
  { id: "when", retries: 1, triggers: [{ event: "fixture/when" }], checkpointing: false },
  async () => dep.isAhead,
);
"#;

const THREAD_FAILED: &str = "an isolate's thread failed: this is a bug in Baton, please report it";

const STANDS_IN: &str = "a spare isolate was taken as another isolate of a generation";

fn project(function: &str, dep: &str) -> Project {
    let project = Project::new();
    project.write("functions/told.ts", function);
    project.write("functions/0-begins.ts", BEGINS);
    project.write("functions/when.ts", WHEN);
    write_package(&project, "dep", dep);
    write_package(&project, "began", BEGAN);
    project
}

fn write_package(project: &Project, name: &str, text: &str) {
    let description = json!({ "name": name, "type": "module", "main": "main.js" });
    project.write(
        &format!("functions/node_modules/{name}/package.json"),
        description.to_string(),
    );
    project.write(&format!("functions/node_modules/{name}/main.js"), text);
}

fn watched(launch: Launch) -> Launch {
    launch.env("BATON_LOG", "debug")
}

/// Starts a Baton, and waits until its spare is ready, too.
async fn prepared(project: &Project) -> Baton {
    let baton = watched(Baton::dev(project)).ready().await;
    baton.wait_for("isolate booted", json!({ "isolate": "spare" })).await;
    baton
}

/// Waits until this number of spares has been made and been ready.
async fn wait_for_spares(baton: &Baton, spares: usize) {
    let mut log = baton.stderr().from_the_beginning();
    for _ in 0..spares {
        log.wait_for("isolate booted", &json!({ "isolate": "spare" })).await;
    }
}

async fn told(baton: &Baton) -> Value {
    answer_of(baton, "fixture-told").await
}

/// Tells whether `dep` was evaluated before the load began.
async fn is_ahead(baton: &Baton) -> bool {
    answer_of(baton, "fixture-when").await == json!(true)
}

async fn answer_of(baton: &Baton, function: &str) -> Value {
    let answer = start(baton, &Run::of(function)).answer(baton).await;
    assert_eq!(answer.status, 200, "{answer}");
    answer.json()
}

#[tokio::test]
async fn a_reload_evaluates_the_projects_own_modules_alone() {
    let project = project(TOLD, DEP);
    let baton = prepared(&project).await;
    assert!(!is_ahead(&baton).await);
    project.edit("functions/told.ts", "version: 1", "version: 2");
    assert_eq!(baton.reload().await.activated(), 2);
    assert_eq!(told(&baton).await, json!({ "dep": "one", "version": 2 }));
    assert!(is_ahead(&baton).await);
}

#[tokio::test]
async fn a_package_that_changed_is_evaluated_as_it_is() {
    let project = project(TOLD, DEP);
    let baton = prepared(&project).await;
    write_package(&project, "dep", "export const dep = 'two';\n");
    let _ = baton.reload().await.activated();
    assert_eq!(told(&baton).await, json!({ "dep": "two", "version": 1 }));
    baton
        .wait_for("a spare isolate is outdated: files that it has read changed", json!({}))
        .await;
}

#[tokio::test]
async fn a_lockfile_and_an_environment_that_changed_throw_it_away() {
    for file in ["package-lock.json", ".env"] {
        let project = project(TOLD, "export const dep = process.env.SAID ?? 'nothing';\n");
        project.write(".env", "SAID=one\n");
        project.write("package-lock.json", "{}");
        let launch = Baton::dev(&project)
            .argument("--env-file")
            .argument(project.root().join(".env"));
        let launch = watched(launch);
        let baton = launch.ready().await;
        baton.wait_for("isolate booted", json!({ "isolate": "spare" })).await;
        project.write(file, "SAID=two\n");
        let _ = baton.reload().await.activated();
        baton
            .wait_for("a spare isolate is outdated: files that it has read changed", json!({}))
            .await;
        let dep = if file == ".env" { "two" } else { "one" };
        assert_eq!(told(&baton).await["dep"], dep, "{file}");
    }
}

#[tokio::test]
async fn what_a_module_writes_to_the_environment_is_there_when_packages_look() {
    let project = project(TOLD, "export const dep = process.env.SAID ?? 'nothing';\n");
    project.write("functions/a.ts", "process.env.SAID = 'by a module';\nexport {};\n");
    let baton = prepared(&project).await;
    assert_eq!(told(&baton).await["dep"], "by a module");
    project.edit("functions/told.ts", "version: 1", "version: 2");
    let _ = baton.reload().await.activated();
    assert_eq!(told(&baton).await, json!({ "dep": "by a module", "version": 2 }));
}

#[tokio::test]
async fn what_a_module_does_for_its_effect_is_done_when_packages_look() {
    let project = project(TOLD, "export const dep = globalThis.setUp ?? 'nothing';\n");
    project.write("lib/setup.ts", "globalThis.setUp = 'is set up';\nexport {};\n");
    project.edit(
        "functions/told.ts",
        "import { dep }",
        "import \"../lib/setup.ts\";\nimport { dep }",
    );
    let baton = prepared(&project).await;
    assert_eq!(told(&baton).await["dep"], "is set up");
    project.edit("functions/told.ts", "version: 1", "version: 2");
    let _ = baton.reload().await.activated();
    assert_eq!(told(&baton).await, json!({ "dep": "is set up", "version": 2 }));
}

#[tokio::test]
async fn a_package_that_is_imported_no_more_leaves_nothing_behind() {
    let project = project(TOLD, DEP);
    write_package(&project, "effect", "globalThis.effect = true;\n");
    project.edit(
        "functions/told.ts",
        "import { dep }",
        "import \"effect\";\nimport { dep }",
    );
    project.edit("functions/told.ts", "({ dep,", "({ dep, effect: globalThis.effect,");
    let baton = prepared(&project).await;
    assert_eq!(told(&baton).await["effect"], true);
    project.edit("functions/told.ts", "import \"effect\";\n", "");
    let _ = baton.reload().await.activated();
    assert_eq!(told(&baton).await["effect"], Value::Null);
}

#[tokio::test]
async fn packages_that_cannot_be_evaluated_ahead_reject_no_code() {
    let ways = [
        "throw new Error('not set up')",
        "process.exit(1)",
        "for (;;);",
        "await new Promise(() => {})",
    ];
    for way in ways {
        // The package is harmless after the project's first module, and only then.
        let dep = format!("if (!globalThis.setUp) {{ {way}; }}\nexport const dep = 'one';\n");
        let project = project(TOLD, &dep);
        project.write("functions/a.ts", "globalThis.setUp = true;\nexport {};\n");
        let launch = Baton::dev(&project).argument("--load-timeout=5s");
        let baton = launch.ready().await;
        project.edit("functions/told.ts", "version: 1", "version: 2");
        assert_eq!(baton.reload().await.activated(), 2, "{way}");
        assert_eq!(told(&baton).await, json!({ "dep": "one", "version": 2 }), "{way}");
    }
}

#[tokio::test]
async fn code_that_is_rejected_costs_only_the_spare() {
    let project = project(TOLD, DEP);
    let baton = prepared(&project).await;
    project.edit("functions/told.ts", "version: 1", "version: nothing");
    project.edit(
        "functions/told.ts",
        "export const told",
        "throw new Error('no');\nexport const told",
    );
    let rejected = baton.reload().await;
    assert_eq!(rejected.error()["message"], "Error: no", "{rejected}");
    project.edit("functions/told.ts", "throw new Error('no');\n", "");
    project.edit("functions/told.ts", "version: nothing", "version: 3");
    let _ = baton.reload().await.activated();
    assert_eq!(told(&baton).await, json!({ "dep": "one", "version": 3 }));
}

#[tokio::test]
async fn a_second_isolate_of_the_generation_reads_what_its_first_one_read() {
    let told_or_spins = TOLD.replace(
        "async () => ({ dep, version: 1 })",
        "async ({ event }) => { if (event.data.spin) for (;;); return { dep, version: 1 }; }",
    );
    let project = project(&told_or_spins, DEP);
    let baton = prepared(&project).await;
    project.edit("functions/told.ts", "version: 1", "version: 2");
    assert_eq!(baton.reload().await.activated(), 2);
    write_package(&project, "dep", "export const dep = 'two';\n");
    let spin = Run::of("fixture-told").with_data(json!({ "spin": true }));
    let spinning = start(&baton, &spin);
    baton
        .wait_for("isolate blocked", json!({ "generation": 2, "isolate": 0 }))
        .await;
    assert_eq!(told(&baton).await, json!({ "dep": "one", "version": 2 }));
    assert!(!spinning.is_finished());
}

/// Returns a function that tells, and ends its isolate if its event asks for that.
fn told_or_exits() -> String {
    TOLD.replace(
        "async () => ({ dep, version: 1 })",
        "async ({ event }) => { if (event.data.exit) process.exit(3); return { dep, version: 1 }; }",
    )
}

async fn exits(baton: &Baton) {
    let exit = Run::of("fixture-told").with_data(json!({ "exit": true }));
    let answer = start(baton, &exit).answer(baton).await;
    assert_eq!(answer.status, 500, "{answer}");
}

#[tokio::test]
async fn it_stands_in_for_an_isolate_that_died_with_the_code_of_its_generation() {
    let project = project(&told_or_exits(), DEP);
    let baton = prepared(&project).await;
    project.edit("functions/told.ts", "version: 1", "version: 2");
    exits(&baton).await;
    baton.wait_for(STANDS_IN, json!({})).await;
    assert_eq!(told(&baton).await, json!({ "dep": "one", "version": 1 }));
    assert!(is_ahead(&baton).await);
    // Baton makes another spare, which serves the edit.
    wait_for_spares(&baton, 2).await;
    assert_eq!(baton.reload().await.activated(), 2);
    assert_eq!(told(&baton).await, json!({ "dep": "one", "version": 2 }));
}

/// Modules of Node's that take long to evaluate.
const OF_NODE: [&str; 24] = [
    "assert",
    "async_hooks",
    "child_process",
    "cluster",
    "crypto",
    "dgram",
    "dns",
    "events",
    "fs",
    "http",
    "http2",
    "https",
    "inspector",
    "net",
    "perf_hooks",
    "readline",
    "repl",
    "stream",
    "tls",
    "tty",
    "util",
    "vm",
    "worker_threads",
    "zlib",
];

#[tokio::test]
async fn one_that_is_given_up_while_it_has_nodes_modules_evaluated_ends() {
    let imports = OF_NODE.map(|name| format!("import \"node:{name}\";\n"));
    let project = project(&format!("{}{TOLD}", imports.concat()), DEP);
    project.write("functions/other.ts", TOLD.replace("told", "other"));
    let baton = watched(Baton::dev(&project)).ready().await;
    let mut log = baton.stderr().from_the_beginning();
    for version in 2..14 {
        // The second spare, which is made after an edit, is not ready when the next load comes, and the load does not
        // wait for it.
        for _ in 0..if version == 2 { 1 } else { 2 } {
            log.wait_for("evaluating ahead of a load", &json!({ "isolate": "spare" }))
                .await;
        }
        project.edit(
            "functions/told.ts",
            &format!("version: {}", version - 1),
            &format!("version: {version}"),
        );
        assert_eq!(baton.reload().await.activated(), version);
    }
    assert_eq!(told(&baton).await, json!({ "dep": "one", "version": 13 }));
    let lines = baton.stderr().lines();
    let failed = lines.iter().filter(|line| line.message() == THREAD_FAILED);
    assert_eq!(failed.map(|line| line.text.as_str()).collect::<Vec<_>>(), [""; 0]);
}

#[tokio::test]
async fn a_rollback_takes_it_where_the_packages_are_the_same() {
    for (dep, stands_in) in [("one", 1), ("two", 0)] {
        let project = project(TOLD, DEP);
        let baton = prepared(&project).await;
        project.edit("functions/told.ts", "version: 1", "version: 2");
        write_package(&project, "dep", &DEP.replace("one", dep));
        assert_eq!(baton.reload().await.activated(), 2);
        wait_for_spares(&baton, 2).await;
        let rolled_back = baton.rollback(None).await;
        assert_eq!(rolled_back.status, 200, "{rolled_back}");
        assert_eq!(told(&baton).await, json!({ "dep": "one", "version": 1 }));
        assert_eq!(baton.stderr().count(STANDS_IN, &json!({})), stands_in, "{dep}");
    }
}

#[tokio::test]
async fn none_is_kept_where_none_is_wanted() {
    let project = project(TOLD, DEP);
    let baton = watched(Baton::dev(&project).argument("--no-spare")).ready().await;
    project.edit("functions/told.ts", "version: 1", "version: 2");
    let _ = baton.reload().await.activated();
    assert!(!is_ahead(&baton).await);
    assert_eq!(
        baton.stderr().count("isolate booted", &json!({ "isolate": "spare" })),
        0
    );
}
