//! `baton push`: makes a release of a project and uploads it. The files are packed first, and the code is loaded from
//! what was packed: what is uploaded is what was checked. [`prepare`] settles the arguments while the process has one
//! thread.

#![allow(clippy::print_stderr, reason = "a command answers on its terminal")]

use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Parser};
use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;
use js_runtime_api::{
    CallQueue, Engine, Entry, LoadError, LoadProgress, LoadRequest, Manifest, Project, Reach, Warning, regular_file,
};
use miette::Diagnostic;

use super::output::say;
use crate::blocking::{self, BlockingError};
use crate::generation::report_words;
use crate::git;
use crate::life::{Mode, Plan, ServeArgs, ServeError, plan};
use crate::lint;
use crate::release::addon::{self, Addon};
use crate::release::artefact::{PACKAGES_LAYER, PROJECT_LAYER, ReleaseConfig};
use crate::release::pack::{PackError, PackedLayer, pack};
use crate::release::reference::ReferenceError;
use crate::release::selection::{Selection, SelectionError, Suspicion};
use crate::release::unpack::{UnpackError, UnpackRoom, unpack};
use crate::release::upload::{PushResult, UploadProgress, upload};
use crate::release::{Registry, RegistryError, ReleaseReference};

pub(super) const HELP: &str = "Example:\n  docker login ghcr.io\n  baton push ghcr.io/acme/jobs:production";

/// The limit for the disk to give a project's files and to take the layers.
const PACKED_WITHIN: Duration = Duration::from_mins(30);
/// The most bytes of a `package.json`.
const LARGEST_PACKAGE_FILE: u64 = 4 << 20;

#[derive(Debug, Args)]
#[allow(missing_docs, reason = "clap would take it for a help text")]
pub struct PushArgs {
    /// The reference of the release: registry/repository:tag.
    reference: String,
    /// A folder of functions or an entry file, as for `baton start`.
    path: Option<PathBuf>,
    /// Upload this file although it looks like a secret. Repeat the flag for several files.
    #[arg(long, value_name = "FILE")]
    allow_file: Vec<String>,
    /// Refuse packages with native addons that are not for this platform: linux/amd64, linux/arm64, darwin/arm64.
    #[arg(long, value_name = "SYSTEM/PROCESSOR")]
    platform: Option<String>,
    /// Read variables from this file while the code loads. The file is not uploaded.
    #[arg(long, env = "BATON_ENV_FILE")]
    env_file: Option<PathBuf>,
    /// Print JSON instead of text.
    #[arg(long)]
    json: bool,
}

