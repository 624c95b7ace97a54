//! The documents are true: their commands run, their code loads, their settings are settings, and their links lead
//! somewhere. CONTRIBUTING.md says how a block is marked.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::TcpListener;
use std::path::{Component, Path, PathBuf};

use harness::{Block, Cli, Document, Hosted, Project, Shell};
use regex::Regex;

use crate::service::{cache, free_port};

/// Documents beside the book whose blocks are run.
const BESIDE_THE_BOOK: [&str; 3] = ["README.md", "CONTRIBUTING.md", "SECURITY.md"];

/// Further documents whose links are looked up.
const ONLY_LINKS: [&str; 5] = [
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "functions/README.md",
    "packaging/README.md",
    "tests/bench/README.md",
];

/// The reasons for which a block is not run here: it wants docker, macOS, a network, Prometheus, a release of Baton, the
/// repository itself, or root, or it shows several hosts that do not end.
const REASONS: [&str; 8] = [
    "docker",
    "macos",
    "network",
    "prometheus",
    "release",
    "repository",
    "root",
    "serves",
];

/// Flags of other programs that the documents mention alone.
const FLAGS_OF_OTHERS: [&str; 9] = [
    "--conditions",
    "--ignore-optional",
    "--init",
    "--initial-old-space-size",
    "--max-semi-space-size",
    "--no-optional",
    "--omit",
    "--user",
    "--volume",
];

/// The function of a page that has none of its own.
const HELLO: &str = r#"import { Inngest } from "inngest";
const inngest = new Inngest({ id: "my-app" });
export const hello = inngest.createFunction(
  { id: "hello", retries: 3, triggers: [{ event: "demo/hello" }] },
  async ({ event, step }) => step.run("greet", () => `Hello, ${event.data.name}!`),
);
"#;

/// The use of a block.
enum Purpose {
    /// Shell commands, beside `baton dev` or not, which end with exit code 0 or with any.
    Commands {
        beside_dev: bool,
        any_exit: bool,
    },
    /// A command that starts a host.
    Host,
    /// A TypeScript file.
    Module {
        file: String,
    },
    /// A `baton.toml`.
    Settings,
    Json,
    /// Lines that the commands before have printed.
    Output,
    /// Nothing to try.
    Shown,
}

impl Purpose {
    fn of(block: &Block) -> Result<Self, String> {
        let marks: Vec<&str> = block.marks.iter().map(String::as_str).collect();
        match (&*block.language, &*marks) {
            (_, [mark]) if mark.starts_with("skip=") => match mark.trim_start_matches("skip=") {
                reason if REASONS.contains(&reason) => Ok(Self::Shown),
                reason => Err(format!(
                    "{reason:?} is no reason to skip a block; these are: {REASONS:?}"
                )),
            },
            ("sh", ["run", rest @ ..]) if rest.iter().all(|mark| ["beside-dev", "exit=any"].contains(mark)) => {
                Ok(Self::Commands {
                    beside_dev: rest.contains(&"beside-dev"),
                    any_exit: rest.contains(&"exit=any"),
                })
            }
            ("sh", ["host"]) => Ok(Self::Host),
            ("ts", []) => {
                let first = block.text.lines().next().unwrap_or_default();
                let file = first.strip_prefix("// ").unwrap_or_default();
                match file.starts_with("functions/") || file.starts_with("src/") {
                    true => Ok(Self::Module { file: file.to_owned() }),
                    false => Err("its first line is not `// functions/NAME.ts` or `// src/NAME.ts`".to_owned()),
                }
            }
            ("toml", []) => Ok(Self::Settings),
            ("json", []) => Ok(Self::Json),
            ("text", ["output"]) => Ok(Self::Output),
            ("text", []) => Ok(Self::Shown),
            (language, marks) => Err(format!(
                "nobody knows how to try {language:?} {marks:?}; help: mark it as CONTRIBUTING.md says, such as `sh run`"
            )),
        }
    }
}

/// A page and the project in which its blocks are tried.
struct Page {
    project: Project,
    shell: Shell,
    /// The ports in the place of 3111 and 3112.
    ports: [u16; 2],
    hosts: BTreeMap<u16, Hosted>,
    printed: String,
}

