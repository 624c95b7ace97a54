//! Inngest always knows the functions, whatever Inngest does and whatever the code does; a
//! registration is never in a call's way.

use harness::{Baton, Cli, Executor, FakeInngest, Gate, Kind, Launch, Mood, Project, Run, Sdk, Status};
use serde_json::{Value, json};

const KEY: &str = "00112233445566778899aabbccddeeff";

fn function(id: &str, more: &str) -> String {
    format!(
        r#"import {{ Inngest }} from "inngest";
const inngest = new Inngest({{ id: "shop" }});
export const {id} = inngest.createFunction(
  {{ id: "{id}", triggers: [{{ event: "shop/{id}" }}], {more} }},
  async ({{ step }}) => step.run("answer", () => "{id}"),
);
"#
    )
}

/// A project with one function, `order`.
fn project() -> Project {
    let project = Project::without_functions(Sdk::V4);
    project.write("functions/order.ts", function("order", "retries: 1"));
    project
}

fn launch(project: &Project, inngest: &FakeInngest) -> Launch {
    Baton::dev(project).inngest(inngest).registering()
}

async fn state(baton: &Baton, wanted: &str) -> Value {
    let what = format!("the registration to be {wanted}");
    let is = |status: &Status| status.0["registration"]["state"] == wanted;
    baton.status_when(&what, is).await.0["registration"].clone()
}

async fn holds(inngest: &FakeInngest, ids: &[&str]) {
    inngest
        .wait_until(&format!("{ids:?} to be held"), |fake| fake.holds() == ids)
        .await;
}

async fn reloaded(baton: &Baton) {
    let report = baton.reload().await;
    assert_eq!(report.status(), "activated", "{report}");
}

/// Calls a function as Inngest would.
async fn answers(executor: &Executor) {
    let answer = executor.discover(&Run::of("shop-order")).await.expect("an answer");
    assert_eq!(answer.status, 206, "{answer}");
}

async fn it_registers(sdk: Sdk) {
    let project = Project::of(sdk);
    let inngest = FakeInngest::start().await;
    let baton = launch(&project, &inngest).ready().await;
    let registration = state(&baton, "registered").await;
    assert_eq!(registration["verified"], true, "{registration:#}");
    assert_eq!(registration["drift"], json!([]));
    assert!(registration["last_ok"].is_string(), "{registration:#}");
    assert_eq!(inngest.holds().len(), 20);
    let url = format!("http://localhost:{}/api/inngest", baton.port());
    assert_eq!(inngest.url_of("fixture"), Some(url));
    let got = &inngest.registrations()[0];
    assert_eq!(
        got.body["sdk"],
        format!("js:v{}", sdk.version()),
        "the SDK itself registers"
    );
    let metrics = baton.get("/-/metrics").await.text();
    assert!(
        metrics.contains("baton_registration{state=\"registered\"} 1"),
        "{metrics}"
    );
}

#[tokio::test]
async fn inngest_4_registers_when_the_host_starts() {
    it_registers(Sdk::V4).await;
}

#[tokio::test]
async fn inngest_3_registers_when_the_host_starts() {
    it_registers(Sdk::V3).await;
}

#[tokio::test]
async fn an_inngest_that_is_down_at_the_start_knows_once_it_is_up() {
    let (project, mut inngest) = (project(), FakeInngest::start().await);
    inngest.go_down().await;
    let baton = launch(&project, &inngest).ready().await;
    let registration = state(&baton, "unregistered").await;
    assert_eq!(registration["error_kind"], "unreachable", "{registration:#}");
    answers(&baton.executor()).await;
    inngest.come_up();
    holds(&inngest, &["shop-order"]).await;
    state(&baton, "registered").await;
    // Each message is logged once, however often Baton tried.
    let text = baton.stderr().text();
    assert_eq!(text.matches("not registered yet").count(), 1, "{text}");
    assert_eq!(text.matches("registered at Inngest").count(), 1, "{text}");
    assert!(
        !text.contains("Failed to register"),
        "the SDK's own complaints are not the user's: {text}"
    );
}

#[tokio::test]
async fn an_inngest_that_restarts_empty_is_told_again() {
    let (project, mut inngest) = (project(), FakeInngest::start().await);
    let baton = launch(&project, &inngest).ready().await;
    state(&baton, "registered").await;
    inngest.go_down().await;
    inngest.lose_everything();
    inngest.come_up();
    holds(&inngest, &["shop-order"]).await;
    state(&baton, "registered").await;
}

