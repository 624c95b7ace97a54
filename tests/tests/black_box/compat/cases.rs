//! Cases: small projects of `tests/compat/cases/`, each with one value that is right. First other runtimes run a
//! case: Node by `tsx`, Bun, Deno; then Baton does. If one of these gives another value, the case says which one.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use harness::{Baton, Project, Run, deadline};
use serde::Deserialize;
use serde_json::Value;
use tokio::process::Command;

use super::row::folder;
use super::services::free_port;
use crate::behaviours::runtime::Runtime;

/// The content of `case.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    #[serde(skip)]
    name: String,
    /// A section of `tests/compat/head.md`.
    kind: String,
    says: String,
    /// The right value, in JSON.
    right: String,
    /// The ids of the app and the function, if the case has `functions/` of its own.
    function: Option<String>,
    /// The event's data, in JSON.
    data: Option<String>,
    /// The text of `baton.toml`.
    settings: Option<String>,
    /// A shell's script that is run in the folder.
    prepare: Option<String>,
    /// The variables for all runtimes; `{port}` stands for a port that is free.
    #[serde(default)]
    env: BTreeMap<String, String>,
    /// The flags of each peer.
    #[serde(default)]
    flags: BTreeMap<String, Vec<String>>,
    /// A part of a peer's output, by peer, if the peer does not give the right value.
    #[serde(default)]
    gives: BTreeMap<String, String>,
    note: Option<String>,
}

const PEERS: [(&str, Runtime); 3] = [("node", Runtime::Node), ("bun", Runtime::Bun), ("deno", Runtime::Deno)];

