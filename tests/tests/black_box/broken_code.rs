//! Code that cannot serve: the report says what is wrong and where, and nothing
//! else changes (README, promise 3).

use harness::{Baton, Project, Report};
use serde_json::Value;
use tokio::task::JoinHandle;

use crate::calls::version_of;

/// One way to break a project, and the expected report.
struct Broken {
    sentence: &'static str,
    /// Files that are written, relative to the project.
    files: &'static [(&'static str, &'static str)],
    /// The kinds that the report may give; a reader would accept each of them.
    kinds: &'static [&'static str],
    /// The file that is to blame; the line is the one with [`HERE`] in it.
    /// Empty when no file is.
    blamed: &'static [&'static str],
    /// The names that the report has to contain: in the message, as the file,
    /// or in the help.
    names: &'static [&'static str],
}

/// Marks the offending line of a broken file.
const HERE: &str = "// here";

const TABLE: &[Broken] = &[
    Broken {
        sentence: "a syntax error",
        files: &[(
            "functions/broken.ts",
            "interface Gone { a: string }\n\nconst fine: Gone = { a: \"\" };\nexport const broken = ; // here\n",
        )],
        kinds: &["syntax"],
        blamed: &["functions/broken.ts"],
        names: &[],
    },
    Broken {
        sentence: "a syntax error in a file that a function imports",
        files: &[
            (
                "functions/broken.ts",
                "import { deep } from \"../lib/deep\";\nexport const x = deep;\n",
            ),
            (
                "lib/deep.ts",
                "type Gone = { a: string };\n\nexport const deep = {\n  a: 1,,\n}; // not here\n",
            ),
        ],
        kinds: &["syntax"],
        blamed: &["lib/deep.ts"],
        names: &[],
    },
    Broken {
        sentence: "an import of a file that is not there",
        files: &[(
            "functions/broken.ts",
            "import type { Gone } from \"./types-only\";\n\nimport { lost } from \"../lib/lost\"; // here\nexport const x: Gone = lost;\n",
        )],
        kinds: &["resolve"],
        blamed: &["functions/broken.ts"],
        names: &["lib/lost"],
    },
    Broken {
        sentence: "an import of a package that is not installed",
        files: &[(
            "functions/broken.ts",
            "interface Gone { a: string }\n\nimport lost from \"a-package-that-is-not-installed\"; // here\nexport const x: Gone = lost;\n",
        )],
        kinds: &["resolve"],
        blamed: &["functions/broken.ts"],
        names: &["a-package-that-is-not-installed"],
    },
    Broken {
        sentence: "an import of a name that the file does not export",
        files: &[(
            "functions/broken.ts",
            "interface Gone { a: string }\n\nimport { VERSIONS } from \"../lib/version\"; // here\nexport const x: Gone = { a: VERSIONS };\n",
        )],
        kinds: &["resolve", "syntax"],
        blamed: &["functions/broken.ts"],
        names: &["VERSIONS"],
    },
    Broken {
        sentence: "a throw at top level",
        files: &[(
            "functions/broken.ts",
            "interface Gone { a: string }\n\nexport const fine: Gone = { a: \"\" };\nthrow new Error(\"thrown at the top\"); // here\n",
        )],
        kinds: &["evaluate"],
        blamed: &["functions/broken.ts"],
        names: &["thrown at the top"],
    },
    Broken {
        sentence: "an error deep in a file that a function imports",
        files: &[
            (
                "functions/broken.ts",
                "import { deep } from \"../lib/deep\";\nexport const x = deep;\n",
            ),
            (
                "lib/deep.ts",
                "interface Gone { a: string }\n\nconst nothing = undefined as unknown as Gone;\nfunction read(): string {\n  return nothing.a; // here\n}\nexport const deep = read();\n",
            ),
        ],
        kinds: &["evaluate"],
        blamed: &["lib/deep.ts"],
        names: &["undefined"],
    },
    Broken {
        sentence: "a package that throws when it is imported",
        files: &[
            (
                "functions/node_modules/native/main.js",
                "module.exports = require(\"./lib/binding.js\");\n",
            ),
            (
                "functions/node_modules/native/lib/binding.js",
                "throw new Error(\"the addon is not built\");\n",
            ),
            (
                "functions/node_modules/native/package.json",
                "{ \"name\": \"native\", \"main\": \"main.js\" }\n",
            ),
            (
                "functions/broken.ts",
                "import { Inngest } from \"inngest\";\nimport { deep } from \"./deep.ts\";\nexport const x = [Inngest, deep];\n",
            ),
            (
                "functions/deep.ts",
                "import { VERSION } from \"../lib/version\";\nimport native from \"native\"; // here\nexport const deep = [VERSION, native];\n",
            ),
        ],
        kinds: &["evaluate"],
        blamed: &["functions/deep.ts"],
        names: &["the addon is not built"],
    },
    Broken {
        sentence: "two functions with one id",
        files: &[
            (
                "functions/twin-a.ts",
                "import { inngest } from \"../lib/client\";\n\nexport const a = inngest.createFunction({ id: \"twin\", retries: 0, triggers: [{ event: \"fixture/a\" }] }, async () => \"a\"); // here\n",
            ),
            (
                "functions/twin-b.ts",
                "import { inngest } from \"../lib/client\";\n\n\nexport const b = inngest.createFunction({ id: \"twin\", retries: 0, triggers: [{ event: \"fixture/b\" }] }, async () => \"b\"); // here\n",
            ),
        ],
        kinds: &["duplicate_id"],
        blamed: &["functions/twin-a.ts", "functions/twin-b.ts"],
        names: &["twin", "twin-a.ts", "twin-b.ts"],
    },
];

