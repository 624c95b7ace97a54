//! `process.env`: the isolate's own, begun as the generation's.

use std::collections::HashMap;

use deno_core::{OpState, op2};
use deno_error::JsErrorBox;

use crate::source::environment;

/// The isolate's environment variables.
pub(super) struct Environment(HashMap<String, String>);

impl Environment {
    /// The process's variables, and those of the generation that it lacks.
    pub(super) fn with(generation: &environment::Environment) -> Self {
        let mut variables = std::env::vars().collect();
        generation.complete(&mut variables);
        Self(variables)
    }
}

#[op2]
#[serde]
pub(super) fn op_baton_env(state: &mut OpState) -> HashMap<String, String> {
    state.borrow::<Environment>().0.clone()
}

#[op2]
#[string]
pub(super) fn op_baton_get_env(state: &mut OpState, #[string] key: &str) -> Option<String> {
    state.borrow::<Environment>().0.get(key).cloned()
}

#[op2(fast)]
pub(super) fn op_baton_set_env(
    state: &mut OpState,
    #[string] key: &str,
    #[string] value: &str,
) -> Result<(), JsErrorBox> {
    if key.is_empty() || key.contains(['=', '\0']) || value.contains('\0') {
        return Err(JsErrorBox::type_error(format!(
            "{key:?} cannot be an environment variable with this value"
        )));
    }
    let environment = state.borrow_mut::<Environment>();
    environment.0.insert(key.to_owned(), value.to_owned());
    Ok(())
}

#[op2(fast)]
pub(super) fn op_baton_delete_env(state: &mut OpState, #[string] key: &str) {
    state.borrow_mut::<Environment>().0.remove(key);
}

/// `process.loadEnvFile`: as in Node, what is set already stays.
#[op2(fast)]
#[undefined]
pub(super) fn op_baton_load_env_file(state: &mut OpState, #[string] path: &str) -> Result<(), JsErrorBox> {
    let text = std::fs::read(path).map_err(JsErrorBox::from_err)?;
    let own = state.borrow_mut::<Environment>();
    for (name, value) in environment::parse(&String::from_utf8_lossy(&text)) {
        own.0.entry(name).or_insert(value);
    }
    Ok(())
}
