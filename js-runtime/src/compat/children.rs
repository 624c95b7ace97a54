//! The children of shells end with the isolate: each shell leads a process group. Deno itself ends the direct
//! children only.
//!
//! Other children lead no group: to have one made costs a `fork` of the whole host, which takes longer the more
//! memory the host has.

use std::collections::BTreeSet;

use crate::system::posix;

/// The groups that shells of an isolate lead. The groups are killed with this value, however the isolate ends.
#[derive(Default)]
pub(super) struct Groups(BTreeSet<i32>);

impl Groups {
    pub(super) fn begun(&mut self, leader: i32) {
        self.0.insert(leader);
    }

    /// Notes that the leader has ended; the group lives on while a process is in it, and no other group can get its
    /// number until then.
    pub(super) fn left(&mut self, leader: i32) {
        let gone = posix::kill(-leader, 0).is_err_and(|error| error.raw_os_error() == Some(libc::ESRCH));
        if gone {
            self.0.remove(&leader);
        }
    }
}

impl Drop for Groups {
    fn drop(&mut self) {
        for leader in &self.0 {
            // A group that has ended meanwhile is as good.
            let _ = posix::kill(-leader, libc::SIGKILL);
        }
    }
}
