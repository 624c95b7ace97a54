//! Modules that are evaluated before the load that will want them. An edit has those modules evaluated ahead that
//! somebody works on, and they do the same as if they were evaluated during the load.

use harness::{Baton, Follower, Project, Run, Sdk};
use serde_json::{Value, json};

use crate::calls::start;

const CLIENT: &str = "import { Inngest } from 'inngest';\nexport const inngest = new Inngest({ id: 'fixture' });\n";

/// A package that knows the order in which it was asked for values.
const ORDER: &str =
    "let order = '';\nexport const note = (name) => (order += name);\nexport const told = () => order;\n";

/// Returns a function that tells its version, the library's, and the order in which the functions were evaluated.
fn function(name: &str) -> String {
    format!(
        r#"import {{ note, told }} from "order";
import {{ inngest }} from "../lib/client.ts";
import {{ library }} from "../lib/library.ts";
const evaluated = note("{name}");
export const {name} = inngest.createFunction(
  {{ id: "{name}", retries: 1, triggers: [{{ event: "fixture/{name}" }}], checkpointing: false }},
  async () => ({{ version: 1, library, order: told() }}),
);
"#
    )
}

/// The functions `a` and `b`.
fn project() -> Project {
    let project = Project::without_functions(Sdk::V4);
    project.write("lib/client.ts", CLIENT);
    project.write("lib/library.ts", "export const library = 1;\n");
    package(&project, "order", ORDER);
    for name in ["a", "b"] {
        project.write(&format!("functions/{name}.ts"), function(name));
    }
    project
}

fn package(project: &Project, name: &str, text: &str) {
    let folder = format!("functions/node_modules/{name}");
    let json = json!({ "name": name, "type": "module", "main": "main.js" });
    project.write(&format!("{folder}/package.json"), json.to_string());
    project.write(&format!("{folder}/main.js"), text);
}

/// A host and its log.
struct Watched {
    baton: Baton,
    log: Follower,
}

impl Watched {
    /// Starts a host, and waits until its spare is ready, too.
    async fn new(project: &Project) -> Self {
        let baton = Baton::dev(project)
            .env("BATON_LOG", "info,js_runtime=debug")
            .ready()
            .await;
        let log = baton.stderr().from_the_beginning();
        let mut watched = Self { baton, log };
        watched.has_evaluated_ahead(0).await;
        watched
    }

    /// Waits for the next spare that has evaluated so many modules.
    async fn has_evaluated_ahead(&mut self, modules: usize) {
        let booted = json!({ "isolate": "spare", "modules": modules });
        self.log.wait_for("isolate booted", &booted).await;
    }

    /// Edits a file of version 1, and has it loaded.
    async fn edit(&self, project: &Project, file: &str, from: &str, to: &str) {
        project.edit(file, from, to);
        let _ = self.baton.reload().await.activated();
    }

    async fn told(&self, function: &str) -> Value {
        let answer = start(&self.baton, &Run::of(&format!("fixture-{function}")))
            .answer(&self.baton)
            .await;
        assert_eq!(answer.status, 200, "{answer}");
        answer.json()
    }

    async fn version(&self, function: &str) -> Value {
        self.told(function).await["version"].clone()
    }
}

#[tokio::test]
async fn an_edit_of_what_was_edited_before_evaluates_that_alone() {
    let project = project();
    let mut host = Watched::new(&project).await;
    host.edit(&project, "functions/a.ts", "version: 1", "version: 2").await;
    host.has_evaluated_ahead(3).await;
    assert_eq!(host.told("b").await["order"], "ab");
    host.edit(&project, "functions/a.ts", "version: 2", "version: 3").await;
    let [a, b] = [host.told("a").await, host.told("b").await];
    assert_eq!([&a["version"], &b["version"]], [3, 1]);
    // `b` was evaluated before the text of `a` was known.
    assert_eq!(b["order"], "ba", "{}", host.baton.stderr().tail());
    host.has_evaluated_ahead(3).await;
}

