//! The hand-over record from before it had a version: the supervisor's private types, as JSON.
//!
//! ```json
//! { "hosts": [[1, { "pid": 10, "started": { "secs_since_epoch": 1, "nanos_since_epoch": 0 },
//!                   "stream": 7, "partial": [], "silent": false }]],
//!   "supervision": { "accepting": 1, "hosts": { "1": { "phase": "Accepting", "version": "0.1.0", … } },
//!                    "numbers": { … }, … },
//!   "listener": 5, "origin": "bound", "lock": 6 }
//! ```

use serde_json::{Value, json};

/// Returns the record as a record of version 1. Fields that are not there stay absent.
pub(super) fn to_version_1(record: &Value) -> Value {
    let supervision = &record["supervision"];
    let hosts = record["hosts"].as_array().map(Vec::as_slice).unwrap_or_default();
    let hosts: Vec<Value> = hosts.iter().map(|host| host_to_version_1(host, supervision)).collect();
    json!({
        "version": 0,
        "listener": record["listener"],
        "origin": record["origin"],
        "lock": record["lock"],
        "hosts": hosts,
        "numbers": supervision["numbers"],
    })
}

fn host_to_version_1(host: &Value, supervision: &Value) -> Value {
    let (id, process) = (&host[0], &host[1]);
    let known = &supervision["hosts"][id.to_string()];
    let role = match known["phase"].as_str() {
        _ if !id.is_null() && supervision["accepting"] == *id => json!("accepting"),
        Some("Draining") => json!("draining"),
        // An upgrade that was under way is not continued: its candidate ends.
        Some(_) => json!("ending"),
        None => Value::Null,
    };
    let started = &process["started"];
    let started_ms = started["secs_since_epoch"]
        .as_u64()
        .map(|seconds| seconds * 1000 + started["nanos_since_epoch"].as_u64().unwrap_or_default() / 1_000_000);
    json!({
        "id": id,
        "pid": process["pid"],
        "stream": process["stream"],
        "started_ms": started_ms,
        "partial": process["partial"],
        "role": role,
        "version": known["version"],
    })
}

#[cfg(test)]
mod tests {
    use crate::generation::GenerationId;
    use crate::supervisor::event::HostId;
    use crate::supervisor::handover_record::{HandoverRecord, HostRecord, HostRole};
    use crate::supervisor::socket::SocketOrigin;

    /// A record that a supervisor wrote between an upgrade and the end of the old host.
    const RECORD: &str = r#"{"hosts":[
        [1,{"pid":10,"started":{"secs_since_epoch":1796000000,"nanos_since_epoch":250000000},"stream":7,"partial":[123],"silent":false}],
        [2,{"pid":11,"started":{"secs_since_epoch":1796000360,"nanos_since_epoch":0},"stream":8,"partial":[],"silent":false}]],
        "supervision":{"me":{"pid":9,"version":"0.1.0"},"drain":{"secs":7200,"nanos":0},"next":3,
          "hosts":{"1":{"pid":10,"version":"0.1.0","phase":"Draining","load":{"secs":60,"nanos":0},"numbers":{"current":3,"newest":3,"last_good":false}},
                   "2":{"pid":11,"version":"0.2.0","phase":"Accepting","load":{"secs":60,"nanos":0},"numbers":{"current":4,"newest":4,"last_good":false}}},
          "accepting":2,"rising":null,"upgrade":null,"ending":"No","backoff":{"young":0},
          "numbers":{"current":4,"newest":4,"last_good":false},"served":true},
        "listener":5,"origin":"bound","lock":6}"#;

    #[test]
    fn a_record_of_before_is_read_as_one_of_version_1() {
        let record = HandoverRecord::read(RECORD).unwrap();
        assert_eq!((record.version, record.listener, record.lock), (0, 5, 6));
        assert_eq!(record.origin, SocketOrigin::Bound);
        assert_eq!(record.numbers.current, Some(GenerationId(4)));
        let old = HostRecord {
            id: HostId(1),
            pid: 10,
            stream: 7,
            started_ms: 1_796_000_000_250,
            partial: b"{".to_vec(),
            role: HostRole::Draining,
            version: "0.1.0".to_owned(),
            load_ms: 60_000,
            pings: false,
        };
        assert_eq!(record.hosts[0], old);
        let new = &record.hosts[1];
        assert_eq!((new.pid, new.role, &*new.version), (11, HostRole::Accepting, "0.2.0"));
    }

    #[test]
    fn its_hosts_are_adopted_also_when_its_private_types_changed() {
        let changed = RECORD.replace("\"supervision\"", "\"oversight\"");
        let record = HandoverRecord::read(&changed).unwrap();
        let roles: Vec<_> = record.hosts.iter().map(|host| (host.pid, host.role)).collect();
        assert_eq!(roles, [(10, HostRole::Draining), (11, HostRole::Accepting)]);
    }
}
