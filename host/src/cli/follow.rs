//! From a change on the disk to a reload.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use hyper::{HeaderMap, Method, Uri};
use tracing::{error, info, warn};

use crate::config::{ConfigFile, WatchMode};
use crate::generation::{Keeper, Outcome, Reason, Table, Want};
use crate::git::{self, Head};
use crate::server::Successor;
use crate::telemetry::Metrics;
use crate::watch::{Changes, FileWatch, Patterns, Polling, WatchError, WatchSet};

/// Which changes are followed.
#[derive(Debug, Clone)]
pub(super) struct Watching {
    pub(super) mode: WatchMode,
    /// A commit is served only while no file differs from it.
    pub(super) require_clean: bool,
    /// Files are looked at instead of waiting to be told.
    pub(super) poll: bool,
    /// Files that matter, or do not, by their names.
    pub(super) patterns: Patterns,
}

/// Reloads whenever there is something new, for as long as the host runs.
pub(super) async fn follow(
    watching: Watching,
    root: PathBuf,
    keeper: Keeper,
    table: Arc<Table>,
    metrics: Arc<Metrics>,
    successor: Successor,
) {
    let polling = Polling {
        everywhere: watching.poll,
        ..Polling::default()
    };
    let reloads = Reloads {
        keeper,
        metrics,
        successor,
    };
    let followed = match watching.mode {
        WatchMode::Off => return,
        WatchMode::Files => FileWatch::start(polling).map(|watch| (watch, false)),
        WatchMode::GitRef => FileWatch::start(polling).map(|watch| (watch, true)),
    };
    match followed {
        Ok(((watch, changes), false)) => {
            files(&watch, changes, &root, watching.patterns, &table, &reloads).await;
        }
        Ok(((watch, changes), true)) => commits(&watch, changes, &root, watching.require_clean, &reloads).await,
        Err(error @ WatchError::Thread(_)) => error!(%error, "files are not watched: reload by `baton reload`"),
    }
}

/// Whom a change is told.
struct Reloads {
    keeper: Keeper,
    metrics: Arc<Metrics>,
    successor: Successor,
}

impl Reloads {
    /// Does not wait: what comes next may supersede it.
    fn noticed(&self, reason: Reason) {
        let (keeper, metrics, successor) = (self.keeper.clone(), self.metrics.clone(), self.successor.clone());
        tokio::spawn(async move {
            let report = keeper.request(Want::Reload { force: false }, reason).await;
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
    let read_settings = || std::fs::read(&settings).ok();
    let mut known = read_settings();
    let mut watched = table.watched();
    loop {
        let now = watched.borrow_and_update().clone();
        // Before anything was read there is nothing to be told of: the first load reads it.
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
                    let now = read_settings();
                    if now != known {
                        check_settings(root);
                        known = now;
                    }
                    reloads.noticed(Reason::File);
                }
                None => return,
            },
        }
    }
}

/// The settings are those of the host, which reads them when it starts.
fn check_settings(root: &Path) {
    match ConfigFile::read(root) {
        Ok(_) => info!("baton.toml changed: it applies when the host is started again"),
        Err(error) => warn!(%error, "baton.toml cannot be used: the host would not start with it"),
    }
}

async fn commits(watch: &FileWatch, mut changes: Changes, root: &Path, require_clean: bool, reloads: &Reloads) {
    let mut served = git::head(root).await;
    if served.is_none() {
        warn!(
            folder = %root.display(),
            "no commit is checked out here: reload by `baton reload`, or watch files"
        );
    }
    // So that a dirty tree is told once.
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
        let Head { commit, dirty } = head.clone();
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
