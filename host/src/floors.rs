//! The floors of the library, as its documentation draws them: no module uses a module of its own floor or of a
//! higher one.

use std::collections::BTreeMap;
use std::path::Path;

use crate::crate_imports::{module_of, sources, used};

/// The floor of each module, by name.
fn floors() -> BTreeMap<&'static str, u32> {
    let lines = include_str!("lib.rs").lines();
    let floor = |line: &'static str| {
        let (number, rest) = line.strip_prefix("//! ")?.split_once("  ")?;
        let modules = rest.split("  ").next()?.split(' ');
        let number = number.parse().ok()?;
        Some(modules.map(move |module| (module, number)))
    };
    lines.filter_map(floor).flatten().collect()
}

#[test]
fn no_module_uses_one_of_its_own_floor_or_of_a_higher_one() {
    let (floors, root) = (floors(), Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    let mut wrong = Vec::new();
    for path in sources(&root) {
        let (place, module) = (path.strip_prefix(&root).unwrap(), module_of(&path, &root));
        // The binary, the library's root, and help for tests have no floor.
        if matches!(module, "main" | "lib" | "floors" | "crate_imports" | "fuzz") {
            continue;
        }
        let Some(floor) = floors.get(module) else {
            wrong.push(format!("{} has no floor in lib.rs", place.display()));
            continue;
        };
        for used in used(&std::fs::read_to_string(&path).unwrap()) {
            if used != module && used != "fuzz" && floors.get(used).is_none_or(|other| other >= floor) {
                wrong.push(format!("{} uses {used}", place.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
