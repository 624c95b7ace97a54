//! The state of a job, as `launchctl print` tells it. Pure. The manual page calls the text no interface, so each part
//! of it may be missing, and nothing depends on one.

use std::path::{Path, PathBuf};

/// A job that launchd has loaded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobState {
    /// The property list from which the job was loaded.
    pub file: Option<PathBuf>,
    pub working_folder: Option<PathBuf>,
    pub pid: Option<u32>,
    /// The seconds from SIGTERM to SIGKILL, as they were when the job was loaded.
    pub exit_timeout: Option<u64>,
    /// The last exit in launchd's words: `78: EX_CONFIG`.
    pub last_exit: Option<String>,
}

impl JobState {
    /// Reads the text of `launchctl print`.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut state = Self::default();
        for line in text.lines() {
            // The lines of the job itself are indented once; the lines of its tables are indented more.
            let Some((key, value)) = line.strip_prefix('\t').and_then(|line| line.split_once(" = ")) else {
                continue;
            };
            match key {
                "path" => state.file = absolute(value),
                "working directory" => state.working_folder = absolute(value),
                "pid" => state.pid = value.parse().ok(),
                "exit timeout" => state.exit_timeout = value.parse().ok(),
                "last exit code" if !value.starts_with('(') => state.last_exit = Some(value.to_owned()),
                _ => {}
            }
        }
        state
    }
}

/// Returns the path that a text is; `(submitted by …)` and the like are no paths.
fn absolute(text: &str) -> Option<PathBuf> {
    let path = Path::new(text);
    path.is_absolute().then(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::JobState;

    const RUNNING: &str = "gui/501/baton.shop = {
\tactive count = 1
\tpath = /Users/ada/Library/LaunchAgents/baton.shop.plist
\ttype = LaunchAgent
\tstate = running

\tprogram = /usr/local/bin/baton
\targuments = {
\t\t/usr/local/bin/baton
\t\tstart
\t\tpid = 7
\t}

\tworking directory = /srv/a shop
\tdefault environment = {
\t\tPATH => /usr/bin:/bin:/usr/sbin:/sbin
\t}
\tdomain = gui/501 [100003]
\tminimum runtime = 5
\texit timeout = 7260
\truns = 1
\tpid = 4242
\tlast exit code = (never exited)
\tproperties = runatload
}
";

    #[test]
    fn what_belongs_to_the_job_itself_is_read() {
        let state = JobState::parse(RUNNING);
        let expected = JobState {
            file: Some("/Users/ada/Library/LaunchAgents/baton.shop.plist".into()),
            working_folder: Some("/srv/a shop".into()),
            pid: Some(4242),
            exit_timeout: Some(7260),
            last_exit: None,
        };
        assert_eq!(state, expected);
    }

    #[test]
    fn a_job_that_does_not_run_says_how_it_ended() {
        let text = "system/baton.shop = {\n\tpath = (submitted by launchctl)\n\tstate = not running\n\tlast exit code = 78: EX_CONFIG\n}";
        let state = JobState::parse(text);
        assert_eq!((state.pid, state.file), (None, None));
        assert_eq!(state.last_exit.as_deref(), Some("78: EX_CONFIG"));
    }

    #[test]
    fn another_text_says_nothing() {
        for text in [
            "",
            "{",
            "\t = \n\tpid = many",
            "Could not find service",
            "\u{0}\n\t\t\t",
        ] {
            assert_eq!(JobState::parse(text), JobState::default(), "{text:?}");
        }
    }
}
