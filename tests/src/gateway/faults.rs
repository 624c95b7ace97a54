//! Faults that a test asks for: frames that get lost, come twice or come broken, and refusals.

use std::time::Duration;

use connect_wire::Kind;
use connect_wire::message::SystemError;

use super::record::Party;

/// The faults to come. Each that has a count happens so often, then no more.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    lost: Vec<(Party, Kind, usize)>,
    truncated: Vec<(Kind, usize)>,
    /// The number of requests that the next workers get twice: over another connection if one takes requests, else
    /// over the same.
    pub duplicates: usize,
    /// The status with which the API answers, and how often, before it looks at a request for a connection.
    pub start: Option<(u16, usize)>,
    /// The status with which the API answers, and how often, before it looks at a flushed reply.
    pub flush: Option<(u16, usize)>,
    /// The refusal of every registration that is not known yet.
    pub refusal: Option<SystemError>,
    /// The time that each registration takes.
    pub sync_delay: Duration,
    /// The time before the gateway greets.
    pub hello_delay: Duration,
}

impl Faults {
    /// Loses the next frames of a kind that one of the parties sends.
    pub fn lose(&mut self, sender: Party, kind: Kind, count: usize) {
        self.lost.push((sender, kind, count));
    }

    /// Cuts the next frames of a kind that the gateway sends in half.
    pub fn truncate(&mut self, kind: Kind, count: usize) {
        self.truncated.push((kind, count));
    }

    /// Refuses every registration from now on.
    pub fn refuse_syncs(&mut self, code: &str, message: &str) {
        self.refusal = Some(SystemError {
            code: code.to_owned(),
            data: None,
            message: message.to_owned(),
        });
    }

    pub(super) fn loses(&mut self, sender: Party, kind: Kind) -> bool {
        let mut of_kind = self.lost.iter_mut();
        take_one(
            of_kind
                .find(|(party, lost, left)| (*party, *lost) == (sender, kind) && *left > 0)
                .map(|(_, _, left)| left),
        )
    }

    pub(super) fn truncates(&mut self, kind: Kind) -> bool {
        let mut of_kind = self.truncated.iter_mut();
        take_one(
            of_kind
                .find(|(truncated, left)| *truncated == kind && *left > 0)
                .map(|(_, left)| left),
        )
    }

    pub(super) fn duplicates(&mut self) -> bool {
        take_one(Some(&mut self.duplicates))
    }

    /// Returns the status of a refusal, if one is due.
    pub(super) fn status(refusals: &mut Option<(u16, usize)>) -> Option<u16> {
        let (status, left) = refusals.as_mut()?;
        take_one(Some(left)).then_some(*status)
    }
}

fn take_one(left: Option<&mut usize>) -> bool {
    match left {
        Some(left) if *left > 0 => {
            *left -= 1;
            true
        }
        _ => false,
    }
}
