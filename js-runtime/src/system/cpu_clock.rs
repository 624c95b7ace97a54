//! The processor time that a thread has used, read from any thread.

#![allow(
    unsafe_code,
    reason = "the operating system's own calls, with memory that lives on the stack"
)]

use std::time::Duration;

/// The processor clock of one thread.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ThreadClock(platform::ClockId);

impl ThreadClock {
    /// Returns the clock of the thread that calls; `None` where the system has none.
    pub(crate) fn of_this_thread() -> Option<Self> {
        platform::of_this_thread().map(Self)
    }

    /// Returns the processor time that the thread has used; `None` once it is gone.
    pub(crate) fn read(self) -> Option<Duration> {
        platform::read(self.0)
    }
}

#[cfg(not(target_os = "macos"))]
mod platform {
    use std::time::Duration;

    pub(super) type ClockId = libc::clockid_t;

    pub(super) fn of_this_thread() -> Option<ClockId> {
        let mut clock: ClockId = 0;
        // SAFETY: the thread that asks exists, and `clock` has room for the answer.
        let failed = unsafe { libc::pthread_getcpuclockid(libc::pthread_self(), &raw mut clock) };
        (failed == 0).then_some(clock)
    }

    pub(super) fn read(clock: ClockId) -> Option<Duration> {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: `time` has room for the answer; of a thread that is gone the call only fails.
        let failed = unsafe { libc::clock_gettime(clock, &raw mut time) };
        if failed != 0 {
            return None;
        }
        let (seconds, nanos) = (u64::try_from(time.tv_sec).ok()?, u32::try_from(time.tv_nsec).ok()?);
        Some(Duration::new(seconds, nanos))
    }
}

/// The clock by `pthread_mach_thread_np(3)` and the kernel's `thread_info` (`mach/thread_info.h`), for macOS has no
/// `pthread_getcpuclockid(3)`.
#[cfg(target_os = "macos")]
mod platform {
    use std::mem::MaybeUninit;
    use std::time::Duration;

    /// The thread's port in the kernel.
    pub(super) type ClockId = libc::mach_port_t;

    pub(super) fn of_this_thread() -> Option<ClockId> {
        // SAFETY: the thread that asks exists.
        Some(unsafe { libc::pthread_mach_thread_np(libc::pthread_self()) })
    }

    pub(super) fn read(clock: ClockId) -> Option<Duration> {
        let mut info = MaybeUninit::<libc::thread_basic_info>::uninit();
        let mut count = libc::THREAD_BASIC_INFO_COUNT;
        let flavor = libc::THREAD_BASIC_INFO.try_into().ok()?;
        // SAFETY: `info` has room for `count` words; of a thread that is gone the call only fails.
        let failed = unsafe { libc::thread_info(clock, flavor, info.as_mut_ptr().cast(), &mut count) };
        // SAFETY: `KERN_SUCCESS` says that the information was written.
        let info = (failed == libc::KERN_SUCCESS).then(|| unsafe { info.assume_init() })?;
        let duration = |time: libc::time_value_t| {
            let (seconds, micros) = (
                u64::try_from(time.seconds).ok()?,
                u32::try_from(time.microseconds).ok()?,
            );
            Some(Duration::new(seconds, micros * 1000))
        };
        Some(duration(info.user_time)? + duration(info.system_time)?)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::ThreadClock;

    #[test]
    fn a_threads_clock_is_read_from_another_one_and_ends_with_it() {
        let (send_clock, clocks) = mpsc::channel();
        let (stop, stopped) = mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            send_clock.send(ThreadClock::of_this_thread().unwrap()).unwrap();
            while stopped.try_recv() == Err(mpsc::TryRecvError::Empty) {}
        });
        let clock = clocks.recv().unwrap();
        let began = clock.read().unwrap();
        while clock.read().unwrap() == began {}
        stop.send(()).unwrap();
        thread.join().unwrap();
    }
}
