//! The resources that a process holds, as Linux counts them.

use std::fs;
use std::time::Duration;

/// Threads of isolates, sockets, pipes and children.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    pub isolate_threads: usize,
    pub sockets: usize,
    pub pipes: usize,
    pub children: usize,
}

impl Held {
    /// Returns the resources that the process holds now; panics when there is no such process.
    #[must_use]
    pub fn by(pid: u32) -> Self {
        let tasks = fs::read_dir(format!("/proc/{pid}/task"))
            .expect("the process lives")
            .flatten();
        let (mut isolate_threads, mut children) = (0, 0);
        for task in tasks {
            // A thread or child may end while it is looked at.
            let name = fs::read_to_string(task.path().join("comm")).unwrap_or_default();
            isolate_threads += usize::from(name.starts_with("generation-"));
            let of_thread = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            children += of_thread.split_whitespace().count();
        }
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd"))
            .expect("the process lives")
            .flatten();
        let targets: Vec<_> = descriptors
            .filter_map(|descriptor| fs::read_link(descriptor.path()).ok())
            .collect();
        let count = |kind| {
            let of_kind = targets
                .iter()
                .filter(|target| target.to_string_lossy().starts_with(kind));
            of_kind.count()
        };
        Self {
            isolate_threads,
            sockets: count("socket:"),
            pipes: count("pipe:"),
            children,
        }
    }

    /// Tells whether a process holds no more than before. Connections of the test's own requests may
    /// have been open when `before` was counted, so fewer are as good.
    #[must_use]
    pub fn no_more_than(self, before: Self) -> bool {
        self.isolate_threads <= before.isolate_threads
            && self.sockets <= before.sockets
            && self.pipes <= before.pipes
            && self.children <= before.children
    }
}

/// Returns the processor time that the living threads of a process and of its descendants have taken so far, to the
/// nanosecond (`/proc/PID/task/TID/schedstat`).
#[must_use]
pub fn processor_time(pid: u32) -> Duration {
    let tasks = fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten()
        .flatten();
    let of_tasks = tasks.map(|task| {
        // A thread or child may end while it is looked at.
        let time = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        let time = time.split_whitespace().next().and_then(|time| time.parse().ok());
        let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
        let children = children.split_whitespace().filter_map(|child| child.parse().ok());
        Duration::from_nanos(time.unwrap_or_default()) + children.map(processor_time).sum::<Duration>()
    });
    of_tasks.sum()
}

/// A process's memory in KiB (proc(5), `smaps_rollup`).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Memory {
    /// All pages that are in memory.
    pub resident: f64,
    /// All pages that are in memory; pages that are shared with other processes count in part.
    pub proportional: f64,
    /// The pages that no file backs: those that the process wrote. (`Private_Dirty` also counts a
    /// binary's pages that have not reached the disk.)
    pub anonymous: f64,
}

impl Memory {
    /// Returns the memory that the process has now; panics when there is no such process.
    #[must_use]
    pub fn of(pid: u32) -> Self {
        let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).expect("the process lives");
        let field = |name: &str| {
            let mut lines = rollup.lines();
            let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            value
                .and_then(|value| value.trim().strip_suffix(" kB")?.parse().ok())
                .unwrap_or_else(|| panic!("no {name} in {rollup}"))
        };
        Self {
            resident: field("Rss"),
            proportional: field("Pss"),
            anonymous: field("Anonymous"),
        }
    }
}
