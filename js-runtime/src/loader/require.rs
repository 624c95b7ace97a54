//! `require`: the same files, the same transpiler, synchronously.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use deno_ast::MediaType;
use deno_core::url::Url;
use deno_core::{FastString, OpState, op2};
use deno_error::JsErrorBox;
use deno_runtime::deno_node::NodeRequireLoader;
use deno_runtime::deno_permissions::PermissionsContainer;
use node_resolver::errors::PackageJsonLoadError;

use super::Modules;
use crate::resolve::relative;

/// Finds the file for `require` before Node's own search: in place of Deno's look at whether a package requires
/// itself, which comes at the same point.
///
/// For a module of the project that was compiled, finds the same as TypeScript, `paths` included. For any other
/// module of the project, does so where the specifier is in `paths`, or the file is there in TypeScript only.
#[op2]
#[string]
pub(crate) fn op_baton_require_first(
    state: &mut OpState,
    #[string] file: &str,
    #[string] request: &str,
) -> Result<Option<String>, JsErrorBox> {
    let modules = state.borrow::<Rc<Modules>>().clone();
    modules.required_first(request, Path::new(file))
}

impl Modules {
    fn required_first(&self, request: &str, file: &Path) -> Result<Option<String>, JsErrorBox> {
        let text = |path: PathBuf| path.to_string_lossy().into_owned();
        let Ok(referrer) = Url::from_file_path(file) else {
            return Ok(None);
        };
        if !self.node.is_package(&referrer)?
            && let Some(found) = self.required_by_project(request, &referrer)?
            && let Ok(path) = found.to_file_path()
        {
            return Ok(Some(text(path)));
        }
        Ok(self.node.resolve_self(request, file).map(text))
    }

    fn required_by_project(&self, request: &str, referrer: &Url) -> Result<Option<Url>, JsErrorBox> {
        if self.is_compiled(referrer)? {
            let found = self.required_file(request, referrer)?;
            if let Some(found) = &found {
                self.note_import(referrer, found);
            }
            return Ok(found);
        }
        if !relative::is_relative(request) {
            return self.mapped(request, referrer, false);
        }
        let url = referrer.join(request).map_err(JsErrorBox::from_err)?;
        let is_nodes = url.to_file_path().is_ok_and(|path| is_for_node(&path));
        Ok((!is_nodes).then(|| relative::find(&url, &self.sources)).flatten())
    }
}

/// Tells whether Node finds something at the path.
fn is_for_node(path: &Path) -> bool {
    let with = |end: &str| {
        let mut path = path.as_os_str().to_owned();
        path.push(end);
        PathBuf::from(path).is_file()
    };
    let ends = ["", ".js", ".json", ".node", ".cjs", ".mjs"];
    let inside = ["/package.json", "/index.js", "/index.json", "/index.node"];
    ends.into_iter().chain(inside).any(with)
}

/// The loader that Deno's Node layer asks for the needs of `require`.
pub(crate) struct RequireLoader(pub(crate) Rc<Modules>);

impl NodeRequireLoader for RequireLoader {
    fn ensure_read_permission<'a>(
        &self,
        _permissions: &mut PermissionsContainer,
        path: Cow<'a, Path>,
    ) -> Result<Cow<'a, Path>, JsErrorBox> {
        Ok(path)
    }

    fn load_text_file_lossy(&self, path: &Path) -> Result<FastString, JsErrorBox> {
        let url = Url::from_file_path(path)
            .map_err(|()| JsErrorBox::generic(format!("{} is not an absolute path", path.display())))?;
        let code: Arc<str> = self.0.required(&url, path)?;
        Ok(code.into())
    }

    fn is_maybe_cjs(&self, url: &Url) -> Result<bool, PackageJsonLoadError> {
        match self.0.node.cjs_tracker() {
            Ok(tracker) => tracker.is_maybe_cjs(url, MediaType::from_specifier(url)),
            Err(_) => Ok(true),
        }
    }

    fn is_maybe_cjs_from_require(&self, url: &Url) -> Result<bool, PackageJsonLoadError> {
        match self.0.node.cjs_tracker() {
            Ok(tracker) => tracker.is_maybe_cjs_from_require(url, MediaType::from_specifier(url)),
            Err(_) => Ok(true),
        }
    }
}