/// Code that is only known to be broken when the time for loading is over, or
/// when nothing can wake it any more.
const NEVER_LOADED: &[Broken] = &[
    Broken {
        sentence: "a top-level await that nothing can settle",
        files: &[(
            "functions/broken.ts",
            "interface Gone { a: string }\n\nexport const fine: Gone = { a: \"\" };\nawait new Promise(() => {}); // here\n",
        )],
        kinds: &["timeout"],
        blamed: &["functions/broken.ts"],
        names: &[],
    },
    Broken {
        sentence: "a top-level await that does not settle while a timer runs",
        files: &[(
            "functions/broken.ts",
            "interface Gone { a: string }\n\nexport const fine: Gone = { a: \"\" };\nawait new Promise(() => { setInterval(() => {}, 1000); }); // here\n",
        )],
        kinds: &["timeout"],
        blamed: &["functions/broken.ts"],
        names: &[],
    },
    Broken {
        sentence: "a database that never answers, in a module that is imported after the SDK",
        files: &[
            (
                "functions/broken.ts",
                "import { Inngest } from \"inngest\";\nimport { db } from \"../lib/db\";\nexport const x = [Inngest, db];\n",
            ),
            (
                "lib/db.ts",
                "import { connect as tcp, createServer } from \"node:net\";\n\n/**\n* await nothing of this\n */\n\
                 const server = createServer(() => {}).listen(0, \"127.0.0.1\");\n\
                 await new Promise((resolve) => server.once(\"listening\", resolve));\n\
                 export const db = await new Promise((resolve) => { // here\n  \
                 tcp((server.address() as any).port, \"127.0.0.1\").once(\"data\", resolve);\n});\n",
            ),
        ],
        kinds: &["timeout"],
        blamed: &["lib/db.ts"],
        names: &[],
    },
    Broken {
        sentence: "the first of two awaits, of which the other one is exported",
        files: &[(
            "functions/broken.ts",
            "const never: Promise<number> = new Promise(() => setInterval(() => {}, 1000));\nconst settled = await Promise.resolve(1);\n\
             await Promise.all([settled, never]); // here\nexport const db = await never;\n",
        )],
        kinds: &["timeout"],
        blamed: &["functions/broken.ts"],
        names: &[],
    },
    Broken {
        sentence: "the second of two awaits in JavaScript",
        files: &[(
            "functions/broken.js",
            "const never = new Promise(() => setInterval(() => {}, 1000));\nawait Promise.resolve(1);\nexport const one = await Promise.resolve(1), db = await never; // here\n",
        )],
        kinds: &["timeout"],
        blamed: &["functions/broken.js"],
        names: &[],
    },
    Broken {
        sentence: "an iteration that never goes on, after awaits in functions and texts",
        files: &[(
            "functions/broken.ts",
            "const later = async () => await forever();\nasync function forever() {\nawait new Promise(() => setInterval(() => {}, 1000));\n}\n\
             class Own {\n  async run() {\nawait later();\n  }\n}\nexport const text = `\nawait ${Own.name}`;\n\
             async function* values() { await later(); yield 1; }\n  for await (const value of values()) console.log(value); // here\n",
        )],
        kinds: &["timeout"],
        blamed: &["functions/broken.ts"],
        names: &[],
    },
    Broken {
        sentence: "an await in a module that imports one whose awaits have settled",
        files: &[
            (
                "functions/above.ts",
                "export const above = await new Promise((resolve) => setTimeout(resolve, 1, 1));\n",
            ),
            (
                "functions/broken.ts",
                "import { above } from \"./above\";\nconst never = new Promise(() => setInterval(() => {}, 1000 + (above as number)));\n\
                 if (never) {\n  await never; // here\n}\n",
            ),
        ],
        kinds: &["timeout"],
        blamed: &["functions/broken.ts"],
        names: &[],
    },
    Broken {
        sentence: "an endless loop at top level",
        files: &[("functions/broken.ts", "export const fine = 1;\nfor (;;) {}\n")],
        kinds: &["timeout"],
        // The loop can be at any line by then.
        blamed: &[],
        names: &[],
    },
];

