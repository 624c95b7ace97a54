//! Warnings about code that loads: the reload reports them once, the status and the log keep them,
//! with the place and the code to write instead.

use harness::{Baton, FakeInngest, Project, Report, Sdk};
use serde_json::{Value, json};

/// Returns a module of functions, from the options and the body of each.
fn module(functions: &[(&str, &str)]) -> String {
    let mut text = "import { Inngest } from \"inngest\";\nimport { execSync } from \"node:child_process\";\n\
                    const inngest = new Inngest({ id: \"app\" });\nvoid execSync;\n"
        .to_owned();
    for (at, (options, body)) in functions.iter().enumerate() {
        text += &format!(
            "export const f{at} = inngest.createFunction({{\n  {options}\n}}, async ({{ event, step }}) => {{\n  {body}\n}});\n"
        );
    }
    text
}

const EVENT: &str = "triggers: [{ event: \"app/a\" }],";

async fn served(text: &str) -> (Project, Baton) {
    let project = Project::without_functions(Sdk::V4);
    project.write("functions/a.ts", text);
    let baton = Baton::dev(&project).ready().await;
    (project, baton)
}

/// Returns the number of the line that contains `part`.
fn line_of(text: &str, part: &str) -> u64 {
    let at = text.lines().position(|line| line.contains(part)).expect("a line");
    at as u64 + 1
}

/// Returns the one warning with this code.
fn warning(warnings: &Value, code: &str) -> Value {
    let all = warnings.as_array().expect("warnings");
    let mut found = all.iter().filter(|warning| warning["code"] == code);
    let one = found.next().unwrap_or_else(|| panic!("no {code} in {warnings:#}"));
    assert!(found.next().is_none(), "{code} is told twice: {warnings:#}");
    one.clone()
}

/// Checks the warning about a module with one function, and the place of the warning.
async fn check(options: &str, body: &str, code: &str, place: &str) {
    let text = module(&[(&format!("id: \"f\", {options}"), body)]);
    let (project, baton) = served(&text).await;
    let status = baton.status().await;
    let found = warning(&status.0["warnings"], code);
    assert_eq!(
        status.0["warnings"].as_array().unwrap().len(),
        1,
        "{:#}",
        status.0["warnings"]
    );
    let expected = (json!("app-f"), json!("functions/a.ts"), json!(line_of(&text, place)));
    let told = (found["function"].clone(), found["file"].clone(), found["line"].clone());
    assert_eq!(told, expected, "{found:#}\n{text}");
    assert!(found["help"].as_str().is_some_and(|help| !help.is_empty()), "{found:#}");
    let message = found["message"].as_str().expect("a message");
    baton
        .wait_for(message, json!({ "code": code, "line": expected.2 }))
        .await;

    project.edit("functions/a.ts", "void execSync;", "void execSync; void 0;");
    let report = baton.reload().await;
    assert_eq!(report.status(), "activated", "{report}");
    assert_eq!(warning(&report.body["warnings"], code), found);
}

#[tokio::test]
async fn no_retries_are_warned_about() {
    check(&format!("{EVENT}\n  retries: 0,"), "", "retries_zero", "retries: 0").await;
}

#[tokio::test]
async fn a_long_function_that_says_nothing_about_retries_is_warned_about() {
    let options = format!("{EVENT} timeouts: {{ finish: \"30m\" }},");
    check(&options, "", "retries_unsaid", "createFunction").await;
}

#[tokio::test]
async fn a_function_that_starts_programs_and_says_nothing_about_retries_is_warned_about() {
    let body = "await step.run(\"build\", () => execSync(\"true\").toString());";
    check(EVENT, body, "retries_unsaid", "createFunction").await;
}

#[tokio::test]
async fn a_cron_that_is_never_due_is_warned_about() {
    check(
        "triggers: [\n  { cron: \"TZ=Europe/Berlin 0 0 31 2 *\" }],",
        "",
        "cron_never",
        "31 2",
    )
    .await;
}

#[tokio::test]
async fn a_cron_that_is_none_is_warned_about() {
    check("triggers: [\n  { cron: \"0 25 * * *\" }],", "", "cron_invalid", "0 25").await;
}

#[tokio::test]
async fn a_concurrency_key_that_cannot_be_evaluated_is_warned_about() {
    let options = format!("{EVENT}\n  concurrency: {{ limit: 1, key: \"data.user\" }},");
    check(&options, "", "expression_invalid", "data.user").await;
}

#[tokio::test]
async fn a_step_within_a_step_is_warned_about() {
    let body = "await step.run(\"outer\", async () => {\n    await step.run(\"inner\", () => 1);\n  });";
    check(EVENT, body, "step_nested", "\"inner\"").await;
}

#[tokio::test]
async fn one_id_for_steps_that_run_at_once_is_warned_about() {
    let body = "await Promise.all([1, 2].map((n) => step.run(\"same\", () => n)));";
    check(EVENT, body, "step_id_repeated", "\"same\"").await;
}

#[tokio::test]
async fn good_code_is_not_warned_about() {
    let body = "for (const n of [1, 2]) await step.run(\"counted\", () => n);\n  \
                await Promise.all([1, 2].map((n) => step.run(`each-${n}`, () => n)));";
    let options = "id: \"f\", retries: 2, triggers: [{ event: \"app/a\" }, { cron: \"TZ=Europe/Berlin 0 7 * * 1-5\" }],\n  \
                   concurrency: { limit: 1, key: \"event.data.user + '-' + event.name\" }, timeouts: { finish: \"2h\" },";
    let (_project, baton) = served(&module(&[(options, body)])).await;
    assert_eq!(baton.status().await.0["warnings"], json!([]));
}

