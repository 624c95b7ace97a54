//! `baton completions` and the manual pages: made of the declarations of the command line.

#![allow(clippy::print_stderr, reason = "a command answers on its terminal")]

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Command, CommandFactory as _};
use clap_complete::Shell;

use super::Cli;
use super::output::say;

pub(super) const HELP: &str = "Example:
  baton completions bash > ~/.local/share/bash-completion/completions/baton
  baton completions zsh > \"${fpath[1]}/_baton\"
  baton completions fish > ~/.config/fish/completions/baton.fish";

#[derive(Debug, Args)]
#[allow(missing_docs, reason = "clap would take it for a help text")]
pub struct CompletionsArgs {
    /// The shell that completes the command line.
    shell: Shell,
}

#[derive(Debug, Args)]
#[allow(missing_docs, reason = "clap would take it for a help text")]
pub struct ManualArgs {
    /// The folder for the pages: `baton.1`, and one for each command.
    folder: PathBuf,
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("cannot write manual pages into {folder}: {error}", folder = .folder.display())]
#[diagnostic(help("Name a folder in which you may write."))]
struct ManualError {
    folder: PathBuf,
    error: std::io::Error,
}

pub(super) fn run(args: &CompletionsArgs) -> ExitCode {
    say(script(args.shell));
    ExitCode::SUCCESS
}

pub(super) fn make_manual(args: &ManualArgs) -> ExitCode {
    match write_pages(&args.folder) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let folder = args.folder.clone();
            eprintln!("{:?}", miette::Report::new(ManualError { folder, error }));
            ExitCode::FAILURE
        }
    }
}

fn script(shell: Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut visible(Cli::command()), "baton", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

fn write_pages(folder: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    clap_mangen::generate_to(visible(Cli::command()), folder)
}

/// Leaves out the commands that nobody types.
fn visible(command: Command) -> Command {
    let shown: Vec<Command> = command
        .get_subcommands()
        .filter(|command| !command.is_hide_set())
        .cloned()
        .collect();
    let mut visible = Command::new("baton")
        .version(env!("CARGO_PKG_VERSION"))
        .subcommand_required(true)
        .subcommands(shown);
    if let Some(about) = command.get_about() {
        visible = visible.about(about.clone());
    }
    if let Some(help) = command.get_after_help() {
        visible = visible.after_help(help.clone());
    }
    visible
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, ValueEnum as _};
    use clap_complete::Shell;

    use super::{Cli, script, write_pages};

    #[test]
    fn every_shell_knows_the_commands_that_people_type_and_no_other() {
        for shell in Shell::value_variants() {
            let script = script(*shell);
            for word in ["dev", "invoke", "rollback", "no-watch"] {
                assert!(script.contains(word), "{shell}: no {word}");
            }
            assert!(!script.contains("make-startup-snapshot"), "{shell}");
        }
    }

    #[test]
    fn every_command_has_a_page() {
        let scratch = tempfile::tempdir().unwrap();
        write_pages(scratch.path()).unwrap();
        let page = |name: &str| std::fs::read_to_string(scratch.path().join(format!("{name}.1")));
        let cli = Cli::command();
        for command in cli.get_subcommands() {
            let page = page(&format!("baton-{}", command.get_name()));
            assert_eq!(page.is_ok(), !command.is_hide_set(), "{}", command.get_name());
        }
        assert!(page("baton").unwrap().contains("losing a step"));
        assert!(page("baton-dev").unwrap().contains("curl"), "examples are in it");
    }
}