async fn recovers(mood: Mood, kind: &str) {
    let (project, inngest) = (project(), FakeInngest::start().await);
    inngest.set_mood(mood);
    let baton = launch(&project, &inngest).ready().await;
    let registration = state(&baton, "unregistered").await;
    assert_eq!(registration["error_kind"], kind, "{registration:#}");
    answers(&baton.executor()).await;
    let mut events = baton.events().await;
    inngest.set_mood(Mood::Well);
    holds(&inngest, &["shop-order"]).await;
    events
        .next("registration", &json!({ "state": "registered", "error": null }))
        .await;
    state(&baton, "registered").await;
}

#[tokio::test]
async fn an_inngest_in_trouble_is_told_again_until_it_is_well() {
    recovers(Mood::Failing(500), "refused").await;
}

#[tokio::test]
async fn an_inngest_that_says_401_is_told_again() {
    recovers(Mood::Failing(401), "unauthorized").await;
}

#[tokio::test]
async fn an_inngest_that_talks_nonsense_is_told_again() {
    recovers(Mood::Garbage, "refused").await;
}

#[tokio::test]
async fn an_inngest_that_never_answers_is_told_again() {
    recovers(Mood::Silent, "silent").await;
}

#[tokio::test]
async fn a_registration_without_answer_keeps_no_generation_alive() {
    let (project, inngest) = (project(), FakeInngest::start().await);
    inngest.set_mood(Mood::Silent);
    let baton = launch(&project, &inngest).ready().await;
    inngest.registrations_are(1).await;
    project.write("functions/order.ts", function("order", "retries: 2"));
    let report = baton.reload_with("?wait=drained").await;
    assert_eq!(report.activated(), 2);
    assert_eq!(baton.status().await.state(1), "retired");
    answers(&baton.executor()).await;
}

#[tokio::test]
async fn a_yes_is_not_taken_for_proof() {
    let (project, inngest) = (project(), FakeInngest::start().await);
    inngest.set_mood(Mood::Forgetful);
    let baton = launch(&project, &inngest).ready().await;
    let registration = state(&baton, "drifted").await;
    assert_eq!(registration["drift"][0]["kind"], "missing", "{registration:#}");
    inngest.set_mood(Mood::Well);
    state(&baton, "registered").await;
}

#[tokio::test]
async fn what_a_reload_adds_changes_and_removes_is_registered() {
    let (project, inngest) = (project(), FakeInngest::start().await);
    let baton = launch(&project, &inngest).ready().await;
    holds(&inngest, &["shop-order"]).await;

    project.write("functions/refund.ts", function("refund", "retries: 1"));
    reloaded(&baton).await;
    holds(&inngest, &["shop-order", "shop-refund"]).await;

    project.write("functions/refund.ts", function("refund", "retries: 5"));
    reloaded(&baton).await;
    let attempts = |fake: &FakeInngest| fake.function("shop-refund")["steps"]["step"]["retries"]["attempts"].clone();
    inngest.wait_until("five retries", |fake| attempts(fake) == 5).await;

    project.remove("functions/order.ts");
    reloaded(&baton).await;
    holds(&inngest, &["shop-refund"]).await;
    state(&baton, "registered").await;
}

#[tokio::test]
async fn a_reload_that_registers_nothing_new_is_not_told() {
    let (project, inngest) = (project(), FakeInngest::start().await);
    let baton = launch(&project, &inngest).ready().await;
    state(&baton, "registered").await;
    let before = inngest.registrations().len();
    project.edit("functions/order.ts", "() => \"order\"", "() => \"edited\"");
    reloaded(&baton).await;
    // Baton's registration task has seen the first swap once it has told Inngest of a later one.
    project.write("functions/refund.ts", function("refund", "retries: 1"));
    reloaded(&baton).await;
    holds(&inngest, &["shop-order", "shop-refund"]).await;
    assert_eq!(inngest.registrations().len(), before + 1);
}