/// Breaks a project, reloads, compares the report, checks that the old code
/// serves, and mends the project again.
async fn check(broken: &'static Broken) {
    let project = Project::new();
    let launch = Baton::dev(&project).argument("--load-timeout").argument("8");
    let baton = launch.ready().await;
    let current = baton.status().await.current();
    for (file, text) in broken.files {
        project.write(file, text);
    }
    let report = baton.reload().await;
    let sentence = broken.sentence;
    assert_eq!(
        (report.http, report.status()),
        (422, "rejected"),
        "{sentence}: {report}"
    );
    assert_eq!(
        report.generation(),
        current,
        "{sentence}: the old one is current: {report}"
    );
    let error = report.error();
    let kind = error["kind"].as_str().unwrap_or_default();
    assert!(broken.kinds.contains(&kind), "{sentence}: {report}");
    let message = error["message"].as_str().unwrap_or_default();
    assert!(!message.is_empty(), "{sentence}: {report}");
    let told = format!("{message}\n{}\n{}", error["file"], error["help"]);
    for name in broken.names {
        assert!(told.contains(name), "{sentence}: {name:?} is not named: {report}");
    }
    if !broken.blamed.is_empty() {
        check_place(broken, &report);
    }

    let status = baton.status().await;
    assert_eq!(
        (status.current(), status.state(current)),
        (current, "current"),
        "{sentence}: {:#}",
        status.0
    );
    let rejected = &status.0["source"]["last_rejected"];
    assert!(
        rejected.is_object(),
        "{sentence}: the status tells of it: {:#}",
        status.0
    );
    assert_eq!(
        version_of(&baton, "version").await,
        "1",
        "{sentence}: the old code serves"
    );

    for (file, _) in broken.files {
        project.remove(file);
    }
    let report = baton.reload().await;
    assert_eq!(report.status(), "unchanged", "{sentence}: mended: {report}");
}