/// The reason why nothing was pushed.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[allow(missing_docs, reason = "each variant's text says it")]
pub enum PushError {
    #[error(transparent)]
    #[diagnostic(transparent)]
    Reference(#[from] ReferenceError),
    #[error("cannot push to a digest: {0}")]
    #[diagnostic(help("Name a tag: registry/repository:tag."))]
    NoTag(String),
    #[error("{0}")]
    Settings(clap::Error),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Serve(#[from] ServeError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Selection(#[from] SelectionError),
    #[error("these files look like secrets, and everyone who may pull the release could read them:\n{0}")]
    #[diagnostic(help("Name them in .batonignore, or give --allow-file FILE for each file that holds no secret."))]
    Secrets(String),
    #[error("the addon {file} is for {platform}, and --platform is {wanted}", file = .addon.file, platform = .addon.platform)]
    #[diagnostic(help("Install the packages on a machine of that platform, and push from there."))]
    Platform { addon: Addon, wanted: String },
    #[error(transparent)]
    Pack(#[from] PackError),
    #[error("cannot unpack the packed project: {0}")]
    #[diagnostic(help("Leave files out with .batonignore, or make room in the folder that TMPDIR names."))]
    Unpack(#[from] UnpackError),
    #[error("cannot create a temporary folder for the release: {0}")]
    #[diagnostic(help("Make room on the disk, or name another folder in TMPDIR."))]
    Scratch(#[source] std::io::Error),
    #[error(transparent)]
    Slow(#[from] BlockingError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Registry(#[from] RegistryError),
}

impl PushError {
    /// Returns 2 for a wrong argument, else 1 or the code with which a host ends that cannot start.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Reference(_) | Self::NoTag(_) | Self::Settings(_) => 2,
            Self::Serve(error) => error.exit_code(),
            _ => 1,
        }
    }
}

/// The settings that are known before anything is opened.
pub struct PushPlan {
    reference: ReleaseReference,
    plan: Plan,
    allowed: Vec<String>,
    platform: Option<String>,
    json: bool,
}

/// `ServeArgs` on a command line of their own.
#[derive(Parser)]
struct ServeOptions {
    #[command(flatten)]
    serve: ServeArgs,
}

/// Reads the arguments, and finds the project.
///
/// # Errors
/// When they are not understood, or there is no project.
pub fn prepare(args: &PushArgs) -> Result<PushPlan, PushError> {
    let reference: ReleaseReference = args.reference.parse()?;
    if reference.tag().is_none() {
        return Err(PushError::NoTag(reference.to_string()));
    }
    let words = [Some("baton".into())].into_iter().flatten();
    let words = words.chain(args.env_file.iter().flat_map(|file| ["--env-file".into(), file.into()]));
    let words: Vec<std::ffi::OsString> = words.chain(args.path.iter().map(Into::into)).collect();
    let ServeOptions { serve } = ServeOptions::try_parse_from(words).map_err(PushError::Settings)?;
    Ok(PushPlan {
        reference,
        plan: plan(&serve, Mode::Start(std::net::Ipv4Addr::LOCALHOST.into()))?,
        allowed: args.allow_file.clone(),
        platform: args.platform.clone(),
        json: args.json,
    })
}

/// Packs, checks and uploads.
///
/// # Errors
/// When nothing was pushed. Code that does not load is not such an error: its report is shown, and the exit code is 1.
pub async fn push(prepared: PushPlan, engine: Arc<dyn Engine>) -> Result<ExitCode, PushError> {
    let PushPlan {
        reference,
        plan,
        allowed,
        platform,
        json,
    } = prepared;
    let scratch = tempfile::Builder::new().prefix("baton-push-").tempdir();
    let scratch = scratch.map_err(PushError::Scratch)?;
    let bar = ProgressBar::new_spinner();
    bar.enable_steady_tick(Duration::from_millis(100));
    bar.set_message("packing");
    let (root, folder) = (plan.project.root.clone(), scratch.path().to_owned());
    let packed = blocking::run("packing", PACKED_WITHIN, move || {
        pack_project(&root, &folder, &allowed, platform.as_deref())
    });
    let PackedProject {
        layers,
        addons,
        left_out,
    } = packed.await??;
    bar.set_message("loading the code");
    let (manifest, warnings) = match load(&plan, &engine, scratch.path()).await {
        Ok(loaded) => loaded,
        Err(error) => {
            bar.finish_and_clear();
            eprintln!("{}nothing was uploaded", report_words::rejection(&error));
            return Ok(ExitCode::FAILURE);
        }
    };
    let config = describe(&plan.project, &manifest, addons).await;
    let registry = Registry::new(reference.clone());
    bar.set_style(
        ProgressStyle::with_template("{msg} {bytes}/{total_bytes} {bytes_per_sec}")
            .unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    bar.set_length(layers.iter().map(|layer| layer.descriptor.size).sum());
    bar.set_message("uploading");
    let shown = bar.clone();
    let pushed = upload(&registry, &layers, &config, move |progress| match progress {
        UploadProgress::Present => {}
        UploadProgress::Begins(size) => {
            shown.set_length(size);
            shown.set_position(0);
        }
        UploadProgress::Sent(bytes) => shown.inc(bytes),
    });
    let pushed = pushed.await;
    bar.finish_and_clear();
    let pushed = pushed?;
    if json {
        let warnings: Vec<_> = warnings.iter().collect();
        let report = serde_json::json!({
            "status": if pushed.unchanged { "unchanged" } else { "pushed" },
            "reference": reference.to_string(),
            "digest": pushed.digest,
            "uploaded": pushed.uploaded,
            "functions": config.functions,
            "warnings": warnings,
        });
        say(format_args!("{report}\n"));
    } else {
        for warning in &warnings {
            eprint!("{}", report_words::warning(warning));
        }
        if !left_out.is_empty() {
            eprintln!("left out: {}", left_out.join(", "));
        }
        say(summary(&reference, &pushed, &layers, &config));
    }
    Ok(ExitCode::SUCCESS)
}

fn summary(
    reference: &ReleaseReference,
    pushed: &PushResult,
    layers: &[PackedLayer],
    config: &ReleaseConfig,
) -> String {
    let sizes: Vec<String> = layers
        .iter()
        .map(|layer| {
            let name = match layer.descriptor.media_type.as_str() {
                PROJECT_LAYER => "project",
                _ => "packages",
            };
            let (packed, unpacked) = (layer.descriptor.size, layer.unpacked);
            format!(
                "{name} {} of {}",
                indicatif::DecimalBytes(packed),
                indicatif::DecimalBytes(unpacked)
            )
        })
        .collect();
    let (uploaded, functions) = (indicatif::DecimalBytes(pushed.uploaded), config.functions.len());
    let word = match pushed.unchanged {
        true => "unchanged".to_owned(),
        false => format!("pushed ({uploaded} uploaded)"),
    };
    format!(
        "{word}: {reference}, {functions} function(s), {}\n{}\n",
        sizes.join(", "),
        pushed.digest
    )
}

struct PackedProject {
    layers: Vec<PackedLayer>,
    addons: Vec<Addon>,
    /// The environment files of the project, which are not in the release.
    left_out: Vec<String>,
}

/// Packs a project's files into the scratch folder, and unpacks them there into `release`.
fn pack_project(
    root: &Path,
    scratch: &Path,
    allowed: &[String],
    platform: Option<&str>,
) -> Result<PackedProject, PushError> {
    let selection = Selection::of(root)?;
    refuse_secrets(&selection.suspicious, allowed)?;
    if let Some(wanted) = platform
        && let Some(addon) = addon::unfit(&selection.addons, wanted)
    {
        return Err(PushError::Platform {
            addon: addon.clone(),
            wanted: wanted.to_owned(),
        });
    }
    let layers = [
        ("packages", PACKAGES_LAYER, &selection.packages),
        ("project", PROJECT_LAYER, &selection.project),
    ];
    let layers = layers.map(|(name, media_type, files)| pack(root, files, media_type, scratch.join(name)));
    let layers = layers.into_iter().collect::<Result<Vec<_>, _>>()?;
    let release = scratch.join("release");
    fs::create_dir(&release).map_err(PushError::Scratch)?;
    let mut room = UnpackRoom::default();
    for layer in &layers {
        let file = File::open(&layer.file).map_err(PushError::Scratch)?;
        unpack(BufReader::new(file), &release, None, &mut room)?;
    }
    let own = selection
        .environment_files
        .iter()
        .filter(|file| !file.starts_with("node_modules"));
    Ok(PackedProject {
        layers,
        addons: selection.addons,
        left_out: own.map(|file| file.display().to_string()).collect(),
    })
}

fn refuse_secrets(suspicious: &[Suspicion], allowed: &[String]) -> Result<(), PushError> {
    let is_allowed = |file: &str| allowed.iter().any(|allowed| allowed.trim_start_matches("./") == file);
    let lines: Vec<String> = suspicious
        .iter()
        .filter(|suspicion| !is_allowed(&suspicion.file))
        .map(|Suspicion { file, why }| format!("  {file}: {why}"))
        .collect();
    match lines.is_empty() {
        true => Ok(()),
        false => Err(PushError::Secrets(lines.join("\n"))),
    }
}

/// Loads the code of the release that was unpacked into the scratch folder.
async fn load(plan: &Plan, engine: &Arc<dyn Engine>, scratch: &Path) -> Result<(Manifest, Vec<Warning>), LoadError> {
    let root = scratch.join("release");
    let moved = |path: &Path| root.join(path.strip_prefix(&plan.project.root).unwrap_or(path));
    let project = Project {
        entry: match &plan.project.entry {
            Entry::Folder(path) => Entry::Folder(moved(path)),
            Entry::File(path) => Entry::File(moved(path)),
        },
        root: root.clone(),
        ..plan.project.clone()
    };
    let reading = engine.clone();
    let read = blocking::run("reading the release", plan.limits.load, move || {
        reading
            .read(project)
            .and_then(|sources| sources.obtain_secrets().map(|()| sources))
    });
    let sources = read.await.unwrap_or_else(|error| {
        Err(LoadError {
            message: error.to_string(),
            ..LoadError::default()
        })
    })?;
    let request = LoadRequest {
        name: "push".to_owned(),
        sources,
        timeout: plan.limits.load,
        queue: Arc::new(CallQueue::default()),
        memory: plan.limits.memory,
        progress: LoadProgress::default(),
        reach: Reach::World,
    };
    let loaded = engine.load(request).await?;
    loaded.isolate.close();
    loaded.isolate.ended().await;
    let mut warnings = loaded.manifest.warnings.clone();
    warnings.extend(lint::look(&loaded.manifest, None));
    match lint::denied(&warnings, &plan.limits.deny) {
        Some(denied) => Err(denied),
        None => Ok((loaded.manifest, warnings)),
    }
}

async fn describe(project: &Project, manifest: &Manifest, addons: Vec<Addon>) -> ReleaseConfig {
    let root = &project.root;
    let package = |file: &Path, key: &str| -> Option<String> {
        let text = regular_file::read(&root.join(file), LARGEST_PACKAGE_FILE).ok()?;
        let json: serde_json::Value = serde_json::from_slice(&text).ok()?;
        json.get(key)?.as_str().map(str::to_owned)
    };
    let folder = || root.file_name().map(|name| name.to_string_lossy().into_owned());
    let entry = project.entry.path();
    let mut functions: Vec<_> = manifest.functions().map(|(_, function)| function.id.clone()).collect();
    functions.sort();
    ReleaseConfig {
        name: package("package.json".as_ref(), "name")
            .or_else(folder)
            .unwrap_or_default(),
        entry: entry.strip_prefix(root).unwrap_or(entry).display().to_string(),
        git: git::head(root).await.map(|head| head.to_string()),
        functions,
        inngest: package("node_modules/inngest/package.json".as_ref(), "version"),
        addons,
        baton: env!("CARGO_PKG_VERSION").to_owned(),
        created: Timestamp::now(),
    }
}
