//! The meaning of a specifier at the place where it is written: a file, a module of a package, or one of our modules.

use std::path::Path;

use deno_core::url::Url;
use deno_error::JsErrorBox;
use js_runtime_api::{LoadError, LoadErrorKind};

use super::{Modules, commonjs};
use crate::diagnostics::source_text;
use crate::position::{Position, display_path};
use crate::resolve::node::{folder_of_package, package_name};
use crate::resolve::relative;
use crate::source::bundled;
use crate::source::imports::offset_of_import;
use crate::{own_modules, prelude};

/// The place of a specifier that names a package.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct SpecifierPlace {
    specifier: String,
    /// The folder of the file.
    folder: String,
    /// Files of different kinds may get different files for one specifier: `.ts`, `.cts`.
    extension: String,
}

impl SpecifierPlace {
    fn of(specifier: &str, referrer: &Url) -> Self {
        let (folder, file) = referrer.as_str().rsplit_once('/').unwrap_or_default();
        let (_, extension) = file.rsplit_once('.').unwrap_or_default();
        Self {
            specifier: specifier.to_owned(),
            folder: folder.to_owned(),
            extension: extension.to_owned(),
        }
    }
}

impl Modules {
    pub(super) fn resolve(&self, specifier: &str, referrer: &str) -> Result<Url, JsErrorBox> {
        // The prelude itself is named by a full URL and referred to by nothing.
        let referrer = match Url::parse(referrer) {
            Ok(referrer) if !own_modules::is_own(specifier) && !prelude::is_own(specifier) => referrer,
            _ => return Url::parse(specifier).map_err(JsErrorBox::from_err),
        };
        if let Some(built_in) = self.built_ins.resolve(specifier, &referrer) {
            return built_in.map_err(|message| self.fail(self.resolve_error(specifier, &referrer, message, None)));
        }
        if let Some(known) = self.sources.resolved(specifier, referrer.as_str()) {
            let known = Url::parse(&known).map_err(JsErrorBox::from_err)?;
            self.note_import(&referrer, &known);
            return Ok(known);
        }
        if specifier == bundled::COMMONJS_NAMES {
            return bundled::names_for(&referrer).ok_or_else(|| JsErrorBox::generic("not a file"));
        }
        if specifier == commonjs::EXPORTS {
            return commonjs::exports_for(&referrer).ok_or_else(|| JsErrorBox::generic("not a file"));
        }
        let is_package = self.node.is_package(&referrer)?;
        let found = if relative::is_relative(specifier) && !is_package {
            let url = referrer.join(specifier).map_err(JsErrorBox::from_err)?;
            relative::find(&url, &self.sources).ok_or_else(|| self.fail(self.missing(specifier, &referrer, "")))?
        } else if let Some(known) = self.found.borrow().get(&SpecifierPlace::of(specifier, &referrer)) {
            known.clone()
        } else if let Some(found) = self.mapped(specifier, &referrer, is_package)? {
            found
        } else {
            self.note_linked_package(specifier, &referrer);
            let found = self.node.resolve(specifier, &referrer);
            let found = found.or_else(|error| self.as_bundlers_find(specifier, &referrer, is_package).ok_or(error));
            found.map_err(|error| self.fail(self.missing(specifier, &referrer, &error.to_string())))?
        };
        let found = self.for_importer(&referrer, found)?;
        if !relative::is_relative(specifier) {
            let place = SpecifierPlace::of(specifier, &referrer);
            self.found.borrow_mut().insert(place, found.clone());
        }
        self.note_import(&referrer, &found);
        self.sources.note_resolved(specifier, referrer.as_str(), found.as_str());
        Ok(found)
    }

    /// Returns the file of the project to which a specifier leads, for messages about it.
    pub(crate) fn found(&self, specifier: &str, referrer: &Url) -> Option<Url> {
        if relative::is_relative(specifier) {
            return relative::find(&referrer.join(specifier).ok()?, &self.sources);
        }
        self.mapped(specifier, referrer, false).ok()?
    }

