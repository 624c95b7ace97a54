//! The functions that a swap takes away from runs that have begun: Inngest goes on calling the ids that it knows.

use std::collections::BTreeSet;

use js_runtime_api::{App, Function, Manifest, Warning};

use super::warning::warning;

/// The code that serves until the swap.
pub struct ServingCode<'a> {
    pub manifest: &'a Manifest,
    /// Tells whether the code goes on beside the new code, which is to be a canary.
    pub stays: bool,
    /// Returns the number of calls of a function that are being answered right now.
    pub alive: &'a dyn Fn(&str) -> usize,
}

pub(super) fn look(before: &ServingCode<'_>, new: &Manifest) -> Vec<Warning> {
    let ids = |manifest: &Manifest| -> BTreeSet<String> {
        manifest.functions().map(|(_, function)| function.id.clone()).collect()
    };
    let (old_ids, new_ids) = (ids(before.manifest), ids(new));
    // A fetch export that does not tell its functions cannot be compared.
    if new_ids.is_empty() {
        return Vec::new();
    }
    let mut added: Vec<(&App, &Function)> = new
        .functions()
        .filter(|(_, function)| !old_ids.contains(&function.id))
        .collect();
    let mut warnings = Vec::new();
    let gone = before.manifest.functions();
    for (app, function) in gone.filter(|(_, function)| !new_ids.contains(&function.id)) {
        let successor = added
            .iter()
            .position(|(other, added)| other.id == app.id && is_same(function, added));
        let alive = match (before.alive)(&function.id) {
            0 => String::new(),
            calls => format!(" ({calls} call(s) of it are answered right now)"),
        };
        let id = &function.id;
        warnings.push(match successor.map(|at| added.remove(at)) {
            Some((_, successor)) => warning(
                "id_changed",
                successor,
                None,
                format!(
                    "{id} is called {} now: for Inngest it is another function, and runs of {id} that sleep or wait \
                     will call an id that no function has{alive}",
                    successor.id
                ),
                format!("Keep the id and change `name`, or keep a function {id} until its runs are over."),
            ),
            None => warning(
                "function_gone",
                function,
                None,
                format!("{id} is gone: runs of it that sleep or wait will call an id that no function has{alive}"),
                "Keep the function without triggers until its runs are over, or cancel them in Inngest.".to_owned(),
            ),
        });
    }
    warnings
}

/// Tells whether a function was there before under another id.
fn is_same(before: &Function, now: &Function) -> bool {
    let own_name = |function: &Function| {
        let id = function.id.as_str();
        (!id.ends_with(&function.name)).then(|| function.name.clone())
    };
    let named = own_name(before).is_some() && own_name(before) == own_name(now);
    let place = |function: &Function| {
        let file = function.definition.as_ref().map(|definition| definition.file.clone());
        file.or_else(|| function.file.as_ref().map(|file| file.display().to_string()))
    };
    let in_place = place(before) == place(now) && !before.triggers.is_empty() && before.triggers == now.triggers;
    named || in_place
}
