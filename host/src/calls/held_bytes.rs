//! The memory of calls that wait for a generation: bounded, for a host may have nothing to serve for minutes.

use std::sync::atomic::{AtomicUsize, Ordering};

/// The most bytes of requests that wait at once.
const MOST: usize = 256 << 20;

/// Counts the bytes of requests that wait.
#[derive(Debug, Default)]
pub struct HeldBytes(AtomicUsize);

/// A request that waits, until it is dropped.
#[derive(Debug)]
pub struct HeldRequest<'a> {
    all: &'a HeldBytes,
    bytes: usize,
}

impl HeldBytes {
    /// Lets a request of so many bytes wait; returns `None` where too many bytes wait.
    #[must_use]
    pub fn hold(&self, bytes: usize) -> Option<HeldRequest<'_>> {
        let before = self.0.fetch_add(bytes, Ordering::Relaxed);
        let held = HeldRequest { all: self, bytes };
        (before.saturating_add(bytes) <= MOST).then_some(held)
    }
}

impl Drop for HeldRequest<'_> {
    fn drop(&mut self) {
        self.all.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::{HeldBytes, MOST};

    #[test]
    fn requests_wait_until_they_are_too_much_and_make_room_when_they_go_on() {
        let held = HeldBytes::default();
        let first = held.hold(MOST - 1).unwrap();
        let second = held.hold(1).unwrap();
        assert!(held.hold(1).is_none());
        assert!(held.hold(0).is_some(), "what was refused does not count");
        drop(second);
        assert!(held.hold(1).is_some());
        drop(first);
        assert!(held.hold(MOST).is_some());
        assert!(held.hold(usize::MAX).is_none());
    }
}
