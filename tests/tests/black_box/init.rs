//! `baton init` (README): a project that runs, in whatever folder it is asked for; and a clear refusal where there can
//! be none, which leaves everything as it was.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use harness::{Baton, Cli, Finished, Project, Sdk, baton_binary, deadline};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::users;

/// The time in which npm may install packages, from the network if it has to.
const NPM: Duration = Duration::from_mins(5);

/// A scratch folder that is a repository of its own: nothing around it counts.
fn scratch() -> Project {
    let project = Project::without_package_json();
    fs::remove_dir_all(project.root()).expect("the folder goes");
    fs::create_dir(project.scratch().join(".git")).expect("a repository");
    project
}

/// Returns commands in a folder of the scratch folder, for which npm is the only manager.
fn cli(project: &Project, folder: &str) -> Cli {
    let folder = project.scratch().join(folder);
    fs::create_dir_all(&folder).expect("a folder");
    let node = ["node", "npm"].map(|program| which(program).expect(program));
    let path = std::env::join_paths(node.iter().filter_map(|program| program.parent()));
    Cli::within(folder)
        .env("npm_config_user_agent", "")
        .env("PATH", path.expect("a PATH"))
}

fn which(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

/// Returns every path below a folder with its content; links as what they name.
fn content(folder: &Path) -> BTreeMap<PathBuf, String> {
    let mut folders = vec![folder.to_owned()];
    let mut all = BTreeMap::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let content = match path.read_link() {
                Ok(target) => format!("-> {}", target.display()),
                Err(_) if path.is_dir() => "a folder".to_owned(),
                Err(_) => fs::read_to_string(&path).expect("a text"),
            };
            if content == "a folder" {
                folders.push(path.clone());
            }
            all.insert(path, content);
        }
    }
    all
}

/// Asserts that everything of `before` is as it was, and returns the new paths, relative to `folder`.
fn added(folder: &Path, before: &BTreeMap<PathBuf, String>) -> Vec<String> {
    let after = content(folder);
    for (path, text) in before {
        assert_eq!(after.get(path), Some(text), "{}", path.display());
    }
    let new = after
        .keys()
        .filter(|path| !before.contains_key(*path) && path.is_file());
    new.map(|path| path.strip_prefix(folder).expect("a path in it").display().to_string())
        .collect()
}

/// Links a folder to the packages of a fixture.
fn link_packages(sdk: Sdk, folder: &Path) {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures")
        .join(sdk.folder());
    symlink(fixture.join("node_modules"), folder.join("node_modules")).expect("a link");
}

fn write(project: &Project, files: &[(&str, &str)]) {
    for (file, text) in files {
        let path = project.scratch().join(file);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("a file");
    }
}

/// Asserts success, and the two commands at the end.
fn ends_with(finished: &Finished, install: &str) {
    assert_eq!(finished.code, Some(0), "{finished}");
    let end = format!("\nNext:\n  {install}\n  baton dev\n");
    assert!(finished.stdout.ends_with(&end), "{finished}");
}

/// Runs the example function of a project, without a host.
async fn greets(project: &Project, folder: &str) {
    let cli = cli(project, folder).env("BATON_STATE_DIR", project.state_dir());
    let invoked = cli
        .baton(&[
            "invoke",
            "hello",
            "--data",
            r#"{"name":"Ada"}"#,
            "--skip-sleep",
            "--json",
        ])
        .await;
    assert_eq!(invoked.code, Some(0), "{invoked}");
    let last = invoked.stdout.lines().last().unwrap_or_default();
    let result: Value = serde_json::from_str(last).expect("JSON");
    assert_eq!(result["output"], json!({"greeting": "Hello, Ada!"}), "{invoked}");
}