/// Judges the cases of one kind.
async fn judge_each(kind: &str) {
    let mut wrong = Vec::new();
    for case in cases().into_iter().filter(|case| case.kind == kind) {
        wrong.extend(judge(case).await);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[tokio::test]
async fn long_cases_of_typescript_give_what_is_right() {
    judge_each("TypeScript as the project compiles it").await;
}

#[tokio::test]
async fn long_cases_of_the_process_give_what_is_right() {
    judge_each("Node's process").await;
}

#[tokio::test]
async fn long_cases_of_conditions_give_what_is_right() {
    judge_each("Conditions").await;
}

#[tokio::test]
async fn long_cases_of_files_that_change_give_what_is_right() {
    judge_each("Code and files that change").await;
}

/// Returns all cases, by kind in the order of the document, and by name.
fn cases() -> Vec<Case> {
    let files = std::fs::read_dir(folder().join("cases")).expect("a folder of cases");
    let mut cases: Vec<_> = files.map(|file| read(&file.expect("a case").path())).collect();
    let place = |case: &Case| {
        let place = super::table::HEAD.find(&format!("## {}\n", case.kind));
        place.unwrap_or_else(|| panic!("{} is of a kind that head.md does not have", case.name))
    };
    cases.sort_by_cached_key(|case| (place(case), case.name.clone()));
    cases
}

fn read(folder: &Path) -> Case {
    let text = std::fs::read_to_string(folder.join("case.toml")).expect("a case's description");
    let case: Case = toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let name = folder.file_name().expect("a name").to_string_lossy().into_owned();
    Case { name, ..case }
}

/// Runs a case everywhere, and returns the faults.
async fn judge(case: Case) -> Vec<String> {
    let project = Project::of_case(&case.name);
    case.prepare(&project).await;
    let right: Value = serde_json::from_str(&case.right).expect("a value in JSON");
    let mut wrong = Vec::new();
    for (peer, runtime) in PEERS {
        let printed = case.printed(&project, peer, runtime).await;
        let value = printed
            .lines()
            .find_map(|line| serde_json::from_str::<Value>(line).ok());
        match case.gives.get(peer) {
            None if value.as_ref() == Some(&right) => {}
            Some(_) if value.as_ref() == Some(&right) => {
                wrong.push(format!("{}: {peer} is right: the case may say so", case.name));
            }
            Some(part) if printed.contains(part) => {}
            _ => wrong.push(format!("{}: {peer} prints\n{printed}", case.name)),
        }
    }
    let value = case.value(&project).await;
    if value != right {
        wrong.push(format!("{}: Baton gives {value}, right is {right}", case.name));
    }
    wrong
}

impl Case {
    /// Makes the files that the folder lacks: a function, an entry for the peers if it has none, settings, and the
    /// files of its script.
    async fn prepare(&self, project: &Project) {
        let module = if project.root().join("work.tsx").exists() {
            "work.tsx"
        } else {
            "work.ts"
        };
        if self.function.is_none() {
            let print = format!(
                "import {{ work }} from \"./{module}\";\nwork().then((value) => console.log(JSON.stringify(value)));\n"
            );
            project.write("expected.ts", print);
            let function = format!(
                "import {{ Inngest }} from \"inngest\";\nimport {{ work }} from \"../{module}\";\n\
                 const inngest = new Inngest({{ id: \"case\" }});\nexport const fn = inngest.createFunction(\n\
                 {{ id: \"work\", retries: 0, triggers: [{{ event: \"case/work\" }}] }},\n\
                 async ({{ step }}) => step.run(\"work\", () => work()),\n);\n"
            );
            project.write("functions/work.ts", function);
        }
        if let Some(settings) = &self.settings {
            project.write("baton.toml", settings);
        }
        if let Some(script) = &self.prepare {
            let mut shell = Command::new("sh");
            shell.args(["-e", "-c", script]).current_dir(project.root());
            let made = deadline::within("a script of the case", String::new, shell.output()).await;
            let made = made.expect("a shell");
            assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        }
    }

    fn variables(&self) -> impl Iterator<Item = (&str, String)> {
        let port = free_port().to_string();
        let variables = self.env.iter();
        variables.map(move |(name, value)| (name.as_str(), value.replace("{port}", &port)))
    }

    /// Returns all output of a peer, without colours.
    async fn printed(&self, project: &Project, peer: &str, runtime: Runtime) -> String {
        let _ = std::fs::remove_dir_all(project.root().join("generated"));
        let mut command = runtime.program();
        let before: &[PathBuf] = match runtime {
            Runtime::Node => &[super::tsx()],
            Runtime::Deno => &["run".into(), "-A".into()],
            Runtime::Bun | Runtime::Baton => &[],
        };
        let flags = self.flags.get(peer).into_iter().flatten();
        command.args(before).args(flags).arg("expected.ts");
        command.envs(self.variables()).env("NO_COLOR", "1");
        command
            .current_dir(project.root())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let what = format!("{} under {peer}", self.name);
        let output = deadline::within(&what, String::new, command.output())
            .await
            .expect("a peer");
        let mut printed = String::from_utf8_lossy(&output.stdout).into_owned();
        let _ = write!(printed, "\n{}", String::from_utf8_lossy(&output.stderr));
        printed
    }

    /// Returns the step's result under Baton.
    async fn value(&self, project: &Project) -> Value {
        let _ = std::fs::remove_dir_all(project.root().join("generated"));
        let launch = self
            .variables()
            .fold(Baton::dev(project), |launch, (name, value)| launch.env(name, value));
        let baton = launch.ready().await;
        let data = self.data.as_deref().unwrap_or("{}");
        let data = serde_json::from_str(data).expect("the event's data in JSON");
        let run = Run::of(self.function.as_deref().unwrap_or("case-work")).with_data(data);
        let finish = deadline::within(
            &format!("the end of the run of {}", self.name),
            || baton.stderr().tail(),
            baton
                .executor()
                .drive(run, &|op| panic!("{} asks for {op:?}", self.name)),
        )
        .await;
        if finish.answer.status >= 400 {
            return Value::String(finish.answer.to_string());
        }
        finish.value()
    }
}

/// Returns the table of the document.
pub(super) fn table() -> String {
    let mut text = "| | Baton | Node, by tsx | Bun | Deno |\n|---|---|---|---|---|\n".to_owned();
    for case in cases() {
        let note = case.note.as_ref().map_or_else(String::new, |note| format!(" ({note})"));
        let stands = PEERS.map(|(peer, _)| {
            if case.gives.contains_key(peer) {
                "otherwise"
            } else {
                "right"
            }
        });
        writeln!(text, "| {}{note} | right | {} |", case.says, stands.join(" | ")).expect("text grows");
    }
    text
}
