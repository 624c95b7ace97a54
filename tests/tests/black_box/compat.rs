//! The packages that people use in their functions. Each is exercised in a step (`tests/compat/rows/`): it is
//! loaded by a reload of its own, driven to its end, and compared with the row's expectation.
//! `docs/compatibility.md` has the results.

mod cases;
mod row;
mod services;
mod stand_in;
mod table;

use harness::{Baton, Project, Run, deadline, mismatch};
use serde_json::Value;

use row::{Row, Standing};
use services::Services;

/// Returns the script of `tsx`, which has Node run TypeScript.
pub(crate) fn tsx() -> std::path::PathBuf {
    row::folder().join("node_modules/tsx/dist/cli.mjs")
}

/// The variable that every CI sets: nothing may be skipped then.
const CI: &str = "CI";

#[tokio::test]
async fn long_packages_do_in_a_step_what_their_rows_say() {
    let rows = Row::all();
    let services = Services::start().await;
    let project = Project::of_packages();
    let first = &rows[0];
    project.write(ENTRY, first.entry());
    let baton = Baton::dev_on(&project, ENTRY).ready().await;

    let (mut wrong, mut skipped) = (Vec::new(), Vec::new());
    for row in &rows {
        if let Some(service) = row.needs.iter().find(|service| !services.has(service)) {
            skipped.push(format!("{}: there is no {service} on this machine", row.name));
            continue;
        }
        let outcome = outcome(&baton, &project, row, &services).await;
        match (&row.standing, outcome) {
            (Standing::Works { .. }, Ok(())) => {}
            (Standing::Works { .. }, Err(reason)) => wrong.push(format!("{} should work:\n{reason}", row.name)),
            (Standing::NotYet { fails, .. }, Err(reason)) if reason.contains(fails) => {}
            (Standing::NotYet { fails, .. }, Err(reason)) => {
                wrong.push(format!("{} should fail with {fails:?}, but:\n{reason}", row.name));
            }
            (Standing::NotYet { .. }, Ok(())) => wrong.push(format!("{} works: its row may say so", row.name)),
        }
    }
    services.stop().await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    if !skipped.is_empty() {
        let skipped = skipped.join("\n");
        assert!(
            std::env::var_os(CI).is_none(),
            "nothing may be missing in CI:\n{skipped}"
        );
        eprintln!("skipped:\n{skipped}");
    }
}

#[test]
fn nine_in_ten_packages_work() {
    let rows = Row::all();
    let works = rows.iter().filter(|row| matches!(row.standing, Standing::Works { .. }));
    let works = works.count();
    assert!(works * 10 >= rows.len() * 9, "{works} of {} work", rows.len());
}

/// The name of the entry file; each row in turn is written to it.
const ENTRY: &str = "entry.ts";

/// Loads the row and runs it to its end; an error tells what went wrong.
async fn outcome(baton: &Baton, project: &Project, row: &Row, services: &Services) -> Result<(), String> {
    project.write(ENTRY, row.entry());
    let report = baton.reload().await;
    if report.http != 200 {
        return Err(format!("it did not load: {:#}", report.body["error"]));
    }
    let scratch = project.scratch().join(&row.name);
    std::fs::create_dir_all(&scratch).expect("a folder for the row");
    let run = Run::of("compat-row").with_data(services.described(&scratch));
    let finish = deadline::within(
        &format!("the end of the run of {}", row.name),
        || baton.stderr().tail(),
        baton
            .executor()
            .drive(run, &|op| panic!("{} asks for {op:?}", row.name)),
    )
    .await;
    if finish.answer.status >= 400 {
        return Err(finish.answer.to_string());
    }
    let value = finish.value();
    let wrong = match &row.answers {
        Some(pattern) => mismatch(&value, pattern),
        None if value["got"] == value["expected"] && value["expected"] != Value::Null => None,
        None => Some(format!("got      {}\nexpected {}", value["got"], value["expected"])),
    };
    wrong.map_or(Ok(()), Err)
}
