//! The memory that this process may still take.

use sysinfo::{ProcessRefreshKind, ProcessesToUpdate, System};

/// Returns the bytes that the machine and the control group of this process have left, whichever is less; memory that
/// the system uses for files counts as left. `None`: the system does not say.
#[must_use]
pub fn free_memory() -> Option<u64> {
    let mut system = System::new().ok()?;
    system.refresh_memory();
    let pid = sysinfo::get_current_pid().ok()?;
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), false, ProcessRefreshKind::nothing());
    let of_group = system.process(pid).and_then(|process| process.cgroup_limits());
    let of_group = of_group.map(|group| group.total_memory.saturating_sub(group.rss));
    let of_machine = Some(system.available_memory()).filter(|free| *free > 0);
    of_machine.into_iter().chain(of_group).min()
}

#[cfg(test)]
mod tests {
    use super::free_memory;

    #[test]
    fn something_is_left_while_this_runs() {
        assert!(free_memory().is_some_and(|free| free > 1 << 20));
    }
}
