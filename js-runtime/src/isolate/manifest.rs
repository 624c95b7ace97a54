//! What a loaded project consists of, and what of it deserves a warning.

use std::path::PathBuf;

use deno_core::url::Url;
use js_runtime_api::{App, Function, Manifest, Warning};

use crate::loader::Modules;
use crate::prelude::{Note, ServedFunction, ServedProject};

/// Describes a project by what its handlers told.
pub(super) fn manifest(served: ServedProject, modules: &Modules) -> Manifest {
    let fetch = served.fetch;
    let mut apps: Vec<App> = served
        .apps
        .into_iter()
        .map(|app| App {
            id: app.id,
            functions: app
                .functions
                .into_iter()
                .map(|function| described(function, modules))
                .collect(),
        })
        .collect();
    apps.sort_by(|one, other| one.id.cmp(&other.id));
    let mut warnings: Vec<Warning> = apps
        .iter()
        .flat_map(|app| &app.functions)
        .filter_map(retries_zero)
        .collect();
    warnings.extend(served.notes.into_iter().map(warning));
    if fetch && apps.is_empty() {
        let path = &modules.sources.project().serve_path;
        warnings.push(Warning {
            code: "functions_unknown",
            function: None,
            message: format!(
                "the app did not tell its functions at {path}: they are served all the same \
                 (`[inngest] serve_path` in baton.toml, if it serves Inngest elsewhere)"
            ),
        });
    }
    Manifest { apps, fetch, warnings }
}

fn warning(Note { code, message }: Note) -> Warning {
    Warning {
        code: match code.as_str() {
            "not_served" => "not_served",
            _ => "ignored_option",
        },
        function: None,
        message,
    }
}

fn described(function: ServedFunction, modules: &Modules) -> Function {
    let file: Option<PathBuf> = function
        .module
        .and_then(|module| Url::parse(&module).ok())
        .and_then(|url| url.to_file_path().ok());
    Function {
        id: function.id,
        name: function.name,
        triggers: function.triggers,
        retries: function.retries,
        config: function.config,
        source_hash: file.as_deref().map(|file| modules.sources.hash_of_module(file)),
        file,
    }
}

fn retries_zero(function: &Function) -> Option<Warning> {
    (function.retries == Some(0)).then(|| Warning {
        code: "retries_zero",
        function: Some(function.id.clone()),
        message: format!(
            "{} has `retries: 0`: one call that is lost on the way fails its run for good",
            function.id
        ),
    })
}
