//! Packages, builtins and `#imports`, by Deno's own resolver crates over the project's
//! `node_modules`.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use deno_ast::MediaType;
use deno_core::url::Url;
use deno_error::JsErrorBox;
use deno_resolver::cjs::IsCjsResolutionMode;
use deno_resolver::factory::{
    ConfigDiscoveryOption, ResolverFactory, ResolverFactoryOptions, WorkspaceFactory, WorkspaceFactoryOptions,
};
use deno_resolver::npm::{DenoInNpmPackageChecker, NpmResolver};
use deno_runtime::deno_node::{NodeExtInitServices, NodeRequireLoader};
use node_resolver::analyze::CjsAnalysisSourceProvider;
use node_resolver::{
    DenoIsBuiltInNodeModuleChecker, InNpmPackageChecker, IsBuiltInNodeModuleChecker as _, NodeConditionOptions,
    NodeResolutionKind, NodeResolverOptions, ResolutionMode, UrlOrPathRef,
};
use sys_traits::impls::RealSys;

use super::analysis::Analysis;
use super::package_json::PackageJsons;
use super::relative;
use crate::source::caches::{Analyses, Caches};
use crate::source::newest::first_eight_bytes;
use crate::source::snapshot::SourceSnapshot;
use crate::source::tsconfig::TsConfigs;

/// The services that Deno's Node layer wants, in the types that everybody uses.
pub(crate) type NodeServices = NodeExtInitServices<DenoInNpmPackageChecker, NpmResolver<RealSys>, RealSys>;

/// The resolution, made anew for each isolate: it remembers the answers of the disk. The files that decide come from
/// the source snapshot.
pub(crate) struct NodeResolution(ResolverFactory<RealSys>, Arc<Analyses>);

impl NodeResolution {
    pub(crate) fn new(sources: &Arc<SourceSnapshot>, deno_dir: PathBuf, caches: Arc<Caches>) -> Self {
        let root = sources.project().root.as_path();
        let package_json = sources.read(&root.join("package.json"));
        let content = package_json.map_or(0, |file| first_eight_bytes(&file.hash));
        let mut workspace = WorkspaceFactory::new(
            RealSys,
            root.to_owned(),
            WorkspaceFactoryOptions {
                // A package.json there means: packages come from node_modules, as in Node.
                config_discovery: ConfigDiscoveryOption::Discover {
                    start_paths: vec![root.to_owned()],
                },
                root_node_modules_dir_override: Some(root.join("node_modules")),
                maybe_custom_deno_dir_root: Some(deno_dir),
                no_lock: true,
                ..Default::default()
            },
        );
        let conditions = conditions(sources);
        let root = root.to_owned();
        if let Some(known) = caches.workspaces.get(&root, content) {
            workspace.set_workspace_directory(known);
        } else if let Ok(found) = workspace.workspace_directory() {
            // A package.json that cannot be read is reported where it is needed.
            caches.workspaces.put(root, content, found.clone());
        }
        let analyses = Arc::new(Analyses {
            caches,
            sources: sources.clone(),
        });
        let factory = ResolverFactory::new(
            Arc::new(workspace),
            ResolverFactoryOptions {
                is_cjs_resolution_mode: IsCjsResolutionMode::ImplicitTypeCommonJs,
                node_analysis_cache: Some(analyses.clone()),
                package_json_cache: Some(Arc::new(PackageJsons(sources.clone()))),
                node_resolver_options: NodeResolverOptions {
                    conditions: NodeConditionOptions {
                        // Packages that have a "deno" build give Node's build to Node.
                        conditions,
                        import_conditions_override: Some(vec!["node".into(), "import".into(), "module-sync".into()]),
                        ..Default::default()
                    },
                    ..Default::default()
                },
                ..Default::default()
            },
        );
        Self(factory, analyses)
    }

    /// Makes the analysis of a CommonJS file's exports.
    pub(crate) fn analysis(&self, url: &Url, code: &Arc<str>) -> Result<Analysis, JsErrorBox> {
        Ok(Analysis {
            analyses: self.1.clone(),
            tracker: self.cjs_tracker()?.clone(),
            url: url.clone(),
            code: code.clone(),
        })
    }

    pub(crate) fn services(&self, require: Rc<dyn NodeRequireLoader>) -> Result<NodeServices, JsErrorBox> {
        Ok(NodeExtInitServices {
            node_require_loader: require,
            node_resolver: self.0.node_resolver().map_err(js_error)?.clone(),
            pkg_json_resolver: self.0.pkg_json_resolver().clone(),
            sys: RealSys,
        })
    }

    /// Tells whether the module belongs to an installed package.
    pub(crate) fn is_package(&self, url: &Url) -> Result<bool, JsErrorBox> {
        Ok(self.0.in_npm_package_checker().map_err(js_error)?.in_npm_package(url))
    }

    /// Tells whether the specifier names one of Node's own modules.
    pub(crate) fn is_builtin(&self, specifier: &str) -> bool {
        DenoIsBuiltInNodeModuleChecker.is_builtin_node_module(specifier)
    }

    /// Resolves as Node does for an `import`.
    pub(crate) fn resolve(&self, specifier: &str, referrer: &Url) -> Result<Url, JsErrorBox> {
        let mode = self.0.cjs_tracker().map_err(js_error)?.get_referrer_kind(referrer);
        self.0
            .node_resolver()
            .map_err(js_error)?
            .resolve(specifier, referrer, mode, NodeResolutionKind::Execution)
            .and_then(node_resolver::NodeResolution::into_url)
            .map_err(JsErrorBox::from_err)
    }

