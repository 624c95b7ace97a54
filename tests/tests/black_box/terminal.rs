//! The output for a person at a terminal (README, promise 7).

use harness::{Baton, Cli, Project, baton_binary, deadline};
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

/// Returns the output of `baton dev` on a terminal, for which `script` stands in, up to a line that
/// has `last`.
async fn on_a_terminal(project: &Project, no_color: bool, last: &str) -> String {
    let command = format!(
        "'{}' dev '{}' --port 0 --state-dir '{}' --no-watch",
        baton_binary().display(),
        project.functions().display(),
        project.state_dir().display()
    );
    let mut script = Command::new("script");
    script
        .args(["-qec", &command, "/dev/null"])
        .env("INNGEST_DEV", "http://127.0.0.1:1");
    script
        .env_remove("NO_COLOR")
        .env_remove("BATON_LOG")
        .env("TERM", "xterm");
    if no_color {
        script.env("NO_COLOR", "1");
    }
    script
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::piped());
    let mut child = script.kill_on_drop(true).spawn().expect("script (util-linux) starts");
    let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
    let mut text = String::new();
    let read = deadline::within("the last line", String::new, async {
        while let Ok(Some(line)) = lines.next_line().await {
            text.push_str(&line);
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

#[tokio::test]
async fn colours_and_frames_are_for_terminals_and_no_color_is_heeded() {
    let project = Project::new();
    project.write("functions/broken.ts", "export const = 1;");
    let coloured = on_a_terminal(&project, false, "| ").await;
    assert!(
        coloured.contains("\u{1b}[") && coloured.contains("listening"),
        "{coloured}"
    );
    assert!(coloured.contains("> 1 | export const = 1;"), "{coloured}");
    let project = Project::new();
    let plain = on_a_terminal(&project, true, "dashboard: http://127.0.0.1:").await;
    assert!(!plain.contains('\u{1b}'), "{plain}");
    assert!(
        plain.contains("generation activated generation=1 functions=20"),
        "{plain}"
    );
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