impl Page {
    async fn of(document: &Document) -> Self {
        let project = Project::of_a_page();
        let first = free_port();
        let held = TcpListener::bind(("127.0.0.1", first));
        let ports = [first, free_port()];
        drop(held);
        let shell = Shell::within(&project, &cache()).env("PORT", first.to_string());
        let has_module = |block: &Block| matches!(Purpose::of(block), Ok(Purpose::Module { .. }));
        if !document.blocks().iter().any(has_module) {
            project.write("functions/hello.ts", HELLO);
        }
        Self {
            project,
            shell,
            ports,
            hosts: BTreeMap::new(),
            printed: String::new(),
        }
    }

    async fn try_block(&mut self, block: &Block, place: &str) {
        match Purpose::of(block).unwrap_or_else(|why| panic!("{place}: {why}")) {
            Purpose::Commands { beside_dev, any_exit } => {
                if beside_dev && self.hosts.is_empty() {
                    self.start("baton dev").await;
                }
                let done = self.shell.run(&self.with_ports(&block.text)).await;
                assert!(any_exit || done.code == Some(0), "{place}: {done}");
                self.printed = done.stdout;
            }
            Purpose::Host => self.start(block.text.trim()).await,
            Purpose::Module { file } => {
                self.project.write(&file, &block.text);
                self.load(&file, place).await;
            }
            Purpose::Settings => reads_settings(&block.text, place).await,
            Purpose::Json => {
                let read = serde_json::from_str::<serde_json::Value>(&block.text);
                assert!(read.is_ok(), "{place}: {read:?}");
            }
            Purpose::Output => self.has_printed(&block.text, place),
            Purpose::Shown => {}
        }
    }

    async fn start(&mut self, line: &str) {
        let line = self.with_ports(line);
        let second = self.ports[1].to_string();
        let port = self.ports[usize::from(line.contains(&second))];
        if let Some(before) = self.hosts.remove(&port) {
            before.end().await;
        }
        let host = self.shell.host(&line, port).await;
        self.hosts.insert(port, host);
    }

    /// Loads a file into the running host, else into one that ends again.
    async fn load(&mut self, file: &str, place: &str) {
        if !self.hosts.is_empty() {
            let done = self.shell.run("baton reload").await;
            assert_eq!(done.code, Some(0), "{place}: {done}");
            return;
        }
        let path = if file.starts_with("src/") { file } else { "functions" };
        self.shell
            .host(&format!("baton dev {path}"), self.ports[0])
            .await
            .end()
            .await;
    }

    fn with_ports(&self, text: &str) -> String {
        let [first, second] = self.ports.map(|port| port.to_string());
        text.replace("3111", &first).replace("3112", &second)
    }

