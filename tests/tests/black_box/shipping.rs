//! `install.sh`, on a release that is a folder: it installs a file if the checksum vouches for the file, and
//! nothing else.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

/// The files of a release, and the folder that they are installed to.
struct Release {
    scratch: TempDir,
}

/// Returns `install.sh`'s name for the archive of this machine.
fn archive() -> String {
    let system = if cfg!(target_os = "macos") { "macos" } else { "linux" };
    format!("baton-{}-{system}.tar.gz", std::env::consts::ARCH)
}

impl Release {
    /// Makes a release whose binary is a script that prints a version.
    fn of(version: &str) -> Self {
        let release = Self {
            scratch: TempDir::with_prefix("release-").expect("a folder"),
        };
        release.publish(version);
        release
    }

    fn publish(&self, version: &str) {
        let folder = self.folder();
        fs::create_dir_all(&folder).expect("a folder");
        let binary = folder.join("baton");
        fs::write(&binary, format!("#!/bin/sh\necho baton {version}\n")).expect("a binary");
        fs::set_permissions(&binary, fs::Permissions::from_mode(0o755)).expect("a binary that runs");
        let packed = Command::new("tar")
            .args(["-czf", &archive(), "baton"])
            .current_dir(&folder)
            .status();
        assert!(packed.expect("tar").success());
        let bytes = fs::read(folder.join(archive())).expect("an archive");
        let digest: String = Sha256::digest(&bytes)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        fs::write(folder.join("SHA256SUMS"), format!("{digest}  {}\n", archive())).expect("checksums");
    }

    fn folder(&self) -> PathBuf {
        self.scratch.path().join("files")
    }

    fn home(&self) -> PathBuf {
        self.scratch.path().join("home")
    }

    fn installed(&self) -> PathBuf {
        self.home().join(".local/bin/baton")
    }

    fn command(&self) -> Command {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the repository");
        let mut command = Command::new("sh");
        command.arg(root.join("install.sh")).env("HOME", self.home());
        for variable in [
            "BATON_BASE_URL",
            "BATON_REPOSITORY",
            "BATON_VERSION",
            "BATON_INSTALL_DIR",
        ] {
            command.env_remove(variable);
        }
        command
    }

    fn install(&self) -> Output {
        let url = format!("file://{}", self.folder().display());
        self.command().env("BATON_BASE_URL", url).output().expect("sh")
    }
}

fn refuses(output: &Output, words: &str) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains(words), "{stderr}");
}

#[test]
fn install_sh_installs_and_replaces_without_touching_the_file_that_runs() {
    let release = Release::of("1.0.0");
    let output = release.install();
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    assert!(stdout.contains("installed baton 1.0.0"), "{stdout}");
    assert!(stdout.contains("add it to your PATH"), "{stdout}");
    let metadata = release.installed().metadata().expect("a binary");
    assert_eq!(metadata.permissions().mode() & 0o777, 0o755);

    let running = fs::File::open(release.installed()).expect("a binary");
    release.publish("1.1.0");
    let output = release.install();
    assert!(
        String::from_utf8_lossy(&output.stdout).contains("baton 1.1.0"),
        "{output:?}"
    );
    assert_ne!(
        running.metadata().expect("a file").ino(),
        release.installed().metadata().expect("a file").ino()
    );
}

#[test]
fn install_sh_leaves_what_there_is_when_the_archive_is_not_what_was_released() {
    let release = Release::of("1.0.0");
    assert!(release.install().status.success());
    let sums = fs::read_to_string(release.folder().join("SHA256SUMS")).expect("checksums");
    release.publish("6.6.6");
    fs::write(release.folder().join("SHA256SUMS"), sums).expect("checksums");
    refuses(&release.install(), "damaged, or is not the released file");
    fs::write(release.folder().join("SHA256SUMS"), "00  baton-other.tar.gz\n").expect("checksums");
    refuses(&release.install(), "SHA256SUMS has no line for");
    fs::remove_file(release.folder().join(archive())).expect("an archive");
    refuses(&release.install(), "cannot download");
    let text = fs::read_to_string(release.installed()).expect("the first one");
    assert!(text.contains("1.0.0"), "{text}");
    let left: Vec<_> = fs::read_dir(release.home().join(".local/bin"))
        .expect("a folder")
        .collect();
    assert_eq!(left.len(), 1, "nothing else is left: {left:?}");
}

#[test]
fn install_sh_of_no_release_says_what_it_needs() {
    let release = Release::of("1.0.0");
    let output = release.command().output().expect("sh");
    refuses(&output, "BATON_REPOSITORY=owner/name");
    assert!(!release.installed().exists());
}

#[test]
fn the_entitlements_allow_v8_to_compile() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the repository");
    let text = fs::read_to_string(root.join("packaging/entitlements.plist")).expect("entitlements");
    let (_, after) = text
        .split_once("<key>com.apple.security.cs.allow-jit</key>")
        .expect("the key");
    assert!(after.trim_start().starts_with("<true/>"), "{text}");
}
