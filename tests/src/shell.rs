//! A shell in a project, with `baton` on its path and a home of its own: what a document says is typed into it.

use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::{Child, Command};

use crate::binary::baton_binary;
use crate::cli::{self, Finished};
use crate::deadline;
use crate::http::{Call, Door};
use crate::project::Project;

/// A place to type commands.
#[derive(Debug)]
pub struct Shell {
    folder: PathBuf,
    environment: Vec<(OsString, OsString)>,
    log: PathBuf,
}

/// A host that a command has started; it is killed on drop.
#[derive(Debug)]
pub struct Hosted {
    child: Child,
    log: PathBuf,
}

impl Shell {
    /// Opens a shell in the project's root. `cache` has the developer's startup snapshot, which takes long to make.
    #[must_use]
    pub fn within(project: &Project, cache: &Path) -> Self {
        let (programs, home) = (project.scratch().join("bin"), project.scratch().join("home"));
        for folder in [&programs, &home] {
            fs::create_dir_all(folder).expect("a folder");
        }
        symlink(baton_binary(), programs.join("baton")).expect("a link");
        let mut path = programs.into_os_string();
        path.push(":");
        path.push(std::env::var_os("PATH").expect("PATH"));
        let environment = vec![
            ("PATH".into(), path),
            ("HOME".into(), home.into()),
            ("XDG_CACHE_HOME".into(), cache.into()),
            ("BATON_CODE_CACHE".into(), project.code_cache().into()),
            // There is no Inngest.
            ("INNGEST_DEV".into(), "http://127.0.0.1:1".into()),
        ];
        Self {
            folder: project.root(),
            environment,
            log: project.scratch().join("log"),
        }
    }

    /// Sets a variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Runs lines to their end; the first one that fails ends them.
    pub async fn run(&self, lines: &str) -> Finished {
        cli::finish(self.bash(lines)).await
    }

    /// Starts a host with a line, and waits until it serves at `port`.
    pub async fn host(&self, line: &str, port: u16) -> Hosted {
        let log = File::create(&self.log).expect("a log");
        let mut command = self.bash(&format!("exec {line}"));
        command.stdout(log.try_clone().expect("a log")).stderr(log);
        let mut hosted = Hosted {
            child: command.spawn().expect("bash"),
            log: self.log.clone(),
        };
        let door = Door::Tcp(([127, 0, 0, 1], port).into());
        let log = self.log.clone();
        let context = || format!("{line}\n{}", fs::read_to_string(&log).unwrap_or_default());
        deadline::until("a host that serves", context, || {
            hosted.goes_on();
            let door = door.clone();
            async move {
                let answer = Call::new("GET", "/-/ready").send(&door).await;
                answer.is_ok_and(|answer| answer.status == 200).then_some(())
            }
        })
        .await;
        hosted
    }

    fn bash(&self, lines: &str) -> Command {
        let mut command = Command::new("bash");
        cli::clean_environment(&mut command);
        command
            .args(["-euo", "pipefail", "-c", lines])
            .envs(self.environment.iter().cloned())
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }
}

impl Hosted {
    /// Ends the host.
    pub async fn end(mut self) {
        self.child.kill().await.expect("a host that runs");
    }

    /// Panics when the host has ended, or its code was rejected.
    fn goes_on(&mut self) {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let ended = self.child.try_wait().expect("a child");
        assert!(
            ended.is_none() && !log.contains("generation rejected"),
            "{ended:?}\n{log}"
        );
    }
}