/// Runs npm in a folder, with the binary under test on its PATH. Returns true when it succeeds, and its output.
async fn npm(folder: &Path, arguments: &[&str]) -> (bool, String) {
    let bin = folder.join("../bin");
    fs::create_dir_all(&bin).expect("a folder");
    let _ = symlink(baton_binary(), bin.join("baton"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths([bin].into_iter().chain(std::env::split_paths(&path)));
    let mut command = Command::new("npm");
    harness::clean_environment(&mut command);
    command.args(arguments).current_dir(folder).kill_on_drop(true);
    command.env("PATH", path.expect("a PATH")).stdin(Stdio::null());
    let output = tokio::time::timeout(NPM, command.output()).await;
    let output = output.expect("in time").expect("a program that runs");
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

/// A stranger's first minute. It needs the network, or npm's cache.
#[tokio::test]
async fn an_empty_folder_becomes_a_project_that_is_served_tested_and_type_checked() {
    let project = scratch();
    let made = cli(&project, "").baton(&["init", "project"]).await;
    ends_with(&made, "cd project && npm install");
    let root = project.root();
    let install = "install --prefer-offline --ignore-scripts --no-audit --no-fund";
    for command in [install, "run check", "test"] {
        let arguments: Vec<&str> = command.split(' ').collect();
        let (good, said) = npm(&root, &arguments).await;
        assert!(good, "npm {command}: {said}");
    }

    let baton = Baton::dev(&project).ready().await;
    let status = baton.status().await.0;
    assert_eq!(status["functions"][0]["id"], "project-hello", "{status}");
    assert_eq!(status["warnings"], json!([]), "{status}");
    greets(&project, "project").await;

    // The test finds a fault.
    project.edit("functions/hello.ts", "Hello, ", "Goodbye, ");
    let (good, said) = npm(&root, &["test"]).await;
    assert!(!good && said.contains("Goodbye, Ada!"), "{said}");
}

#[tokio::test]
async fn a_second_time_nothing_is_missing() {
    let project = scratch();
    let cli = cli(&project, "project");
    ends_with(&cli.baton(&["init"]).await, "npm install");
    let before = content(&project.root());
    let again = cli.baton(&["init", "--yes"]).await;
    ends_with(&again, "npm install");
    assert!(again.stdout.contains("has everything already"), "{again}");
    assert_eq!(added(&project.root(), &before), [""; 0]);
}

#[tokio::test]
async fn a_project_of_next_gets_functions_and_keeps_its_files() {
    let project = scratch();
    let package = r#"{"name":"web","scripts":{"dev":"next dev"},"dependencies":{"next":"16.0.0","react":"19.2.0"}}"#;
    write(
        &project,
        &[
            ("project/package.json", package),
            ("project/package-lock.json", "{}"),
            ("project/tsconfig.json", r#"{"compilerOptions":{"jsx":"preserve"}}"#),
            ("project/.gitignore", "/.next/\n"),
            ("project/next.config.ts", "export default {};\n"),
            ("project/src/app/page.tsx", "export default () => <main />;\n"),
        ],
    );
    let before = content(&project.root());
    let made = cli(&project, "project").baton(&["init"]).await;
    ends_with(&made, "npm install inngest");
    let expected = [
        "baton.toml",
        "src/inngest/client.ts",
        "src/inngest/hello.test.mjs",
        "src/inngest/hello.ts",
    ];
    assert_eq!(added(&project.root(), &before), expected, "{made}");
    assert!(
        made.stdout
            .contains("Left as they are: package.json, tsconfig.json, .gitignore"),
        "{made}"
    );
    link_packages(Sdk::V4, &project.root());
    greets(&project, "project").await;
}

#[tokio::test]
async fn functions_that_are_there_are_served_and_none_is_added() {
    let project = scratch();
    write(
        &project,
        &[
            (
                "project/package.json",
                r#"{"name":"web","dependencies":{"inngest":"^4.0.0"}}"#,
            ),
            ("project/src/inngest/functions.ts", "export {};\n"),
        ],
    );
    let before = content(&project.root());
    let made = cli(&project, "project").baton(&["init"]).await;
    assert_eq!(
        added(&project.root(), &before),
        [".gitignore", "baton.toml", "tsconfig.json"],
        "{made}"
    );
    assert!(project.read("baton.toml").contains("path = \"src/inngest\""));
}

#[tokio::test]
async fn a_project_with_version_3_gets_a_function_of_version_3() {
    let project = scratch();
    write(
        &project,
        &[(
            "project/package.json",
            r#"{"name":"old","dependencies":{"inngest":"^3.54.2"}}"#,
        )],
    );
    let made = cli(&project, "project").baton(&["init"]).await;
    assert_eq!(made.code, Some(0), "{made}");
    link_packages(Sdk::V3, &project.root());
    greets(&project, "project").await;
}

#[tokio::test]
async fn a_member_of_a_pnpm_workspace_is_a_project_and_its_root_is_none() {
    let project = scratch();
    write(
        &project,
        &[
            ("package.json", r#"{"name":"all","private":true}"#),
            ("pnpm-workspace.yaml", "packages:\n  - \"packages/*\"\n"),
            (".gitignore", "node_modules\n"),
        ],
    );
    let before = content(project.scratch());
    let cli = cli(&project, "");
    let refused = cli.baton(&["init"]).await;
    refused.refuses(
        1,
        &[
            "root of a workspace",
            "pnpm-workspace.yaml",
            "baton init packages/functions",
        ],
    );
    assert_eq!(added(project.scratch(), &before), [""; 0]);

    let made = cli.baton(&["init", "packages/jobs"]).await;
    ends_with(&made, "cd packages/jobs && pnpm install");
    assert!(!made.stdout.contains("Note:"), "{made}");
    // The root's .gitignore is enough.
    assert!(!project.scratch().join("packages/jobs/.gitignore").exists());
    link_packages(Sdk::V4, &project.scratch().join("packages/jobs"));
    greets(&project, "packages/jobs").await;

    let made = cli.baton(&["init", "elsewhere"]).await;
    assert!(
        made.stdout
            .contains("Note: elsewhere is not a package of the workspace"),
        "{made}"
    );
}

#[tokio::test]
async fn a_package_json_that_is_broken_is_named_and_nothing_is_written() {
    let project = scratch();
    write(&project, &[("project/package.json", "{\n  \"name\": \"web\",\n}\n")]);
    let before = content(&project.root());
    let refused = cli(&project, "project").baton(&["init"]).await;
    refused.refuses(1, &["package.json", "line 3", "nothing was written"]);
    assert_eq!(added(&project.root(), &before), [""; 0]);

    write(
        &project,
        &[("project/package.json", "{}"), ("project/baton.toml", "prot = 1")],
    );
    let refused = cli(&project, "project").baton(&["init"]).await;
    refused.refuses(78, &["baton.toml", "port"]);
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_named_and_nothing_is_left() {
    let project = scratch();
    fs::create_dir_all(project.root()).expect("a folder");
    fs::set_permissions(project.root(), fs::Permissions::from_mode(0o555)).expect("its mode");
    let refused = init_as_somebody(&project, "my-app").await;
    refused.refuses(1, &["cannot write", "my-app", "Permission denied", "baton init DIR"]);
    assert_eq!(content(&project.root()), BTreeMap::new());

    // A folder that cannot be looked into is no folder with a malformed package.json.
    let closed = project.scratch().join("closed");
    fs::create_dir(&closed).expect("a folder");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).expect("its mode");
    let refused = init_as_somebody(&project, "../closed").await;
    refused.refuses(1, &["cannot read", "Permission denied", "Make it readable"]);
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o755)).expect("its mode");
}

/// Runs `baton init` as a user who is not root.
async fn init_as_somebody(project: &Project, folder: &str) -> Finished {
    if !users::may_act_as_others() {
        return cli(project, "project").baton(&["init", folder]).await;
    }
    fs::set_permissions(project.scratch(), fs::Permissions::from_mode(0o755)).expect("its mode");
    let output = users::run_as(users::SOMEBODY, project, &["init", folder]);
    Finished {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

#[tokio::test]
async fn a_file_is_no_folder_and_a_link_is_what_it_leads_to() {
    let project = scratch();
    write(&project, &[("file", ""), ("real/.keep", "")]);
    symlink("real", project.scratch().join("link")).expect("a link");
    symlink("nowhere", project.scratch().join("broken")).expect("a link");
    let before = content(project.scratch());
    let cli = cli(&project, "");
    cli.baton(&["init", "file"])
        .await
        .refuses(2, &["file", "it is a file", "baton init my-app"]);
    cli.baton(&["init", "file/deep"]).await.refuses(2, &["it is a file"]);
    cli.baton(&["init", "broken"])
        .await
        .refuses(2, &["a link to nowhere, which does not exist"]);
    cli.baton(&["init", "/"]).await.refuses(2, &["root of the file system"]);
    assert_eq!(added(project.scratch(), &before), [""; 0]);
    let home = cli.clone().env("HOME", project.scratch());
    home.baton(&["init"]).await.refuses(2, &["home folder"]);

    let made = cli.baton(&["init", "link"]).await;
    ends_with(&made, "cd link && npm install");
    assert!(project.scratch().join("real/functions/hello.ts").is_file(), "{made}");
    assert!(project.scratch().join("link").is_symlink());
}

/// Tells whether npm takes a name, by the check that npm itself has.
async fn npm_takes(name: &str) -> bool {
    let npm = which("npm").and_then(|npm| npm.canonicalize().ok()).expect("npm");
    let script = "const check = require('node:module').createRequire(process.argv[1])('validate-npm-package-name');\
                  process.exit(check(process.argv[2]).validForNewPackages ? 0 : 1)";
    let mut node = Command::new("node");
    node.arg("-e").arg(script).arg(npm).arg(name);
    let status = node.output().await.expect("node runs");
    assert!(
        matches!(status.status.code(), Some(0 | 1)) && status.stderr.is_empty(),
        "{status:?}"
    );
    status.status.success()
}

#[tokio::test]
async fn a_folder_whose_name_npm_refuses_makes_a_package_with_a_name_that_it_takes() {
    let project = scratch();
    let cli = cli(&project, "");
    for (folder, name) in [
        ("My Orders!", "my-orders"),
        (".jobs", "jobs"),
        ("http", "http-app"),
        ("inngest", "inngest-app"),
        ("日本", "my-app"),
    ] {
        let made = cli.baton(&["init", folder]).await;
        assert_eq!(made.code, Some(0), "{made}");
        let folder = project.scratch().join(folder);
        let package = fs::read_to_string(folder.join("package.json")).expect("a package.json");
        let package: Value = serde_json::from_str(&package).expect("JSON");
        assert_eq!(package["name"], name);
        assert!(npm_takes(name).await, "{name}");
    }
    assert!(!npm_takes("My Orders!").await && !npm_takes("http").await);
    let spaces = cli.baton(&["init", "My Orders!"]).await;
    ends_with(&spaces, "cd 'My Orders!' && npm install");
}

#[tokio::test]
async fn the_manager_of_the_project_or_of_the_caller_is_the_one_that_is_named() {
    let project = scratch();
    let all = cli(&project, "");
    write(
        &project,
        &[
            ("a/yarn.lock", ""),
            ("b/package.json", r#"{"name":"b","packageManager":"bun@1.3.0"}"#),
        ],
    );
    ends_with(&all.baton(&["init", "a"]).await, "cd a && yarn install");
    let declared = all.baton(&["init", "b"]).await;
    ends_with(&declared, "cd b && bun add inngest");
    assert!(
        declared.stdout.contains("`bun add --dev typescript @types/node`"),
        "{declared}"
    );
    let pnpm = all
        .clone()
        .env("npm_config_user_agent", "pnpm/10.1.0 npm/? node/v22.0.0 linux x64");
    ends_with(&pnpm.baton(&["init", "c"]).await, "cd c && pnpm install");
    ends_with(&all.baton(&["init", "d"]).await, "cd d && npm install");
}

#[tokio::test]
async fn a_binary_from_npm_is_among_the_packages_of_the_project_that_it_makes() {
    let project = scratch();
    let installed = project.scratch().join("node_modules/baton-inngest-linux-x64/bin");
    fs::create_dir_all(&installed).expect("a folder");
    let binary = installed.join("baton");
    if fs::hard_link(baton_binary(), &binary).is_err() {
        fs::copy(baton_binary(), &binary).expect("a copy of the binary");
    }
    let mut command = Command::new(&binary);
    harness::clean_environment(&mut command);
    command
        .args(["init", "shop"])
        .current_dir(project.scratch())
        .env("npm_config_user_agent", "npm/11.0.0");
    let output = command.stdin(Stdio::null()).output().await.expect("the binary runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        said.ends_with("\nNext:\n  cd shop && npm install\n  npx baton dev\n"),
        "{output:?}"
    );
    let package = fs::read_to_string(project.scratch().join("shop/package.json")).expect("a package.json");
    assert!(package.contains("\"baton-inngest\": \"^"), "{package}");
}

/// Runs Baton on a terminal, for which `script` stands in, with these answers.
async fn on_a_terminal(folder: &Path, command: &str, answers: &str) -> (bool, String) {
    fs::create_dir_all(folder).expect("a folder");
    let command = format!("'{}' {command}", baton_binary().display());
    let mut script = Command::new("script");
    harness::clean_environment(&mut script);
    script
        .args(["-qec", &command, "/dev/null"])
        .current_dir(folder)
        .env("TERM", "xterm")
        .env("NO_COLOR", "1");
    script
        .env("npm_config_user_agent", "npm/11.0.0")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut child = script.kill_on_drop(true).spawn().expect("script (util-linux) starts");
    let mut input = child.stdin.take().expect("its input");
    input.write_all(answers.as_bytes()).await.expect("answers");
    input.flush().await.expect("answers");
    let output = deadline::within("the end", String::new, child.wait_with_output())
        .await
        .expect("its output");
    drop(input);
    (
        output.status.success(),
        String::from_utf8_lossy(&output.stdout).into_owned(),
    )
}

#[tokio::test]
async fn a_person_is_asked_three_questions_at_most_and_none_with_yes() {
    let project = scratch();
    let (good, said) = on_a_terminal(&project.scratch().join("a"), "init", "Shop\nshop\n\n").await;
    assert!(
        good && said.contains("npm does not take this name: it may have lower-case letters"),
        "{said}"
    );
    assert!(
        said.contains("Write 7 files into") && said.matches("]: ").count() == 3,
        "{said}"
    );
    let package = fs::read_to_string(project.scratch().join("a/package.json")).expect("a package.json");
    assert!(package.contains("\"name\": \"shop\""), "{package}");

    let (good, said) = on_a_terminal(&project.scratch().join("b"), "init", "\nn\n").await;
    assert!(good && said.contains("Nothing was written"), "{said}");
    assert_eq!(content(&project.scratch().join("b")), BTreeMap::new());

    let (good, said) = on_a_terminal(&project.scratch().join("c"), "init --yes", "").await;
    assert!(good && !said.contains("]: "), "{said}");
}

#[tokio::test]
async fn dev_in_an_empty_folder_offers_a_project_or_names_the_command() {
    let project = scratch();
    let empty = cli(&project, "empty");
    empty
        .baton(&["dev"])
        .await
        .refuses(1, &["no package.json", "baton init"]);
    write(&project, &[("bare/package.json", "{}")]);
    cli(&project, "bare")
        .baton(&["dev"])
        .await
        .refuses(1, &["cannot find the functions", "baton init"]);

    let (good, said) = on_a_terminal(&project.scratch().join("empty"), "dev", "y\n").await;
    assert!(
        good && said.contains("This folder is empty. Make a project in it?"),
        "{said}"
    );
    assert!(
        said.contains("functions/hello.ts") && said.contains("npm install"),
        "{said}"
    );
    assert!(project.scratch().join("empty/functions/hello.ts").is_file());
    let (good, said) = on_a_terminal(&project.scratch().join("other"), "dev", "n\n").await;
    assert!(!good && said.contains("no package.json"), "{said}");
    assert_eq!(content(&project.scratch().join("other")), BTreeMap::new());
}
