//! The connection to Inngest, where calls come over one: the host that runs knows how it stands.

use super::check::{Check, Finding};
use crate::status::{ConnectionState, Status};

/// Looks at the connection of the host that runs.
pub(super) fn look(host: Option<&Status>) -> Check {
    let Some(host) = host else {
        return Check::skipped("connection", "no host runs that could connect");
    };
    let Some(connection) = &host.connection else {
        let message = "the host that runs takes calls over HTTP, and the configuration says to connect";
        let fix = "Start it again: the configuration is read when the host starts.";
        return Check::failed("connection", Finding::new("not_connected", message, fix));
    };
    let headline = connection.headline().unwrap_or_default();
    match connection.state {
        ConnectionState::Active | ConnectionState::Paused | ConnectionState::Closed => {
            Check::good("connection", headline)
        }
        ConnectionState::Off => {
            let fix = "Mend the functions or the settings that it names, and reload.";
            Check::failed("connection", Finding::new("not_connected", headline, fix))
        }
        ConnectionState::Refused => {
            let fix = "Mend the function that Inngest names.";
            Check::failed("connection", Finding::new("functions_refused", headline, fix))
        }
        _ => {
            let fix = "Let this machine reach Inngest and its gateway (connect.gateway_url names another one); check the \
                       signing key and the connections of the plan.";
            Check::failed("connection", Finding::new("not_connected", headline, fix))
        }
    }
}
