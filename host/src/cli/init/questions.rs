//! The questions of `baton init`, three at most, for a person at a terminal.

#![allow(clippy::print_stderr, reason = "a command asks on its terminal")]

use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _};

use clap::ValueEnum as _;

use super::InitError;
use super::init_plan::InitAnswers;
use super::manager::PackageManager;
use super::package_name;
use super::surroundings::Surroundings;

/// The most bytes of an answer.
const LONGEST: u64 = 4096;
/// The times that a question is asked before the command gives up.
const TRIES: usize = 3;

/// Tells whether a person can be asked.
pub(super) fn can_ask() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks for what nothing tells: the name of a package.json that is new, and the package manager.
pub(super) fn ask(around: &Surroundings) -> Result<InitAnswers, InitError> {
    let usual = InitAnswers::usual(around);
    let name = match &around.manifest {
        Some(_) => usual.name,
        None => until_understood(&format!("Name of the package [{}]", usual.name), &usual.name, |text| {
            match package_name::fault(text) {
                None => Ok(text.to_owned()),
                Some(fault) => Err(format!("npm does not take this name: {fault}")),
            }
        })?,
    };
    let is_open = around.signs.told().is_none() && around.signs.installed.len() > 1;
    let manager = if is_open {
        let program = usual.manager.program();
        let question = format!("Package manager ({}) [{program}]", programs(&around.signs.installed));
        until_understood(&question, program, |text| {
            PackageManager::from_str(text, true).map_err(|_| "answer npm, pnpm, yarn or bun".to_owned())
        })?
    } else {
        usual.manager
    };
    Ok(InitAnswers { name, manager })
}

/// Asks a question whose usual answer is yes.
pub(super) fn agrees(question: &str) -> Result<bool, InitError> {
    until_understood(&format!("{question} [Y/n]"), "y", |text| match &*text.to_lowercase() {
        "y" | "yes" => Ok(true),
        "n" | "no" => Ok(false),
        _ => Err("answer yes or no".to_owned()),
    })
}

fn programs(managers: &[PackageManager]) -> String {
    let programs: Vec<&str> = managers.iter().map(|manager| manager.program()).collect();
    programs.join(", ")
}

/// Asks until an answer is understood; an empty line is the usual answer.
fn until_understood<T>(question: &str, usual: &str, read: impl Fn(&str) -> Result<T, String>) -> Result<T, InitError> {
    for _ in 0..TRIES {
        eprint!("{question}: ");
        let _ = io::stderr().flush();
        let mut line = String::new();
        let length = io::stdin().lock().take(LONGEST).read_line(&mut line);
        if length.map_err(InitError::NoAnswer)? == 0 {
            eprintln!();
            return Err(InitError::NoAnswer(io::ErrorKind::UnexpectedEof.into()));
        }
        let text = line.trim();
        match read(if text.is_empty() { usual } else { text }) {
            Ok(answer) => return Ok(answer),
            Err(reason) => eprintln!("{reason}"),
        }
    }
    Err(InitError::NotUnderstood)
}
