//! Mistakes that are made on purpose in a new project, each answered by a message that names the thing and a help that
//! says one thing to do, as a user reads them on the terminal.
//!
//! Other groups have further mistakes: addons for Node's own V8 (`workers`), a second server (`entries`), modules that
//! never load (`broken_code`), findings of `baton doctor` (`doctor`).

use std::net::TcpListener;

use harness::{Baton, Cli, Finished, Launch, Project, Sdk};
use serde_json::json;

/// A mistake in the code, and the lines that `baton reload` answers it with.
struct Mistake {
    mistake: &'static str,
    /// Files that are written, relative to the project.
    files: &'static [(&'static str, &'static str)],
    /// The lines, with `/shop` for the project's root.
    says: &'static [&'static str],
}

/// Code that is rejected.
const REJECTED: &[Mistake] = &[
    Mistake {
        mistake: "a package that is not installed",
        files: &[("functions/a.ts", "import got from \"gott\";\nexport const a = got;\n")],
        says: &[
            "rejected: cannot find the package \"gott\"",
            "  at functions/a.ts:1:17 (resolve)",
            "Correct the name, or run `npm install gott` in /shop.",
        ],
    },
    Mistake {
        mistake: "a wrong path",
        files: &[(
            "functions/a.ts",
            "import { inngest } from \"../lib/clinet\";\nexport const a = inngest;\n",
        )],
        says: &[
            "rejected: cannot find \"../lib/clinet\": there is no file /shop/lib/clinet",
            "  at functions/a.ts:1:25 (resolve)",
            "Correct the path: /shop/lib has client.ts.",
        ],
    },
    Mistake {
        mistake: "a path below a folder that does not exist",
        files: &[("functions/a.ts", "import \"../library/client\";\n")],
        says: &[
            "rejected: cannot find \"../library/client\": there is no file /shop/library/client",
            "Correct the path: there is no folder /shop/library.",
        ],
    },
    Mistake {
        mistake: "an alias that tsconfig.json does not map",
        files: &[(
            "functions/a.ts",
            "import { inngest } from \"@/lib/client\";\nexport const a = inngest;\n",
        )],
        says: &[
            "rejected: cannot find \"@/lib/client\": no path in tsconfig.json leads to a file",
            "Map it in tsconfig.json, below compilerOptions: \"paths\": { \"@/*\": [\"./*\"] }.",
        ],
    },
    Mistake {
        mistake: "a syntax error",
        files: &[("functions/a.ts", "export const a = {\n  b: 1,,\n};\n")],
        says: &[
            "rejected: Unexpected token `,`. Expected identifier, string literal, numeric literal or [ for the computed \
             key",
            "  at functions/a.ts:2:8 (syntax)",
            "> 2 |   b: 1,,",
        ],
    },
    Mistake {
        mistake: "a type that is imported as a value",
        files: &[
            ("lib/order.ts", "export interface Order { id: string }\n"),
            (
                "functions/a.ts",
                "import { Order } from \"../lib/order\";\nexport const a: Order = { id: \"1\" };\nexport { Order };\n",
            ),
        ],
        says: &[
            "  at functions/a.ts:1:10 (resolve)",
            "Order is a type in lib/order.ts, and types are gone when the code runs: write `import type { Order }` or \
             `export type { Order }`.",
        ],
    },
    Mistake {
        mistake: "a default import of a module without one",
        files: &[(
            "functions/a.ts",
            "import client from \"../lib/client\";\nexport const a = client;\n",
        )],
        says: &[
            "rejected: SyntaxError: The requested module '../lib/client' does not provide an export named 'default'",
            "\"../lib/client\" has no default export. Import a name in braces: `import { inngest } from \
             \"../lib/client\"`; it exports inngest.",
        ],
    },
    Mistake {
        mistake: "a name in braces that is the default export",
        files: &[
            ("lib/order.ts", "export default class Order {}\n"),
            (
                "functions/a.ts",
                "import { Order } from \"../lib/order\";\nexport const a = Order;\n",
            ),
        ],
        says: &["\"../lib/order\" has only a default export: write `import Order from \"../lib/order\"`."],
    },
    Mistake {
        mistake: "a name that a module does not export",
        files: &[(
            "functions/a.ts",
            "import { ingest } from \"../lib/client\";\nexport const a = ingest;\n",
        )],
        says: &["\"../lib/client\" exports inngest: import one of these, or export ingest there."],
    },
    Mistake {
        mistake: "two functions with one id",
        files: &[(
            "functions/a.ts",
            "import { inngest } from \"../lib/client\";\n\
             const order = { id: \"order\", retries: 2, triggers: [{ event: \"shop/order\" }] } as const;\n\
             export const a = inngest.createFunction(order, async () => 1);\n\
             export const b = inngest.createFunction(order, async () => 2);\n",
        )],
        says: &[
            "rejected: functions/a.ts has two functions with the id \"order\" (app \"shop\")",
            "Give one of the two functions another id.",
        ],
    },
    Mistake {
        mistake: "a value that circular imports have not made yet",
        files: &[
            (
                "lib/one.ts",
                "import { two } from \"./two\";\nexport const one = two + 1;\n",
            ),
            (
                "lib/two.ts",
                "import { one } from \"./one\";\nexport const two = one + 1;\n",
            ),
            (
                "functions/a.ts",
                "import { one } from \"../lib/one\";\nexport const a = one;\n",
            ),
        ],
        says: &[
            "rejected: ReferenceError: Cannot access 'one' before initialization: its module is not evaluated yet, \
             because of circular imports: lib/two.ts → lib/one.ts → lib/two.ts",
            "  at lib/two.ts:2:20 (evaluate)",
            "Move one into a module of its own that imports none of these.",
        ],
    },
    Mistake {
        mistake: "a JSON file with a comma too many",
        files: &[
            ("lib/data.json", "{\n  \"a\": 1,\n}\n"),
            (
                "functions/a.ts",
                "import data from \"../lib/data.json\" with { type: \"json\" };\nexport const a = data;\n",
            ),
        ],
        says: &[
            "rejected: not valid JSON: trailing comma",
            "  at lib/data.json:3:1 (syntax)",
        ],
    },
    Mistake {
        mistake: "a module that ends the process",
        files: &[("functions/a.ts", "process.exit(1);\n")],
        says: &[
            "rejected: the module called process.exit(1) while it was loading",
            "Remove the call: a module must not end the process when it is imported.",
        ],
    },
    Mistake {
        mistake: "an await that never ends",
        files: &[("functions/a.ts", "export const a = await new Promise(() => {});\n")],
        says: &[
            "rejected: a top-level await never settles: nothing is left that could settle it",
            "  at functions/a.ts:1:18 (timeout)",
            "Move the await into a function, or await something that ends.",
        ],
    },
    Mistake {
        mistake: "a part of Bun that Baton does not have",
        files: &[("functions/a.ts", "export const a = Bun.redis.get(\"x\");\n")],
        says: &["rejected: Error: Baton has no Bun.redis: use the npm package ioredis"],
    },
    Mistake {
        mistake: "a file of functions that is empty",
        files: &[("functions/hello.ts", "")],
        says: &[
            "rejected: the only module in /shop/functions exports no Inngest function",
            "Export a function that `inngest.createFunction(…)` returns from a .ts, .tsx, .mts, .js or .mjs file there.",
        ],
    },
];

