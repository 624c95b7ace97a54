//! A generation that is activated serves nothing that is older than the disk was when its load began: modules,
//! packages, the environment, and the files that these read while they are evaluated (README, promise 3).

use harness::{Baton, Launch, Project, Run};
use serde_json::{Value, json};

use crate::calls::start;

/// A module that reads a file when it is evaluated, as `dotenv/config` does, and writes the file's variables to
/// the environment.
const READS_DOTENV: &str = r#"import fs from "node:fs";
for (const line of fs.readFileSync(".env.package", "utf8").split("\n")) {
  const [name, value] = line.split("=");
  if (value) process.env[name] = value;
}
export const fromPackage = process.env.FROM_PACKAGE;
"#;

/// A module that reads a file outside of the project, and the names in a folder.
const READS_OUTSIDE: &str = r#"import fs from "node:fs";
export const outside = Number(fs.readFileSync("OUTSIDE/number.txt", "utf8"));
export const names = fs.readdirSync("OUTSIDE/names").length;
"#;

/// A function that tells the text of each of its sources at the time of its evaluation.
const TELLS: &str = r#"import { readFileSync } from "node:fs";
import { fromPackage } from "reads-dotenv";
import { dep } from "dep";
import { names, outside } from "reads-outside";
import { inngest } from "../lib/client.ts";
import { library } from "../lib/library.ts";
const prompt = readFileSync(`${import.meta.dirname}/../prompt.md`, "utf8");
export const tells = inngest.createFunction(
  { id: "tells", retries: 1, triggers: [{ event: "fixture/tells" }], checkpointing: false },
  async () => ({
    module: 0, library, dep, prompt, fromPackage, outside, names,
    inEnvironment: process.env.FROM_PACKAGE, file: process.env.FROM_FILE, secret: process.env.FROM_SECRET,
  }),
);
"#;

/// The sources that an edit changes, and the fields of the answer that show the edit.
const SOURCES: [(&str, &[&str]); 9] = [
    ("module", &["module"]),
    ("library", &["library"]),
    ("package", &["dep"]),
    ("prompt", &["prompt"]),
    ("dotenv", &["fromPackage", "inEnvironment"]),
    ("file", &["file"]),
    ("secret", &["secret"]),
    (OUTSIDE, &["outside"]),
    (NAMES, &["names"]),
];

/// A source that Baton does not watch, because it is outside of the project: a reload is forced.
const OUTSIDE: &str = "outside";
const NAMES: &str = "names";

fn project() -> Project {
    let project = Project::new();
    for folder in ["functions", "lib"] {
        std::fs::remove_dir_all(project.root().join(folder)).expect("the fixture's functions");
    }
    let client = "import { Inngest } from 'inngest';\nexport const inngest = new Inngest({ id: 'fixture' });\n";
    project.write("lib/client.ts", client);
    project.write("functions/other.ts", TELLS.replace("tells", "other"));
    project.write(
        "baton.toml",
        "[env]\nfile = \".env\"\nsecret_command = [\"cat\", \"secrets\"]\n",
    );
    let package = |name: &str, text: &str| {
        let folder = format!("functions/node_modules/{name}");
        let description = json!({ "name": name, "type": "module", "main": "main.js" });
        project.write(&format!("{folder}/package.json"), description.to_string());
        project.write(&format!("{folder}/main.js"), text);
    };
    let path = project.root().join(".env.package");
    let path = path.to_str().expect("a path that is text");
    package("reads-dotenv", &READS_DOTENV.replace(".env.package", path));
    package("dep", "");
    let outside = project.scratch().join("outside");
    let outside = outside.to_str().expect("a path that is text");
    package("reads-outside", &READS_OUTSIDE.replace("OUTSIDE", outside));
    for (source, _) in SOURCES {
        write(&project, source, 0);
    }
    project
}

/// Writes a source with the number of this edit.
fn write(project: &Project, source: &str, edit: usize) {
    match source {
        "module" => project.write(
            "functions/tells.ts",
            TELLS.replace("module: 0", &format!("module: {edit}")),
        ),
        "library" => project.write("lib/library.ts", format!("export const library = {edit};\n")),
        "package" => project.write(
            "functions/node_modules/dep/main.js",
            format!("export const dep = {edit};\n"),
        ),
        "prompt" => project.write("prompt.md", edit.to_string()),
        "dotenv" => project.write(".env.package", format!("FROM_PACKAGE={edit}\n")),
        "file" => project.write(".env", format!("FROM_FILE={edit}\n")),
        "secret" => project.write("secrets", format!("FROM_SECRET={edit}\n")),
        OUTSIDE => project.write("../outside/number.txt", edit.to_string()),
        NAMES => {
            std::fs::create_dir_all(project.scratch().join("outside/names")).expect("a folder");
            for name in 0..edit {
                project.write(&format!("../outside/names/{name}"), "");
            }
        }
        other => unreachable!("{other}"),
    }
}

