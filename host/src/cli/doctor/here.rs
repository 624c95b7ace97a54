//! The checks of this machine: the host, its port, files, keys, limits.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use jiff::civil::Date;
use js_runtime_api::{EngineRelease, Sources};
use serde_json::Value;

use super::check::{Check, Finding};
use crate::config::StateError;
use crate::life::{NAME_THE_ENV_FILE, Plan};
use crate::registration::{self, UnsignedReason, is_local};
use crate::status::{OffKind, RegistrationStatus, Status};
use crate::watch;

/// Tells whether the project has a host, and whether that host answers.
pub(super) fn host(plan: &Plan, status: Option<&Status>) -> Check {
    if let Some(status) = status {
        let Status { pid, version, .. } = status;
        let own = env!("CARGO_PKG_VERSION");
        if version != own {
            let message = format!("process {pid} is version {version}, this command is {own}");
            let fix = "Start the host again with this binary.";
            return Check::warning("host", Finding::new("other_version", message, fix));
        }
        return Check::good("host", format!("process {pid} answers"));
    }
    if !plan.state.path().exists() {
        return Check::skipped(
            "host",
            "no host is running: start one with `baton dev` or `baton start`",
        );
    }
    match plan.state.lock() {
        Ok(_) => Check::skipped(
            "host",
            "no host is running: start one with `baton dev` or `baton start`",
        ),
        Err(StateError::Taken { owner, .. }) => Check::failed(
            "host",
            Finding::new(
                "host_silent",
                format!("{owner} has the project and does not answer"),
                "Read its log; if it hangs, end that process, and no other.",
            ),
        ),
        Err(error) => Check::failed(
            "host",
            Finding::new(
                "state_folder",
                error.to_string(),
                "Make it writable, or name another folder with --state-dir.",
            ),
        ),
    }
}

/// Tells which process has the port.
pub(super) fn port(plan: &Plan, status: Option<&Status>) -> Check {
    let port = plan.address.port();
    if port == 0 {
        return Check::skipped("port", "any free port");
    }
    let address = status.and_then(|status| status.address);
    if address.is_some_and(|address| address.port() == port) {
        return Check::good("port", format!("the host has port {port}"));
    }
    if TcpListener::bind(plan.address).is_ok() {
        return Check::good(
            "port",
            match address {
                Some(address) => format!("port {port} is free; the host listens at {address}"),
                None => format!("port {port} is free"),
            },
        );
    }
    let owner = listeners::get_process_by_port(port, listeners::Protocol::TCP).ok();
    let host = status.map(|status| status.pid);
    match owner {
        Some(owner) if Some(owner.pid) == host => Check::good("port", format!("the host has port {port}")),
        Some(owner) if owner.name.starts_with("baton") => Check::failed(
            "port",
            Finding::new(
                "second_host",
                format!("another Baton has port {port}: process {}", owner.pid),
                "End one of the two where it is started (launchd, systemd), or choose another port for this project \
                 with --port.",
            ),
        ),
        Some(owner) if ["systemd", "launchd"].contains(&owner.name.as_str()) => Check::warning(
            "port",
            Finding::new(
                "port_of_service_manager",
                format!("{} holds port {port} for a service that does not run", owner.name),
                "If it is this project's service, start it, as the next call does; otherwise choose another port with \
                 --port.",
            ),
        ),
        Some(owner) => Check::failed(
            "port",
            Finding::new(
                "port_taken",
                format!("port {port} is taken by {} (process {})", owner.name, owner.pid),
                "End that program, or choose another port with --port.",
            ),
        ),
        None => Check::failed(
            "port",
            Finding::new(
                "port_taken",
                format!("cannot listen on port {port}"),
                "Choose another port with --port, or find the program that has it: `ss -ltnp`.",
            ),
        ),
    }
}

