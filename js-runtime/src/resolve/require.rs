//! `require`: the same files, the same transpiler, synchronously.

use std::borrow::Cow;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use deno_ast::MediaType;
use deno_core::FastString;
use deno_core::url::Url;
use deno_error::JsErrorBox;
use deno_runtime::deno_node::NodeRequireLoader;
use deno_runtime::deno_permissions::PermissionsContainer;
use node_resolver::errors::PackageJsonLoadError;

use crate::loader::Modules;

/// Deno's Node layer asks this for what `require` needs.
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
            .map_err(|()| JsErrorBox::generic(format!("{} is no absolute path", path.display())))?;
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
