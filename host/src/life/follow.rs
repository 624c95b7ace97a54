//! Makes reloads of changes on the disk.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::{HeaderMap, Method, Uri};
use js_runtime_api::regular_file;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::blocking;
use crate::config::{ConfigFile, WatchMode};
use crate::generation::{Keeper, Outcome, Reason, Table, WantedCode};
use crate::git::{self, CheckedOutCommit};
use crate::server::Successor;
use crate::tasks::TaskSet;
use crate::telemetry::Metrics;
use crate::watch::{Changes, FileWatch, Patterns, Polling, WatchError, WatchSet};

/// The wait before a thread is asked for again that could not be had. The wait doubles up to the longest.
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// The limit for the disk to give a project's settings, and the most bytes of the settings.
const READ_WITHIN: Duration = Duration::from_secs(10);
const LARGEST_SETTINGS: u64 = 1 << 20;
/// The longest time for which a host that ends waits for the reloads of noticed changes.
const ANSWERED_WITHIN: Duration = Duration::from_secs(5);

/// The changes that are followed.
#[derive(Debug, Clone)]
pub(crate) struct FollowPlan {
    pub(super) mode: WatchMode,
    /// Tells whether a commit is served only while no file differs from it.
    pub(super) require_clean: bool,
    /// Tells whether the host looks at files instead of waiting to be told.
    pub(super) poll: bool,
    /// The patterns for the names of files that matter, or that do not.
    pub(super) patterns: Patterns,
}

/// Reloads whenever there is something new, until it is told to stop. Changes that were noticed by then are still
/// loaded, by this host or by the one that has taken over.
pub(super) async fn follow(
    watching: FollowPlan,
    root: PathBuf,
    table: Arc<Table>,
    reloads: Reloads,
    stop: CancellationToken,
) {
    let polling = Polling {
        everywhere: watching.poll,
        ..Polling::default()
    };
    if watching.mode == WatchMode::Off {
        return stop.cancelled().await;
    }
    let (watch, changes) = tokio::select! {
        started = start(polling) => started,
        () = stop.cancelled() => return,
    };
    let following = async {
        match watching.mode {
            WatchMode::GitRef => commits(&watch, changes, &root, watching.require_clean, &reloads).await,
            _ => files(&watch, changes, &root, watching.patterns, &table, &reloads).await,
        }
    };
    tokio::select! {
        () = following => {}
        () = stop.cancelled() => {}
    }
    watch.end().await;
    reloads.running.finish(ANSWERED_WITHIN).await;
}

/// Starts to watch, as soon as the system has a thread for it.
async fn start(polling: Polling) -> (FileWatch, Changes) {
    let mut wait = FIRST_WAIT;
    loop {
        match FileWatch::start(polling) {
            Ok(started) => return started,
            Err(error @ WatchError::Thread(_)) => {
                error!(%error, ?wait, "cannot watch files yet: reload with `baton reload`");
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(LONGEST_WAIT);
            }
        }
    }
}

/// The reloads of changes that were noticed.
pub(super) struct Reloads {
    keeper: Keeper,
    metrics: Arc<Metrics>,
    successor: Successor,
    /// The reloads that are not answered yet.
    running: TaskSet,
}

impl Reloads {
    pub(super) fn new(keeper: Keeper, metrics: Arc<Metrics>, successor: Successor) -> Self {
        Self {
            keeper,
            metrics,
            successor,
            running: TaskSet::new("reloads of changes"),
        }
    }

    /// Starts the reload of a change and does not wait for it: a later change may supersede it.
    fn noticed(&self, reason: Reason) {
        let (keeper, metrics, successor) = (self.keeper.clone(), self.metrics.clone(), self.successor.clone());
        self.running.spawn(async move {
            let report = keeper.request(WantedCode::reload(false), reason).await;
            if report.outcome == Outcome::HandedOver {
                // The host that takes over may not have been watching yet.
                let uri = Uri::from_static("/api/reload");
                successor.ask(Method::PUT, &uri, HeaderMap::new(), Bytes::new()).await;
                return;
            }
            metrics.reload_answered(&report);
        });
    }
}

