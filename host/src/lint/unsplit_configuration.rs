//! The configurations that a canary changes: Inngest holds one of each function, so it cannot be tried with a part of
//! the runs.

use std::collections::{BTreeMap, BTreeSet};

use js_runtime_api::{Function, Manifest, Warning};

use super::warning::warning;

pub(super) fn look(before: &Manifest, new: &Manifest) -> Vec<Warning> {
    let before: BTreeMap<_, _> = before
        .functions()
        .map(|(_, function)| (function.id.as_str(), function))
        .collect();
    let both = new
        .functions()
        .filter_map(|(_, function)| Some((*before.get(function.id.as_str())?, function)));
    both.filter_map(|(before, new)| {
        let changed = changed_options(before, new);
        (!changed.is_empty()).then(|| {
            warning(
                "configuration_unsplit",
                new,
                None,
                format!(
                    "the canary changes the configuration of {} ({}): Inngest holds one configuration for all runs, \
                     and gets the new one when the canary is promoted",
                    new.id,
                    changed.into_iter().collect::<Vec<_>>().join(", ")
                ),
                "Change the configuration in a reload of its own: `baton reload --no-canary`.".to_owned(),
            )
        })
    })
    .collect()
}

/// Returns the names of the options that differ.
fn changed_options(before: &Function, new: &Function) -> BTreeSet<String> {
    let keys = before.config.keys().chain(new.config.keys());
    let options = keys
        .filter(|key| before.config.get(*key) != new.config.get(*key))
        .cloned();
    let own = [
        ("name", before.name != new.name),
        ("retries", before.retries != new.retries),
        ("triggers", before.triggers != new.triggers),
    ];
    let own = own.into_iter().filter(|(_, differs)| *differs);
    options.chain(own.map(|(name, _)| name.to_owned())).collect()
}
