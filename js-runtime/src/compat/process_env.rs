//! `process.env`: the isolate's own, begun as the generation's.

use std::collections::{BTreeMap, HashMap};

use deno_core::{OpState, op2, v8};
use deno_error::JsErrorBox;
use js_runtime_api::REJECT_UNAUTHORIZED;

use super::{certificates, zone};
use crate::source::environment;

/// The name of the variable that has more than readers: `Date` and `Intl` follow it.
const ZONE: &str = "TZ";

/// The isolate's environment variables.
pub(crate) struct IsolateEnvironment {
    variables: HashMap<String, String>,
    /// The changes that user code made to the variables; `None` for a variable that it took away.
    written: BTreeMap<String, Option<String>>,
}

impl IsolateEnvironment {
    /// Begins with the generation's variables.
    pub(super) fn with(generation: &environment::Environment) -> Self {
        Self {
            variables: generation.variables(),
            written: BTreeMap::new(),
        }
    }

    /// Returns the time zone that the variables name.
    pub(crate) fn zone(&self) -> Option<&str> {
        self.variables.get(ZONE).map(String::as_str)
    }

    fn set(&mut self, name: String, value: String) {
        self.written.insert(name.clone(), Some(value.clone()));
        self.variables.insert(name, value);
    }

    fn remove(&mut self, name: &str) {
        self.written.insert(name.to_owned(), None);
        self.variables.remove(name);
    }

    /// Returns a digest over all that user code has written.
    pub(crate) fn written(&self) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new();
        for (name, value) in &self.written {
            let parts = [Some(name.as_str()), value.as_deref()];
            for part in parts {
                hasher.update(&part.map_or(usize::MAX, str::len).to_le_bytes());
                hasher.update(part.unwrap_or_default().as_bytes());
            }
        }
        hasher.finalize()
    }
}

#[op2]
#[serde]
pub(super) fn op_baton_env(state: &mut OpState) -> HashMap<String, String> {
    state.borrow::<IsolateEnvironment>().variables.clone()
}

#[op2]
#[string]
pub(super) fn op_baton_get_env(state: &mut OpState, #[string] key: &str) -> Option<String> {
    state.borrow::<IsolateEnvironment>().variables.get(key).cloned()
}

/// Answers Deno's own code. That reads `NODE_EXTRA_CA_CERTS` from the process's environment where it is told of it;
/// here the trusted authorities have those certificates already (`certificates`).
#[op2]
#[string]
pub(super) fn op_baton_get_env_of_node(state: &mut OpState, #[string] key: &str) -> Option<String> {
    let is_known = key != "NODE_EXTRA_CA_CERTS";
    is_known.then(|| state.borrow::<IsolateEnvironment>().variables.get(key).cloned())?
}

#[op2(fast)]
pub(super) fn op_baton_set_env(
    state: &mut OpState,
    scope: &mut v8::PinScope<'_, '_>,
    #[string] key: &str,
    #[string] value: &str,
) -> Result<(), JsErrorBox> {
    if key.is_empty() || key.contains(['=', '\0']) || value.contains('\0') {
        return Err(JsErrorBox::type_error(format!(
            "{key:?} cannot be an environment variable with this value"
        )));
    }
    let environment = state.borrow_mut::<IsolateEnvironment>();
    environment.set(key.to_owned(), value.to_owned());
    if key == ZONE {
        zone::change(scope, Some(value));
    }
    if key == REJECT_UNAUTHORIZED {
        certificates::change(state, value == "0");
    }
    Ok(())
}

#[op2(fast)]
pub(super) fn op_baton_delete_env(state: &mut OpState, scope: &mut v8::PinScope<'_, '_>, #[string] key: &str) {
    state.borrow_mut::<IsolateEnvironment>().remove(key);
    if key == ZONE {
        zone::change(scope, None);
    }
    if key == REJECT_UNAUTHORIZED {
        certificates::change(state, false);
    }
}

/// Loads a file as `process.loadEnvFile` does: as in Node, variables that are set already stay.
#[op2(fast)]
#[undefined]
pub(super) fn op_baton_load_env_file(
    state: &mut OpState,
    scope: &mut v8::PinScope<'_, '_>,
    #[string] path: &str,
) -> Result<(), JsErrorBox> {
    let text = std::fs::read(path).map_err(JsErrorBox::from_err)?;
    let own = state.borrow_mut::<IsolateEnvironment>();
    for (name, value) in environment::parse(&String::from_utf8_lossy(&text)) {
        if !own.variables.contains_key(&name) {
            if name == ZONE {
                zone::change(scope, Some(&value));
            }
            own.set(name, value);
        }
    }
    Ok(())
}
