//! `bench [--quick] [--check] [--json FILE] [NAME…]`: measures a Baton from outside, as Inngest and an
//! operator see it, and says which figures miss their goal.
//!
//! Without names everything is measured, else each measurement whose name begins with one. A missed
//! goal is marked; with `--check` it is also the exit code.

#[cfg(target_os = "linux")]
mod arguments;
#[cfg(target_os = "linux")]
mod blocked;
#[cfg(target_os = "linux")]
mod edits;
#[cfg(target_os = "linux")]
mod machine;
#[cfg(target_os = "linux")]
mod memory;
#[cfg(target_os = "linux")]
mod row;
#[cfg(target_os = "linux")]
mod run;

// One thread: two cores are soon taken, and what is measured is not the client.
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