/// Tells whether the file with the secrets is there, and private.
pub(super) fn environment_file(plan: &Plan) -> Check {
    if let Some(file) = plan.unnamed_env_file() {
        let finding = Finding::new(
            "env_file_unnamed",
            format!("{} exists, but no setting names it", file.display()),
            NAME_THE_ENV_FILE,
        );
        return Check::warning("env file", finding);
    }
    let Some(file) = &plan.project.environment.file else {
        return Check::skipped("env file", "no setting or flag here names a file");
    };
    match file.metadata() {
        Err(error) => Check::failed(
            "env file",
            Finding::new(
                "env_file_missing",
                format!("cannot read {}: {error}", file.display()),
                "Create it, or remove it from baton.toml.",
            ),
        ),
        Ok(metadata) if metadata.permissions().mode() & 0o077 != 0 => Check::failed(
            "env file",
            Finding::new(
                "env_file_open",
                format!(
                    "other users may read {} (mode {:o})",
                    file.display(),
                    metadata.permissions().mode() & 0o777
                ),
                format!("Run `chmod 600 {}`.", file.display()),
            ),
        ),
        Ok(_) => Check::good("env file", format!("{} is private", file.display())),
    }
}

/// Tells whether the system lets a process watch files.
pub(super) fn watching(root: &Path) -> Check {
    match watch::probe(root) {
        Ok(()) => Check::good("watching", "files can be watched"),
        Err(reason) => Check::failed(
            "watching",
            Finding::new(
                "watch_limit",
                reason,
                "Raise the limit as shown, or let Baton poll with --poll.",
            ),
        ),
    }
}

/// The age from which an engine is old. An old engine lacks security fixes: each version of V8 has some, and there is
/// a version every four weeks.
const OLD_ENGINE_DAYS: i32 = 180;

/// The engine that runs the functions, and its age.
pub(super) fn engine(release: &EngineRelease, today: Date) -> Check {
    let EngineRelease {
        name,
        version,
        package,
        released,
    } = release;
    let age = released
        .parse()
        .ok()
        .and_then(|released: Date| today.since(released).ok());
    let days = age.map_or(0, |age| age.get_days());
    let message = format!("{name} {version} ({package}), released on {released}, {days} days ago");
    if days <= OLD_ENGINE_DAYS {
        return Check::good("engine", message);
    }
    let fix = "Run a newer Baton: `baton upgrade`. SECURITY.md says which fixes are missing.";
    Check::warning("engine", Finding::new("engine_old", message, fix))
}

/// The SDKs that Inngest refuses (inngest/inngest: `pkg/deploy/deploy.go`).
const BLOCKED: std::ops::RangeInclusive<(u64, u64, u64)> = (3, 22, 0)..=(3, 53, 1);

/// Tells whether the SDK is installed, and whether Inngest takes its version.
pub(super) fn package(root: &Path) -> Check {
    let manifest = root
        .ancestors()
        .map(|folder| folder.join("node_modules/inngest/package.json"))
        .find_map(|file| std::fs::read_to_string(file).ok());
    let manifest: Option<Value> = manifest.and_then(|text| serde_json::from_str(&text).ok());
    let version = manifest.as_ref().and_then(|manifest| manifest["version"].as_str());
    match version {
        None => Check::failed(
            "inngest SDK",
            Finding::new(
                "sdk_missing",
                format!("the package inngest is not in the node_modules of {}", root.display()),
                "Run `npm install inngest`.",
            ),
        ),
        Some(version) if is_blocked(version) => Check::failed(
            "inngest SDK",
            Finding::new(
                "sdk_blocked",
                format!("Inngest refuses inngest {version}, which has a known vulnerability (CVE-2026-42047)"),
                "Run `npm install inngest@latest`.",
            ),
        ),
        Some(version) => Check::good("inngest SDK", format!("inngest {version}")),
    }
}