    /// Returns the file to which `paths` and `baseUrl` of the importing file's tsconfig.json lead.
    pub(crate) fn mapped(&self, specifier: &str, referrer: &Url, is_package: bool) -> Result<Option<Url>, JsErrorBox> {
        if is_package || specifier.contains(':') || specifier.starts_with('#') || self.node.is_builtin(specifier) {
            return Ok(None);
        }
        let places = self.compiler_options(referrer)?.places(specifier);
        let mut urls = places.iter().filter_map(|place| Url::from_file_path(place).ok());
        Ok(urls.find_map(|url| relative::find(&url, &self.sources)))
    }

    /// Finds a file in a package that does not say what it exports, without the file's extension: `lodash/fp`.
    fn as_bundlers_find(&self, specifier: &str, referrer: &Url, is_package: bool) -> Option<Url> {
        let package = package_name(specifier).filter(|_| !is_package)?;
        let inside = specifier.strip_prefix(package)?.strip_prefix('/')?;
        let folder = folder_of_package(package, referrer)?;
        let package_json = self.sources.package_json(&folder.join("package.json"))?;
        let url = Url::from_file_path(folder.join(inside)).ok()?;
        package_json
            .exports
            .is_none()
            .then(|| relative::find(&url, &self.sources))?
    }

    pub(crate) fn note_import(&self, referrer: &Url, found: &Url) {
        if let (Ok(from), Ok(to)) = (referrer.to_file_path(), found.to_file_path()) {
            self.sources.note_import(&from, &to);
        }
    }

    /// Notes a package of the workspace: it is a link in `node_modules`, which may be made to lead elsewhere.
    fn note_linked_package(&self, specifier: &str, referrer: &Url) {
        let folder = package_name(specifier).and_then(|package| folder_of_package(package, referrer));
        if let Some(folder) = folder.filter(|folder| folder.is_symlink()) {
            // A link that leads nowhere fails below.
            let _ = self.sources.canonical(&folder);
        }
    }

    /// Returns the error for a specifier that leads nowhere; in other words than `reason` where more is known.
    pub(crate) fn missing(&self, specifier: &str, referrer: &Url, reason: &str) -> LoadError {
        let root = &self.sources.project().root;
        let (message, help) = match (package_name(specifier), referrer.join(specifier)) {
            // No package has such a name: it is an alias of a folder.
            _ if ALIASES.iter().any(|alias| specifier.starts_with(alias)) => (
                format!("cannot find {specifier:?}: no path in tsconfig.json leads to a file"),
                Some(format!(
                    "Map it in tsconfig.json, below compilerOptions: \"paths\": {{ \"{alias}*\": [\"./*\"] }}.",
                    alias = &specifier[..2]
                )),
            ),
            (Some(package), _) if folder_of_package(package, referrer).is_none() => (
                format!("cannot find the package {package:?}"),
                Some(format!(
                    "Correct the name, or run `npm install {package}` in {}.",
                    root.display()
                )),
            ),
            (None, Ok(url)) if relative::is_relative(specifier) => {
                let path = display_path(&url);
                let help = url.to_file_path().ok().and_then(|path| neighbours(&path));
                (format!("cannot find {specifier:?}: there is no file {path}"), help)
            }
            _ => (reason.to_owned(), None),
        };
        self.resolve_error(specifier, referrer, message, help)
    }

    fn resolve_error(&self, specifier: &str, referrer: &Url, message: String, help: Option<String>) -> LoadError {
        let text = source_text(referrer, &self.sources);
        let offset = offset_of_import(referrer, &text, specifier);
        LoadError {
            help,
            ..Position::of_offset(referrer, &text, offset).into_error(LoadErrorKind::Resolve, message)
        }
    }
}

/// The prefixes of specifiers that projects map to their own folders.
const ALIASES: [&str; 2] = ["@/", "~/"];

/// The most files that a help names.
const MOST_NEIGHBOURS: usize = 8;

/// Names the files that are where a missing file was looked for.
fn neighbours(missing: &Path) -> Option<String> {
    let folder = missing.parent()?;
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Some(format!("Correct the path: there is no folder {}.", folder.display()));
    };
    let names = entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<_> = names.filter(|name| !name.starts_with('.')).collect();
    names.sort();
    let more = names.len().saturating_sub(MOST_NEIGHBOURS);
    names.truncate(MOST_NEIGHBOURS);
    let more = if more == 0 {
        String::new()
    } else {
        format!(" and {more} more")
    };
    let names = names.join(", ");
    (!names.is_empty()).then(|| format!("Correct the path: {} has {names}{more}.", folder.display()))
}
