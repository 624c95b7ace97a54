//! Keeps the host at the release that its reference names: looks where the tag is, downloads, and asks for a reload.
//! Whatever fails, what serves is not touched.
//!
//! # Files
//!
//! - `mod.rs` the looks, one at a time; `pace.rs` the time of the next one

mod pace;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use js_runtime_api::{LoadError, LoadErrorKind};
use miette::Diagnostic as _;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use self::pace::LookPace;
use crate::blocking;
use crate::canary::CanaryWish;
use crate::generation::{FindRelease, Keeper, Outcome, ProjectPlace, Reason, Report, Role, Table, WantedCode};
use crate::release::download::{DownloadError, download};
use crate::release::registry::TagState;
use crate::release::{Digest, Registry, RegistryError, ReleaseFolders, ReleaseName};
use crate::status::ReleaseStatus;

/// The limit for the disk to forget old releases.
const COLLECTED_WITHIN: Duration = Duration::from_mins(10);

/// The reason why digits name no release.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReleaseNameError {
    #[error("no unpacked release has a digest that begins with {0:?}")]
    Unknown(String),
    #[error("several releases have a digest that begins with {0:?}")]
    Several(String),
}

/// Returns the one release whose digest begins with these digits.
fn named<'a>(digits: &str, all: impl Iterator<Item = &'a Digest>) -> Result<&'a Digest, ReleaseNameError> {
    let shown: String = digits.chars().take(80).collect();
    let digits = digits.strip_prefix("sha256:").unwrap_or(digits);
    let mut found = all.filter(|digest| !digits.is_empty() && digest.hex().starts_with(digits));
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(one),
        (None, _) => Err(ReleaseNameError::Unknown(shown)),
        (Some(_), Some(_)) => Err(ReleaseNameError::Several(shown)),
    }
}

/// The parts that a puller is made of.
pub struct PullPlan {
    pub registry: Registry,
    pub folders: ReleaseFolders,
    /// The time between two looks at the tag.
    pub poll: Duration,
    /// Finds the project of an unpacked release.
    pub find: FindRelease,
    /// The release that the host was started with.
    pub begun_with: Digest,
}

/// The task that pulls releases. It looks at the tag once at a time.
#[derive(Clone)]
pub struct Puller(Arc<Inner>);

struct Inner {
    plan: PullPlan,
    keeper: Keeper,
    table: Arc<Table>,
    state: Mutex<PullState>,
    /// The release of the tag. Whoever moves the keeper holds the lock until the load that reads there has ended.
    at: Mutex<Digest>,
    shown: StdMutex<LookSummary>,
}

/// The state of the looks, which the look under way holds.
#[derive(Default)]
struct PullState {
    /// A release that the tag names, and that cannot be pulled.
    refused: Option<Digest>,
    pace: LookPace,
}

#[derive(Debug, Clone, Default)]
struct LookSummary {
    seen_at: Option<Timestamp>,
    error: Option<String>,
}

/// The outcome of a look that succeeded.
enum TagLook {
    /// The tag names the release that the host has.
    Unmoved,
    /// The tag names a release that was refused before.
    Refused,
    /// The tag names another release, whose project is here now.
    Moved(Box<ProjectPlace>),
}

impl Puller {
    #[must_use]
    pub fn new(plan: PullPlan, keeper: Keeper, table: Arc<Table>) -> Self {
        let at = Mutex::new(plan.begun_with.clone());
        Self(Arc::new(Inner {
            plan,
            keeper,
            table,
            state: Mutex::default(),
            at,
            shown: StdMutex::default(),
        }))
    }

    /// Looks at the tag from time to time while this host accepts, until it is told to stop. A digest never moves.
    pub async fn follow(self, stop: CancellationToken) {
        let following = async {
            if self.0.plan.registry.reference.tag().is_none() {
                return std::future::pending().await;
            }
            let mut role = self.0.table.role();
            loop {
                // (The role ends with the table.)
                if role.wait_for(|role| *role == Role::Accepting).await.is_err() {
                    return;
                }
                let wait = self.follow_once().await;
                tokio::time::sleep(wait).await;
            }
        };
        tokio::select! {
            () = following => {}
            () = stop.cancelled() => {}
        }
    }

