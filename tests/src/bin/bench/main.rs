//! `bench [--quick] [--alone] [--check] [--json FILE] [--markdown FILE] [NAME…]`: measures a Baton from
//! outside, as Inngest and an operator see it, beside Bun, Deno and Node (`tests/bench/README.md`), and
//! says which figures miss their goal.
//!
//! Without names it measures everything, else each measurement whose name begins with one of the names.
//! `--alone` measures Baton without the others. A missed goal is marked; with `--check` it is also the
//! exit code.

#[cfg(target_os = "linux")]
mod arguments;
#[cfg(target_os = "linux")]
mod blocked;
#[cfg(target_os = "linux")]
mod boot;
#[cfg(target_os = "linux")]
mod canary;
#[cfg(target_os = "linux")]
mod client;
#[cfg(target_os = "linux")]
mod connect;
#[cfg(target_os = "linux")]
mod held;
#[cfg(target_os = "linux")]
mod isolates;
#[cfg(target_os = "linux")]
mod kept;
#[cfg(target_os = "linux")]
mod load;
#[cfg(target_os = "linux")]
mod lost;
#[cfg(target_os = "linux")]
mod machine;
#[cfg(target_os = "linux")]
mod memory;
#[cfg(target_os = "linux")]
mod page;
#[cfg(target_os = "linux")]
mod pauses;
#[cfg(target_os = "linux")]
mod projects;
#[cfg(target_os = "linux")]
mod rate;
#[cfg(target_os = "linux")]
mod request;
#[cfg(target_os = "linux")]
mod row;
#[cfg(target_os = "linux")]
mod run;
#[cfg(target_os = "linux")]
mod saves;
#[cfg(target_os = "linux")]
mod server;
#[cfg(target_os = "linux")]
mod spinning;
#[cfg(target_os = "linux")]
mod stage;
#[cfg(target_os = "linux")]
mod storm;
#[cfg(target_os = "linux")]
mod subject;
#[cfg(target_os = "linux")]
mod table;

// The benchmark has one thread: the machine may have two cores, and the client is not what is measured.
#[cfg(target_os = "linux")]
#[tokio::main(flavor = "current_thread")]
async fn main() -> std::process::ExitCode {
    run::bench().await
}

#[cfg(not(target_os = "linux"))]
fn main() -> std::process::ExitCode {
    eprintln!("memory is counted as Linux does");
    std::process::ExitCode::FAILURE
}
