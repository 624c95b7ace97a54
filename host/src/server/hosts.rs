//! The other hosts of the project, for the status: the host that loads to take over, and the hosts that finish their
//! calls.

use std::time::Duration;

use axum::http::{HeaderMap, Method, Uri};
use bytes::Bytes;

use super::Server;
use super::forward::Successor;
use crate::net::own_control_socket;
use crate::status::{CallStatus, HostStatus, Status, SupervisorLine};

/// The limit for a host's answer; a host that does not answer is shown without its calls.
const WITHIN: Duration = Duration::from_secs(1);
/// The largest status of another host that is read, in bytes.
const LARGEST_STATUS: usize = 16 << 20;

/// Returns the supervisor, as it has told of itself, and its hosts with the calls that they are answering.
pub(super) async fn all(server: &Server) -> (Option<SupervisorLine>, Vec<HostStatus>) {
    let Some(supervised) = &server.supervised else {
        return (None, Vec::new());
    };
    let shown = supervised.shown();
    let hosts = shown.hosts.into_iter().map(|line| async move {
        let in_flight = match line.pid == std::process::id() {
            true => Vec::new(),
            false => calls_of(server, line.pid).await.unwrap_or_default(),
        };
        HostStatus { line, in_flight }
    });
    (shown.supervisor, futures::future::join_all(hosts).await)
}

async fn calls_of(server: &Server, pid: u32) -> Option<Vec<CallStatus>> {
    let host = Successor {
        socket: own_control_socket(&server.successor.socket, pid),
        hold: Duration::ZERO,
        ending: server.successor.ending.clone(),
    };
    let uri = Uri::from_static("/-/status?alone=1");
    let asked = async {
        let answer = host.get(Method::GET, &uri, HeaderMap::new(), Bytes::new()).await.ok()?;
        let body = axum::body::to_bytes(answer.into_body(), LARGEST_STATUS).await.ok()?;
        serde_json::from_slice::<Status>(&body).ok()
    };
    let status = tokio::time::timeout(WITHIN, asked).await.ok()??;
    let calls = status.generations.into_iter().flat_map(|generation| {
        let of = Some(generation.id);
        let calls = generation.in_flight.into_iter();
        calls.map(move |call| CallStatus { generation: of, ..call })
    });
    Some(calls.collect())
}
