//! `baton init`: makes a project with a first function and a test of it, or adds to a project what it lacks.
//!
//! `surroundings` looks, `init_plan` decides (pure), `questions` asks a person, `write` writes all or nothing. The
//! files are those of `template/`.

#![allow(clippy::print_stderr, reason = "a command answers on its terminal")]

mod init_plan;
mod manager;
mod package_name;
mod questions;
mod surroundings;
mod workspace;
mod write;

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use miette::Diagnostic;

use self::init_plan::{InitAnswers, InitPlan};
use self::surroundings::{Surroundings, is_there};
use super::output::say;
use crate::config::{ConfigFileError, working_folder};
use crate::exit_code;
use crate::life::ServeArgs;

pub(super) const HELP: &str = "Example:
  baton init my-app && cd my-app
  baton init --yes          # in this folder, with the usual answers

In a project that is there already it adds what is missing, and changes no file. Asks at most three questions, and
none with --yes or where nobody can answer.";

#[derive(Debug, Args)]
#[allow(missing_docs, reason = "clap would take it for a help text")]
pub struct InitArgs {
    /// The folder of the project; it is made where it is missing. [default: the working folder]
    dir: Option<PathBuf>,
    /// Ask nothing.
    #[arg(long, short)]
    yes: bool,
}

/// The reason why no project was made.
#[derive(Debug, thiserror::Error, Diagnostic)]
enum InitError {
    #[error("cannot make a project in {}: it is a file", .0.display())]
    #[diagnostic(help("Name a folder: `baton init my-app`."))]
    NoFolder(PathBuf),
    #[error("cannot make a project in {path}: it is a link to {target}, which does not exist", path = .path.display(), target = .target.display())]
    #[diagnostic(help("Make the folder that it leads to, or name another one."))]
    BrokenLink { path: PathBuf, target: PathBuf },
    #[error("cannot make a project in {}: it is your home folder", .0.display())]
    #[diagnostic(help("Name a folder in it: `baton init my-app`."))]
    Home(PathBuf),
    #[error("cannot make a project in {}: it is the root of the file system", .0.display())]
    #[diagnostic(help("Name a folder: `baton init my-app`."))]
    Root(PathBuf),
    #[error("cannot make a project in {folder}: it is the root of a workspace, whose packages {list} lists", folder = .folder.display())]
    #[diagnostic(help("Make it one of the packages: `baton init {example}`."))]
    RootOfWorkspace {
        folder: PathBuf,
        list: &'static str,
        example: String,
    },
    #[error("cannot read {path}: {reason}", path = .path.display())]
    #[diagnostic(help("Correct the file, and run `baton init` again; nothing was written."))]
    Manifest { path: PathBuf, reason: String },
    #[error(transparent)]
    #[diagnostic(transparent)]
    ConfigFile(#[from] ConfigFileError),
    #[error("{} is not a folder of functions", .0.display())]
    #[diagnostic(help("Rename it, or name another folder as `path` in baton.toml; nothing was written."))]
    NoFolderOfFunctions(PathBuf),
    #[error("cannot read {path}: {error}", path = .path.display())]
    #[diagnostic(help("Make it readable, or name another folder: `baton init my-app`."))]
    Unreadable { path: PathBuf, error: io::Error },
    #[error("cannot write {path}: {error}", path = .path.display())]
    #[diagnostic(help("Name a folder in which you may write: `baton init DIR`; nothing was left here."))]
    Unwritable { path: PathBuf, error: io::Error },
    #[error("cannot determine the working folder: {0}")]
    #[diagnostic(help("Go to a folder that exists."))]
    WorkingFolder(#[source] io::Error),
    #[error("cannot read an answer: {0}")]
    #[diagnostic(help("Pass --yes to be asked nothing."))]
    NoAnswer(#[source] io::Error),
    #[error("cannot read an answer: none was one of those asked for")]
    #[diagnostic(help("Pass --yes to be asked nothing."))]
    NotUnderstood,
}

impl InitError {
    const fn exit_code(&self) -> u8 {
        match self {
            Self::NoFolder(_) | Self::BrokenLink { .. } | Self::Home(_) | Self::Root(_) => exit_code::USAGE,
            Self::ConfigFile(_) => exit_code::CONFIGURATION,
            _ => 1,
        }
    }
}

pub(super) fn run(args: &InitArgs) -> ExitCode {
    let asks = if !args.yes && questions::can_ask() {
        QuestionMode::Everything
    } else {
        QuestionMode::Nothing
    };
    match init(args.dir.as_deref(), asks) {
        Ok(made) => {
            say(made);
            ExitCode::SUCCESS
        }
        Err(error) => {
            let code = error.exit_code();
            eprintln!("{:?}", miette::Report::new(error));
            ExitCode::from(code)
        }
    }
}

/// Offers to make a project in the working folder, to a person who has begun `baton dev` in an empty one. Returns the
/// exit code of what was done; none where nothing was offered or wanted.
#[must_use]
pub fn offer(args: &ServeArgs) -> Option<ExitCode> {
    let folder = working_folder().ok().filter(|_| args.path.is_none())?;
    if !questions::can_ask() || !is_empty(&folder) || refuse(&folder).is_err() {
        return None;
    }
    let wanted = questions::agrees("This folder is empty. Make a project in it?").ok()?;
    wanted.then(|| run(&InitArgs { dir: None, yes: true }))
}

/// The questions that are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum QuestionMode {
    Everything,
    Nothing,
}

/// Makes the project, and returns the text that tells so.
fn init(dir: Option<&Path>, asks: QuestionMode) -> Result<String, InitError> {
    let working = working_folder().map_err(InitError::WorkingFolder)?;
    let folder = settled(&working.join(dir.unwrap_or(Path::new("."))))?;
    refuse(&folder)?;
    let around = Surroundings::look(&folder)?;
    let answers = match asks {
        // What is refused is refused before anything is asked.
        QuestionMode::Everything => {
            init_plan::plan(&around, &InitAnswers::usual(&around)).and_then(|_| questions::ask(&around))?
        }
        QuestionMode::Nothing => InitAnswers::usual(&around),
    };
    let plan = init_plan::plan(&around, &answers)?;
    if asks == QuestionMode::Everything && !plan.files.is_empty() {
        let question = format!("Write {} into {}?", files(&plan), folder.display());
        if !questions::agrees(&question)? {
            return Ok("Nothing was written.\n".to_owned());
        }
    }
    write::write(&folder, &plan.files)?;
    let to_folder = dir.filter(|_| !is_same(&folder, &working));
    Ok(told(&plan, &folder, to_folder))
}

/// Returns the absolute path of a folder, which need not be there, without `.`, `..` and links.
fn settled(path: &Path) -> Result<PathBuf, InitError> {
    let unreadable = |error| InitError::Unreadable {
        path: path.to_owned(),
        error,
    };
    match path.canonicalize() {
        Ok(folder) if folder.is_dir() => Ok(folder),
        Ok(file) => Err(InitError::NoFolder(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if let Ok(target) = path.read_link() {
                let path = path.to_owned();
                return Err(InitError::BrokenLink { path, target });
            }
            // The nearest folder that is there, and the names below it.
            let there = path.ancestors().find(|folder| is_there(folder)).unwrap_or(path);
            let below = path.strip_prefix(there).unwrap_or(Path::new(""));
            if there == path || below.components().any(|part| part.as_os_str() == "..") {
                return Err(unreadable(error));
            }
            Ok(settled(there)?.join(below))
        }
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            let is_file = |path: &&Path| path.is_file();
            Err(path
                .ancestors()
                .find(is_file)
                .map_or_else(|| unreadable(error), |file| InitError::NoFolder(file.to_owned())))
        }
        Err(error) => Err(unreadable(error)),
    }
}

/// Refuses folders that are never a project.
fn refuse(folder: &Path) -> Result<(), InitError> {
    if folder.parent().is_none() {
        return Err(InitError::Root(folder.to_owned()));
    }
    let home = std::env::var_os("HOME").filter(|home| !home.is_empty());
    if home.is_some_and(|home| is_same(folder, Path::new(&home))) && !folder.join("package.json").is_file() {
        return Err(InitError::Home(folder.to_owned()));
    }
    Ok(())
}

fn is_same(one: &Path, other: &Path) -> bool {
    one.canonicalize()
        .is_ok_and(|one| other.canonicalize().is_ok_and(|other| one == other))
}

/// Tells whether a folder has nothing in it, but a new repository.
fn is_empty(folder: &Path) -> bool {
    let entries = std::fs::read_dir(folder);
    entries.is_ok_and(|entries| entries.flatten().all(|entry| entry.file_name() == ".git"))
}

fn files(plan: &InitPlan) -> String {
    match plan.files.as_slice() {
        [only] => only.path.clone(),
        files => format!("{} files", files.len()),
    }
}

/// Tells what was done, and ends with the two commands to type next.
fn told(plan: &InitPlan, folder: &Path, to_folder: Option<&Path>) -> String {
    let place = to_folder.unwrap_or(folder).display();
    let mut text = match (plan.files.as_slice(), plan.kept.as_slice()) {
        ([], _) => format!("{place} has everything already.\n"),
        (_, []) => format!("Made a project in {place}:\n"),
        _ => format!("Added to {place}:\n"),
    };
    for file in &plan.files {
        let _ = writeln!(text, "  {}", file.path);
    }
    if !plan.files.is_empty() && !plan.kept.is_empty() {
        let _ = writeln!(text, "Left as they are: {}", plan.kept.join(", "));
    }
    for note in &plan.notes {
        let _ = writeln!(text, "Note: {note}");
    }
    let there = to_folder.map(|folder| format!("cd {} && ", in_shell(folder)));
    let there = there.unwrap_or_default();
    let _ = write!(text, "\nNext:\n  {there}{}\n  {}\n", plan.install, plan.serve);
    text
}

/// Writes a path as a shell reads it.
fn in_shell(path: &Path) -> String {
    let path = path.to_string_lossy();
    let is_plain = |letter: char| letter.is_alphanumeric() || matches!(letter, '/' | '.' | '_' | '-' | '@' | '+' | ',');
    if path.chars().all(is_plain) && !path.starts_with('-') {
        path.into_owned()
    } else {
        format!("'{}'", path.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use super::{InitError, in_shell, settled};

    #[test]
    fn a_folder_is_found_through_links_and_need_not_be_there() {
        let scratch = tempfile::tempdir().unwrap();
        let root = scratch.path().canonicalize().unwrap();
        fs::create_dir(root.join("real")).unwrap();
        symlink("real", root.join("link")).unwrap();
        symlink("nowhere", root.join("broken")).unwrap();
        fs::write(root.join("file"), "").unwrap();
        assert_eq!(settled(&root.join("link")).unwrap(), root.join("real"));
        assert_eq!(settled(&root.join("link/new/er")).unwrap(), root.join("real/new/er"));
        assert_eq!(settled(&root.join("real/../new")).unwrap(), root.join("new"));
        assert!(matches!(
            settled(&root.join("broken")),
            Err(InitError::BrokenLink { .. })
        ));
        assert!(matches!(
            settled(&root.join("broken/new")),
            Err(InitError::BrokenLink { .. })
        ));
        assert!(matches!(settled(&root.join("file")), Err(InitError::NoFolder(_))));
        assert!(matches!(settled(&root.join("file/new")), Err(InitError::NoFolder(_))));
        assert!(settled(&root.join("new/../../other")).is_err());
    }

    #[test]
    fn a_path_is_written_as_a_shell_reads_it() {
        for (path, written) in [
            ("my-app", "my-app"),
            ("my app", "'my app'"),
            ("it's", r"'it'\''s'"),
            ("-x", "'-x'"),
        ] {
            assert_eq!(in_shell(Path::new(path)), written);
        }
    }
}
