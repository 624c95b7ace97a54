//! The kernel's limits on the watches of a user, and the advice for a limit that is reached.

use std::fmt;
use std::fs;
use std::path::Path;

use notify::Watcher as _;

/// A limit of inotify's that was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Limit {
    /// The number of folders that are watched.
    Watches,
    /// The number of watchers.
    Instances,
}

impl Limit {
    /// Returns the limit that an error tells of.
    pub(super) fn of(error: &notify::Error) -> Option<Self> {
        match &error.kind {
            notify::ErrorKind::MaxFilesWatch => Some(Self::Watches),
            notify::ErrorKind::Io(error) => match error.kind() {
                std::io::ErrorKind::StorageFull => Some(Self::Watches),
                _ if error.raw_os_error() == Some(EMFILE) => Some(Self::Instances),
                _ => None,
            },
            _ => None,
        }
    }

    const fn setting(self) -> &'static str {
        match self {
            Self::Watches => "max_user_watches",
            Self::Instances => "max_user_instances",
        }
    }

    /// Returns the number in force, or `None` where there is no such setting.
    pub(super) fn number(self) -> Option<u64> {
        let text = fs::read_to_string(format!("/proc/sys/fs/inotify/{}", self.setting())).ok()?;
        text.trim().parse().ok()
    }

    /// Returns the advice for those who can change the limit.
    pub(super) const fn advice(self, number: Option<u64>) -> Advice {
        Advice { limit: self, number }
    }
}

/// Checks that a folder can be watched now.
///
/// # Errors
/// With what is used up, and how to raise it.
pub fn probe(folder: &Path) -> Result<(), String> {
    let told = |error: &notify::Error| match Limit::of(error) {
        Some(limit) => limit.advice(limit.number()).to_string(),
        None => error.to_string(),
    };
    let mut watcher = notify::recommended_watcher(|_| {}).map_err(|error| told(&error))?;
    let watched = watcher.watch(folder, notify::RecursiveMode::NonRecursive);
    watched.map_err(|error| told(&error))
}

/// The error "Too many open files", which has the same number on Linux and macOS.
const EMFILE: i32 = 24;

/// A limit in words: its name, its number, and the way to raise it.
#[derive(Debug)]
pub(super) struct Advice {
    limit: Limit,
    number: Option<u64>,
}

impl fmt::Display for Advice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let setting = self.limit.setting();
        let (what, enough) = match self.limit {
            Limit::Watches => ("folders that a user can watch", 524_288),
            Limit::Instances => ("programs of a user that can watch", 1024),
        };
        write!(
            formatter,
            "watch limit: the number of {what} is used up (fs.inotify.{setting}"
        )?;
        if let Some(number) = self.number {
            write!(formatter, " = {number}")?;
        }
        let raised = self.number.unwrap_or_default().saturating_mul(2).max(enough);
        write!(
            formatter,
            "); raise it with `sudo sysctl fs.inotify.{setting}={raised}`"
        )?;
        if self.limit == Limit::Instances {
            formatter.write_str(", or the open files of this process with `ulimit -n`")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::Limit;

    #[test]
    fn a_limit_is_named_with_its_number_and_the_way_to_raise_it() {
        assert_eq!(
            Limit::Watches.advice(Some(8192)).to_string(),
            "watch limit: the number of folders that a user can watch is used up \
             (fs.inotify.max_user_watches = 8192); raise it with `sudo sysctl fs.inotify.max_user_watches=524288`"
        );
        let text = Limit::Instances.advice(Some(1024)).to_string();
        assert!(text.contains("sysctl fs.inotify.max_user_instances=2048"), "{text}");
        assert!(
            Limit::Watches
                .advice(None)
                .to_string()
                .contains("(fs.inotify.max_user_watches)")
        );
    }

    #[test]
    fn the_errors_that_mean_a_limit_are_known() {
        let io = |code| notify::Error::io(io::Error::from_raw_os_error(code));
        assert_eq!(
            Limit::of(&notify::Error::new(notify::ErrorKind::MaxFilesWatch)),
            Some(Limit::Watches)
        );
        assert_eq!(Limit::of(&io(28)), Some(Limit::Watches));
        assert_eq!(Limit::of(&io(24)), Some(Limit::Instances));
        assert_eq!(Limit::of(&io(13)), None);
    }
}
