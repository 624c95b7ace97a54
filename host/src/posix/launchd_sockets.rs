//! The sockets that launchd passes to a job. The job asks for them by name, by `launch_activate_socket(3)`, which
//! macOS alone has.

use std::os::fd::OwnedFd;

/// Takes the sockets of `Sockets` → `Listeners` in the property list; none where launchd has not started this
/// process. They can be taken once.
#[cfg(target_os = "macos")]
#[must_use]
#[allow(unsafe_code, reason = "a function of macOS that Rust has no name for")]
pub fn take() -> Vec<OwnedFd> {
    use std::os::fd::FromRawFd as _;
    unsafe extern "C" {
        fn launch_activate_socket(
            name: *const std::ffi::c_char,
            fds: *mut *mut std::ffi::c_int,
            count: *mut usize,
        ) -> std::ffi::c_int;
    }
    let mut descriptors = std::ptr::null_mut();
    let mut count = 0;
    // SAFETY: the name is a C string, and both results are there to be written to.
    if unsafe { launch_activate_socket(c"Listeners".as_ptr(), &raw mut descriptors, &raw mut count) } != 0 {
        // Not started by launchd (ESRCH), or without such a socket (ENOENT).
        return Vec::new();
    }
    // SAFETY: on success it has made an array of `count` descriptors, which are this process's, as is the array.
    let all: Vec<OwnedFd> = unsafe {
        let numbers = std::slice::from_raw_parts(descriptors, count);
        let all = numbers.iter().map(|number| OwnedFd::from_raw_fd(*number)).collect();
        libc::free(descriptors.cast());
        all
    };
    for socket in &all {
        // A descriptor that is open has flags.
        let _ = super::set_inherited(socket, false);
    }
    all
}

/// Takes no sockets, since there is no launchd.
#[cfg(not(target_os = "macos"))]
#[must_use]
pub const fn take() -> Vec<OwnedFd> {
    Vec::new()
}
