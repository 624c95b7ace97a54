//! Asks the port of a service that was just started whether the service serves, for nobody else tells.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, interval, timeout};

use super::{Service, ServiceError};
use crate::generation::GenerationId;
use crate::net::{HttpAnswer, http, owner_of};
use crate::status::{Readiness, UnreadyReason};

/// The limit for a host to load the project.
const PATIENCE: Duration = Duration::from_mins(2);
/// The pause between two questions, since there is no event to wait for.
const PAUSE: Duration = Duration::from_millis(200);

/// Makes sure that nobody else has the port.
pub(super) fn port_is_free(service: &Service) -> Result<(), ServiceError> {
    match TcpListener::bind(service.address) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            let port = service.address.port();
            let (owner, _) = owner_of(port);
            Err(ServiceError::PortTaken { port, owner })
        }
        // The host will tell any other error of the port.
        _ => Ok(()),
    }
}

/// Waits until a generation is current, or the code was rejected. Returns the generation.
pub(super) fn wait(service: &Service, help: &str) -> Result<u64, ServiceError> {
    let not_ready = |reason: String| ServiceError::NotReady {
        reason,
        help: help.to_owned(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| not_ready(error.to_string()))?;
    runtime.block_on(watch(service.local_address())).map_err(not_ready)
}

async fn watch(address: SocketAddr) -> Result<u64, String> {
    let end = Instant::now() + PATIENCE;
    let mut last = "nothing answers".to_owned();
    let mut pause = interval(PAUSE);
    let url = format!("http://{address}/-/ready");
    while Instant::now() < end {
        pause.tick().await;
        let answer = match timeout(
            end.duration_since(Instant::now()),
            http::fetch(&url, "GET", &[], Bytes::new()),
        )
        .await
        {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => {
                last = format!("{url} does not answer ({error})");
                continue;
            }
            Err(_) => break,
        };
        last = match read(&answer) {
            PortAnswer::Serves(GenerationId(generation)) => return Ok(generation),
            PortAnswer::Not(UnreadyReason::Rejected) => {
                return Err("the code does not load; the host waits for code that does".to_owned());
            }
            PortAnswer::Not(reason) => format!("the host says {:?}", reason.as_str()),
            PortAnswer::Foreign => {
                let status = answer.status;
                format!("another program than Baton answers at http://{address}: {status}")
            }
        };
    }
    Err(format!("{last}, after {} s", PATIENCE.as_secs()))
}

/// The answer of the port.
#[derive(Debug, PartialEq, Eq)]
enum PortAnswer {
    Serves(GenerationId),
    Not(UnreadyReason),
    Foreign,
}

fn read(answer: &HttpAnswer) -> PortAnswer {
    match serde_json::from_slice(&answer.body) {
        Ok(Readiness {
            generation: Some(generation),
            ..
        }) if answer.status == 200 => PortAnswer::Serves(generation),
        Ok(Readiness {
            reason: Some(reason), ..
        }) => PortAnswer::Not(reason),
        _ => PortAnswer::Foreign,
    }
}

#[cfg(test)]
mod tests {
    use super::{PortAnswer, read};
    use crate::generation::GenerationId;
    use crate::net::HttpAnswer;
    use crate::status::{Readiness, UnreadyReason};

    #[test]
    fn the_port_of_a_host_is_told_from_that_of_somebody_else() {
        let readiness = |generation: Option<u64>, reason| Readiness {
            ready: generation.is_some(),
            generation: generation.map(GenerationId),
            reason,
            last_good: false,
            host: None,
            code_time: None,
        };
        let heard = |status, body: Vec<u8>| {
            read(&HttpAnswer {
                status,
                body,
                ..HttpAnswer::default()
            })
        };
        let host = |status, readiness| heard(status, serde_json::to_vec(&readiness).unwrap());
        assert_eq!(host(200, readiness(Some(3), None)), PortAnswer::Serves(GenerationId(3)));
        assert_eq!(
            host(503, readiness(None, Some(UnreadyReason::Rejected))),
            PortAnswer::Not(UnreadyReason::Rejected)
        );
        let blocked = readiness(Some(3), Some(UnreadyReason::IsolatesBlocked));
        assert_eq!(host(503, blocked), PortAnswer::Not(UnreadyReason::IsolatesBlocked));
        assert_eq!(heard(200, b"{}".to_vec()), PortAnswer::Foreign);
        assert_eq!(heard(404, b"<html>".to_vec()), PortAnswer::Foreign);
    }
}
