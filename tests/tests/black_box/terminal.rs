//! The output for a person at a terminal (README, promise 7).

use std::process::Stdio;

use harness::{Baton, Cli, Project, baton_binary, deadline};
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// `baton dev` on a terminal, for which `script` stands in.
struct OnTerminal {
    // The host ends with it.
    _script: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl OnTerminal {
    fn dev(project: &Project, environment: &[(&str, &str)]) -> Self {
        let command = format!(
            "'{}' dev '{}' --port 0 --state-dir '{}' --no-watch",
            baton_binary().display(),
            project.functions().display(),
            project.state_dir().display()
        );
        let mut script = Command::new("script");
        script
            .args(["-qec", &command, "/dev/null"])
            .env("INNGEST_DEV", "http://127.0.0.1:1")
            .env_remove("NO_COLOR")
            .env_remove("BATON_LOG")
            .env("TERM", "xterm")
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let mut script = script.kill_on_drop(true).spawn().expect("script (util-linux) starts");
        let lines = BufReader::new(script.stdout.take().expect("its output")).lines();
        Self { _script: script, lines }
    }

    /// Returns the output from here up to a line that has `last`.
    async fn until(&mut self, last: &str) -> String {
        let mut text = String::new();
        let read = deadline::within("the last line", String::new, async {
            while let Ok(Some(line)) = self.lines.next_line().await {
                text.push_str(line.trim_end());
                text.push('\n');
                if line.contains(last) {
                    return true;
                }
            }
            false
        });
        assert!(read.await, "no line with {last:?} in {text}");
        text
    }
}

const PLAIN: &[(&str, &str)] = &[("NO_COLOR", "1")];

#[tokio::test]
async fn colours_are_for_terminals_and_no_color_is_heeded() {
    let project = Project::new();
    let coloured = OnTerminal::dev(&project, &[]).until("Editing").await;
    assert!(coloured.contains("\u{1b}[1mBATON v"), "{coloured}");
    let project = Project::new();
    let plain = OnTerminal::dev(&project, PLAIN).until("Editing").await;
    assert!(!plain.contains('\u{1b}'), "{plain}");
}

#[tokio::test]
async fn the_screen_tells_where_the_host_serves_then_a_line_a_reload() {
    let project = Project::new();
    let mut terminal = OnTerminal::dev(&project, PLAIN);
    let welcome = terminal.until("Editing").await;
    for part in [
        "ready in ",
        ": 20 functions of ",
        "Serving    http://127.0.0.1:",
        "/api/inngest\n",
        "Dashboard  http://127.0.0.1:",
        "/-/\n",
        "Inngest    no server at http://127.0.0.1:1 yet. Start it: npx inngest-cli@latest dev -u http://127.0.0.1:",
        "edit a function, then: baton reload",
    ] {
        assert!(welcome.contains(part), "{part:?} is not in {welcome}");
    }
    for line_of_the_log in ["listening", "generation activated", "registered yet"] {
        assert!(!welcome.contains(line_of_the_log), "{welcome}");
    }

    let cli = Cli::within(project.root()).env("BATON_STATE_DIR", project.state_dir());
    project.set_version("2");
    assert_eq!(cli.baton(&["reload"]).await.code, Some(0));
    let swapped = terminal.until("generation 2 serves").await;
    assert!(swapped.contains("generation 2 serves: changed fixture-"), "{swapped}");
    assert_eq!(swapped.matches("warning: ").count(), 1, "it was told once: {swapped}");

    project.write("functions/broken.ts", "export const = 1;");
    assert_eq!(cli.baton(&["reload"]).await.code, Some(1));
    let rejected = terminal.until("still serves").await;
    for part in [
        "rejected: ",
        "at functions/broken.ts:1:14 (syntax)",
        "> 1 | export const = 1;",
        "generation 2 still serves",
    ] {
        assert!(rejected.contains(part), "{part:?} is not in {rejected}");
    }
    project.remove("functions/broken.ts");
    assert_eq!(cli.baton(&["reload"]).await.code, Some(0));
    terminal
        .until("generation 2 still serves, and has the code on the disk again")
        .await;
}

#[tokio::test]
async fn code_that_does_not_load_at_the_start_is_told_before_anything_serves() {
    let project = Project::new();
    project.write("functions/broken.ts", "export const = 1;");
    let mut terminal = OnTerminal::dev(&project, PLAIN);
    let rejected = terminal
        .until("nothing serves yet: calls wait until the code loads")
        .await;
    assert!(rejected.contains("> 1 | export const = 1;"), "{rejected}");
    project.remove("functions/broken.ts");
    let cli = Cli::within(project.root()).env("BATON_STATE_DIR", project.state_dir());
    assert_eq!(cli.baton(&["reload"]).await.code, Some(0));
    terminal.until("Editing").await;
}

#[tokio::test]
async fn whoever_names_the_lines_of_the_log_gets_them() {
    let project = Project::new();
    let lines = [("NO_COLOR", "1"), ("BATON_LOG", "info")];
    let text = OnTerminal::dev(&project, &lines).until("edit a function").await;
    for part in [
        "listening url=",
        "generation activated generation=1 functions=20",
        "dashboard: http://127.0.0.1:",
    ] {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
    assert!(!text.contains("BATON v"), "{text}");
}

#[tokio::test]
async fn status_is_shown_anew_until_the_host_ends() {
    let project = Project::new();
    let mut baton = Baton::dev(&project).ready().await;
    let cli = Cli::within(project.root()).env("BATON_STATE_DIR", project.state_dir());
    let mut watching = cli.start(&["status", "--watch", "--json"]);
    watching.line(&json!({ "current": 1 })).await;
    project.set_version("2");
    assert_eq!(baton.reload().await.activated(), 2);
    watching.line(&json!({ "current": 2 })).await;
    baton.signal("TERM").await;
    assert_eq!(baton.ended().await.code(), Some(0));
    let ended = watching.finished().await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("no host is running"), "{ended:?}");
}