    /// Looks at the tag now, and loads its release: the answer of `PUT /api/reload`.
    pub async fn reload(&self, want: WantedCode, reason: Reason) -> Arc<Report> {
        let mut state = self.0.state.lock().await;
        // A person may have mended the cause of a refusal.
        state.refused = None;
        match self.pull(&mut state).await {
            Ok(TagLook::Moved(place)) => {
                self.seen();
                self.load(Some(*place), want, reason).await
            }
            Ok(TagLook::Unmoved | TagLook::Refused) => {
                self.seen();
                self.load(None, want, reason).await
            }
            Err(error) => {
                self.tell(&error);
                Arc::new(self.rejected(&error))
            }
        }
    }

    /// Serves an unpacked release again, until the tag moves or a reload is asked for. Waits for no download.
    ///
    /// # Errors
    /// When the digits name no release, or several.
    pub async fn serve_again(&self, digits: &str) -> Result<Arc<Report>, ReleaseNameError> {
        let at = self.0.at.lock().await;
        let PullPlan { folders, find, .. } = &self.0.plan;
        let all = folders.all();
        let digest = named(digits, all.iter().map(|release| &release.digest))?;
        let place = find(digest).ok_or_else(|| ReleaseNameError::Unknown(digits.to_owned()))?;
        self.0.keeper.move_to(place);
        let report = self
            .0
            .keeper
            .request(
                WantedCode::Reload {
                    force: true,
                    canary: CanaryWish::Off,
                },
                Reason::Rollback,
            )
            .await;
        // The next reload is one of the tag's release.
        if let Some(place) = find(&at) {
            self.0.keeper.move_to(place);
        }
        Ok(report)
    }

    /// The releases, for the status.
    #[must_use]
    pub fn shown(&self) -> ReleaseStatus {
        let shown = self.0.shown.lock().unwrap_or_else(PoisonError::into_inner).clone();
        ReleaseStatus {
            reference: self.0.plan.registry.reference.to_string(),
            seen_at: shown.seen_at,
            error: shown.error,
            unpacked: self.0.plan.folders.all().iter().map(ReleaseName::of).collect(),
        }
    }

    /// Looks once, and loads a release that the tag was moved to. Returns the time until the next look.
    async fn follow_once(&self) -> Duration {
        let mut state = self.0.state.lock().await;
        match self.pull(&mut state).await {
            Ok(look) => {
                state.pace.succeeded();
                if !matches!(look, TagLook::Refused) {
                    self.seen();
                }
                if let TagLook::Moved(place) = look {
                    let want = WantedCode::reload(false);
                    self.load(Some(*place), want, Reason::Release).await;
                }
            }
            Err(error) => {
                let asked = match &error {
                    DownloadError::Registry(RegistryError::Busy { wait, .. }) => *wait,
                    _ => None,
                };
                state.pace.failed(asked);
                self.tell(&error);
            }
        }
        state.pace.next(self.0.plan.poll, chance())
    }

    /// Pulls the release of the tag, and finds its project.
    async fn pull(&self, state: &mut PullState) -> Result<TagLook, DownloadError> {
        let PullPlan {
            registry,
            folders,
            find,
            ..
        } = &self.0.plan;
        let at = self.0.at.lock().await.clone();
        let known = state.refused.as_ref().unwrap_or(&at);
        let digest = match registry.look(Some(known)).await? {
            TagState::Unmoved if state.refused.is_some() => return Ok(TagLook::Refused),
            TagState::Unmoved => return Ok(TagLook::Unmoved),
            TagState::At(digest) if digest == at => {
                state.refused = None;
                return Ok(TagLook::Unmoved);
            }
            TagState::At(digest) => digest,
        };
        let release = match download(registry, &digest, folders).await {
            Ok(release) => release,
            Err(error) => {
                // A refused release is not downloaded again at each look.
                state.refused = (!error.is_passing()).then_some(digest);
                return Err(error);
            }
        };
        let Some(place) = find(&digest) else {
            state.refused = Some(digest.clone());
            return Err(DownloadError::NoProject {
                reference: registry.reference.to_string(),
                folder: folders.project(&digest),
            });
        };
        info!(
            release = %digest,
            reference = %registry.reference,
            commit = release.config.git,
            pushed = %release.config.created,
            "release pulled"
        );
        state.refused = None;
        Ok(TagLook::Moved(Box::new(place)))
    }