/// Checks that file, line, column and frame are those of the source as it was
/// written.
fn check_place(broken: &Broken, report: &Report) {
    let sentence = broken.sentence;
    let error = report.error();
    let file = error["file"].as_str().unwrap_or_default();
    let blamed = broken.blamed.iter().find(|blamed| file.ends_with(*blamed));
    let blamed = blamed.unwrap_or_else(|| panic!("{sentence}: another file is blamed: {report}"));
    let (_, text) = broken.files.iter().find(|(file, _)| file == blamed).expect("its text");
    let (line, source) = offending(text);
    assert_eq!(error["line"], line, "{sentence}: {report}");
    let column = error["column"].as_u64().unwrap_or_default();
    assert!(column >= 1 && column <= source.len() as u64 + 1, "{sentence}: {report}");
    let frame = error["frame"].as_str().unwrap_or_default();
    let code = source.trim_end_matches(HERE).trim();
    assert!(
        frame.contains(code),
        "{sentence}: {code:?} is not in the frame: {report}"
    );
}

/// Returns the number and the text of the line that is to blame.
fn offending(text: &str) -> (Value, &str) {
    let mut lines = (1..).zip(text.lines());
    // A line with a stray comma cannot carry a comment.
    let found = lines.find(|(_, line)| line.ends_with(HERE) || line.contains(",,"));
    let (number, line) = found.expect("a line that is to blame");
    (Value::from(number), line)
}

/// Waits for the checks and names those that failed; each check has printed the
/// reason.
async fn all_hold(checks: impl IntoIterator<Item = (&'static str, JoinHandle<()>)>) {
    let mut failed = Vec::new();
    for (sentence, check) in checks {
        if check.await.is_err() {
            failed.push(sentence);
        }
    }
    assert!(failed.is_empty(), "these fail, see above: {failed:#?}");
}

#[tokio::test]
async fn broken_code_is_rejected_with_its_place_and_the_old_code_serves() {
    // The checks run one after another: the iterator starts a check when the
    // last one is done.
    all_hold(
        TABLE
            .iter()
            .map(|broken| (broken.sentence, tokio::spawn(check(broken)))),
    )
    .await;
}

#[tokio::test]
async fn slow_code_that_never_loads_is_rejected_in_time_and_the_old_code_serves() {
    // All checks run at once: they only wait.
    let checks: Vec<_> = NEVER_LOADED
        .iter()
        .map(|broken| (broken.sentence, tokio::spawn(check(broken))))
        .collect();
    all_hold(checks).await;
}

#[tokio::test]
async fn a_folder_that_has_lost_its_functions_is_rejected() {
    let project = Project::new();
    let baton = Baton::dev(&project).ready().await;
    let names = ["configured", "errors", "steps", "versioned", "waiting"];
    let kept: Vec<_> = names
        .iter()
        .map(|name| project.read(&format!("functions/{name}.ts")))
        .collect();
    for name in names {
        project.write(&format!("functions/{name}.ts"), "export const nothing = 1;\n");
    }

    let report = baton.reload().await;
    assert_eq!((report.http, report.status()), (422, "rejected"), "{report}");
    assert_eq!(report.error()["kind"], "no_functions", "{report}");
    let message = report.error()["message"].as_str().unwrap_or_default();
    assert!(message.contains("functions"), "it names the folder: {report}");
    assert_eq!(version_of(&baton, "version").await, "1");

    for (name, text) in names.iter().zip(kept) {
        project.write(&format!("functions/{name}.ts"), text);
    }
    assert_eq!(baton.reload().await.status(), "unchanged");
}

#[tokio::test]
async fn the_first_good_code_after_broken_code_is_activated() {
    let project = Project::new();
    let baton = Baton::dev(&project).ready().await;
    project.write("functions/broken.ts", "export const broken = ;\n");
    assert_eq!(baton.reload().await.status(), "rejected");
    assert_eq!(baton.reload().await.status(), "rejected", "it is still broken");

    project.remove("functions/broken.ts");
    project.set_version("2");
    let number = baton.reload().await.activated();
    let status = baton.status().await;
    assert_eq!(status.current(), number, "{:#}", status.0);
    assert_eq!(status.0["source"]["last_rejected"], Value::Null, "{:#}", status.0);
    assert_eq!(version_of(&baton, "version").await, "2");
}
