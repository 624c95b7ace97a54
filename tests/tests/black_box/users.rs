//! Two users of one machine: the Baton of one user does not trust files of the other. The tests are skipped, with a
//! message, unless they run as root.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;
use std::process::{Command, Output};

use harness::{Project, baton_binary};

/// The user `nobody`, on most systems.
pub(crate) const SOMEBODY: u32 = 65_534;
/// A user id that nobody else has.
const SOMEBODY_ELSE: u32 = 54_321;

/// Tells whether the tests may act as other users.
pub(crate) fn may_act_as_others() -> bool {
    let is_root = fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0);
    let has_setpriv = Command::new("setpriv").arg("--version").output().is_ok();
    if !is_root || !has_setpriv {
        eprintln!("skipped: it takes root and setpriv to act as two users");
    }
    is_root && has_setpriv
}

/// Runs Baton's command as a user, without root's groups and variables: the binary may be where only root can enter.
pub(crate) fn run_as(user: u32, project: &Project, arguments: &[&str]) -> Output {
    let folder = project.root();
    let binary = project.scratch().join("baton");
    if !binary.exists() && fs::hard_link(baton_binary(), &binary).is_err() {
        fs::copy(baton_binary(), &binary).expect("a copy of the binary");
    }
    let user = user.to_string();
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid", &user, "--regid", &user, "--clear-groups", "--no-new-privs"])
        .args(["timeout", "30"])
        .arg(&binary)
        .args(arguments)
        .current_dir(&folder)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", &folder);
    command.output().expect("setpriv runs")
}

/// Makes a project that everybody may read, in a folder that everybody may enter, with a state folder of `owner`.
fn shared(project: &Project, owner: u32) -> std::path::PathBuf {
    let mut folder = project.root();
    for _ in 0..2 {
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).expect("its mode");
        folder = folder.parent().expect("a folder").to_owned();
    }
    let state = project.state_dir();
    fs::create_dir_all(&state).expect("the state folder");
    fs::set_permissions(&state, fs::Permissions::from_mode(0o777)).expect("its mode");
    chown(&state, Some(owner), Some(owner)).expect("its owner");
    state
}

fn start(user: u32, project: &Project, state: &Path) -> Output {
    let state = state.to_str().expect("UTF-8");
    run_as(
        user,
        project,
        &["start", "--port=0", "--register=off", "--state-dir", state],
    )
}

#[test]
fn a_state_folder_of_another_user_is_refused() {
    if !may_act_as_others() {
        return;
    }
    let project = Project::without_packages();
    let state = shared(&project, SOMEBODY);
    let refused = start(SOMEBODY_ELSE, &project, &state);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(78), "{said}");
    assert!(said.contains("belongs to the user with the id 65534"), "{said}");
    assert!(
        fs::read_dir(&state).expect("its entries").next().is_none(),
        "nothing was written: {said}"
    );
}

#[test]
fn an_admin_token_that_another_user_wrote_is_refused() {
    if !may_act_as_others() {
        return;
    }
    let project = Project::without_packages();
    let state = shared(&project, SOMEBODY_ELSE);
    fs::set_permissions(&state, fs::Permissions::from_mode(0o700)).expect("its mode");
    let token = state.join("admin-token");
    fs::write(&token, "letmein-letmein-letmein-letmein-letmein").expect("a token");
    fs::set_permissions(&token, fs::Permissions::from_mode(0o644)).expect("its mode");
    chown(&token, Some(SOMEBODY), Some(SOMEBODY)).expect("its owner");
    let refused = start(SOMEBODY_ELSE, &project, &state);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(78), "{said}");
    assert!(said.contains("admin-token"), "{said}");
}

#[test]
fn a_command_in_the_project_of_another_user_names_that_user() {
    if !may_act_as_others() {
        return;
    }
    let project = Project::without_packages();
    shared(&project, SOMEBODY);
    let asked = run_as(SOMEBODY, &project, &["status"]);
    let said = String::from_utf8_lossy(&asked.stderr);
    assert_eq!(asked.status.code(), Some(1), "{said}");
    assert!(said.contains("which belongs to root"), "{said}");
    assert!(
        said.contains("help: Run the command as that user: `sudo -u root "),
        "{said}"
    );
    assert!(said.contains("baton status`."), "{said}");
}
