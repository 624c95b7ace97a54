//! The state of a canary on the disk. A host that takes the place of another one, after a crash or an upgrade, goes on
//! with the counts.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use jiff::Timestamp;
use js_runtime_api::regular_file;
use serde::{Deserialize, Serialize};

use super::{RunCounts, Stage, Stages};

const FORMAT: u32 = 2;
/// The most bytes of the file that are read: ten thousand runs take two megabytes.
const LARGEST: u64 = 64 << 20;

/// The state of a canary.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CanaryRecord {
    format: u32,
    /// The number of the generation that serves the other runs.
    pub current: u64,
    /// The digest of the canary's sources.
    pub hash: String,
    pub stages: Stages,
    pub began: Timestamp,
    pub stage: Stage,
    /// Tells whether the functions of the gate run still: the canary gets no run yet.
    #[serde(default)]
    pub in_gate: bool,
    /// Tells whether the canary waits for a person's decision.
    pub is_held: bool,
    /// The number of hosts that died while the canary was on.
    #[serde(default)]
    pub crashes: u32,
    pub counts: RunCounts,
}

impl CanaryRecord {
    #[must_use]
    pub fn new(current: u64, hash: String, stages: Stages, began: Timestamp) -> Self {
        Self {
            format: FORMAT,
            current,
            hash,
            stages,
            began,
            stage: Stage::first(began),
            in_gate: false,
            is_held: false,
            crashes: 0,
            counts: RunCounts::default(),
        }
    }

    /// Returns the record of a canary that has passed the gate.
    #[must_use]
    pub fn past_the_gate(self) -> Self {
        Self { in_gate: false, ..self }
    }

    /// Reads the record; `None` when no canary was on.
    ///
    /// # Errors
    /// When the file cannot be read, or is not a record of this version.
    pub fn read(path: &Path) -> io::Result<Option<Self>> {
        let bytes = match regular_file::read(path, LARGEST) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let record: Self = serde_json::from_slice(&bytes)?;
        match record.format {
            FORMAT => Ok(Some(record)),
            format => Err(io::Error::other(format!("its format is {format}"))),
        }
    }

    /// Writes the record so that it is there whole, or as it was before.
    ///
    /// # Errors
    /// When the disk is full or cannot be written.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let folder = path.parent().unwrap_or(path);
        let mut file = tempfile::Builder::new().prefix(".partial-").tempfile_in(folder)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        file.persist(path)?;
        Ok(())
    }

    /// Removes the record, if there is one.
    ///
    /// # Errors
    /// When the disk cannot be written.
    pub fn remove(path: &Path) -> io::Result<()> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::Timestamp;

    use super::CanaryRecord;
    use crate::canary::{CallEffect, CallReport, Lane, Share, Stages};
    use crate::wire::StepTime;

    #[test]
    fn counts_and_open_runs_are_read_as_they_were_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("canary.json");
        assert_eq!(CanaryRecord::read(&path).unwrap(), None);
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let mut record = CanaryRecord::new(7, "00".to_owned(), Stages::one(Share::DEFAULT), now);
        for (run, lane) in [("1", Lane::Canary), ("2", Lane::Current), ("3", Lane::Canary)] {
            assert!(record.counts.begin(run, "f", lane));
        }
        record.counts.note("1", CallEffect::Failed { ends_run: false });
        let time = StepTime::of_return(Duration::from_millis(3));
        let done = CallReport {
            times: vec![time],
            error: Some("Error: broken".to_owned()),
            ..CallEffect::Done { ends_run: true }.into()
        };
        record.counts.note("2", done);
        record.crashes = 1;
        record.write(&path).unwrap();
        assert_eq!(CanaryRecord::read(&path).unwrap(), Some(record.clone()));
        record.is_held = true;
        record.write(&path).unwrap();
        assert!(CanaryRecord::read(&path).unwrap().unwrap().is_held);
        CanaryRecord::remove(&path).unwrap();
        CanaryRecord::remove(&path).unwrap();
        assert_eq!(CanaryRecord::read(&path).unwrap(), None);
    }

    #[test]
    fn a_damaged_record_is_an_error_and_no_canary() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("canary.json");
        for damaged in ["", "{", "{\"format\":2}", "[]"] {
            std::fs::write(&path, damaged).unwrap();
            assert!(CanaryRecord::read(&path).is_err(), "{damaged}");
        }
    }
}