    /// Compares lines with the output of the commands before, but for numbers, ids and spaces.
    fn has_printed(&self, wanted: &str, place: &str) {
        let differing = Regex::new(r"[0-9A-HJKMNP-TV-Z]{26}|\d+([-.:T]\d+)*Z?").expect("a pattern");
        let same = |line: &str| {
            let line = differing.replace_all(line, "0");
            line.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        let mut printed = self.printed.lines().map(same);
        for line in wanted.lines() {
            let wanted = same(line);
            assert!(
                printed.any(|line| line == wanted),
                "{place}: this line is not printed: {line}\n--- printed ---\n{}",
                self.printed
            );
        }
    }
}

/// Has Baton read a `baton.toml`.
async fn reads_settings(text: &str, place: &str) {
    let project = Project::without_packages();
    project.write("baton.toml", text);
    let done = Cli::within(project.root()).baton(&["config", "--json"]).await;
    assert_eq!(done.code, Some(0), "{place}: {done}");
    assert!(
        done.stdout.contains("baton.toml"),
        "{place}: no setting is read from it\n{done}"
    );
}

fn documents() -> Vec<Document> {
    Document::with_the_book(&BESIDE_THE_BOOK)
}

#[tokio::test]
async fn long_every_command_of_the_documents_runs_and_every_module_loads() {
    for document in documents() {
        let is_tried = |block: &Block| !matches!(Purpose::of(block), Ok(Purpose::Shown));
        if !document.blocks().iter().any(is_tried) {
            continue;
        }
        let mut page = Page::of(&document).await;
        for block in document.blocks() {
            page.try_block(block, &document.at(block.line)).await;
        }
    }
}

/// The commands that the README's lines for a server need and that are not here: root, a repository, a registry.
#[cfg(target_os = "linux")]
const STAND_INS: &str = r#"
cd() { :; }
sudo() { "$@" --user; }
git() { sed -i 's/Hello/Good morning/' functions/hello.ts; }
npm() { :; }
baton() { command baton "$@" || [ "$1" = doctor ]; } # There is no Inngest, which the doctor finds.
"#;

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_lines_for_a_server_in_the_readme_work_under_systemd() {
    let readme = Document::read("README.md".into());
    let mut blocks = readme.blocks().iter();
    let block = blocks.find(|block| block.text.contains("service install"));
    let lines = &block.expect("lines for a server").text;

    let project = Project::of_a_page();
    let port = free_port();
    project.write("functions/hello.ts", HELLO);
    project.write("baton.toml", format!("port = {port}\n"));
    let environment = [
        ("INNGEST_DEV", "http://127.0.0.1:1".into()),
        ("BATON_CODE_CACHE", project.code_cache().into()),
        ("XDG_CACHE_HOME", cache().into()),
    ];
    let Some(systemd) = harness::Systemd::start(project.scratch(), &environment).await else {
        return;
    };
    let variables = systemd.environment().iter();
    let shell = variables.fold(Shell::within(&project, &cache()), |shell, (name, value)| {
        shell.env(name.to_str().expect("text"), value)
    });
    let done = shell.run(&format!("{STAND_INS}{lines}")).await;
    assert_eq!(done.code, Some(0), "{done}\n{}", systemd.log());
    let said = [
        "ready: generation 1",
        "generation 2 serves, 1 did",
        "generation 3 serves, 2 did",
        "upgraded",
    ];
    for words in said {
        assert!(
            done.stdout.contains(words),
            "{words:?} is not printed: {done}\n{}",
            systemd.log()
        );
    }
}

#[test]
fn every_link_leads_somewhere_and_none_leads_out_of_the_book() {
    let documents = Document::with_the_book(&[&BESIDE_THE_BOOK[..], &ONLY_LINKS].concat());
    let anchors: BTreeMap<_, _> = documents
        .iter()
        .map(|document| (&document.path, document.anchors()))
        .collect();
    let mut faults = Vec::new();
    for document in &documents {
        let folder = document.path.parent().expect("a folder");
        for link in document.links() {
            if link.text.contains("://") {
                continue;
            }
            let (file, anchor) = link.text.split_once('#').unwrap_or((&link.text, ""));
            let target = match file {
                "" => document.path.clone(),
                file => plain(&folder.join(file)),
            };
            let fault = if !Document::root().join(&target).exists() {
                "leads nowhere"
            } else if folder == Path::new("docs") && !target.starts_with("docs") {
                "leads out of the book"
            } else if !anchor.is_empty() && !anchors.get(&target).is_some_and(|known| known.contains(anchor)) {
                "has an anchor that is not there"
            } else {
                continue;
            };
            faults.push(format!("{}: {} {fault}", document.at(link.line), link.text));
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

/// Takes `..` out of a path.
fn plain(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut plain, part| {
        match part {
            Component::ParentDir => drop(plain.pop()),
            part => plain.push(part),
        }
        plain
    })
}

#[test]
fn the_summary_of_the_book_has_every_page() {
    let summary = Document::read("docs/SUMMARY.md".into());
    let listed: BTreeSet<_> = summary
        .links()
        .into_iter()
        .map(|link| Path::new("docs").join(link.text))
        .collect();
    let pages = Document::with_the_book(&[]).into_iter().map(|page| page.path);
    let pages: BTreeSet<_> = pages.filter(|page| *page != summary.path).collect();
    assert_eq!(listed, pages, "docs/SUMMARY.md and the files of docs/");
}

/// The commands and flags of a help text.
struct Help {
    commands: Vec<String>,
    flags: BTreeSet<String>,
}

impl Help {
    async fn of(command: &[&str]) -> Self {
        let arguments = [command, &["--help"]].concat();
        let help = Cli::within(std::env::temp_dir()).baton(&arguments).await;
        assert_eq!(help.code, Some(0), "{help}");
        let flag = Regex::new(r"--[a-z][a-z-]*").expect("a pattern");
        let commands = help.stdout.lines().skip_while(|line| *line != "Commands:").skip(1);
        let commands = commands.take_while(|line| line.starts_with("  "));
        let commands = commands.filter_map(|line| line.split_whitespace().next().map(str::to_owned));
        let commands = commands.filter(|command| command != "help");
        Self {
            commands: commands.collect(),
            flags: flag
                .find_iter(&help.stdout)
                .map(|flag| flag.as_str().to_owned())
                .collect(),
        }
    }

    /// Reads the help of every command, by its words: `service install`.
    async fn of_all() -> BTreeMap<String, Self> {
        let mut all = BTreeMap::new();
        for command in Self::of(&[]).await.commands {
            let help = Self::of(&[&command]).await;
            for second in &help.commands {
                all.insert(format!("{command} {second}"), Self::of(&[&command, second]).await);
            }
            all.insert(command, help);
        }
        all
    }
}

#[tokio::test]
async fn every_command_and_flag_of_the_documents_is_in_the_help_and_every_command_is_documented() {
    let helps = Help::of_all().await;
    let known: BTreeSet<_> = helps
        .values()
        .flat_map(|help| &help.flags)
        .map(String::as_str)
        .collect();
    let call = Regex::new(r"(?:^|[\s;&|('])baton ([a-z][^`|&;)\n#]*)").expect("a pattern");
    let mut documented = BTreeSet::new();
    let mut faults = Vec::new();
    for document in documents() {
        let blocks = document.blocks().iter().filter(|block| block.language == "sh");
        let lines = blocks.flat_map(|block| block.text.lines().map(|line| (block.line, line.to_owned())));
        let code = document.code().into_iter().map(|code| (code.line, code.text));
        for (line, text) in code.chain(lines) {
            for found in call.captures_iter(&text) {
                let words = found[1].split_whitespace().map(|word| word.trim_matches(['\'', '"']));
                let words: Vec<&str> = words.collect();
                let two = words.iter().take(2).copied().collect::<Vec<_>>().join(" ");
                let command = if helps.contains_key(&two) {
                    two
                } else {
                    words[0].to_owned()
                };
                let Some(help) = helps.get(&command) else {
                    faults.push(format!("{}: there is no `baton {command}`", document.at(line)));
                    continue;
                };
                for flag in words.iter().filter_map(|word| flag_of(word)) {
                    if !help.flags.contains(flag) {
                        faults.push(format!("{}: `baton {command}` has no {flag}", document.at(line)));
                    }
                }
                documented.insert(words[0].to_owned());
            }
            match flag_of(&text) {
                Some(flag) if !known.contains(flag) && !FLAGS_OF_OTHERS.contains(&flag) => {
                    faults.push(format!("{}: no command has {flag}", document.at(line)));
                }
                _ => {}
            }
        }
    }
    let commands = helps.keys().filter(|command| !command.contains(' '));
    let unsaid = commands.filter(|command| !documented.contains(*command));
    faults.extend(unsaid.map(|command| format!("no document names `baton {command}`")));
    assert!(faults.is_empty(), "{faults:#?}");
}

/// Returns the flag with which a text begins.
fn flag_of(text: &str) -> Option<&str> {
    let end = text.find(|letter: char| letter != '-' && !letter.is_ascii_alphanumeric());
    let flag = &text[..end.unwrap_or(text.len())];
    (flag.starts_with("--") && flag.len() > 2).then_some(flag)
}

#[test]
fn every_variable_of_the_documents_is_read_by_something() {
    let mut sources = String::new();
    for folder in ["host/src", "js-runtime", "tests/src", "bin"] {
        append(&Document::root().join(folder), &mut sources);
    }
    sources.push_str(&fs::read_to_string(Document::root().join("install.sh")).expect("install.sh"));
    let variable = Regex::new(r"\b(BATON_[A-Z][A-Z_]*[A-Z])\b").expect("a pattern");
    let mut faults = Vec::new();
    for document in documents() {
        for name in document.everywhere(&variable) {
            if !sources.contains(&name.text) {
                faults.push(format!("{}: nothing reads {}", document.at(name.line), name.text));
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

/// Appends the texts of a folder's files, without packages.
fn append(folder: &Path, texts: &mut String) {
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder").flatten() {
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if is_folder && entry.file_name() != "node_modules" {
                folders.push(entry.path());
            } else if !is_folder {
                texts.push_str(&fs::read_to_string(entry.path()).unwrap_or_default());
            }
        }
    }
}