    /// Loads a release; `None`: the one that the tag named last. A check leaves the host where it was.
    async fn load(&self, moved: Option<ProjectPlace>, want: WantedCode, reason: Reason) -> Arc<Report> {
        let report = {
            let mut at = self.0.at.lock().await;
            if let Some(digest) = moved.as_ref().and_then(ProjectPlace::digest)
                && want != WantedCode::Check
            {
                at.clone_from(digest);
                self.want(digest);
            }
            // The keeper may read a release that was served again.
            if let Some(place) = moved.or_else(|| (self.0.plan.find)(&at)) {
                self.0.keeper.move_to(place);
            }
            let report = self.0.keeper.request(want, reason).await;
            if want == WantedCode::Check
                && let Some(place) = (self.0.plan.find)(&at)
            {
                self.0.keeper.move_to(place);
            }
            report
        };
        self.collect(&report).await;
        report
    }

    /// Notes the release that the next start begins with.
    fn want(&self, digest: &Digest) {
        let PullPlan { registry, folders, .. } = &self.0.plan;
        if let Err(error) = folders.want(&registry.reference.to_string(), digest) {
            warn!(%error, "cannot note the release for the next start");
        }
    }

    /// Removes old releases that no generation is of, after a load.
    async fn collect(&self, report: &Report) {
        if !matches!(report.outcome, Outcome::Activated { .. }) {
            return;
        }
        let view = self.0.table.view();
        let live = view.entries.iter().filter(|entry| entry.live.is_some());
        let live = live.filter_map(|entry| entry.release.as_ref().map(|release| release.digest.clone()));
        let mut in_use: BTreeSet<Digest> = live.collect();
        in_use.insert(self.0.at.lock().await.clone());
        let folders = self.0.plan.folders.clone();
        let collected = blocking::run("removing old releases", COLLECTED_WITHIN, move || {
            let lock = folders.lock()?;
            folders.collect(&lock, &in_use)
        });
        match collected.await {
            Ok(Ok(removed)) => {
                for release in removed {
                    info!(%release, "old release removed");
                }
            }
            Ok(Err(error)) => warn!(%error, "cannot remove old releases"),
            Err(error) => warn!(%error, "cannot remove old releases"),
        }
    }

    fn seen(&self) {
        let mut shown = self.0.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if shown.error.is_some() {
            info!(reference = %self.0.plan.registry.reference, "registry answers again");
        }
        *shown = LookSummary {
            seen_at: Some(Timestamp::now()),
            error: None,
        };
    }

    /// Tells the reason of a failure once.
    fn tell(&self, error: &DownloadError) {
        let text = error.to_string();
        let mut shown = self.0.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if shown.error.as_ref() != Some(&text) {
            let help = error.help().map(|help| help.to_string());
            warn!(
                error = text,
                help, "release cannot be pulled: the current generation goes on serving"
            );
            shown.error = Some(text);
        }
    }

    fn rejected(&self, error: &DownloadError) -> Report {
        Report {
            outcome: Outcome::Rejected {
                generation: self.0.table.current().map(|current| current.id),
                error: LoadError {
                    kind: LoadErrorKind::Release,
                    message: error.to_string(),
                    help: error.help().map(|help| help.to_string()),
                    ..LoadError::default()
                }
                .with_help(),
            },
            took_ms: 0.0,
        }
    }
}

/// Returns a number from 0 to 1.
fn chance() -> f64 {
    let mut bytes = [0; 2];
    // Without chance, hosts look at the same time.
    let _ = getrandom::fill(&mut bytes);
    f64::from(u16::from_le_bytes(bytes)) / f64::from(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::{ReleaseNameError, named};
    use crate::release::Digest;

    #[test]
    fn a_release_is_named_by_the_first_digits_of_its_digest() {
        let all = [Digest::of(b"1"), Digest::of(b"2")];
        let named = |digits: &str| named(digits, all.iter()).cloned();
        assert_eq!(named(all[0].short()), Ok(all[0].clone()));
        assert_eq!(named(&all[1].to_string()), Ok(all[1].clone()));
        assert_eq!(named("xyz"), Err(ReleaseNameError::Unknown("xyz".to_owned())));
        assert_eq!(named(""), Err(ReleaseNameError::Unknown(String::new())));
        assert_eq!(
            super::named("e", [&Digest::of(b""), &Digest::of(b"")].into_iter()).cloned(),
            Err(ReleaseNameError::Several("e".to_owned()))
        );
    }
}
