//! The authorities that an isolate's code trusts: those of its generation's environment.

use std::sync::Arc;

use deno_core::OpState;
use deno_error::JsErrorBox;
use deno_runtime::deno_fetch;
use deno_runtime::deno_net::UnsafelyIgnoreCertificateErrors;
use deno_runtime::deno_tls::RootCertStoreProvider;
use deno_runtime::deno_tls::rustls::RootCertStore;
use js_runtime_api::Certificates;

/// The authorities, as Deno asks for them.
struct Provider(Arc<Certificates>);

impl RootCertStoreProvider for Provider {
    fn get_or_try_init(&self) -> Result<&RootCertStore, JsErrorBox> {
        Ok(self.0.roots())
    }
}

pub(crate) fn provider(certificates: &Arc<Certificates>) -> Arc<dyn RootCertStoreProvider> {
    Arc::new(Provider(certificates.clone()))
}

/// Returns the names whose certificates are not looked at; an empty list means all names.
pub(crate) fn ignored(trusts_everybody: bool) -> Option<Vec<String>> {
    trusts_everybody.then(Vec::new)
}

/// Has later requests look at certificates or not, as Node's do when code writes `NODE_TLS_REJECT_UNAUTHORIZED`.
pub(super) fn change(state: &mut OpState, trusts_everybody: bool) {
    state.put(UnsafelyIgnoreCertificateErrors(ignored(trusts_everybody)));
    if let Some(options) = state.try_borrow_mut::<deno_fetch::Options>() {
        options.unsafely_ignore_certificate_errors = ignored(trusts_everybody);
    }
    // Deno makes the client anew with the new setting.
    drop(state.try_take::<deno_fetch::Client>());
}