#[tokio::test]
async fn what_drifts_in_inngest_is_shown_and_told_again_where_that_mends_it() {
    let (project, inngest) = (project(), FakeInngest::start().await);
    let baton = launch(&project, &inngest).ready().await;
    state(&baton, "registered").await;
    // Baton sends the same checksum as before, so Inngest takes the registration for old news.
    inngest.change("shop-order", |function| {
        function["triggers"] = json!([{ "event": "shop/other" }])
    });
    let registration = state(&baton, "drifted").await;
    let expected = json!({ "app": "shop", "function": "shop-order", "kind": "triggers",
                           "expected": ["event shop/order"], "held": ["event shop/other"] });
    assert_eq!(registration["drift"], json!([expected]), "{registration:#}");
    let (cli, state_dir) = (Cli::within(project.root()), project.state_dir());
    let told = cli.baton(&["status", "--state-dir", state_dir.to_str().unwrap()]).await;
    assert!(told.stdout.contains("has other functions than the code"), "{told}");
    inngest.lose_everything();
    holds(&inngest, &["shop-order"]).await;
    state(&baton, "registered").await;
}

/// Returns a function that returns once the gate is open.
fn slow(gate: &Gate) -> String {
    format!(
        r#"import {{ existsSync }} from "node:fs";
import {{ Inngest }} from "inngest";
const inngest = new Inngest({{ id: "shop" }});
export const slow = inngest.createFunction({{ id: "slow", retries: 1, triggers: [{{ event: "shop/slow" }}] }}, async () => {{
  while (!existsSync({:?})) await new Promise((resolve) => setTimeout(resolve, 20));
  return "done";
}});
"#,
        gate.path()
    )
}

#[tokio::test]
async fn a_host_that_ends_never_overwrites_what_its_successor_said() {
    let (project, mut inngest) = (project(), FakeInngest::start().await);
    let gate = project.gate("order");
    project.write("functions/slow.ts", slow(&gate));
    let mut old = launch(&project, &inngest).ready().await;
    state(&old, "registered").await;
    let executor = old.executor();
    let call = tokio::spawn(async move { executor.discover(&Run::of("shop-slow")).await });
    old.in_flight(1, 1).await;
    old.signal("TERM").await;
    old.wait_for("ending: no new calls are taken, calls in flight finish", json!({}))
        .await;

    let state_dir = project.scratch().join("another-state");
    let new = launch(&project, &inngest).option("--state-dir", &state_dir);
    let new = new.listening().await;
    new.wait_until_ready().await;
    let url = format!("http://localhost:{}/api/inngest", new.port());
    inngest
        .wait_until("the new host's URL", |fake| fake.url_of("shop").as_ref() == Some(&url))
        .await;

    // After this every host registers that may register.
    inngest.go_down().await;
    inngest.lose_everything();
    inngest.forget();
    inngest.come_up();
    holds(&inngest, &["shop-order", "shop-slow"]).await;
    assert!(old.is_running());
    let urls: Vec<_> = inngest
        .registrations()
        .iter()
        .map(|got| got.body["url"].clone())
        .collect();
    let own = json!(url.replace("localhost", "127.0.0.1"));
    assert!(urls.iter().all(|known| *known == own), "{urls:?}");
    gate.open();
    assert_eq!(call.await.unwrap().expect("an answer").status, 206);
    old.ended().await;
}

fn url_of(baton: &Baton) -> String {
    format!("http://localhost:{}/api/inngest", baton.port())
}

/// Starts blue and then green, waits until both have registered, and until blue knows that green
/// serves.
async fn blue_and_green(project: &Project, inngest: &FakeInngest, green: Launch) -> (Baton, Baton) {
    let blue = launch(project, inngest).ready().await;
    state(&blue, "registered").await;
    let green = green.option("--state-dir", project.scratch().join("green"));
    let green = green.listening().await;
    green.wait_until_ready().await;
    state(&green, "registered").await;
    let holder =
        json!({ "urls": [url_of(&green)], "answers": true, "silent_since": null, "silences": 0, "error": null });
    blue.status_when("green to be known", |status| {
        status.0["registration"]["holder"] == holder
    })
    .await;
    (blue, green)
}

async fn calls_go_to(inngest: &FakeInngest, baton: &Baton) {
    let url = Some(url_of(baton));
    inngest
        .wait_until("the other host's URL", |fake| fake.url_of("shop") == url)
        .await;
    let registration = state(baton, "registered").await;
    assert_eq!(registration["holder"], Value::Null, "{registration:#}");
    answers(&baton.executor()).await;
}

