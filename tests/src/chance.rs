//! Numbers that look like chance, the same ones for the same seed.

use std::time::Duration;

/// See the module's documentation. The seed is not 0.
#[derive(Debug)]
pub struct Chance(pub u64);

impl Chance {
    /// A number below a limit that is not 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    pub fn milliseconds(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.below(to - from))
    }
}
