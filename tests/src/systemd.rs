//! A real systemd for one test: a user's manager with units, control groups and a `/run` of its own, which
//! nobody else sees. It ends with the test, and everything that it has started ends with it.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use crate::cli::clean_environment;
use crate::deadline;

const SYSTEMD: &str = "/lib/systemd/systemd";

/// The script that puts itself into a control group (`$0`), and becomes the program that makes the namespaces.
/// (It makes no namespace of process ids: systemd hangs up on commands whose process it cannot see.)
const OUTSIDE: &str = r#"
echo $$ > "$0/cgroup.procs" || exit 1
exec unshare --mount --cgroup sh -c "$1"
"#;

/// The script that starts systemd, and ends systemd with all that it has started when nobody holds the other
/// end of the standard input. systemd runs as a user's manager when it finds a machine that it has booted, and
/// a control group that is its own.
const INSIDE: &str = r#"
mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/system || exit 1
umount --recursive /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup || exit 1
/lib/systemd/systemd --user --log-target=console &
cat > /dev/null
echo 1 > /sys/fs/cgroup/cgroup.kill
"#;

/// A running systemd, killed on drop.
#[derive(Debug)]
pub struct Systemd {
    manager: Child,
    cgroup: PathBuf,
    environment: Vec<(OsString, OsString)>,
    log: PathBuf,
}

impl Systemd {
    /// Starts a systemd whose files are in `folder`; the programs that it starts have `environment`. Returns
    /// `None` if this user may not make namespaces, or if there is no systemd. It prints the reason then, and
    /// panics if `CI` is set.
    pub async fn start(folder: &Path, environment: &[(&str, OsString)]) -> Option<Self> {
        if let Some(reason) = missing() {
            assert!(std::env::var_os("CI").is_none(), "systemd cannot be tried: {reason}");
            eprintln!("systemd was not tried: {reason}");
            return None;
        }
        let runtime = folder.join("run");
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700).create(&runtime).expect("a folder");
        let home = folder.join("home");
        let log = folder.join("systemd.log");
        // There is no journal.
        let all_services = home.join(".config/systemd/user/service.d");
        fs::create_dir_all(&all_services).expect("a folder");
        let to_log = format!("[Service]\nStandardError=append:{}\n", log.display());
        fs::write(all_services.join("log.conf"), to_log).expect("a file");
        let mut all: Vec<(OsString, OsString)> = vec![
            ("XDG_RUNTIME_DIR".into(), runtime.into()),
            ("XDG_CONFIG_HOME".into(), home.join(".config").into()),
            ("HOME".into(), home.into()),
        ];
        all.extend(environment.iter().map(|(name, value)| ((*name).into(), value.clone())));
        let cgroup = own_cgroup().join(folder.file_name().expect("a folder with a name"));
        fs::create_dir_all(&cgroup).expect("a control group");
        let mut command = tokio::process::Command::new("sh");
        clean_environment(&mut command);
        let manager = command
            .as_std_mut()
            .args(["-c", OUTSIDE])
            .arg(&cgroup)
            .arg(INSIDE)
            .envs(all.iter().cloned())
            .env_remove("DBUS_SESSION_BUS_ADDRESS")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log).expect("a log"))
            .spawn()
            .expect("sh");
        let systemd = Self {
            manager,
            cgroup,
            environment: all,
            log,
        };
        systemd
            .property_when("default.target", "ActiveState", |state| state == "active")
            .await;
        Some(systemd)
    }

    /// The variables with which commands speak to it.
    #[must_use]
    pub fn environment(&self) -> &[(OsString, OsString)] {
        &self.environment
    }

    /// Returns the output of `systemctl --user`, whatever its exit code.
    #[must_use]
    pub fn systemctl(&self, arguments: &[&str]) -> String {
        let output = Command::new("systemctl")
            .arg("--user")
            .args(arguments)
            .envs(self.environment.iter().cloned())
            .env_remove("DBUS_SESSION_BUS_ADDRESS")
            .output()
            .expect("systemctl");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Gives systemd an order; panics when systemd does not carry it out.
    pub fn order(&self, arguments: &[&str]) {
        let status = Command::new("systemctl")
            .arg("--user")
            .args(arguments)
            .envs(self.environment.iter().cloned())
            .env_remove("DBUS_SESSION_BUS_ADDRESS")
            .status();
        assert!(
            status.is_ok_and(|status| status.success()),
            "systemctl {arguments:?}\n{}",
            self.log()
        );
    }

    /// Returns a property of a unit, as `systemctl show` prints it.
    #[must_use]
    pub fn property(&self, unit: &str, name: &str) -> String {
        self.systemctl(&["show", "--property", name, "--value", unit])
    }

    /// Waits until a property of a unit has the wanted value.
    pub async fn property_when(&self, unit: &str, name: &str, wanted: impl Fn(&str) -> bool) {
        let what = format!("{name} of {unit}");
        let context = || format!("{}\n{}", self.property(unit, name), self.log());
        let is_wanted = async || wanted(&self.property(unit, name)).then_some(());
        deadline::until(&what, context, is_wanted).await;
    }

    /// The log of systemd and its services.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Systemd {
    fn drop(&mut self) {
        drop(self.manager.stdin.take());
        let _ = self.manager.wait();
        let since = Instant::now();
        // The processes that were killed may not be gone yet.
        while !remove_cgroup(&self.cgroup) && since.elapsed() < deadline::DEADLINE {
            std::thread::sleep(deadline::PAUSE);
        }
    }
}

/// Returns the reason why no systemd can run here.
fn missing() -> Option<String> {
    if !Path::new(SYSTEMD).exists() {
        return Some(format!("there is no {SYSTEMD} (Debian: apt install systemd)"));
    }
    let is_root = fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
    (!is_root).then(|| "only root may make its namespaces".to_owned())
}

/// The folder of this process's control group, of version 2.
fn own_cgroup() -> PathBuf {
    let mounts = fs::read_to_string("/proc/self/mounts").expect("the mounts");
    let mut mounts = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let mount = mounts.find(|fields| fields.get(2) == Some(&"cgroup2"));
    let mount = PathBuf::from(mount.expect("control groups, version 2, are mounted")[1]);
    let groups = fs::read_to_string("/proc/self/cgroup").expect("the control groups");
    let own = groups.lines().find_map(|line| line.strip_prefix("0::/"));
    mount.join(own.expect("a control group"))
}

/// Removes a group whose processes are gone, and the groups in it.
fn remove_cgroup(folder: &Path) -> bool {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_cgroup(&entry.path());
        }
    }
    fs::remove_dir(folder).is_ok()
}