#[tokio::test]
async fn the_place_of_a_registered_host_that_is_killed_is_taken() {
    let (project, inngest) = (project(), FakeInngest::start().await);
    let (blue, mut green) = blue_and_green(&project, &inngest, launch(&project, &inngest)).await;
    green.signal("KILL").await;
    let _ = green.ended().await;
    calls_go_to(&inngest, &blue).await;
    let line = "the host that is registered at Inngest does not answer: registering in its place";
    blue.wait_for(line, json!({ "url": url_of(&green) })).await;
}

#[tokio::test]
async fn the_place_of_a_registered_host_that_drains_is_taken_while_it_finishes_its_calls() {
    let (project, inngest) = (project(), FakeInngest::start().await);
    let gate = project.gate("slow");
    project.write("functions/slow.ts", slow(&gate));
    let green = Baton::start(&project).inngest(&inngest).registering();
    let (blue, mut green) = blue_and_green(&project, &inngest, green).await;
    let executor = green.executor();
    let call = tokio::spawn(async move { executor.discover(&Run::of("shop-slow")).await });
    green.in_flight(1, 1).await;
    green.signal("TERM").await;
    let line = "the host that is registered at Inngest drains: registering in its place";
    blue.wait_for(line, json!({ "url": url_of(&green) })).await;
    calls_go_to(&inngest, &blue).await;
    assert!(green.is_running() && !call.is_finished());
    gate.open();
    assert_eq!(call.await.unwrap().expect("an answer").status, 206);
    assert!(green.ended().await.success());
    assert_eq!(inngest.url_of("shop"), Some(url_of(&blue)));
}

#[tokio::test]
async fn of_two_hosts_that_serve_the_one_that_registered_last_is_left_in_its_place() {
    let (project, inngest) = (project(), FakeInngest::start().await);
    let (blue, green) = blue_and_green(&project, &inngest, launch(&project, &inngest)).await;
    let registration = state(&blue, "drifted").await;
    assert_eq!(registration["drift"][0]["kind"], "url", "{registration:#}");
    let (cli, state_dir) = (Cli::within(project.root()), project.state_dir());
    let told = cli.baton(&["status", "--state-dir", state_dir.to_str().unwrap()]).await;
    let words = format!(
        "another host is registered at {}: {}; it answers",
        inngest.url(),
        url_of(&green)
    );
    assert!(told.stdout.contains(&words), "{told}");
    let looks = || {
        let all = inngest.received();
        all.iter().filter(|got| got.path.contains("gql")).count()
    };
    let before = looks();
    inngest
        .wait_until("further looks of both", |_| looks() >= before + 4)
        .await;
    assert_eq!(inngest.url_of("shop"), Some(url_of(&green)));

    let asked = blue.admin("POST", "/-/register").answer(&blue.door()).await;
    assert_eq!(asked.status, 200, "{asked}");
    assert_eq!(inngest.url_of("shop"), Some(url_of(&blue)));
}

#[tokio::test]
async fn a_self_hosted_inngest_wants_the_key_of_the_project() {
    let project = project();
    let inngest = FakeInngest::of_kind(Kind::SelfHosted(KEY.to_owned())).await;
    // The environment belongs to the generation.
    let environment = |key: &str| {
        project.write(
            ".env",
            format!(
                "INNGEST_DEV=0\nINNGEST_BASE_URL={}\nINNGEST_SIGNING_KEY={key}\n",
                inngest.url()
            ),
        );
    };
    environment("ffff");
    let file = project.root().join(".env");
    let launch = Baton::start(&project)
        .argument("--env-file")
        .argument(file)
        .registering();
    let baton = launch.without("INNGEST_DEV").ready().await;
    let registration = state(&baton, "unregistered").await;
    assert_eq!(registration["error_kind"], "unauthorized", "{registration:#}");
    environment(KEY);
    reloaded(&baton).await;
    let registration = state(&baton, "registered").await;
    assert_eq!(registration["verified"], true, "{registration:#}");
    assert_eq!(registration["apps"][0]["inngest"], inngest.url());
}

