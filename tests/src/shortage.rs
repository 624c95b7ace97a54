//! A process that gets no more of a resource for a while: no thread, or no descriptor.

use std::process::{Command, Output};

/// The user whose threads are counted; root's are not.
const SOMEBODY: &str = "54321";

/// A resource that a system may have no more of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    Threads,
    Descriptors,
    /// The size of files: a file cannot grow, as on a disk that is full.
    FileSize,
}

/// A shortage: while the value lives, a process gets no more of the resource. The process keeps what it has.
#[derive(Debug)]
pub struct Shortage {
    pid: u32,
    option: &'static str,
    before: String,
}

impl Shortage {
    /// Begins a shortage; `None` where the process has ended.
    #[must_use]
    pub fn of(resource: Resource, pid: u32) -> Option<Self> {
        let (option, least) = match resource {
            Resource::Threads => ("--nproc", 1),
            // The descriptors 0 to 2 count, too: below 3 none is free.
            Resource::Descriptors => ("--nofile", 3),
            Resource::FileSize => ("--fsize", 0),
        };
        let shown = prlimit(pid, &[option, "--output=SOFT", "--noheadings", "--raw"])?;
        let before = String::from_utf8_lossy(&shown.stdout).trim().to_owned();
        prlimit(pid, &[&format!("{option}={least}:")])?;
        Some(Self { pid, option, before })
    }
}

impl Drop for Shortage {
    fn drop(&mut self) {
        // A process that has ended has no shortage either.
        let _ = prlimit(self.pid, &[&format!("{}={}:", self.option, self.before)]);
    }
}

fn prlimit(pid: u32, arguments: &[&str]) -> Option<Output> {
    let mut command = if is_root() {
        let mut command = Command::new("setpriv");
        command.args([&format!("--reuid={SOMEBODY}"), "prlimit"]);
        command
    } else {
        Command::new("prlimit")
    };
    let output = command
        .arg(format!("--pid={pid}"))
        .args(arguments)
        .output()
        .expect("prlimit (util-linux) runs");
    let ended = !std::path::Path::new(&format!("/proc/{pid}")).exists();
    assert!(output.status.success() || ended, "{output:?}");
    output.status.success().then_some(output)
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().expect("id runs");
    String::from_utf8_lossy(&id.stdout).trim() == "0"
}

/// Returns the text of a script that runs a program so that [`Resource::Threads`] can run short. Root's threads have
/// no limit, so the program gets another user, who may do with files what root may.
pub(crate) fn script(program: &std::path::Path) -> String {
    const RIGHTS: &str = "+dac_override,+dac_read_search,+fowner";
    if !is_root() {
        return format!("#!/bin/sh\nexec '{}' \"$@\"\n", program.display());
    }
    // A user does not trust a cache that belongs to root.
    let cache = program.with_file_name(format!("cache-of-{SOMEBODY}"));
    format!(
        "#!/bin/sh\ninstall -d -o {SOMEBODY} -m 700 '{cache}' && export XDG_CACHE_HOME='{cache}' || exit\n\
         exec setpriv --reuid={SOMEBODY} --inh-caps={RIGHTS} --ambient-caps={RIGHTS} '{program}' \"$@\"\n",
        cache = cache.display(),
        program = program.display()
    )
}