async fn files(
    watch: &FileWatch,
    mut changes: Changes,
    root: &Path,
    patterns: Patterns,
    table: &Table,
    reloads: &Reloads,
) {
    let settings = root.join("baton.toml");
    let read_settings = async || {
        let settings = settings.clone();
        let read = move || regular_file::read(&settings, LARGEST_SETTINGS).ok();
        blocking::run("reading baton.toml", READ_WITHIN, read)
            .await
            .ok()
            .flatten()
    };
    let mut known = read_settings().await;
    let mut watched = table.watched();
    loop {
        let now = watched.borrow_and_update().clone();
        // There is no file to follow before the first load, which reads all files.
        if !now.files.is_empty() {
            let paths = now.files.into_iter().chain(now.links).chain([settings.clone()]);
            watch.follow(WatchSet {
                paths: paths.collect(),
                trees: now.trees,
                patterns: patterns.clone(),
            });
        }
        tokio::select! {
            changed = watched.changed() => if changed.is_err() { return },
            change = changes.next() => match change {
                Some(_) => {
                    reloads.noticed(Reason::File);
                    let now = read_settings().await;
                    if now != known {
                        let root = root.to_owned();
                        let check = move || check_settings(&root);
                        // A check that takes too long is not reported, and changes nothing.
                        let _ = blocking::run("reading baton.toml", READ_WITHIN, check).await;
                        known = now;
                    }
                }
                None => return,
            },
        }
    }
}

/// Checks changed settings. They do not apply yet: the host reads its settings when it starts.
fn check_settings(root: &Path) {
    match ConfigFile::read(root) {
        Ok(_) => info!("baton.toml changed: restart the host to apply it"),
        Err(error) => warn!(%error, "baton.toml is not valid: the host would not start with it"),
    }
}

async fn commits(watch: &FileWatch, mut changes: Changes, root: &Path, require_clean: bool, reloads: &Reloads) {
    let mut served = git::head(root).await;
    if served.is_none() {
        warn!(
            folder = %root.display(),
            "no commit is checked out here: reload with `baton reload`, or watch files"
        );
    }
    // The last state that was told, so that a dirty tree is told once.
    let mut told = None;
    loop {
        watch.follow(WatchSet {
            paths: git::files(root).await,
            ..WatchSet::default()
        });
        if changes.next().await.is_none() {
            return;
        }
        let Some(head) = git::head(root).await else {
            continue;
        };
        let CheckedOutCommit { commit, dirty } = head.clone();
        if served.as_ref().is_some_and(|served| served.commit == commit) {
            continue;
        }
        if dirty && require_clean {
            if told.as_ref() != Some(&commit) {
                warn!(
                    commit,
                    "another commit is checked out, with files that differ from it: it is not served"
                );
            }
            told = Some(commit);
            continue;
        }
        info!(commit, dirty, "another commit is checked out");
        served = Some(head);
        reloads.noticed(Reason::Git);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use clap::Parser as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::UnixListener;
    use tokio_util::sync::CancellationToken;

    use super::Reloads;
    use crate::cli::{Cli, Command};
    use crate::generation::fake_engine::{Code, FakeEngine};
    use crate::generation::{Keeper, Projects, Reason, Table};
    use crate::life::{Mode, plan};
    use crate::server::Successor;

    /// Takes one request, answers it, and returns its first line.
    async fn answer_one(next: UnixListener) -> String {
        let (mut stream, _) = next.accept().await.unwrap();
        let mut request = vec![0; 4096];
        let read = stream.read(&mut request).await.unwrap();
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            .await
            .unwrap();
        let request = String::from_utf8_lossy(&request[..read]).into_owned();
        request.lines().next().unwrap_or_default().to_owned()
    }

    #[tokio::test]
    async fn a_change_that_was_noticed_before_a_hand_over_reaches_the_next_host() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::create_dir(path("functions")).unwrap();
        std::fs::write(path("package.json"), "{}").unwrap();
        let functions = path("functions").display().to_string();
        let Command::Dev(args) = Cli::parse_from(["baton", "dev", &functions]).command else {
            panic!("another command");
        };
        let plan = plan(&args, Mode::Dev).unwrap();
        let table = Arc::new(Table::new(plan.pin));
        let engine = FakeEngine::new(Code::Good("one"));
        let keeper = Keeper::start(
            engine,
            Projects::of_folder(plan.project),
            plan.limits,
            table,
            path("kept"),
            None,
        );
        keeper.hand_over();
        let socket = path("next.sock");
        let next = UnixListener::bind(&socket).unwrap();
        let successor = Successor {
            socket,
            hold: Duration::from_secs(60),
            ending: CancellationToken::new(),
        };
        let reloads = Reloads::new(keeper, Arc::default(), successor);
        reloads.noticed(Reason::File);
        let (heard, ()) = tokio::join!(answer_one(next), reloads.running.finish(Duration::from_secs(60)));
        assert_eq!(heard, "PUT /api/reload HTTP/1.1");
    }
}
