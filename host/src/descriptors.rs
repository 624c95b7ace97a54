//! The limit of open files and connections (`RLIMIT_NOFILE`). It is raised as far as the system allows, as Node, Bun,
//! Deno and Go do: a service manager's soft limit of 256 or 1,024 is less than calls, isolates and watched folders
//! may want.

use std::fs::File;
use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// The descriptors that are kept for a load and for a command: user code may take all others.
static RESERVE: Mutex<Vec<File>> = Mutex::new(Vec::new());

/// The number of descriptors that an isolate's load wants at once, and some more.
const RESERVED: u64 = 64;

/// Keeps descriptors for later; keeps fewer where the limit is small.
pub fn keep_reserve() {
    let mut reserve = lock();
    while reserve.len() < wanted() {
        // There is no free descriptor now; the next call may find some.
        let Ok(nothing) = File::open("/dev/null") else {
            return;
        };
        reserve.push(nothing);
    }
}

/// Frees one descriptor for a connection. Returns false where the reserve is not whole: all descriptors but one are
/// for loads and commands. [`keep_reserve`] takes the descriptor back once there is one.
pub fn lend_one() -> bool {
    let mut reserve = lock();
    reserve.len() >= wanted() && reserve.pop().is_some()
}

fn wanted() -> usize {
    let limit = getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(soft, _)| soft);
    usize::try_from((limit / 8).min(RESERVED)).unwrap_or_default()
}

/// The emptied reserve: its descriptors are free for every use until this value is dropped.
#[derive(Debug)]
pub struct FreedReserve(());

/// Frees the reserve.
#[must_use]
pub fn make_room() -> FreedReserve {
    lock().clear();
    FreedReserve(())
}

impl Drop for FreedReserve {
    fn drop(&mut self) {
        keep_reserve();
    }
}

fn lock() -> MutexGuard<'static, Vec<File>> {
    // A holder that panicked leaves a whole list.
    RESERVE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Raises the soft limit to the hard one. Where the system refuses, the limit stays.
pub fn raise_limit() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(soft, hard)| {
        // macOS refuses more, whatever the hard limit says (`OPEN_MAX`, in its setrlimit(2)).
        let wanted = if cfg!(target_os = "macos") {
            hard.min(10_240)
        } else {
            hard
        };
        if soft < wanted {
            setrlimit(Resource::RLIMIT_NOFILE, wanted, hard)?;
        }
        Ok(())
    });
    if let Err(error) = raised {
        tracing::debug!(%error, "cannot raise the limit of open files");
    }
}

/// The number of descriptors that this process may have.
#[must_use]
pub fn limit() -> u64 {
    getrlimit(Resource::RLIMIT_NOFILE).map_or(1024, |(soft, _)| soft)
}

#[cfg(test)]
mod tests {
    use super::{keep_reserve, lend_one, lock, make_room};

    #[test]
    fn one_descriptor_is_lent_to_connections_and_all_to_loads() {
        assert!(!lend_one(), "nothing is kept yet");
        keep_reserve();
        let whole = lock().len();
        assert!(lend_one());
        assert!(!lend_one(), "one at a time");
        assert_eq!(lock().len(), whole - 1);
        drop(make_room());
        assert_eq!(lock().len(), whole, "whoever made room keeps the reserve again");
        assert!(lend_one());
    }
}