#[tokio::test]
async fn an_edit_of_what_was_evaluated_ahead_is_served() {
    let project = project();
    let mut host = Watched::new(&project).await;
    host.edit(&project, "functions/a.ts", "version: 1", "version: 2").await;
    host.has_evaluated_ahead(3).await;
    host.edit(&project, "lib/library.ts", "library = 1", "library = 2")
        .await;
    for function in ["a", "b"] {
        assert_eq!(host.told(function).await["library"], 2, "{function}");
    }
    assert_eq!(host.version("a").await, 2);
    // All modules import the library, so that nothing is evaluated ahead of the library's next edit. Modules are
    // evaluated ahead of a function's next edit.
    host.edit(&project, "functions/b.ts", "version: 1", "version: 2").await;
    assert_eq!(host.version("b").await, 2);
    host.has_evaluated_ahead(2).await;
    host.edit(&project, "functions/b.ts", "version: 2", "version: 3").await;
    assert_eq!([host.version("a").await, host.version("b").await], [2, 3]);
}

#[tokio::test]
async fn modules_that_come_and_go_are_no_part_of_what_they_are_not_in() {
    let project = project();
    let text = "let more = null;\nexport const set = () => (more = true);\nexport const get = () => more;\n";
    package(&project, "more", text);
    let text = "import { set } from '../functions/node_modules/more/main.js';\nexport const more = set();\n";
    project.write("lib/more.ts", text);
    project.edit(
        "functions/a.ts",
        "import { library }",
        "import { get } from 'more';\nimport { more } from '../lib/more.ts';\nimport { library }",
    );
    project.edit("functions/a.ts", "version: 1", "more: get(), version: 1, by: more");
    let mut host = Watched::new(&project).await;
    host.edit(&project, "functions/a.ts", "version: 1", "version: 2").await;
    host.has_evaluated_ahead(4).await;
    assert_eq!(host.told("a").await["more"], true);
    project.edit("functions/a.ts", "import { more } from '../lib/more.ts';\n", "");
    host.edit(&project, "functions/a.ts", "version: 2, by: more", "version: 3")
        .await;
    let a = host.told("a").await;
    assert_eq!([&a["version"], &a["more"]], [&json!(3), &Value::Null], "{a}");
    host.has_evaluated_ahead(3).await;
    project.write("functions/c.ts", function("c"));
    assert_eq!(host.baton.reload().await.activated(), 4);
    assert_eq!(host.version("c").await, 1);
}

#[tokio::test]
async fn a_module_that_says_or_begins_something_does_that_in_its_generation() {
    let begun = [
        ("Said", "console.log('is evaluated')"),
        ("Said", "process.stdout.write('is evaluated')"),
        ("Said", "queueMicrotask(() => console.log('is evaluated'))"),
        ("Reached", "fs.writeFileSync(`${process.env.SCRATCH}/written`, '')"),
        ("Began", "fs.watch('.')"),
        ("Reached", "new sqlite.DatabaseSync(`${process.env.SCRATCH}/rows.db`)"),
        ("Reached", "childProcess.execFileSync('true')"),
        ("Reached", "childProcess.spawnSync('true').status"),
        ("Reached", "new Deno.Command('true').outputSync()"),
        ("Reached", "new worker.Worker('', { eval: true })"),
        (
            "Reached",
            "net.connect({ port: Number(process.env.OPEN), host: '127.0.0.1' }).on('error', () => {})",
        ),
        ("Reached", "net.createServer().listen(0).unref()"),
        (
            "Reached",
            "fetch(`http://127.0.0.1:${process.env.OPEN}/`).catch(() => {})",
        ),
        ("Reached", "childProcess.spawn('sleep', ['60'])"),
        ("Began", "setInterval(() => {}, 60_000)"),
        ("Began", "setInterval(() => {}, 60_000).unref()"),
        ("Failed", "(() => { throw new Error('not yet') })()"),
    ];
    let open = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = open.local_addr().expect("an address").port();
    for (number, (how, begin)) in begun.into_iter().enumerate() {
        let project = project();
        // A package tells whether it is ready, because the module's own text must not change.
        let failing = if how == "Failed" { "isReady ? 0 : " } else { "" };
        let text = format!(
            "import childProcess from 'node:child_process';\nimport fs from 'node:fs';\nimport net from 'node:net';\n\
             import sqlite from 'node:sqlite';\nimport worker from 'node:worker_threads';\n\
             let isReady = false;\nexport const ready = () => (isReady = true);\n\
             export function begin() {{ const begun = {failing}{begin}; return typeof begun; }}\n"
        );
        package(&project, "dep", &text);
        project.edit(
            "functions/b.ts",
            "const evaluated",
            "import { begin } from 'dep';\nconst begun = begin();\nconst evaluated",
        );
        project.edit(
            "functions/a.ts",
            "const evaluated",
            "import { ready } from 'dep';\nconst isReady = ready();\nconst evaluated",
        );
        let launch = Baton::dev(&project)
            .env("BATON_LOG", "info,js_runtime=debug")
            .env("OPEN", port.to_string())
            .env("SCRATCH", project.scratch());
        let baton = launch.ready().await;
        let log = baton.stderr().from_the_beginning();
        let mut host = Watched { baton, log };
        host.has_evaluated_ahead(0).await;
        host.edit(&project, "functions/a.ts", "version: 1", "version: 2").await;
        let more = "a module cannot be evaluated ahead of the load";
        let acts = host.log.wait_for(more, &json!({})).await;
        let module = acts.json["module"].as_str().unwrap_or_default();
        assert!(module.ends_with("functions/b.ts"), "{number}: {}", acts.text);
        assert_eq!(
            format!("{}", acts.json["how"].as_str().unwrap_or_default()),
            how,
            "{number}: {}",
            acts.text
        );
        host.has_evaluated_ahead(2).await;
        host.edit(&project, "functions/a.ts", "version: 2", "version: 3").await;
        let b = host.told("b").await;
        assert_eq!(b["order"], "ab", "{number}");
    }
}

