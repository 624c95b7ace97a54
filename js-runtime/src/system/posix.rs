//! Processes, threads and memory: C functions that have no safe name elsewhere, and safe functions under the names
//! that are used here.

#![allow(unsafe_code, reason = "C functions that take numbers")]

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use nix::unistd::{Pid, dup2_stdin, getpgid, getpgrp, getpid, getppid};

/// Sends a signal to a process, or to the group of a negative `pid`; 0 only asks whether it is there.
///
/// The signal is a number, as `nix` knows no signals of real time.
pub(crate) fn kill(pid: i32, signal: i32) -> io::Result<()> {
    // SAFETY: it takes numbers, and says which of them mean nothing.
    outcome(unsafe { libc::kill(pid, signal) })
}

/// Returns the number of the host's process.
pub(crate) fn own() -> i32 {
    getpid().as_raw()
}

/// Returns the number of the process that started the host, or has taken its place.
pub(crate) fn parent() -> i32 {
    getppid().as_raw()
}

/// Returns a process's group; `None` where there is no such process, or it is none of this session's.
pub(crate) fn group_of(pid: i32) -> Option<i32> {
    let group = getpgid(Some(Pid::from_raw(pid))).ok()?.as_raw();
    (group > 0).then_some(group)
}

/// Returns the host's process group.
pub(crate) fn own_group() -> i32 {
    getpgrp().as_raw()
}

/// Gives a process its nice value.
pub(crate) fn set_priority(pid: u32, priority: i32) -> io::Result<()> {
    // SAFETY: it takes numbers, and says which of them mean nothing.
    outcome(unsafe { libc::setpriority(libc::PRIO_PROCESS, pid, priority) })
}

/// The advice to glibc about the memory that threads have freed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FreedMemory {
    /// Threads share the memory, from now on; to be said before there are threads. By default glibc keeps freed pages
    /// for up to eight threads a core, each of them some megabytes, of which a thread that ends gives back only what
    /// is whole.
    Shared,
    /// The system gets the memory now. By default glibc keeps freed pages with the thread's arena.
    GivenBack,
}

impl FreedMemory {
    /// Gives glibc the advice; other libraries need none.
    pub(crate) fn tell(self) {
        #[cfg(all(target_os = "linux", target_env = "gnu"))]
        // SAFETY: both take numbers, refuse those that they do not know, and may be called from any thread.
        unsafe {
            match self {
                Self::Shared => libc::mallopt(libc::M_ARENA_MAX, 2),
                Self::GivenBack => libc::malloc_trim(0),
            };
        }
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
    u64::try_from(nix::unistd::gettid().as_raw()).unwrap_or_default()
}

#[cfg(not(target_os = "linux"))]
fn number_of_this_thread() -> u64 {
    let mut number = 0;
    // SAFETY: 0 means the calling thread, and the number is there to be written to.
    unsafe { libc::pthread_threadid_np(0, &raw mut number) };
    number
}

/// Gives the calling thread its name, as tools show it; a name that is too long is cut.
pub(crate) fn name_this_thread(name: &str) {
    const LONGEST: usize = if cfg!(target_os = "linux") { 15 } else { 63 };
    let name: Vec<u8> = name.bytes().filter(|byte| *byte != 0).take(LONGEST).collect();
    let Ok(name) = CString::new(name) else {
        return;
    };
    // This fails only for a name that is no memory.
    #[cfg(target_os = "linux")]
    let _ = nix::sys::prctl::set_name(&name);
    // On macOS pthread_setname_np(3) names the thread that calls it, and no other.
    #[cfg(target_vendor = "apple")]
    // SAFETY: the name ends with a nul.
    unsafe {
        libc::pthread_setname_np(name.as_ptr());
    }
}

/// Gives the calling thread a working folder of its own. Where the system does not let a thread have one (a container
/// may forbid it), the whole process gets the folder.
///
/// # Errors
/// When there is no such folder.
pub(crate) fn work_in(folder: &Path) -> io::Result<()> {
    let path = CString::new(folder.as_os_str().as_bytes()).map_err(io::Error::other)?;
    #[cfg(target_os = "linux")]
    // SAFETY: the call takes a number; the path ends with a nul. Where the first call fails, the second one is for the
    // process.
    outcome(unsafe {
        let _ = libc::unshare(libc::CLONE_FS);
        libc::chdir(path.as_ptr())
    })?;
    #[cfg(target_vendor = "apple")]
    {
        unsafe extern "C" {
            fn pthread_chdir_np(path: *const libc::c_char) -> libc::c_int;
        }
        // SAFETY: the path ends with a nul.
        outcome(unsafe { pthread_chdir_np(path.as_ptr()) })?;
    }
    Ok(())
}

/// Puts an empty file in the place of the process's standard input.
pub(crate) fn empty_standard_input() -> io::Result<()> {
    Ok(dup2_stdin(File::open("/dev/null")?)?)
}

/// Turns the return value of a C function that returns 0 where all went well into a result.
pub(crate) fn outcome(returned: i32) -> io::Result<()> {
    if returned == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
