//! The few C functions that have no safe name elsewhere.

#![allow(unsafe_code, reason = "C functions that take numbers")]

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;

/// Sends a signal to a process, or to the group of a negative `pid`; 0 only asks whether it is there.
pub(crate) fn kill(pid: i32, signal: i32) -> io::Result<()> {
    // SAFETY: it takes numbers, and says which of them mean nothing.
    outcome(unsafe { libc::kill(pid, signal) })
}

/// The host itself.
pub(super) fn own() -> i32 {
    // SAFETY: it takes nothing and cannot fail.
    unsafe { libc::getpid() }
}

/// The process that started the host, or has taken its place.
pub(super) fn parent() -> i32 {
    // SAFETY: it takes nothing and cannot fail.
    unsafe { libc::getppid() }
}

/// A process's group; `None` where there is no such process, or it is none of this session's.
pub(super) fn group_of(pid: i32) -> Option<i32> {
    // SAFETY: it takes a number, and says whether it means nothing.
    let group = unsafe { libc::getpgid(pid) };
    (group > 0).then_some(group)
}

/// The host's process group.
pub(super) fn own_group() -> i32 {
    // SAFETY: it takes nothing and cannot fail.
    unsafe { libc::getpgrp() }
}

/// Gives a process its nice value.
pub(super) fn set_priority(pid: u32, priority: i32) -> io::Result<()> {
    // SAFETY: it takes numbers, and says which of them mean nothing.
    outcome(unsafe { libc::setpriority(libc::PRIO_PROCESS, pid, priority) })
}

/// Has threads share what they have freed. By default glibc keeps freed pages for up to eight threads a core,
/// each of them some megabytes, of which a thread that ends gives back only what is whole.
///
/// To be called before there are threads.
pub(crate) fn share_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: it takes numbers; what it does not know it refuses.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 2);
    }
}

/// Runs `start`, with Linux told that the threads it starts work in the background: one that is woken gets as much of a
/// core as any other, but pushes nobody aside who runs on it. Elsewhere they are as all others.
pub(crate) fn in_background<T>(start: impl FnOnce() -> T) -> T {
    #[cfg(target_os = "linux")]
    {
        // Whoever started the process in another way has settled it.
        let usual = scheduling_policy() == libc::SCHED_OTHER;
        let background = usual && set_scheduling_policy(libc::SCHED_BATCH).is_ok();
        let started = start();
        if background && let Err(error) = set_scheduling_policy(libc::SCHED_OTHER) {
            tracing::debug!(%error, "the first thread stays in the background");
        }
        started
    }
    #[cfg(not(target_os = "linux"))]
    start()
}

/// How Linux schedules the calling thread.
#[cfg(target_os = "linux")]
fn scheduling_policy() -> i32 {
    // SAFETY: it takes a number; 0 is the calling thread.
    unsafe { libc::sched_getscheduler(0) }
}

/// Has Linux schedule the calling thread, and those that it starts, in another way.
#[cfg(target_os = "linux")]
fn set_scheduling_policy(policy: i32) -> io::Result<()> {
    let parameters = libc::sched_param { sched_priority: 0 };
    // SAFETY: the parameters outlive the call; 0 is the calling thread.
    outcome(unsafe { libc::sched_setscheduler(0, policy, &raw const parameters) })
}

/// Gives the calling thread its name, as tools show it; what is too long is cut.
pub(crate) fn name_this_thread(name: &str) {
    const LONGEST: usize = if cfg!(target_os = "linux") { 15 } else { 63 };
    let name: Vec<u8> = name.bytes().filter(|byte| *byte != 0).take(LONGEST).collect();
    let Ok(name) = CString::new(name) else {
        return;
    };
    #[cfg(target_os = "linux")]
    // SAFETY: the name ends with a nul, and the thread is this one.
    unsafe {
        libc::pthread_setname_np(libc::pthread_self(), name.as_ptr());
    }
    #[cfg(target_vendor = "apple")]
    // SAFETY: the name ends with a nul.
    unsafe {
        libc::pthread_setname_np(name.as_ptr());
    }
}

/// Puts nothing in the place of the process's standard input.
pub(crate) fn empty_standard_input() -> io::Result<()> {
    let nothing = File::open("/dev/null")?;
    // SAFETY: the descriptor is open, and nobody owns standard input.
    match unsafe { libc::dup2(nothing.as_raw_fd(), libc::STDIN_FILENO) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// What a C function says that returns 0 where all went well.
pub(crate) fn outcome(returned: i32) -> io::Result<()> {
    if returned == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::thread;

    use super::{in_background, scheduling_policy};

    #[test]
    fn threads_that_are_started_in_the_background_push_nobody_aside_and_who_starts_them_does_as_before() {
        let started = || thread::spawn(scheduling_policy).join().unwrap();
        let background = in_background(started);
        assert_eq!(
            (background, scheduling_policy(), started()),
            (libc::SCHED_BATCH, libc::SCHED_OTHER, libc::SCHED_OTHER)
        );
    }
}
