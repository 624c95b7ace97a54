//! The cores that threads of this process may run on, and do. Only Linux tells and takes that.

#![allow(
    unsafe_code,
    reason = "the operating system's own calls, with memory that lives on the stack"
)]

pub(super) use platform::{
    core_of, cores_of, has_children, set_cores, this_thread, threads, threads_named, threads_of_children,
};

/// A core, as the system numbers them.
pub(super) type Core = usize;

#[cfg(target_os = "linux")]
mod platform {
    use std::collections::BTreeSet;
    use std::{fs, io};

    use super::Core;
    use crate::compat::posix::outcome;

    /// What one set of the system's has room for.
    const ROOM: Core = libc::CPU_SETSIZE as Core;

    /// The calling thread's number.
    pub(in super::super) fn this_thread() -> i32 {
        // SAFETY: it takes nothing and cannot fail.
        unsafe { libc::gettid() }
    }

    /// The cores that a thread may run on.
    pub(in super::super) fn cores_of(thread: i32) -> io::Result<BTreeSet<Core>> {
        let mut set = empty();
        // SAFETY: the set outlives the call, and has the size that is told.
        outcome(unsafe { libc::sched_getaffinity(thread, size_of_val(&set), &raw mut set) })?;
        // SAFETY: the set has room for each of them.
        Ok((0..ROOM)
            .filter(|core| unsafe { libc::CPU_ISSET(*core, &set) })
            .collect())
    }

    /// Has a thread run on these cores alone.
    pub(in super::super) fn set_cores(thread: i32, cores: &BTreeSet<Core>) -> io::Result<()> {
        let mut set = empty();
        for core in cores.iter().filter(|core| **core < ROOM) {
            // SAFETY: the set has room for it.
            unsafe { libc::CPU_SET(*core, &mut set) };
        }
        // SAFETY: the set outlives the call, and has the size that is told.
        outcome(unsafe { libc::sched_setaffinity(thread, size_of_val(&set), &raw const set) })
    }

    /// Where a thread runs, or did last; `None` where it is gone.
    pub(in super::super) fn core_of(thread: i32) -> Option<Core> {
        let stat = fs::read_to_string(format!("/proc/self/task/{thread}/stat")).ok()?;
        // Its name may have spaces and parentheses.
        let (_, after_name) = stat.rsplit_once(") ")?;
        // The 39th of all, see proc_pid_stat(5); its name is the second.
        after_name.split(' ').nth(36)?.parse().ok()
    }

    /// Whether a thread has child processes.
    pub(in super::super) fn has_children(thread: i32) -> bool {
        !children_of(thread).is_empty()
    }

    /// The threads of this process.
    pub(in super::super) fn threads() -> io::Result<Vec<i32>> {
        threads_of(std::process::id().cast_signed())
    }

    /// The threads of the processes that this one has started, and of theirs.
    pub(in super::super) fn threads_of_children() -> io::Result<Vec<i32>> {
        let mut found = Vec::new();
        let mut looked_at = threads()?;
        while let Some(thread) = looked_at.pop() {
            // A process may end while it is looked at.
            let its = children_of(thread)
                .into_iter()
                .filter_map(|child| threads_of(child).ok());
            let its: Vec<i32> = its.flatten().collect();
            looked_at.extend(&its);
            found.extend(its);
        }
        Ok(found)
    }

    fn children_of(thread: i32) -> Vec<i32> {
        let children = fs::read_to_string(format!("/proc/{thread}/task/{thread}/children")).unwrap_or_default();
        let children = children.split_whitespace();
        children.filter_map(|child| child.parse().ok()).collect()
    }

    fn threads_of(process: i32) -> io::Result<Vec<i32>> {
        let entries = fs::read_dir(format!("/proc/{process}/task"))?;
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        Ok(names.filter_map(|name| name.parse().ok()).collect())
    }

    /// Those of this name, which Linux cuts after 15 bytes.
    pub(in super::super) fn threads_named(name: &str) -> io::Result<Vec<i32>> {
        let name_of = |thread: &i32| fs::read_to_string(format!("/proc/self/task/{thread}/comm"));
        let is_named = |thread: &i32| name_of(thread).is_ok_and(|its| its.trim_end() == name);
        Ok(threads()?.into_iter().filter(is_named).collect())
    }

    fn empty() -> libc::cpu_set_t {
        // SAFETY: a set is bits, of which each may be 0.
        unsafe { std::mem::zeroed() }
    }
}

#[cfg(not(target_os = "linux"))]
mod platform {
    use std::collections::BTreeSet;
    use std::io;

    use super::Core;

    pub(in super::super) fn this_thread() -> i32 {
        0
    }

    pub(in super::super) fn cores_of(_thread: i32) -> io::Result<BTreeSet<Core>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(in super::super) fn set_cores(_thread: i32, _cores: &BTreeSet<Core>) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(in super::super) fn core_of(_thread: i32) -> Option<Core> {
        None
    }

    pub(in super::super) fn has_children(_thread: i32) -> bool {
        false
    }

    pub(in super::super) fn threads() -> io::Result<Vec<i32>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(in super::super) fn threads_of_children() -> io::Result<Vec<i32>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(in super::super) fn threads_named(_name: &str) -> io::Result<Vec<i32>> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
