//! The knowledge that a shell and `man` have of the command line: both are made of it.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use harness::{Cli, Project};

/// Runs a program on a file; none, with a message, where the program is not here.
fn read_by(program: &str, arguments: &[&str], file: &Path) -> Option<Output> {
    let output = Command::new(program).args(arguments).arg(file).output();
    if output.is_err() {
        eprintln!("skipped: {program} is not here");
    }
    output.ok()
}

#[tokio::test]
async fn each_shell_that_is_here_reads_its_script() {
    let project = Project::new();
    let cli = Cli::within(project.scratch());
    for (shell, option) in [("bash", "-n"), ("zsh", "-n"), ("fish", "--no-execute")] {
        let made = cli.baton(&["completions", shell]).await;
        assert_eq!((made.code, &*made.stderr), (Some(0), ""), "{shell}");
        let file = project.scratch().join(shell);
        fs::write(&file, made.stdout).expect("a script");
        if let Some(read) = read_by(shell, &[option], &file) {
            assert!(read.status.success() && read.stderr.is_empty(), "{shell}: {read:?}");
        }
    }
    cli.baton(&["completions", "cmd.exe"])
        .await
        .refuses(2, &["bash", "zsh", "fish"]);
}

#[tokio::test]
async fn bash_completes_commands_and_flags() {
    let project = Project::new();
    let made = Cli::within(project.scratch()).baton(&["completions", "bash"]).await;
    let file = project.scratch().join("baton.bash");
    fs::write(&file, made.stdout).expect("a script");
    let script = "source \"$1\"; shift; COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); \
                  _baton baton \"${COMP_WORDS[COMP_CWORD]}\" \"${COMP_WORDS[COMP_CWORD - 1]}\"; echo \"${COMPREPLY[@]}\"";
    for (words, completed) in [
        (["baton", "rollb"].as_slice(), "rollback"),
        (&["baton", "dev", "--no-w"], "--no-watch"),
    ] {
        let bash = Command::new("bash")
            .args(["-c", script, "bash"])
            .arg(&file)
            .args(words)
            .output();
        let bash = bash.expect("bash runs");
        assert_eq!(String::from_utf8_lossy(&bash.stdout).trim(), completed, "{bash:?}");
    }
}

#[tokio::test]
async fn each_command_has_a_manual_page_that_man_reads() {
    let project = Project::new();
    let cli = Cli::within(project.scratch());
    let made = cli.baton(&["make-manual", "pages"]).await;
    assert_eq!(made.code, Some(0), "{made}");
    let help = cli.baton(&["--help"]).await.stdout;
    let (_, commands) = help.split_once("Commands:\n").expect("commands");
    let commands = commands.lines().take_while(|line| !line.is_empty());
    let commands: Vec<&str> = commands
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|command| *command != "help")
        .collect();
    assert!(commands.len() > 12, "{commands:?}");
    for command in commands {
        let page = project.scratch().join(format!("pages/baton-{command}.1"));
        assert!(page.is_file(), "{command}");
        if let Some(read) = read_by("groff", &["-Kutf8", "-man", "-Tutf8"], &page) {
            assert!(read.status.success() && read.stderr.is_empty(), "{command}: {read:?}");
            // (Headings have escape sequences within.)
            assert!(read.stdout.len() > 500, "{command}: {read:?}");
        }
    }
    cli.baton(&["make-manual", "/dev/null/pages"])
        .await
        .refuses(1, &["cannot write manual pages"]);
}
