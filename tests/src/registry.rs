//! A real registry for releases: the `docker-registry` of Debian, on a port of its own, with its files in a folder of
//! the test. It ends with the test.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::deadline;

/// The name and the password that a registry with a login knows.
pub const LOGIN: (&str, &str) = ("deployer", "secret");
/// The line of `htpasswd` for them.
const PASSWORD_FILE: &str = "deployer:$2b$04$R4oOTBYTpl9DsslHaoc/heA60ICWXQYWskP2Pu/7xjntbhzdu00/a\n";

/// The way to start a registry.
#[derive(Clone, Debug, Default)]
pub struct RegistryLaunch {
    has_login: bool,
    /// The files of its certificate and its key.
    tls: Option<(PathBuf, PathBuf)>,
    address: Option<String>,
}

/// A running registry, killed on drop.
#[derive(Debug)]
pub struct Registry {
    _child: Child,
    address: String,
    storage: PathBuf,
}

impl RegistryLaunch {
    /// Lets in nobody but [`LOGIN`].
    #[must_use]
    pub fn with_login(self) -> Self {
        Self {
            has_login: true,
            ..self
        }
    }

    /// Speaks TLS with this certificate.
    #[must_use]
    pub fn with_tls(self, certificate: PathBuf, key: PathBuf) -> Self {
        Self {
            tls: Some((certificate, key)),
            ..self
        }
    }

    /// Listens where an earlier registry did.
    #[must_use]
    pub fn at(self, address: &str) -> Self {
        Self {
            address: Some(address.to_owned()),
            ..self
        }
    }

    /// Starts it with its files in this folder; `None`, with the reason printed, where this machine has no such program.
    /// Panics then if `CI` is set.
    pub async fn start(self, folder: &Path) -> Option<Registry> {
        let Some(program) = program() else {
            assert!(std::env::var_os("CI").is_none(), "there is no docker-registry");
            eprintln!("releases were not tried: there is no docker-registry");
            return None;
        };
        let storage = folder.join("storage");
        fs::create_dir_all(&storage).expect("a folder");
        let config = folder.join("registry.yml");
        let text = "version: 0.1\nstorage:\n  filesystem: {}\n  delete:\n    enabled: true\n";
        fs::write(&config, text).expect("its configuration");
        let mut command = Command::new(program);
        command
            .arg("serve")
            .arg(&config)
            .env("REGISTRY_HTTP_ADDR", self.address.as_deref().unwrap_or("127.0.0.1:0"))
            .env("REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY", &storage)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        if self.has_login {
            let passwords = folder.join("htpasswd");
            fs::write(&passwords, PASSWORD_FILE).expect("its passwords");
            command
                .env("REGISTRY_AUTH", "htpasswd")
                .env("REGISTRY_AUTH_HTPASSWD_REALM", "tests")
                .env("REGISTRY_AUTH_HTPASSWD_PATH", passwords);
        }
        if let Some((certificate, key)) = &self.tls {
            command
                .env("REGISTRY_HTTP_TLS_CERTIFICATE", certificate)
                .env("REGISTRY_HTTP_TLS_KEY", key);
        }
        let mut child = command.spawn().expect("the registry starts");
        let mut lines = BufReader::new(child.stderr.take().expect("its standard error")).lines();
        let listening = async {
            loop {
                let line = lines.next_line().await.expect("its log").expect("it listens");
                if let Some((_, rest)) = line.split_once("listening on ") {
                    return rest.split([',', '"']).next().unwrap_or_default().to_owned();
                }
            }
        };
        let address = deadline::within("the registry listens", String::new, listening).await;
        // Its log is read to the end, for it must not wait for a reader.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Some(Registry {
            _child: child,
            address,
            storage,
        })
    }
}

impl Registry {
    /// Starts a registry that lets in everybody.
    pub async fn start(folder: &Path) -> Option<Self> {
        RegistryLaunch::default().start(folder).await
    }

    /// Its host and port.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The folder of its files.
    #[must_use]
    pub fn storage(&self) -> &Path {
        &self.storage
    }

    /// The reference of a repository and tag in it.
    #[must_use]
    pub fn reference(&self, name: &str) -> String {
        format!("{}/{name}", self.address)
    }

    /// The file of a blob.
    #[must_use]
    pub fn blob(&self, digest: &str) -> PathBuf {
        let hex = digest.trim_start_matches("sha256:");
        let folder = self.storage.join("docker/registry/v2/blobs/sha256");
        folder.join(&hex[..2]).join(hex).join("data")
    }
}

/// The program: that of `BATON_TEST_REGISTRY`, else Debian's in its place or in the cache, where `bin/test` puts it.
fn program() -> Option<PathBuf> {
    let named = std::env::var_os("BATON_TEST_REGISTRY").map(PathBuf::from);
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
    let cached = cache.map(|cache| cache.join("baton/docker-registry/usr/bin/docker-registry"));
    let all = [named, Some("/usr/bin/docker-registry".into()), cached];
    all.into_iter().flatten().find(|program| program.is_file())
}