#[tokio::test]
async fn two_functions_with_one_id_are_an_error() {
    let (project, baton) = served(&module(&[("id: \"f\", retries: 1, triggers: [{ event: \"a\" }]", "")])).await;
    project.write(
        "functions/b.ts",
        module(&[("id: \"f\", retries: 1, triggers: [{ event: \"b\" }]", "")]),
    );
    let report = baton.reload().await;
    assert_eq!(
        (report.http, &report.error()["kind"]),
        (422, &json!("duplicate_id")),
        "{report}"
    );
}

/// Returns the report of a reload to this text.
async fn reloaded(project: &Project, baton: &Baton, text: &str) -> Report {
    project.write("functions/a.ts", text);
    let report = baton.reload().await;
    assert_eq!(report.status(), "activated", "{report}");
    report
}

#[tokio::test]
async fn what_a_reload_takes_from_runs_is_warned_about() {
    let one = |id: &str, event: &str| {
        let options = format!("id: \"{id}\", retries: 1, triggers: [{{ event: \"{event}\" }}]");
        module(&[(&options, "")])
    };
    let (project, baton) = served(&one("first", "app/a")).await;
    let report = reloaded(&project, &baton, &one("second", "app/a")).await;
    let changed = warning(&report.body["warnings"], "id_changed");
    assert_eq!(
        (&changed["function"], &changed["file"]),
        (&json!("app-second"), &json!("functions/a.ts"))
    );
    assert!(
        changed["message"].as_str().unwrap().contains("app-first"),
        "{changed:#}"
    );

    let report = reloaded(&project, &baton, &one("third", "app/other")).await;
    let gone = warning(&report.body["warnings"], "function_gone");
    assert_eq!(gone["function"], "app-second");
}

#[tokio::test]
async fn what_is_denied_rejects_the_code() {
    let project = Project::without_functions(Sdk::V4);
    let good = module(&[("id: \"f\", retries: 1, triggers: [{ event: \"a\" }]", "")]);
    project.write("functions/a.ts", &good);
    project.write("baton.toml", "deny = [\"retries_zero\"]\n");
    let baton = Baton::dev(&project).ready().await;
    let bad = good.replace("retries: 1", "retries: 0");
    project.write("functions/a.ts", &bad);
    for query in ["?dry_run=1", ""] {
        let report = baton.reload_with(query).await;
        let expected = (
            422,
            json!("lint"),
            json!("functions/a.ts"),
            json!(line_of(&bad, "retries: 0")),
        );
        let error = report.error();
        let told = (
            report.http,
            error["kind"].clone(),
            error["file"].clone(),
            error["line"].clone(),
        );
        assert_eq!(told, expected, "{report}");
        assert!(error["help"].as_str().unwrap().contains("deny"), "{report}");
    }
    assert_eq!(baton.status().await.current(), 1);
    project.write("baton.toml", "deny = [\"retry_zero\"]\n");
    let refused = Baton::dev(&project).to_the_end().await;
    refused.refuses(78, &["\"retries_zero\"?"]);
}

async fn default_retries(sdk: Sdk) {
    let (project, inngest) = (Project::without_functions(sdk), FakeInngest::start().await);
    let text = module(&[("id: \"said\", retries: 7", ""), ("id: \"unsaid\"", "")]);
    let trigger = "{ event: \"app/a\" }";
    let text = match sdk {
        Sdk::V4 => text.replace("id: ", &format!("triggers: [{trigger}], id: ")),
        Sdk::V3 => text.replace("}, async (", &format!("}}, {trigger}, async (")),
    };
    let text = text.replace(&format!("triggers: [{trigger}], id: \"app\""), "id: \"app\"");
    project.write("functions/a.ts", text);
    project.write("baton.toml", "[functions]\ndefault_retries = 2\n");
    let baton = Baton::dev(&project).inngest(&inngest).registering().ready().await;
    let status = baton.status().await;
    let retries = |id: &str| {
        let functions = status.0["functions"].as_array().unwrap();
        let function = functions
            .iter()
            .find(|function| function["id"] == id)
            .expect("a function");
        (function["retries"].clone(), function["retries_from"].clone())
    };
    assert_eq!(retries("app-said"), (json!(7), json!("code")));
    assert_eq!(retries("app-unsaid"), (json!(2), json!("baton.toml")));
    let attempts = |fake: &FakeInngest, id: &str| fake.function(id)["steps"]["step"]["retries"]["attempts"].clone();
    inngest
        .wait_until("both", |fake| fake.holds() == ["app-said", "app-unsaid"])
        .await;
    assert_eq!(
        (attempts(&inngest, "app-said"), attempts(&inngest, "app-unsaid")),
        (json!(7), json!(2))
    );
}

#[tokio::test]
async fn functions_of_inngest_4_that_say_nothing_have_the_project_s_retries() {
    default_retries(Sdk::V4).await;
}

#[tokio::test]
async fn functions_of_inngest_3_that_say_nothing_have_the_project_s_retries() {
    default_retries(Sdk::V3).await;
}