fn is_blocked(version: &str) -> bool {
    let mut parts = version.split(['.', '-']).map(|part| part.parse().unwrap_or(0));
    let version = (
        parts.next().unwrap_or(0),
        parts.next().unwrap_or(0),
        parts.next().unwrap_or(0),
    );
    BLOCKED.contains(&version)
}

/// Tells whether mode and keys fit each other.
pub(super) fn keys(sources: &dyn Sources, registration: &RegistrationStatus, host: Option<&Status>) -> Check {
    let is_production = host.is_some_and(|status| status.supervisor.is_some());
    if is_production && registration.dev == Some(true) {
        let (message, fix) = UnsignedReason::DevMode.words();
        return Check::failed("keys", Finding::new("unsigned_calls", message, fix));
    }
    let variable = |name: &str| sources.variable(name).filter(|value| !value.is_empty());
    if registration.off == Some(OffKind::NoKey) {
        let reason = registration.reason.as_deref().unwrap_or_default();
        return Check::failed(
            "keys",
            Finding::new(
                "no_signing_key",
                format!("the functions are in cloud mode: {reason}"),
                "Set INNGEST_SIGNING_KEY in the environment file, or INNGEST_DEV=1 for a dev server.",
            ),
        );
    }
    let Some(key) = variable("INNGEST_SIGNING_KEY") else {
        return match registration.dev {
            Some(true) => Check::good("keys", "dev mode: no keys are needed"),
            _ if registration.off == Some(OffKind::Connected) => Check::good(
                "keys",
                "no signing key is set; the connection says whether it needs one",
            ),
            _ => Check::good("keys", "the code has its own keys"),
        };
    };
    if let Some(flaw) = registration::flaw(&key) {
        let fix = "Copy it again from Inngest, without quotes.";
        let message = format!("INNGEST_SIGNING_KEY is not valid: {flaw}");
        return Check::failed("keys", Finding::new("signing_key_malformed", message, fix));
    }
    let near = registration.apps.first().is_some_and(|app| is_local(&app.inngest));
    if near && registration.dev == Some(false) && key.starts_with("signkey-") {
        let message = "functions refuse all calls of this server: `inngest start` signs with the whole key, the SDK \
                       removes the prefix first";
        let fix = "Use a key without `signkey-…-` on both sides: openssl rand -hex 32.";
        return Check::failed("keys", Finding::new("signing_key_prefix", message, fix));
    }
    if registration.dev == Some(false) && variable("INNGEST_EVENT_KEY").is_none() {
        let message = "INNGEST_EVENT_KEY is not set: functions cannot send events";
        let fix = "If they send events, set INNGEST_EVENT_KEY in the environment file.";
        return Check::warning("keys", Finding::new("no_event_key", message, fix));
    }
    Check::good("keys", "the signing key is set")
}

#[cfg(test)]
mod tests {
    use js_runtime_api::EngineRelease;

    use super::{engine, is_blocked};

    #[test]
    fn an_engine_that_is_old_is_told() {
        let release = EngineRelease {
            name: "V8",
            version: "15.0.245.2",
            package: "v8 150.4.0",
            released: "2026-07-26",
        };
        let check = |today: &str| serde_json::to_value(engine(&release, today.parse().unwrap())).unwrap();
        let young = check("2026-08-05");
        assert_eq!(young["status"], "ok");
        let told = "V8 15.0.245.2 (v8 150.4.0), released on 2026-07-26, 10 days ago";
        assert_eq!(young["message"], told);
        assert_eq!(check("2027-03-01")["finding"], "engine_old");
        assert_eq!(check("2026-07-01")["status"], "ok", "a clock that is wrong");
    }

    #[test]
    fn the_versions_that_inngest_refuses_are_known() {
        assert!(is_blocked("3.22.0") && is_blocked("3.53.1") && is_blocked("3.40.0-beta.1"));
        assert!(!is_blocked("3.21.9") && !is_blocked("3.54.2") && !is_blocked("4.24.0"));
    }
}