/// Code that is served with a warning.
const WARNED: &[Mistake] = &[
    Mistake {
        mistake: "a cron that is none",
        files: &[(
            "functions/a.ts",
            "import { inngest } from \"../lib/client\";\n\
             export const a = inngest.createFunction({ id: \"a\", retries: 2, triggers: [{ cron: \"every night\" }] }, async () => 1);\n",
        )],
        says: &[
            "  warning: shop-a has the cron \"every night\", which Inngest does not understand: Invalid pattern: Pattern \
             must have 5 fields when seconds are disallowed. (cron_invalid)",
            "           at functions/a.ts:2",
            "           Write minute, hour, day, month and weekday, `0 7 * * 1`, after a time zone if it matters: \
             `TZ=Europe/Berlin 0 7 * * 1`.",
        ],
    },
    Mistake {
        mistake: "an expression over something else than the event",
        files: &[(
            "functions/a.ts",
            "import { inngest } from \"../lib/client\";\n\
             export const a = inngest.createFunction({ id: \"a\", retries: 2, triggers: [{ event: \"a\" }], \
             concurrency: { limit: 1, key: \"user.id\" } }, async () => 1);\n",
        )],
        says: &[
            "  warning: shop-a has the concurrency key \"user.id\", which cannot be evaluated: unknown name \"user\", \
             expected event, async, vars (expression_invalid)",
            "           Write an expression over the event, `event.data.userId`; put a string in inner quotes, \
             `\"'all'\"`.",
        ],
    },
    Mistake {
        mistake: "a step within a step",
        files: &[(
            "functions/a.ts",
            "import { inngest } from \"../lib/client\";\n\
             export const a = inngest.createFunction({ id: \"a\", retries: 2, triggers: [{ event: \"a\" }] }, async ({ step }) => {\n  \
               await step.run(\"outer\", async () => {\n    await step.run(\"inner\", async () => 1);\n  });\n});\n",
        )],
        says: &[
            "  warning: step.run(\"inner\") is inside of step.run(\"outer\"): Inngest has no steps within steps \
             (step_nested)",
            "           Call it before or after that step, and pass its result on.",
        ],
    },
];

