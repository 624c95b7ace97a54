//! `require`: the same files, the same transpiler, synchronously.

use std::borrow::Cow;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use deno_ast::MediaType;
use deno_core::url::Url;
use deno_core::{FastString, JsRuntime, v8};
use deno_error::JsErrorBox;
use deno_runtime::deno_node::NodeRequireLoader;
use deno_runtime::deno_permissions::PermissionsContainer;
use node_resolver::errors::PackageJsonLoadError;

use crate::loader::Modules;
use crate::source::snapshot::SourceSnapshot;

/// The function by which the prelude remembers what `require` found, in the source snapshot: the
/// request, the file that requires, and what it found, if that is to be noted.
pub(crate) fn remember_function<'s>(scope: &mut v8::PinScope<'s, '_>) -> Option<v8::Local<'s, v8::Function>> {
    v8::Function::new(scope, remember)
}

fn remember(
    scope: &mut v8::PinScope<'_, '_>,
    arguments: v8::FunctionCallbackArguments<'_>,
    mut answer: v8::ReturnValue<'_, v8::Value>,
) {
    let argument = |index| arguments.get(index).to_rust_string_lossy(scope);
    let (request, from) = (argument(0), argument(1));
    let found = (!arguments.get(2).is_undefined()).then(|| argument(2));
    let state = JsRuntime::op_state_from(scope);
    let state = state.borrow();
    let Some(sources) = state.try_borrow::<Arc<SourceSnapshot>>() else {
        return;
    };
    if let Some(found) = &found {
        sources.note_resolved(&request, &from, found);
    }
    let known = sources.resolved(&request, &from);
    if let Some(known) = known.and_then(|known| v8::String::new(scope, &known)) {
        answer.set(known.into());
    }
}

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
