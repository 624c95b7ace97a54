//! `docs/compatibility.md`: the data of the rows, with the versions of the
//! lockfile.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;

use super::cases;
use super::row::{self, Row, Standing};

/// The variable that, when set, has the file written instead of compared.
const RENEW: &str = "BATON_RENEW_COVERAGE";

/// The part that is written by hand.
pub(super) const HEAD: &str = include_str!("../../../compat/head.md");

/// The part about cases, which a table follows.
const CASES: &str = "\
## Cases beside peers

Small projects of `tests/compat/cases/`, most of them after reports about workers elsewhere. `bin/test` runs each under Node
24, Bun and Deno of npm, then here. *Right* is what the project's settings mean, or what Node does where they say nothing.

";

#[test]
fn the_table_of_packages_is_up_to_date() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/compatibility.md");
    let table = table();
    if std::env::var_os(RENEW).is_some() {
        std::fs::write(&file, table).expect("a written table");
        return;
    }
    let written = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        written == table,
        "docs/compatibility.md is out of date; renew it with\n  {RENEW}=1 cargo nextest run -p baton-tests -E 'test(table_of_packages)'"
    );
}

fn table() -> String {
    let lockfile = std::fs::read(row::folder().join("package-lock.json")).expect("the lockfile");
    let lockfile: Value = serde_json::from_slice(&lockfile).expect("a lockfile in JSON");
    let (before, packages) = HEAD.split_once("## Packages").expect("a section of packages");
    let mut text = format!("{before}{CASES}{}\n## Packages{packages}", cases::table());
    text.push_str("| package | version | |\n|---|---|---|\n");
    for row in Row::all() {
        let version = |package: &String| {
            let entry = &lockfile["packages"][format!("node_modules/{package}")];
            let version = entry["version"].as_str();
            version
                .unwrap_or_else(|| panic!("{package} is not in the lockfile"))
                .to_owned()
        };
        let versions: Vec<_> = row.packages.iter().map(version).collect();
        let title = row.title.clone().unwrap_or_else(|| row.packages.join(", "));
        let standing = match &row.standing {
            Standing::Works { note: None } => "works".to_owned(),
            Standing::Works { note: Some(note) } => format!("works; {note}"),
            Standing::NotYet { reason, .. } => format!("**not yet**: {reason}"),
        };
        writeln!(text, "| {title} | {} | {standing} |", versions.join(", ")).expect("text grows");
    }
    text
}