const CLIENT: &str = "import { Inngest } from \"inngest\";\n\nexport const inngest = new Inngest({ id: \"shop\" });\n";
const HELLO: &str = "import { inngest } from \"../lib/client\";\n\n\
     export const hello = inngest.createFunction(\n  \
       { id: \"hello\", retries: 2, triggers: [{ event: \"shop/hello\" }] },\n  async () => \"hello\",\n);\n";

/// Makes a project as a quick start has it.
fn new_project() -> Project {
    let project = Project::without_functions(Sdk::V4);
    project.write("lib/client.ts", CLIENT);
    project.write("functions/hello.ts", HELLO);
    project
}

fn cli(project: &Project) -> Cli {
    Cli::within(project.root()).env("BATON_STATE_DIR", project.state_dir())
}

/// Checks that each line stands in the output by itself.
fn check(mistake: &str, project: &Project, finished: &Finished, lines: &[&str]) {
    let root = project.root();
    let root = root.to_str().expect("a path that is text");
    let output = format!("{}{}", finished.stdout, finished.stderr).replace(root, "/shop");
    for line in lines {
        assert!(
            output.lines().any(|one| one == *line),
            "{mistake}: no line\n{line}\nin\n{output}"
        );
    }
}

/// Makes each mistake, asks for a reload, and mends it.
async fn each_is_answered(mistakes: &[Mistake], code: i32) {
    let project = new_project();
    let baton = Baton::dev(&project).ready().await;
    for Mistake { mistake, files, says } in mistakes {
        for (file, text) in *files {
            project.write(file, text);
        }
        let finished = cli(&project).baton(&["reload"]).await;
        assert_eq!(finished.code, Some(code), "{mistake}: {finished}");
        check(mistake, &project, &finished, says);
        for (file, _) in *files {
            project.remove(file);
        }
        project.write("functions/hello.ts", HELLO);
        assert_eq!(baton.reload().await.http, 200, "{mistake}: mended");
    }
}

#[tokio::test]
async fn a_mistake_in_the_code_is_answered_with_its_place_and_a_help() {
    each_is_answered(REJECTED, 1).await;
}

#[tokio::test]
async fn a_mistake_that_inngest_would_find_is_answered_with_a_warning() {
    each_is_answered(WARNED, 0).await;
}

/// Checks that a start ends with this code, and that its message has these lines.
async fn refuses(mistake: &str, project: &Project, launch: Launch, code: i32, lines: &[&str]) {
    let finished = launch.to_the_end().await;
    assert_eq!(finished.code, Some(code), "{mistake}: {finished}");
    check(mistake, project, &finished, lines);
}

#[tokio::test]
async fn a_mistake_in_baton_toml_is_answered_before_anything_starts() {
    let project = new_project();
    let keys = "docs/configuration.md lists the keys, their values and defaults.";
    let correct = format!("  help: Correct the line; {keys}");
    for (mistake, text, lines) in [
        (
            "text that is not TOML",
            "port = = 3\n",
            &["  × /shop/baton.toml: TOML parse error at line 1, column 8", &correct][..],
        ),
        (
            "a key that does not exist",
            "dran_timeout = \"1h\"\n",
            &["  × /shop/baton.toml: unknown key \"dran_timeout\", did you mean \"drain_timeout\"?"],
        ),
        (
            "a value of another type",
            "port = \"x\"\n",
            &[
                "  │ invalid type: string \"x\", expected a number from 0 to 65535",
                &correct,
            ],
        ),
        (
            "a duration that is none",
            "hold = \"soon\"\n",
            &["  │ expected a duration such as 90s, 10m or 2h, got \"soon\"", &correct],
        ),
        (
            "a warning that does not exist",
            "deny = [\"retries_zer\"]\n",
            &[
                "  │ unknown warning \"retries_zer\", did you mean \"retries_zero\"?",
                &correct,
            ],
        ),
    ] {
        project.write("baton.toml", text);
        refuses(mistake, &project, Baton::dev(&project), 78, lines).await;
    }
}

