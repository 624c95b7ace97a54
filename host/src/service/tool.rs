//! The platform's own tools, run to their end; the error of a tool that fails has its output.

use std::io;
use std::process::{Command, Stdio};

use miette::Diagnostic;

/// The reason why a tool failed.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum ToolError {
    #[error("cannot run `{command}`: {error}")]
    #[diagnostic(help(
        "Choose this machine's service manager with --systemd or --launchd; `baton service print` needs neither."
    ))]
    Missing { command: String, error: io::Error },
    #[error("`{command}` failed ({code}):\n{output}", code = exit(*.code))]
    Failed {
        command: String,
        code: Option<i32>,
        output: String,
    },
}

/// Runs a tool to its end, and returns its standard output, trimmed, if it ended well.
pub(super) fn run(program: &str, arguments: &[&str]) -> Result<String, ToolError> {
    let command = std::iter::once(&program)
        .chain(arguments)
        .copied()
        .collect::<Vec<_>>()
        .join(" ");
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| ToolError::Missing {
            command: command.clone(),
            error,
        })?;
    let stdout = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if output.status.success() {
        return Ok(stdout);
    }
    let stderr = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(ToolError::Failed {
        command,
        code: output.status.code(),
        output: [stderr, stdout].join("\n").trim().to_owned(),
    })
}

fn exit(code: Option<i32>) -> String {
    code.map_or("ended by a signal".to_owned(), |code| format!("exit code {code}"))
}

#[cfg(test)]
mod tests {
    use super::{ToolError, run};

    #[test]
    fn a_failure_names_the_command_and_what_it_said() {
        assert_eq!(run("sh", &["-c", "echo well"]).unwrap(), "well");
        let error = run("sh", &["-c", "echo out; echo err >&2; exit 5"]).unwrap_err();
        assert!(matches!(&error, ToolError::Failed { code: Some(5), output, .. } if output == "err\nout"));
        assert!(error.to_string().starts_with("`sh -c"), "{error}");
        let missing = run("no-such-tool", &["print"]).unwrap_err();
        assert!(missing.to_string().contains("`no-such-tool print`"), "{missing}");
    }
}
