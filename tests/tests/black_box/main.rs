//! Baton's black-box tests: the built binary, real functions on the real SDK,
//! and a harness that plays Inngest and the person at the keyboard.
//!
//! There is one binary, so that it links once. Each module is one part of the
//! contract (README); the name of a test says what it checks.

mod admin;
mod ahead;
mod as_new_as_the_disk;
mod bad_input;
mod behaviours;
mod book;
mod broken_code;
mod bun;
mod caches;
mod calls;
mod canary;
mod certificates;
mod chaos;
// These tests list processes as Linux does.
#[cfg(target_os = "linux")]
mod children;
mod cli;
mod compat;
mod completions;
mod connect;
mod connect_stand_in;
mod connect_under_load;
mod connections;
mod dashboard;
mod differential;
mod dispatchers;
mod doctor;
mod entries;
mod extremes;
mod fleet;
mod hostile_errors;
mod init;
mod inspect;
mod invoke;
// These tests count as Linux does.
#[cfg(target_os = "linux")]
mod gives_back;
mod last_good;
mod launchd;
mod leaving;
mod lifecycle;
mod limits;
mod lint;
mod live_runs;
mod logs;
mod mcp;
mod messages;
mod metrics;
mod mistakes;
mod native_crashes;
mod node_suites;
mod npm_packages;
mod ownership;
mod plans_and_runs;
mod process;
mod project_shapes;
mod protocol;
mod registration;
mod releases;
mod reload;
mod reload_requests;
mod requests;
mod said;
mod secrets;
mod service;
mod shipping;
// These tests set limits of a running process.
#[cfg(target_os = "linux")]
mod shortage;
mod snapshot;
mod spare;
mod streaming;
mod stuck;
mod supervisor;
// These tests run a systemd.
#[cfg(target_os = "linux")]
mod systemd;
mod terminal;
mod test_library;
mod traces;
mod typescript;
mod under_load;
mod upgrade;
mod users;
mod watching;
mod worker;
mod workers;
mod workspaces;
