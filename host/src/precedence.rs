//! The host's threads go before those that run user code: who asks whether it lives is answered at once, also where
//! every core is busy.

use std::io;

/// The slice of processor time that Linux deals out to a thread that calls [`go_first`], in nanoseconds: the least
/// that it takes. Others have some milliseconds.
#[cfg(target_os = "linux")]
const SLICE: u64 = 100_000;

/// Has this thread run soon after it is woken. It gets no more of a core than before, in shorter slices: of two
/// threads that want one core Linux (6.12 and newer) runs the one first that asks for less of it. Threads and
/// processes that it starts are as all others. Elsewhere nothing happens.
///
/// # Errors
/// When the system does not allow it.
#[cfg(target_os = "linux")]
pub fn go_first() -> io::Result<()> {
    let policy = u32::try_from(libc::SCHED_OTHER).map_err(io::Error::other)?;
    let flags = u64::try_from(libc::SCHED_FLAG_RESET_ON_FORK).map_err(io::Error::other)?;
    #[allow(
        unsafe_code,
        reason = "a system call that takes numbers, and one that reads a struct"
    )]
    // SAFETY: the struct is the kernel's `sched_attr` in its first version, and outlives the call.
    let returned = unsafe {
        if libc::sched_getscheduler(0) != libc::SCHED_OTHER {
            // Whoever started the process has settled it otherwise.
            return Ok(());
        }
        // −1 may be a nice value, and is an error only with a number of one.
        *libc::__errno_location() = 0;
        let nice = libc::getpriority(libc::PRIO_PROCESS, 0);
        if nice == -1 && *libc::__errno_location() != 0 {
            return Err(io::Error::last_os_error());
        }
        if nice < 0 {
            // What it starts would lose that.
            return Ok(());
        }
        let attributes = libc::sched_attr {
            size: size_of::<libc::sched_attr>() as u32,
            sched_policy: policy,
            sched_flags: flags,
            sched_nice: nice,
            sched_priority: 0,
            sched_runtime: SLICE,
            sched_deadline: 0,
            sched_period: 0,
        };
        libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0)
    };
    if returned == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Only on Linux is there something to do.
///
/// # Errors
/// None.
#[cfg(not(target_os = "linux"))]
pub fn go_first() -> io::Result<()> {
    Ok(())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::fs;

    /// The slice of this thread in nanoseconds; `None` where the kernel does not deal out what is asked for.
    fn slice() -> Option<u64> {
        let release = fs::read_to_string("/proc/sys/kernel/osrelease").ok()?;
        let mut numbers = release.split('.').map(|number| number.parse::<u32>().unwrap_or(0));
        let deals = (numbers.next()?, numbers.next()?) >= (6, 12);
        let told = fs::read_to_string("/proc/thread-self/sched").ok()?;
        let line = told
            .lines()
            .find(|line| line.starts_with("se.slice"))
            .filter(|_| deals)?;
        line.rsplit(' ').next()?.parse().ok()
    }

    #[test]
    fn a_thread_that_goes_first_has_a_short_slice_and_its_threads_have_not() {
        let usual = slice();
        let (of_first, of_its) = std::thread::spawn(|| {
            super::go_first().unwrap();
            (slice(), std::thread::spawn(slice).join().unwrap())
        })
        .join()
        .unwrap();
        if let Some(usual) = usual {
            assert_eq!(of_first, Some(super::SLICE));
            assert_eq!(of_its, Some(usual));
        }
    }
}
