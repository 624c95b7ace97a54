//! Variables that a command prints: run for each generation, its output kept nowhere else.
//!
//! Neither the command's output nor its standard error is ever logged or part of an error, for both may hold secrets.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use serde_json::Value;

use super::environment::{LARGEST, parse};
use crate::system::posix;

/// The time that the command may take.
const LIMIT: Duration = Duration::from_secs(30);

/// Variables by name. Shown without their values.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Secrets(pub(super) BTreeMap<String, String>);

/// The reason why there are none; the person who reloads reads it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SecretsError {
    #[error("secret_command names no program")]
    Empty,
    #[error("secret_command: cannot start {program:?}: {reason}")]
    NotStarted { program: String, reason: String },
    #[error("secret_command: {program:?} {ended}")]
    Failed { program: String, ended: String },
    #[error("secret_command: {program:?} did not finish within {} seconds", LIMIT.as_secs())]
    TooLong { program: String },
    #[error("secret_command: {program:?} printed more than {} MiB", LARGEST >> 20)]
    TooMuch { program: String },
    #[error("secret_command: {program:?} printed a malformed JSON object: line {line}, column {column}")]
    Json {
        program: String,
        line: usize,
        column: usize,
    },
    #[error(
        "secret_command: {program:?} printed a JSON object in which {name:?} is not a string, a number or a \
             boolean"
    )]
    Value { program: String, name: String },
}

impl SecretsError {
    /// Returns advice for the user.
    pub(crate) const fn help(&self) -> &'static str {
        match self {
            Self::Empty | Self::NotStarted { .. } => {
                "Write [env] secret_command = [\"program\", \"argument\"], or one line for the shell, in baton.toml."
            }
            Self::Failed { .. } | Self::TooLong { .. } => {
                "Run it in the project's folder to see why: its output may be secret, and is not shown here."
            }
            Self::TooMuch { .. } | Self::Json { .. } | Self::Value { .. } => {
                "Have it print lines of NAME=value, or one JSON object of strings."
            }
        }
    }
}

/// Runs the command in a folder, and reads what it prints.
///
/// # Errors
/// When it does not end well in time, or prints something else.
pub(super) fn run(command: &[String], folder: &Path) -> Result<Secrets, SecretsError> {
    let [program, arguments @ ..] = command else {
        return Err(SecretsError::Empty);
    };
    let (status, stdout) = output(program, arguments, folder)?;
    if !status.success() {
        return Err(SecretsError::Failed {
            program: program.clone(),
            ended: describe(status),
        });
    }
    read(program, &String::from_utf8_lossy(&stdout)).map(Secrets)
}

fn output(program: &str, arguments: &[String], folder: &Path) -> Result<(ExitStatus, Vec<u8>), SecretsError> {
    let not_started = |error: std::io::Error| SecretsError::NotStarted {
        program: program.to_owned(),
        reason: error.to_string(),
    };
    let mut child = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .map_err(not_started)?;
    let group = child.id().cast_signed();
    // Kills the group, with all that the command started; a group that has ended meanwhile is as good.
    let kill = || drop(posix::kill(-group, libc::SIGKILL));
    let Some(printed) = child.stdout.take() else {
        return Err(not_started(io::ErrorKind::BrokenPipe.into()));
    };
    let (sender, ended) = mpsc::channel();
    let (hand_over, handed_over) = mpsc::channel::<Child>();
    // The thread ends with the command.
    let waiting = std::thread::Builder::new()
        .name("secret-command".to_owned())
        .spawn(move || {
            let mut stdout = Vec::new();
            let read = printed.take(LARGEST + 1).read_to_end(&mut stdout);
            let Ok(mut child) = handed_over.recv() else {
                return;
            };
            if stdout.len() as u64 > LARGEST {
                // The pipe is closed, and further output ends the command.
                let _ = sender.send(Ok(None));
                let _ = child.wait();
                return;
            }
            let status = read.and_then(|_| child.wait());
            let _ = sender.send(status.map(|status| Some((status, stdout))));
        });
    let waiting = match waiting {
        Ok(waiting) => waiting,
        Err(error) => {
            kill();
            let _ = child.wait();
            return Err(not_started(error));
        }
    };
    // The thread waits for it.
    let _ = hand_over.send(child);
    let program = program.to_owned();
    let printed = match ended.recv_timeout(LIMIT) {
        Ok(Ok(Some(output))) => Ok(output),
        Ok(Ok(None)) => {
            kill();
            Err(SecretsError::TooMuch { program })
        }
        Ok(Err(error)) => Err(not_started(error)),
        Err(_) => {
            kill();
            // The thread is not waited for; it ends once nobody has the pipe any more: not even a process that has
            // left the group.
            return Err(SecretsError::TooLong { program });
        }
    };
    let _ = waiting.join();
    printed
}

fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("failed with exit code {code}"),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => "failed".to_owned(),
    }
}

fn read(program: &str, text: &str) -> Result<BTreeMap<String, String>, SecretsError> {
    if !text.trim_start().starts_with('{') {
        return Ok(parse(text));
    }
    let object: serde_json::Map<String, Value> = serde_json::from_str(text).map_err(|error| SecretsError::Json {
        program: program.to_owned(),
        line: error.line(),
        column: error.column(),
    })?;
    let text = |(name, value): (String, Value)| match value {
        Value::String(text) => Ok((name, text)),
        Value::Number(_) | Value::Bool(_) => Ok((name, value.to_string())),
        Value::Null | Value::Array(_) | Value::Object(_) => Err(SecretsError::Value {
            program: program.to_owned(),
            name,
        }),
    };
    let fits =
        |(name, value): &(String, String)| !name.is_empty() && !name.contains(['=', '\0']) && !value.contains('\0');
    let texts = object.into_iter().map(text);
    texts.filter(|one| one.as_ref().map_or(true, fits)).collect()
}

impl fmt::Debug for Secrets {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{SecretsError, run};

    fn shell(line: &str) -> Result<Vec<(String, String)>, SecretsError> {
        let command = ["sh", "-c", line].map(str::to_owned);
        run(&command, Path::new("/")).map(|secrets| secrets.0.into_iter().collect())
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn lines_and_a_json_object_are_read() {
        assert_eq!(
            shell("echo '# of today'; echo A=1; echo 'B=\"two words\"'"),
            Ok(vec![pair("A", "1"), pair("B", "two words")])
        );
        assert_eq!(
            shell("echo '{\"A\": \"x=y\", \"B\": 2, \"C\": true}'"),
            Ok(vec![pair("A", "x=y"), pair("B", "2"), pair("C", "true")])
        );
        assert_eq!(shell("true"), Ok(Vec::new()));
    }

    #[test]
    fn what_goes_wrong_is_named_without_what_was_printed() {
        for (line, told) in [
            ("echo A=hush; echo hush >&2; exit 3", "failed with exit code 3"),
            ("echo A=hush; kill -9 $$", "was ended by signal 9"),
            ("echo '{\"A\": \"hush\"'", "line 2, column 0"),
            ("echo '{\"A\": [\"hush\"]}'", "\"A\" is not a string"),
            ("yes hush", "printed more than 1 MiB"),
        ] {
            let error = shell(line).unwrap_err().to_string();
            assert!(error.contains(told) && !error.contains("hush"), "{error}");
        }
        let missing = run(&["no-such-program".to_owned()], Path::new("/")).unwrap_err();
        assert!(
            missing.to_string().contains("cannot start \"no-such-program\""),
            "{missing}"
        );
        assert_eq!(run(&[], Path::new("/")), Err(SecretsError::Empty));
    }
}