/// The text of a library with values that others share.
const SHARED: &str = "export const list: string[] = [];\nexport const table = new Map<string, number>();\n\
    export const settings = { mode: 'none' };\nlet count = 0;\nexport const next = () => ++count;\n\
    export function register(name: string) { table.set(name, table.size); }\n\
    export class Registry { names: string[] = []; add(name: string) { return this.names.push(name); } }\n\
    export const registry = new Registry();\nexport const all = () => registry;\n";

/// Statements of the modules `a` and `b`, which share values of the library or of a package.
const SHARING: [[&str; 2]; 7] = [
    [
        "const left = [0].map(() => (globalThis.left = 'a'));",
        "const seen = globalThis.left ?? 'nothing';",
    ],
    ["const mine = shared.next();", "const seen = shared.next();"],
    [
        "shared.register('a');",
        "const seen = shared.table.get('a') ?? 'nothing';",
    ],
    [
        "const size = shared.table.set('a', 1).size;",
        "const seen = [...shared.table.keys()].join();",
    ],
    ["shared.settings.mode = 'a';", "const { mode: seen } = shared.settings;"],
    [
        "const at = shared.all().add('a');",
        "const seen = shared.all().names.join();",
    ],
    ["settings.configure('a');", "const seen = settings.current();"],
];

#[tokio::test]
async fn what_modules_leave_in_shared_places_is_there_as_after_a_start() {
    for [leaves, sees] in SHARING {
        let project = project();
        project.write("lib/shared.ts", SHARED);
        let text = "let mode = 'none';\nexport const configure = (to) => { mode = to; };\nexport const current = () => mode;\n";
        package(&project, "settings", text);
        for (name, statement) in [("a", leaves), ("b", sees)] {
            let imports = "import * as settings from 'settings';\nimport * as shared from '../lib/shared.ts';\n";
            let file = format!("functions/{name}.ts");
            project.edit(
                &file,
                "const evaluated",
                &format!("{imports}{statement}\nconst evaluated"),
            );
        }
        project.edit("functions/b.ts", "version: 1", "seen: String(seen), version: 1");
        let mut host = Watched::new(&project).await;
        let from_the_start = host.told("b").await["seen"].clone();
        host.edit(&project, "functions/a.ts", "version: 1", "version: 2").await;
        // The modules that share nothing are still evaluated ahead: the client, and the library that both import.
        host.has_evaluated_ahead(2).await;
        host.edit(&project, "functions/a.ts", "version: 2", "version: 3").await;
        assert_eq!(host.told("b").await["seen"], from_the_start, "{leaves} {sees}");
        assert_eq!(host.version("a").await, 3, "{leaves}");
    }
}