/// A row of numbers that look random, and are the same each time (xorshift).
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % end as u64).expect("a small number")
    }
}

fn number(value: &Value) -> usize {
    match value {
        Value::String(text) => text.trim().parse().expect("a number"),
        value => usize::try_from(value.as_u64().expect("a number")).expect("a small number"),
    }
}

/// Edits at random, one source or several at a time, and reloads after each edit: the answer shows the last edit
/// of each source.
async fn random_edits(launch: Launch, project: &Project, has_spare: bool, seed: u64) {
    const EDITS: usize = 14;
    let baton = launch.ready().await;
    let mut dice = Dice(seed);
    let mut last = [0; SOURCES.len()];
    for edit in 1..=EDITS {
        let mut force = dice.below(4) == 0;
        for _ in 0..=dice.below(3) {
            let source = dice.below(SOURCES.len());
            write(project, SOURCES[source].0, edit);
            last[source] = edit;
            force |= [OUTSIDE, NAMES].contains(&SOURCES[source].0);
        }
        // Some edits do not meet a spare that is ready.
        let rests = has_spare && dice.below(3) > 0;
        let report = baton.reload_with(if force { "?force=1" } else { "" }).await;
        assert_eq!(report.status(), "activated", "seed {seed}, edit {edit}: {report}");
        let answer = start(&baton, &Run::of("fixture-tells")).answer(&baton).await;
        let told = answer.json();
        for ((source, fields), edit) in SOURCES.iter().zip(last) {
            for field in *fields {
                assert_eq!(number(&told[field]), edit, "seed {seed}: {source} in {told}");
            }
        }
        if rests {
            baton.rested().await;
        }
    }
    let report = baton.reload().await;
    assert_eq!(report.status(), "unchanged", "seed {seed}: {report}");
}

#[tokio::test]
async fn slow_whatever_is_edited_is_served_in_dev_with_the_spare() {
    for seed in [1, 77] {
        let project = project();
        random_edits(Baton::dev(&project).telling_of_isolates(), &project, true, seed).await;
    }
}

#[tokio::test]
async fn slow_whatever_is_edited_is_served_in_dev_without_the_spare() {
    let project = project();
    let launch = Baton::dev(&project).argument("--no-spare");
    random_edits(launch, &project, false, 3).await;
}

#[tokio::test]
async fn slow_whatever_is_edited_is_served_under_baton_start() {
    let project = project();
    random_edits(Baton::start(&project).telling_of_isolates(), &project, true, 4).await;
}

#[tokio::test]
async fn a_file_that_a_module_reads_is_noticed_and_one_that_its_code_writes_is_not() {
    let project = Project::new();
    let text = r#"import { readFileSync, writeFileSync } from "node:fs";
import { inngest } from "../lib/client";
const prompt = readFileSync(new URL("../prompt.md", import.meta.url), "utf8");
const state = new URL("../state.txt", import.meta.url);
const runs = Number(readFileSync(state, "utf8"));
export const reads = inngest.createFunction(
  { id: "reads", retries: 1, triggers: [{ event: "fixture/reads" }], checkpointing: false },
  async () => {
    writeFileSync(state, String(runs + 1));
    return { prompt };
  },
);
"#;
    project.write("prompt.md", "one");
    project.write("state.txt", "0");
    project.write("functions/reads.ts", text);
    let baton = Baton::dev(&project).watching("files").ready().await;
    let prompt = async || {
        let answer = start(&baton, &Run::of("fixture-reads")).answer(&baton).await;
        answer.json()["prompt"].clone()
    };
    assert_eq!(prompt().await, "one");
    // A file that a step of the function writes is no edit.
    assert_eq!(baton.reload().await.status(), "unchanged");
    project.write("prompt.md", "two");
    baton.wait_for("generation activated", json!({ "generation": 2 })).await;
    assert_eq!(prompt().await, "two");
    let status = baton.status().await;
    assert_eq!(status.0["source"]["newer_than_loaded"], false, "{:#}", status.0);
    assert_eq!(status.current(), 2, "{:#}", status.0);
}
