//! The hand-over record: the sockets, the lock and the hosts that a supervisor passes to the binary that it becomes,
//! across an exec.
//!
//! Releases that are months apart read each other's records, so the record is small, has a version, and holds no
//! private types. A reader takes the sockets, the lock and the hosts from any record that has them: it skips
//! fields that it does not know, and replaces fields that it cannot read by their defaults.

use std::os::fd::RawFd;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::event::HostId;
use super::socket::SocketOrigin;
use super::unversioned_record;
use crate::generation::FrozenHost;

/// The version that this binary writes. A new version may add fields; it never takes one of version 1 away.
pub const VERSION: u32 = 1;

/// The sockets, the lock and the hosts of a supervisor. Descriptors are those of the process, which keeps its number.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HandoverRecord {
    pub version: u32,
    pub listener: RawFd,
    pub origin: SocketOrigin,
    pub lock: RawFd,
    /// The hosts, the oldest one first.
    pub hosts: Vec<HostRecord>,
    /// The generation numbers that the accepting host told last.
    pub numbers: FrozenHost,
}

/// A host process of a [`HandoverRecord`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HostRecord {
    pub id: HostId,
    pub pid: u32,
    /// The supervisor's end of the socket to the host.
    pub stream: RawFd,
    /// The time of the host's start, in milliseconds since 1970.
    pub started_ms: u64,
    /// The bytes of a line that the host has not ended.
    pub partial: Vec<u8>,
    pub role: HostRole,
    /// The version of the host's binary.
    pub version: String,
    /// The limit of a load of the project, in milliseconds.
    pub load_ms: u64,
    /// Tells whether the host answers pings.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub pings: bool,
}

/// The limit of a load for a host whose record does not tell it.
const USUAL_LOAD_MS: u64 = 60_000;

/// The role of a host at the moment of a hand-over, when no upgrade and no start is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HostRole {
    /// Takes new calls.
    Accepting,
    /// Finishes its calls.
    Draining,
    /// Was told to end at once.
    Ending,
}

/// The reason why a record cannot be adopted.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum RecordError {
    #[error("the hand-over record is not JSON: {0}")]
    NotJson(String),
    #[error("the hand-over record has no {0}")]
    Missing(&'static str),
}

impl HandoverRecord {
    /// Reads a record of any version.
    ///
    /// # Errors
    /// When the record names no listening socket or no lock.
    pub fn read(text: &str) -> Result<Self, RecordError> {
        let value: Value = serde_json::from_str(text).map_err(|error| RecordError::NotJson(error.to_string()))?;
        let value = if value.get("version").is_none() {
            unversioned_record::to_version_1(&value)
        } else {
            value
        };
        let hosts = value["hosts"].as_array().map(Vec::as_slice).unwrap_or_default();
        let mut read: Vec<(HostRecord, Option<HostRole>)> = Vec::new();
        for (index, host) in hosts.iter().enumerate() {
            match HostRecord::read(host, index) {
                Some(host) => read.push(host),
                None => tracing::error!(%host, "a host of the hand-over record has no pid or no socket"),
            }
        }
        read.sort_by_key(|(host, _)| host.id);
        // Without a word on who accepts, the newest host does.
        if read.iter().all(|(_, role)| *role != Some(HostRole::Accepting))
            && let Some((host, None)) = read.last_mut()
        {
            host.role = HostRole::Accepting;
        }
        Ok(Self {
            version: field(&value, "version").unwrap_or_default(),
            listener: field(&value, "listener").ok_or(RecordError::Missing("listening socket"))?,
            origin: field(&value, "origin").unwrap_or(SocketOrigin::Bound),
            lock: field(&value, "lock").ok_or(RecordError::Missing("lock"))?,
            hosts: read.into_iter().map(|(host, _)| host).collect(),
            numbers: field(&value, "numbers").unwrap_or_default(),
        })
    }
}

impl HostRecord {
    /// Reads a host, and its role if the record tells one. Returns `None` for a host without a pid or a socket.
    fn read(value: &Value, index: usize) -> Option<(Self, Option<HostRole>)> {
        let role = field(value, "role");
        let host = Self {
            id: HostId(field(value, "id").unwrap_or(index as u64 + 1)),
            pid: field(value, "pid")?,
            stream: field(value, "stream")?,
            started_ms: field(value, "started_ms").unwrap_or_else(|| milliseconds(SystemTime::now())),
            partial: field(value, "partial").unwrap_or_default(),
            role: role.unwrap_or(HostRole::Draining),
            version: field(value, "version").unwrap_or_default(),
            load_ms: field(value, "load_ms").unwrap_or(USUAL_LOAD_MS),
            pings: field(value, "pings").unwrap_or_default(),
        };
        Some((host, role))
    }

