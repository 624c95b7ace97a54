//! The few C functions that have no safe name elsewhere.

#![allow(unsafe_code, reason = "C functions that take numbers")]

use std::io;
use std::os::fd::{AsRawFd, FromRawFd as _, OwnedFd, RawFd};
use std::time::Duration;

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    Code(i32),
    Signal(i32),
}

/// Sends a signal to a process.
pub fn kill(pid: u32, signal: i32) -> io::Result<()> {
    let pid = i32::try_from(pid).map_err(io::Error::other)?;
    // SAFETY: it takes numbers, and says which of them mean nothing.
    outcome(unsafe { libc::kill(pid, signal) })
}

/// A child that has ended, and how; each is told once. `None` when no other has.
pub fn reap() -> Option<(u32, Exit)> {
    let mut status = 0;
    // SAFETY: `status` is there to be written to.
    let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) };
    let pid = u32::try_from(pid).ok().filter(|pid| *pid > 0)?;
    let exit = if libc::WIFSIGNALED(status) {
        Exit::Signal(libc::WTERMSIG(status))
    } else {
        Exit::Code(libc::WEXITSTATUS(status))
    };
    Some((pid, exit))
}

/// Whether a process that this one becomes, or starts, has the descriptor too.
pub fn set_inherited(descriptor: &impl AsRawFd, inherited: bool) -> io::Result<()> {
    let flags = if inherited { 0 } else { libc::FD_CLOEXEC };
    // SAFETY: it takes numbers, and says which of them mean nothing.
    outcome(unsafe { libc::fcntl(descriptor.as_raw_fd(), libc::F_SETFD, flags) })
}

/// Takes a descriptor that this process was given by the one that started it. Each number once.
pub fn take_inherited(descriptor: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: it takes a number, and says whether it means nothing.
    if descriptor < 0 || unsafe { libc::fcntl(descriptor, libc::F_GETFD) } == -1 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it is open, and whoever started this process gave it for nothing else.
    let owned = unsafe { OwnedFd::from_raw_fd(descriptor) };
    set_inherited(&owned, false)?;
    Ok(owned)
}

/// Has signals wait while no handler is there yet, as across an exec; or lets them come.
pub fn hold_signals(held: bool) {
    let how = if held { libc::SIG_BLOCK } else { libc::SIG_UNBLOCK };
    // SAFETY: the set is made empty before it is read, and the old one is not asked for.
    unsafe {
        let mut signals = std::mem::zeroed::<libc::sigset_t>();
        libc::sigemptyset(&raw mut signals);
        for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGQUIT, libc::SIGCHLD] {
            libc::sigaddset(&raw mut signals, signal);
        }
        for signal in super::swallow::WITHOUT_MEANING {
            libc::sigaddset(&raw mut signals, *signal);
        }
        libc::pthread_sigmask(how, &raw const signals, std::ptr::null_mut());
    }
}

/// The clock that the system counts from its start on (`CLOCK_MONOTONIC`).
pub fn monotonic() -> Duration {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is there to be written to; this clock is everywhere.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    Duration::new(
        u64::try_from(now.tv_sec).unwrap_or_default(),
        u32::try_from(now.tv_nsec).unwrap_or_default(),
    )
}

/// Whose rights this process has.
pub fn effective_user() -> u32 {
    // SAFETY: it takes nothing and cannot fail.
    unsafe { libc::geteuid() }
}

fn outcome(returned: i32) -> io::Result<()> {
    if returned == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
