//! The order of this crate's modules: none imports a later one.

use std::collections::BTreeSet;
use std::path::Path;

use crate::crate_imports::{module_of, sources, used};

/// The modules, from the lowest to the highest.
const LAYERS: [&str; 20] = [
    "system",
    "position",
    "own_files",
    "source",
    "built_in",
    "own_modules",
    "ahead",
    "diagnostics",
    "resolve",
    "control",
    "prelude",
    "startup_snapshot",
    "v8_release",
    "loader",
    "compat",
    "isolate",
    "isolate_maker",
    "spare",
    "v8_engine",
    "builder",
];

fn layer(name: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| *layer == name)
}

#[test]
fn no_module_imports_a_later_one() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut seen = BTreeSet::new();
    for path in sources(&root) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let own = module_of(&path, &root);
        if ["lib", "layers"].contains(&own) || ["tests.rs", "fuzz.rs"].contains(&&*name) {
            continue;
        }
        let at = layer(own).unwrap_or_else(|| panic!("{} is in no layer", path.display()));
        seen.insert(at);
        for other in used(&std::fs::read_to_string(&path).unwrap())
            .into_iter()
            .filter_map(layer)
        {
            assert!(other <= at, "{} imports {}", path.display(), LAYERS[other]);
        }
    }
    assert_eq!(seen.len(), LAYERS.len());
}