#[tokio::test]
async fn a_mistake_on_the_command_line_is_answered_with_the_right_word() {
    let project = new_project();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("its address").port().to_string();
    let help = "  help: End that process, or choose another port with --port.";
    let launch = Baton::dev(&project).option("--port", port.as_str());
    refuses("a port that is taken", &project, launch, 1, &[help]).await;
    let lines = [
        "  × cannot read /shop/fnctions: No such file or directory (os error 2)",
        "  help: Name a folder of functions or an entry file that exists.",
    ];
    let launch = Baton::dev_on(&project, "fnctions");
    refuses("a folder that does not exist", &project, launch, 2, &lines).await;
    for (mistake, arguments, code, lines) in [
        (
            "a flag that does not exist",
            &["dev", "--prot", "1"][..],
            2,
            &[
                "error: unexpected argument '--prot' found",
                "  tip: a similar argument exists: '--port'",
            ][..],
        ),
        (
            "a port that is not a number",
            &["dev", "--port", "abc"],
            2,
            &["error: invalid value 'abc' for '--port <PORT>': expected a number from 0 to 65535, got \"abc\""],
        ),
        (
            "a command that does not exist",
            &["relaod"],
            2,
            &["  tip: a similar subcommand exists: 'reload'"],
        ),
        (
            "a reload without a host",
            &["reload"],
            1,
            &[
                "  × no host is running for the project around /shop",
                "  help: Start one with `baton dev`, or name its state folder with --state-dir.",
            ],
        ),
        (
            "a function that does not exist",
            &["invoke", "helo"],
            2,
            &[
                "  × there is no function \"helo\", did you mean hello?",
                "  help: The project has: hello",
            ],
        ),
        (
            "data that is not JSON",
            &["invoke", "hello", "--data", "{a:1}"],
            2,
            &[
                "  × --data is not valid JSON: key must be a string (line 1, column 2)",
                "  help: In a shell, JSON goes between single quotes: --data '{\"name\":\"Ada\"}'.",
            ],
        ),
    ] {
        let finished = Cli::within(project.root()).baton(arguments).await;
        assert_eq!(finished.code, Some(code), "{mistake}: {finished}");
        check(mistake, &project, &finished, lines);
    }
}

#[tokio::test]
async fn a_project_that_lacks_something_says_what_to_add() {
    let project = Project::without_package_json();
    project.write("functions/hello.ts", HELLO);
    let lines = ["  help: Go to the project's folder, or make a project in this one with `baton init`."];
    let launch = Baton::dev(&project);
    refuses("a folder without package.json", &project, launch, 1, &lines).await;

    let project = new_project();
    project.write("baton.toml", "[env]\nfile = \".env.production\"\n");
    let baton = Baton::dev(&project).listening().await;
    let help = "Create it, or name another one: --env-file, or [env] file in baton.toml.";
    let line = json!({ "file": ".env.production", "help": help });
    baton.wait_for("generation rejected", line).await;
    drop(baton);

    let project = new_project();
    project.write("src/entry.ts", "export const a = 1;\n");
    let baton = Baton::dev_on(&project, "src/entry.ts").listening().await;
    let help = "Export an app (`export default { fetch }`, or a router) or a function that `inngest.createFunction(…)` \
                returns.";
    let line = json!({ "kind": "no_functions", "file": "src/entry.ts", "help": help });
    baton.wait_for("generation rejected", line).await;
    drop(baton);

    let project = new_project();
    let baton = Baton::start(&project).env("INNGEST_DEV", "0").ready().await;
    let unsigned = "there is no signing key: calls cannot be verified to be Inngest's";
    baton
        .wait_for(unsigned, json!({ "help": "Set INNGEST_SIGNING_KEY." }))
        .await;
}
