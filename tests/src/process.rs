//! What a process holds, as Linux counts it.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

/// Threads of isolates, sockets, pipes and children.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    pub isolate_threads: usize,
    pub sockets: usize,
    pub pipes: usize,
    pub children: usize,
}

impl Held {
    /// What the process holds now; panics when there is no such process.
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

    /// Connections of the test's own requests may have been open when `before` was counted, so fewer
    /// is as good.
    #[must_use]
    pub fn no_more_than(self, before: Self) -> bool {
        self.isolate_threads <= before.isolate_threads
            && self.sockets <= before.sockets
            && self.pipes <= before.pipes
            && self.children <= before.children
    }
}

/// The cores that a thread may run on, by the numbers that Linux gives them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cores(pub BTreeSet<usize>);

impl Cores {
    /// As a `status` file of proc(5) has them.
    #[must_use]
    pub fn in_status(status: &str) -> Self {
        let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
        let ranges = list.expect("its cores").trim().split(',').flat_map(|range| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let number = |text: &str| text.parse::<usize>().expect("a core");
            number(first)..=number(last)
        });
        Self(ranges.collect())
    }

    /// Has a process, all of its threads, run on two of its cores; which. Panics where it has but one.
    #[must_use]
    pub fn two_for(pid: u32) -> Self {
        let all = Self::in_status(&fs::read_to_string(format!("/proc/{pid}/status")).expect("the process lives"));
        let mut some = all.0.into_iter();
        let (Some(one), Some(other)) = (some.next(), some.next()) else {
            panic!("this machine has one core");
        };
        let set = Command::new("taskset")
            .args([
                "--all-tasks",
                "--cpu-list",
                "--pid",
                &format!("{one},{other}"),
                &pid.to_string(),
            ])
            .output()
            .expect("taskset runs");
        assert!(set.status.success(), "{set:?}");
        Self(BTreeSet::from([one, other]))
    }

    /// Those of each thread of a process whose name begins like this.
    #[must_use]
    pub fn of_threads(pid: u32, name: &str) -> Vec<Self> {
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("the process lives");
        let named = tasks.flatten().filter(|task| {
            // A thread may end while it is looked at.
            let its = fs::read_to_string(task.path().join("comm")).unwrap_or_default();
            its.starts_with(name)
        });
        let statuses = named.filter_map(|task| fs::read_to_string(task.path().join("status")).ok());
        statuses.map(|status| Self::in_status(&status)).collect()
    }
}

/// A process's memory in KiB (proc(5), `smaps_rollup`).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Memory {
    /// All pages that are in memory.
    pub resident: f64,
    /// The same, pages that are shared with other processes counted in part.
    pub proportional: f64,
    /// The pages that no file backs: what it wrote. (`Private_Dirty` also counts a binary's pages that
    /// have not reached the disk.)
    pub anonymous: f64,
}

impl Memory {
    /// What the process has now; panics when there is no such process.
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
