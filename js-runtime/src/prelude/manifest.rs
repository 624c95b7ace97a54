//! The parts of a loaded project, and the findings in its text about them.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use deno_core::url::Url;
use js_runtime_api::{App, Client, ConnectionOptions, Definition, Function, Manifest, Warning};

use super::findings::{DefinedFunction, Findings};
use super::{LoadNote, ServedClient, ServedConnection, ServedFunction, ServedProject};
use crate::source::hashes::Hashes;
use crate::source::snapshot::SourceSnapshot;

/// Describes a project by the answers of its handlers, and by its text.
pub(crate) fn manifest(
    served: ServedProject,
    findings: Vec<(Url, Arc<Findings>)>,
    sources: &SourceSnapshot,
) -> Manifest {
    let texts = TextFindings::of(findings, &sources.project().root);
    let mut hashes = Hashes::of(sources);
    let fetch = served.fetch;
    let mut apps: Vec<App> = served
        .apps
        .into_iter()
        .map(|app| App {
            functions: app
                .functions
                .into_iter()
                .map(|function| described(function, &app.id, &mut hashes, &texts))
                .collect(),
            id: app.id,
            client: client(app.client),
        })
        .collect();
    drop(hashes);
    apps.sort_by(|one, other| one.id.cmp(&other.id));
    let mut warnings: Vec<Warning> = served.notes.into_iter().map(warning).collect();
    if fetch && apps.is_empty() {
        let path = &sources.project().serve_path;
        warnings.push(Warning {
            code: "functions_unknown".into(),
            message: format!("the app did not list its functions at {path}: they are served anyway"),
            help: Some(
                "If the app serves them at another path, set serve_path below [inngest] in baton.toml.".to_owned(),
            ),
            ..Warning::default()
        });
    }
    warnings.extend(texts.warnings(&apps));
    let connect = served.connect.map(connection);
    Manifest {
        apps,
        fetch,
        connect,
        warnings,
    }
}

fn warning(LoadNote { code, message, help }: LoadNote) -> Warning {
    Warning {
        code: match code.as_str() {
            "not_served" => "not_served",
            _ => "ignored_option",
        }
        .into(),
        message,
        help: Some(help),
        ..Warning::default()
    }
}

fn client(served: ServedClient) -> Client {
    Client {
        dev: served.dev,
        api: served.api,
        url: served.url,
        key: served.key,
        signing_key: served.signing_key,
        signing_key_fallback: served.signing_key_fallback,
        env: served.env,
        app_version: served.app_version,
        sdk: served.sdk,
    }
}

fn connection(asked: ServedConnection) -> ConnectionOptions {
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is within bounds"
    )]
    let limit =
        |limit: f64| (limit.fract() == 0.0 && (1.0..=f64::from(u32::MAX)).contains(&limit)).then_some(limit as u32);
    ConnectionOptions {
        instance_id: asked.instance_id,
        max_worker_concurrency: asked.max_worker_concurrency.and_then(limit).and_then(NonZeroU32::new),
        gateway_url: asked.gateway_url,
        signing_key: asked.signing_key,
        signing_key_fallback: asked.signing_key_fallback,
    }
}

fn described(function: ServedFunction, app: &str, hashes: &mut Hashes<'_>, texts: &TextFindings) -> Function {
    let file: Option<PathBuf> = function
        .module
        .and_then(|module| Url::parse(&module).ok())
        .and_then(|url| url.to_file_path().ok());
    Function {
        definition: texts.definition(app, &function.id, file.as_deref()),
        id: function.id,
        name: function.name,
        triggers: function.triggers,
        retries: function.retries,
        retries_defaulted: function.defaulted,
        config: function.config,
        source_hash: file.as_deref().map(|file| hashes.of_module(file)),
        file,
    }
}

/// The findings in the project's texts.
struct TextFindings {
    defined: Vec<(PathBuf, DefinedFunction)>,
    warnings: Vec<Warning>,
}

impl TextFindings {
    fn of(findings: Vec<(Url, Arc<Findings>)>, root: &Path) -> Self {
        let mut texts = Self {
            defined: Vec::new(),
            warnings: Vec::new(),
        };
        for (url, found) in findings {
            let Ok(path) = url.to_file_path() else { continue };
            let file = shown(&path, root);
            for warning in &found.warnings {
                texts.warnings.push(Warning {
                    file: Some(file.clone()),
                    ..warning.clone()
                });
            }
            for defined in &found.functions {
                let definition = Definition {
                    file: file.clone(),
                    ..defined.definition.clone()
                };
                let defined = DefinedFunction {
                    definition,
                    id: defined.id.clone(),
                };
                texts.defined.push((path.clone(), defined));
            }
        }
        texts
    }

    /// Returns the definition of a function: by its id, in the module that exports the function if it is there; else
    /// the only definition of that module.
    fn definition(&self, app: &str, id: &str, module: Option<&Path>) -> Option<Definition> {
        let own = id.strip_prefix(app).and_then(|id| id.strip_prefix('-')).unwrap_or(id);
        let named = || {
            self.defined
                .iter()
                .filter(|(_, defined)| defined.id.as_deref() == Some(own))
        };
        let in_module = |(path, _): &&(PathBuf, DefinedFunction)| Some(path.as_path()) == module;
        let found = named().find(in_module).or_else(|| named().next()).or_else(|| {
            let mut of_module = self.defined.iter().filter(in_module);
            let only = of_module.next()?;
            // A function with an id of its own is another function.
            (of_module.next().is_none() && only.1.id.is_none()).then_some(only)
        });
        found.map(|(_, defined)| defined.definition.clone())
    }

    /// Returns the warnings about functions that are served, and those about code that belongs to no function.
    fn warnings(self, apps: &[App]) -> Vec<Warning> {
        let composite = |warning: &Warning| {
            let id = warning.function.as_deref()?;
            let mut all = apps
                .iter()
                .flat_map(|app| app.functions.iter().map(move |function| (app, function)));
            let served = all.find(|(app, function)| function.id == format!("{}-{id}", app.id));
            served.map(|(_, function)| function.id.clone())
        };
        self.warnings
            .into_iter()
            .map(|warning| Warning {
                function: composite(&warning),
                ..warning
            })
            .collect()
    }
}

fn shown(path: &Path, root: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).display().to_string()
}
