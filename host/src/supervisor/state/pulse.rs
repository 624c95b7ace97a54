//! The sign of life that a host under a supervisor gives.

/// A host's answers to pings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pulse {
    /// The host does not know pings.
    Unknown,
    /// The last ping, and the number of looks at which its answer was owed.
    Known { last: u64, owed: u32 },
}

impl Pulse {
    pub(super) const fn of(pings: bool) -> Self {
        if pings {
            Self::Known { last: 0, owed: 0 }
        } else {
            Self::Unknown
        }
    }

    /// Tells whether the host has owed its answer for so many looks.
    pub(super) const fn owes(self, looks: u32) -> bool {
        matches!(self, Self::Known { owed, .. } if owed >= looks)
    }
}