#[tokio::test]
async fn an_inngest_without_graphql_is_read_back_through_its_api() {
    let (project, inngest) = (project(), FakeInngest::of_kind(Kind::SelfHosted(KEY.to_owned())).await);
    inngest.without_graphql();
    let launch = Baton::start(&project).without("INNGEST_DEV").registering();
    let launch = launch.env("INNGEST_BASE_URL", inngest.url());
    let baton = launch.env("INNGEST_SIGNING_KEY", KEY).ready().await;
    let registration = state(&baton, "registered").await;
    assert_eq!(registration["verified"], true, "{registration:#}");
    inngest.change("shop-order", |function| {
        function["triggers"] = json!([{ "cron": "0 7 * * *" }])
    });
    let registration = state(&baton, "drifted").await;
    assert_eq!(
        registration["drift"][0]["held"],
        json!(["cron 0 7 * * *"]),
        "{registration:#}"
    );
}

#[tokio::test]
async fn the_cloud_is_not_told_an_address_that_it_cannot_reach() {
    let project = project();
    let launch = Baton::start(&project).without("INNGEST_DEV").registering();
    let baton = launch.env("INNGEST_SIGNING_KEY", KEY).ready().await;
    let registration = state(&baton, "off").await;
    let reason = registration["reason"].as_str().unwrap();
    assert!(reason.contains("serve_origin"), "{reason}");
    baton.wait_for("not registered at Inngest", json!({})).await;
}

#[tokio::test]
async fn where_inngest_is_and_how_it_comes_back_is_said_in_baton_toml() {
    let (project, inngest) = (project(), FakeInngest::start().await);
    project.write(
        "baton.toml",
        format!(
            "[inngest]\nbase_url = \"{}\"\nserve_origin = \"https://shop.example\"\nserve_path = \"/hooks/inngest\"\n",
            inngest.url()
        ),
    );
    let launch = Baton::start(&project).without("INNGEST_DEV").registering();
    let baton = launch.env("INNGEST_SIGNING_KEY", KEY).ready().await;
    let got = inngest.registration_of("shop").await;
    assert_eq!(got.body["url"], "https://shop.example/hooks/inngest");
    drop(baton);
    // The settings for production do not hold on a machine that somebody develops on.
    let dev_server = FakeInngest::start().await;
    let baton = self::launch(&project, &dev_server).ready().await;
    let got = dev_server.registration_of("shop").await;
    assert_eq!(
        got.body["url"],
        format!("http://127.0.0.1:{}/hooks/inngest", baton.port())
    );
}

#[tokio::test]
async fn several_apps_and_a_fetch_export_register_at_their_own_urls() {
    let (project, inngest) = (project(), FakeInngest::start().await);
    project.write(
        "functions/mail.ts",
        function("mail", "").replace("\"shop\"", "\"post\""),
    );
    let baton = launch(&project, &inngest).ready().await;
    let url = |path: &str| Some(format!("http://localhost:{}/api/inngest{path}", baton.port()));
    holds(&inngest, &["post-mail", "shop-order"]).await;
    assert_eq!(
        (inngest.url_of("post"), inngest.url_of("shop")),
        (url("/post"), url("/shop"))
    );
    drop(baton);

    project.write(
        "serve.ts",
        r#"import { serve } from "inngest/edge";
import { Inngest } from "inngest";
import { order } from "./functions/order.ts";
const handler = serve({ client: new Inngest({ id: "shop" }), functions: [order] });
export default { fetch: (request: Request) => new URL(request.url).pathname === "/hooks" ? handler(request) : new Response("no", { status: 404 }) };
"#,
    );
    let inngest = FakeInngest::start().await;
    project.write("baton.toml", "[inngest]\nserve_path = \"/hooks\"\n");
    let launch = Baton::dev_on(&project, "serve.ts").inngest(&inngest).registering();
    let baton = launch.ready().await;
    holds(&inngest, &["shop-order"]).await;
    assert_eq!(
        inngest.url_of("shop"),
        Some(format!("http://localhost:{}/hooks", baton.port()))
    );
}

#[tokio::test]
async fn calls_are_answered_while_a_registration_hangs_and_it_never_counts_as_one() {
    let (project, inngest) = (project(), FakeInngest::start().await);
    inngest.set_mood(Mood::Silent);
    let baton = launch(&project, &inngest).ready().await;
    inngest.registrations_are(1).await;
    for _ in 0..3 {
        answers(&baton.executor()).await;
    }
    let status = baton.status().await;
    assert_eq!(status.in_flight(1).len(), 0, "{:#}", status.0);
    assert_eq!(status.0["registration"]["state"], "registering");
}
