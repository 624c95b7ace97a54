//! The system, under safe names: by `nix` where it has them, by C where it has none.
//!
//! # Files
//!
//! - the system, under safe names: `mod.rs` processes and descriptors
//! - `signals.rs` the signals that mean nothing, and having signals wait
//! - `free_memory.rs` the memory that this process may still take
//! - `mapped_file.rs` memory that outlives the process
//! - `launchd_sockets.rs` the sockets that launchd passes

pub mod free_memory;
pub mod launchd_sockets;
pub mod mapped_file;
pub mod signals;

use std::io;
use std::os::fd::{AsFd, FromRawFd as _, OwnedFd, RawFd};
use std::time::Duration;

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
pub use nix::sys::signal::Signal;
use nix::unistd::{Pid, geteuid};

/// The end of a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// The exit code that it gave.
    Code(i32),
    /// The number of the signal that ended it.
    Signal(i32),
}

/// Sends a signal to a process; without one, tells whether there is such a process.
///
/// # Errors
/// When there is none, or it is another user's.
pub fn kill(pid: u32, signal: impl Into<Option<Signal>>) -> io::Result<()> {
    let pid = i32::try_from(pid).map_err(io::Error::other)?;
    Ok(nix::sys::signal::kill(Pid::from_raw(pid), signal)?)
}

/// Returns a child that has ended, and its end; each child once. `None` when no other child has ended.
#[must_use]
pub fn reap() -> Option<(u32, Exit)> {
    let mut status = 0;
    // `nix` reaps a child that a real-time signal has ended, and then has no name for it.
    #[allow(unsafe_code, reason = "see above")]
    // SAFETY: `status` is a place for the one number that is written.
    let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) };
    let pid = u32::try_from(pid).ok().filter(|pid| *pid > 0)?;
    let exit = if libc::WIFSIGNALED(status) {
        Exit::Signal(libc::WTERMSIG(status))
    } else {
        Exit::Code(libc::WEXITSTATUS(status))
    };
    Some((pid, exit))
}

/// Settles whether a process that this one becomes, or starts, has the descriptor too.
///
/// # Errors
/// As the system says.
pub fn set_inherited(descriptor: impl AsFd, inherited: bool) -> io::Result<()> {
    let flags = if inherited { FdFlag::empty() } else { FdFlag::FD_CLOEXEC };
    fcntl(descriptor, FcntlArg::F_SETFD(flags))?;
    Ok(())
}

/// Takes a descriptor that this process was given by the one that started it. Each number may be taken once.
///
/// # Errors
/// When the descriptor is not open.
#[allow(unsafe_code, reason = "a number becomes a descriptor that is owned")]
pub fn take_inherited(descriptor: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: it reads flags, and says so of a number that means no descriptor.
    if descriptor < 0 || unsafe { libc::fcntl(descriptor, libc::F_GETFD) } == -1 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it is open, and whoever started this process gave it for nothing else.
    let owned = unsafe { OwnedFd::from_raw_fd(descriptor) };
    set_inherited(&owned, false)?;
    Ok(owned)
}

/// The clock that the system counts from its start on (`CLOCK_MONOTONIC`).
#[must_use]
pub fn monotonic() -> Duration {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    #[allow(
        unsafe_code,
        reason = "a feature of `nix` that Deno's crates do not have would build them all again"
    )]
    // SAFETY: `now` is a place for the time that is written; this clock is everywhere.
    unsafe {
        libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now);
    }
    Duration::new(
        u64::try_from(now.tv_sec).unwrap_or_default(),
        u32::try_from(now.tv_nsec).unwrap_or_default(),
    )
}

/// The user whose rights this process has.
#[must_use]
pub fn effective_user() -> u32 {
    geteuid().as_raw()
}

#[cfg(test)]
mod tests {
    use std::os::fd::{AsFd as _, AsRawFd as _, IntoRawFd as _};

    use nix::fcntl::{FcntlArg, FdFlag, fcntl};

    use super::{kill, set_inherited, take_inherited};

    #[test]
    fn a_descriptor_that_was_given_is_taken_and_given_on_only_when_it_is_meant_to_be() {
        let (one, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        let flags = |descriptor: &std::os::fd::OwnedFd| {
            FdFlag::from_bits_retain(fcntl(descriptor.as_fd(), FcntlArg::F_GETFD).unwrap())
        };
        set_inherited(&one, true).unwrap();
        let number = one.into_raw_fd();
        let taken = take_inherited(number).unwrap();
        assert_eq!(taken.as_raw_fd(), number);
        assert_eq!(flags(&taken), FdFlag::FD_CLOEXEC);
        set_inherited(&taken, true).unwrap();
        assert_eq!(flags(&taken), FdFlag::empty());
        for none in [-1, i32::MAX] {
            take_inherited(none).unwrap_err();
        }
    }

    #[test]
    fn a_process_is_asked_whether_it_is_there() {
        kill(std::process::id(), None).unwrap();
        kill(u32::MAX, None).unwrap_err();
    }
}
