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

/// Returns the calling thread's number, as the system's log and debuggers have it.
pub(crate) fn thread_number() -> u64 {
    thread_local! {
        static NUMBER: u64 = number_of_this_thread();
    }
    NUMBER.with(|number| *number)
}

#[cfg(target_os = "linux")]
fn number_of_this_thread() -> u64 {
    // SAFETY: it takes nothing and cannot fail.
    u64::try_from(unsafe { libc::gettid() }).unwrap_or_default()
}

#[cfg(not(target_os = "linux"))]
fn number_of_this_thread() -> u64 {
    let mut number = 0;
    // SAFETY: 0 means the calling thread, and the number is there to be written to.
    unsafe { libc::pthread_threadid_np(0, &raw mut number) };
    number
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
    // On macOS pthread_setname_np(3) names the thread that calls it, and no other.
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