    pub fn started(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(self.started_ms)
    }
}

/// Returns the milliseconds since 1970, or 0 for a clock before that.
pub fn milliseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Returns a field's value, if the field is there and reads as this type.
fn field<T: serde::de::DeserializeOwned>(value: &Value, name: &str) -> Option<T> {
    T::deserialize(value.get(name)?).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{HandoverRecord, HostRole, RecordError, VERSION};
    use crate::generation::GenerationId;
    use crate::supervisor::event::HostId;
    use crate::supervisor::socket::SocketOrigin;

    /// The record as release 0.1.0 wrote it. It stays as it is for ever: supervisors of that release run somewhere.
    const VERSION_1: &str = include_str!("handover_record_v1.json");

    fn read(value: &Value) -> HandoverRecord {
        HandoverRecord::read(&value.to_string()).unwrap()
    }

    fn roles(record: &HandoverRecord) -> Vec<(u64, HostRole)> {
        record.hosts.iter().map(|host| (host.id.0, host.role)).collect()
    }

    #[test]
    fn a_record_of_version_1_is_read_for_ever() {
        let record = HandoverRecord::read(VERSION_1).unwrap();
        assert_eq!(
            (record.listener, record.lock, record.origin),
            (3, 4, SocketOrigin::Systemd)
        );
        assert_eq!(roles(&record), [(2, HostRole::Draining), (3, HostRole::Accepting)]);
        let host = &record.hosts[1];
        assert_eq!((host.id, host.pid, host.stream), (HostId(3), 4713, 9));
        assert_eq!((&*host.partial, &*host.version), (b"{\"says\"".as_slice(), "0.1.0"));
        assert_eq!(record.numbers.newest, Some(GenerationId(12)));
    }

    #[test]
    fn what_is_written_now_reads_back_and_has_all_fields_of_version_1() {
        let record = HandoverRecord::read(VERSION_1).unwrap();
        let written = serde_json::to_value(&record).unwrap();
        assert_eq!(read(&written), record);
        assert_eq!(written, serde_json::from_str::<Value>(VERSION_1).unwrap());
        assert_eq!(record.version, VERSION);
    }

    #[test]
    fn sockets_lock_and_hosts_are_taken_from_a_record_whose_rest_is_unknown() {
        let record = read(&json!({
            "version": 7,
            "listener": 5,
            "lock": 6,
            "origin": "s6",
            "numbers": "twelve",
            "fleet": { "size": 3 },
            "hosts": [
                { "id": 4, "pid": 10, "stream": 7, "role": "warming", "mood": "fine", "partial": "none" },
                { "id": 9, "pid": 11, "stream": 8 },
                { "id": 8, "pid": "twelve" },
            ],
        }));
        assert_eq!((record.listener, record.lock), (5, 6));
        assert_eq!(record.origin, SocketOrigin::Bound);
        assert_eq!(
            roles(&record),
            [(4, HostRole::Draining), (9, HostRole::Accepting)],
            "the newest accepts"
        );
    }

    #[test]
    fn a_record_that_tells_who_accepts_is_believed() {
        let record = read(&json!({
            "version": 2, "listener": 5, "lock": 6,
            "hosts": [
                { "id": 1, "pid": 10, "stream": 7, "role": "accepting" },
                { "id": 2, "pid": 11, "stream": 8, "role": "ending" },
            ],
        }));
        assert_eq!(roles(&record), [(1, HostRole::Accepting), (2, HostRole::Ending)]);
    }

    #[test]
    fn a_record_without_a_socket_or_a_lock_is_refused_by_name() {
        let refused = |text: &str| HandoverRecord::read(text).unwrap_err();
        assert_eq!(
            refused(r#"{"version":1,"lock":4}"#),
            RecordError::Missing("listening socket")
        );
        assert_eq!(refused(r#"{"version":1,"listener":3}"#), RecordError::Missing("lock"));
        assert!(matches!(refused("{"), RecordError::NotJson(_)));
    }
}