    /// Resolves as Node does for a `require`.
    pub(crate) fn resolve_required(&self, specifier: &str, referrer: &Url) -> Result<Url, JsErrorBox> {
        self.0
            .node_resolver()
            .map_err(js_error)?
            .resolve(
                specifier,
                referrer,
                ResolutionMode::Require,
                NodeResolutionKind::Execution,
            )
            .and_then(node_resolver::NodeResolution::into_url)
            .map_err(JsErrorBox::from_err)
    }

    /// Resolves a package's own name in one of its files, as `require` does.
    pub(crate) fn resolve_self(&self, specifier: &str, file: &Path) -> Option<PathBuf> {
        let package = self.0.pkg_json_resolver().get_closest_package_json(file).ok()??;
        let exports = package.exports.as_ref()?;
        let rest = specifier.strip_prefix(package.name.as_deref()?)?;
        if !rest.is_empty() && !rest.starts_with('/') {
            return None;
        }
        let resolver = self.0.node_resolver().ok()?;
        let found = resolver.package_exports_resolve(
            &package.path,
            &format!(".{rest}"),
            exports,
            Some(&UrlOrPathRef::from_path(&package.path)),
            ResolutionMode::Require,
            resolver.require_conditions(),
            NodeResolutionKind::Execution,
        );
        found.ok()?.into_path().ok()
    }

    /// Tells whether a package's file is CommonJS.
    pub(crate) fn is_maybe_cjs(&self, url: &Url, media_type: MediaType) -> Result<bool, JsErrorBox> {
        let tracker = self.0.cjs_tracker().map_err(js_error)?;
        tracker.is_maybe_cjs(url, media_type).map_err(JsErrorBox::from_err)
    }

    /// Tells whether a parsed file is CommonJS; `is_script` says that the file has no import or export.
    pub(crate) fn is_cjs(&self, url: &Url, media_type: MediaType, is_script: bool) -> Result<bool, JsErrorBox> {
        let tracker = self.0.cjs_tracker().map_err(js_error)?;
        tracker
            .is_cjs_with_known_is_script(url, media_type, is_script)
            .map_err(JsErrorBox::from_err)
    }

    /// Returns the factory's tracker, for `require`.
    pub(crate) fn cjs_tracker(
        &self,
    ) -> Result<&deno_resolver::cjs::CjsTrackerRc<DenoInNpmPackageChecker, RealSys>, JsErrorBox> {
        self.0.cjs_tracker().map_err(js_error)
    }

    /// Wraps CommonJS code in an ES module with its named exports, also those of the files that the code exports
    /// again, which `files` reads.
    pub(crate) async fn cjs_to_esm(
        &self,
        url: &Url,
        code: Arc<str>,
        files: &dyn CjsAnalysisSourceProvider,
    ) -> Result<Arc<str>, JsErrorBox> {
        let translator = self.0.node_code_translator().map_err(js_error)?;
        let esm = translator
            .translate_cjs_to_esm_with_source_provider(url, Some(code.to_string().into()), Some(files))
            .await
            .map_err(JsErrorBox::from_err)?;
        Ok(esm.into_owned().into())
    }
}

/// Returns the conditions that the project names. A tsconfig.json that cannot be used is reported where it is needed.
fn conditions(sources: &SourceSnapshot) -> Vec<Cow<'static, str>> {
    let options = TsConfigs::default().of_project(sources);
    let of_tsconfig = options.ok().and_then(|options| options.custom_conditions.clone());
    let of_project = sources.project().conditions.iter().cloned();
    of_project
        .chain(of_tsconfig.into_iter().flatten())
        .map(Cow::Owned)
        .collect()
}

fn js_error(error: impl std::fmt::Display) -> JsErrorBox {
    JsErrorBox::generic(format!("{error:#}"))
}

/// Returns the package that a specifier names, unless it names a builtin, an internal import or a URL.
pub(crate) fn package_name(specifier: &str) -> Option<&str> {
    if specifier.starts_with('#') || specifier.contains(':') || relative::is_relative(specifier) {
        return None;
    }
    let slashes = if specifier.starts_with('@') { 2 } else { 1 };
    let end = specifier
        .match_indices('/')
        .nth(slashes - 1)
        .map_or(specifier.len(), |(at, _)| at);
    specifier.get(..end)
}

/// Returns the package's folder in the nearest `node_modules` that holds it, as the module sees it.
pub(crate) fn folder_of_package(package: &str, referrer: &Url) -> Option<PathBuf> {
    let path = referrer.to_file_path().ok()?;
    path.ancestors()
        .map(|folder| folder.join("node_modules").join(package))
        .find(|folder| folder.exists())
}

#[cfg(test)]
mod tests {
    use super::package_name;

    #[test]
    fn a_package_is_told_from_builtins_internals_and_files() {
        assert_eq!(package_name("inngest/edge"), Some("inngest"));
        assert_eq!(package_name("@scope/name/sub"), Some("@scope/name"));
        assert_eq!(package_name("zod"), Some("zod"));
        assert_eq!(package_name("node:fs"), None);
        assert_eq!(package_name("#internal"), None);
        assert_eq!(package_name("./x"), None);
    }
}
