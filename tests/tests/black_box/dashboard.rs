//! The dashboard, in a real browser (README, promise 7). Screenshots are kept beside the built
//! binary.

use harness::http::Call;
use harness::{Baton, Browser, Cli, Project};
use serde_json::{Value, json};

use crate::calls::{gated, start, version_of};

/// Opens a browser that shows a host's dashboard.
async fn look_at(baton: &Baton) -> Browser {
    let mut browser = Browser::start().await;
    let url = format!("http://127.0.0.1:{}/-/", baton.port());
    let open = format!(
        "await page.goto({}); await page.locator('#connection[data-state=live]').waitFor();",
        json!(url)
    );
    browser.run(&open).await;
    browser
}

/// Checks that neither axe-core nor the browser has found a fault.
#[track_caller]
fn nothing_wrong(found: &Value, sentence: &str) {
    assert_eq!(found, &json!([]), "{sentence}: {found:#}");
}

const SWAPPED: &str = "await page.locator('#live-title', { hasText: 'Generation 2 serves' }).waitFor();";

#[tokio::test]
async fn a_slow_call_is_seen_on_the_old_lane_while_the_new_one_serves() {
    let project = Project::new();
    let baton = Baton::dev(&project).ready().await;
    let mut browser = look_at(&baton).await;
    let gate = project.gate("slow");
    let slow = gated(&gate);
    let answered = start(&baton, &slow);
    baton.in_flight(1, 1).await;
    project.set_version("2");
    browser
        .run("await page.getByRole('button', { name: 'Reload', exact: true }).click();")
        .await;
    browser.run(SWAPPED).await;
    for _ in 0..5 {
        assert_eq!(version_of(&baton, "version").await, "2");
    }

    let lanes = "await page.locator('#lanes div', { hasText: /^2 current/ }).waitFor();
        await page.locator('#lanes div', { hasText: /^1 draining · 1 in flight/ }).waitFor();";
    browser.run(lanes).await;
    // From here on the test uses only the keyboard: the newest call first, then the lane above.
    let walk = "await page.locator('#chart').focus();
        const pressed = async () => {
          await page.keyboard.press('Escape');
          await page.keyboard.press('End');
          return (await page.locator('#detail').textContent()).includes('fixture-version');
        };
        while (!(await pressed())) await page.waitForTimeout(100);
        const newest = await page.locator('#detail').textContent();
        await page.keyboard.press('ArrowUp');
        const above = await page.locator('#detail').textContent();
        await page.keyboard.press('ArrowDown');
        const below = await page.locator('#detail').textContent();
        await page.keyboard.press('ArrowUp');
        await shot('swap-light');
        return { newest, above, below };";
    let told = browser.run(walk).await;
    let text = |name: &str| told[name].as_str().unwrap_or_default().to_owned();
    for part in [
        "fixture-version",
        "generation 2, isolate 0",
        "answered 200",
        "attempt 0",
    ] {
        assert!(text("newest").contains(part), "{part}: {told:#}");
    }
    for part in ["fixture-gated", &slow.id, "so far", "generation 1"] {
        assert!(text("above").contains(part), "{part}: {told:#}");
    }
    assert!(text("below").contains("generation 2"), "{told:#}");

    gate.open();
    assert_eq!(answered.answer(&baton).await.status, 206);
    let retired = "await page.locator('#lanes div', { hasText: /^1 retired/ }).waitFor();
        await page.waitForFunction(() => document.querySelector('#detail').textContent.includes('answered 206'));
        return sentences;";
    nothing_wrong(&browser.run(retired).await, "errors of the page");
}

#[tokio::test]
async fn a_rejected_reload_shows_where_it_is_wrong_and_rolling_back_is_a_key_away() {
    let project = Project::new();
    let baton = Baton::dev(&project).ready().await;
    let mut browser = look_at(&baton).await;
    project.set_version("2");
    // The button rests until the host has answered, which comes after the swap.
    let by_keyboard = "await page.locator('#reload:not([aria-disabled=true])').focus();
        await page.keyboard.press('Enter');";
    browser.run(by_keyboard).await;
    browser.run(SWAPPED).await;
    project.write("functions/broken.ts", "export const one = 1;\nexport const = 2;\n");
    browser.run(by_keyboard).await;
    let rejected = "await page.locator('#attention pre', { hasText: 'export const = 2;' }).waitFor();
        await page.locator('#said', { hasText: 'Rejected' }).waitFor();
        await shot('rejected-light');
        const axe_light = await axe();
        await page.emulateMedia({ colorScheme: 'dark' });
        await page.waitForTimeout(300);
        await shot('rejected-dark');
        const axe_dark = await axe();
        await page.setViewportSize({ width: 390, height: 840 });
        await page.waitForTimeout(300);
        await shot('rejected-narrow');
        const axe_narrow = await axe();
        const sideways = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        await page.setViewportSize({ width: 1360, height: 900 });
        return { said: await page.locator('#said').textContent(), at: await page.locator('#attention').textContent(),
                 axe_light, axe_dark, axe_narrow, sideways };";
    let seen = browser.run(rejected).await;
    let said = seen["said"].as_str().unwrap_or_default();
    assert!(
        said.contains("functions/broken.ts:2") && said.contains("Generation 2 still serves"),
        "{seen:#}"
    );
    assert!(
        seen["at"]
            .as_str()
            .is_some_and(|at| at.contains("functions/broken.ts:2:14")),
        "{seen:#}"
    );
    for look in ["axe_light", "axe_dark", "axe_narrow"] {
        nothing_wrong(&seen[look], look);
    }
    assert_eq!(seen["sideways"], 0, "a narrow page does not scroll sideways");

    let back = "await page.locator('#roll-back').focus(); await page.keyboard.press('Space');
        await page.locator('#live-title', { hasText: /Generation [45] serves/ }).waitFor();
        return [await page.locator('#live').textContent(), sentences];";
    let back = browser.run(back).await;
    assert!(
        back[0].as_str().is_some_and(|live| live.contains("code of 1")),
        "{back:#}"
    );
    nothing_wrong(&back[1], "errors of the page");
    assert_eq!(version_of(&baton, "version").await, "1");
}

#[tokio::test]
async fn every_action_is_reached_by_tab_alone_and_a_function_is_invoked_with_its_steps() {
    let project = Project::new();
    let baton = Baton::dev(&project).ready().await;
    let mut browser = look_at(&baton).await;
    let reached = "const reached = [];
        for (let at = 0; at < 80; at++) {
          await page.keyboard.press('Tab');
          reached.push(await page.evaluate(() => document.activeElement.id));
          if (reached.at(-1) === 'invoke-skip') break;
        }
        return reached;";
    let reached = browser.run(reached).await;
    let reached: Vec<&str> = reached
        .as_array()
        .expect("ids")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    for id in [
        "reload",
        "dry-run",
        "roll-back",
        "pause",
        "chart",
        "invoke-fixture-one-step",
        "invoke-function",
        "invoke-data",
    ] {
        assert!(reached.contains(&id), "{id} is not reached: {reached:?}");
    }

    let invoke = "await page.locator('#invoke-fixture-one-step').focus();
        await page.keyboard.press('Enter');
        await page.waitForFunction(() => document.activeElement.id === 'invoke-data');
        await page.keyboard.press('Control+A');
        await page.keyboard.type('{\"name\": \"Ada\"}');
        await page.keyboard.press('Tab'); await page.keyboard.press('Tab'); await page.keyboard.press('Enter');
        await page.locator('#invoke-steps li', { hasText: 'fixture-one-step' }).waitFor();
        await shot('invoked');
        return [await page.locator('#invoke-steps li').allTextContents(), await axe(), sentences];";
    let invoked = browser.run(invoke).await;
    let steps: Vec<&str> = invoked[0]
        .as_array()
        .expect("steps")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    assert!(
        steps[0].contains("greet") && steps[0].contains("Hello Ada"),
        "{steps:?}"
    );
    assert!(steps[1].contains("completed fixture-one-step"), "{steps:?}");
    nothing_wrong(&invoked[1], "axe");
    nothing_wrong(&invoked[2], "errors of the page");

    let wrong = "await page.locator('#invoke-function').fill('on-step');
        await page.locator('#invoke-form .primary').click();
        await page.locator('#invoke-steps li', { hasText: 'did you mean' }).waitFor();
        await page.locator('#invoke-data').fill('{');
        await page.locator('#invoke-form .primary').click();
        await page.locator('#invoke-steps li', { hasText: 'not valid JSON' }).waitFor();";
    browser.run(wrong).await;
}

#[tokio::test]
async fn a_lost_connection_is_said_and_the_page_comes_back_by_itself() {
    let project = Project::new();
    let mut baton = Baton::dev(&project).ready().await;
    let port = baton.port();
    let mut browser = look_at(&baton).await;
    baton.signal("KILL").await;
    let _ = baton.ended().await;
    let lost = "await page.locator('#connection[data-state=lost]').waitFor();
        await shot('connection-lost');
        const words = await page.locator('#connection').textContent();
        await page.getByRole('button', { name: 'Dry run' }).click();
        await page.locator('#said', { hasText: 'The host does not answer' }).waitFor();
        return words;";
    let words = browser.run(lost).await;
    assert!(
        words
            .as_str()
            .is_some_and(|words| words.starts_with("connection lost at")),
        "{words}"
    );

    project.set_version("2");
    let again = Baton::dev(&project).option("--port", port.to_string()).ready().await;
    let back = "await page.locator('#connection[data-state=live]').waitFor();
        await page.locator('#live-title', { hasText: /Generation 2 serves/ }).waitFor();";
    browser.run(back).await;
    assert_eq!(version_of(&again, "version").await, "2");
}

#[tokio::test]
async fn in_production_a_browser_shows_the_token_or_a_link_that_works_once() {
    let project = Project::new();
    let baton = Baton::start(&project).ready().await;
    let url = format!("http://127.0.0.1:{}/-/", baton.port());
    for path in ["/-/panels", "/-/events?calls=1"] {
        assert_eq!(baton.get(path).await.status, 401, "{path}");
    }
    for path in ["/-/session", "/-/invoke"] {
        let answer = Call::new("POST", path)
            .json(&json!({ "function": "version" }))
            .answer(&baton.door())
            .await;
        assert_eq!(answer.status, 401, "{path}: {answer}");
    }
    let page = baton.get("/-/").await;
    assert_eq!(page.status, 401, "{page}");
    assert!(
        page.text().contains("Admin token") && !page.text().contains("fixture-"),
        "{page}"
    );
    let policy = page.header("content-security-policy").unwrap_or_default();
    assert!(
        policy.contains("default-src 'none'") && !policy.contains("unsafe"),
        "{policy}"
    );

    let mut browser = Browser::start().await;
    let login = format!(
        "await page.goto({url}); await page.fill('#token', 'wrong'); await page.keyboard.press('Enter');
        await page.getByRole('alert').waitFor();
        const found = await axe();
        await page.fill('#token', {token}); await page.keyboard.press('Enter');
        await page.locator('#connection[data-state=live]').waitFor();
        await page.getByRole('button', {{ name: 'Dry run' }}).click();
        await page.locator('#said', {{ hasText: 'It could be served' }}).waitFor();
        return [found, await page.evaluate(() => document.cookie)];",
        url = json!(url),
        token = json!(baton.token()),
    );
    let seen = browser.run(&login).await;
    nothing_wrong(&seen[0], "axe");
    assert_eq!(seen[1], "", "scripts cannot read the cookie");

    let cli = Cli::within(project.root()).env("BATON_STATE_DIR", project.state_dir());
    let asked = cli.baton(&["dashboard"]).await;
    let link = asked.stdout.trim().to_owned();
    assert!(link.starts_with(&format!("{url}login?ticket=")), "{asked:?}");
    let mut other = Browser::start().await;
    let open = format!(
        "await page.goto({link}); await page.locator('#connection[data-state=live]').waitFor(); return page.url();",
        link = json!(link)
    );
    assert_eq!(other.run(&open).await, json!(url));
    let path = link.split_once(&format!(":{}", baton.port())).expect("a URL").1;
    let again = baton.get(path).await;
    assert_eq!(again.status, 401, "a second time: {again}");
    assert!(again.header("set-cookie").is_none(), "{again}");
}

/// This test needs no browser: it reads the events that an open page gets.
#[tokio::test]
async fn the_stream_of_calls_tells_what_was_before_it_and_what_runs() {
    let project = Project::new();
    let baton = Baton::dev(&project).ready().await;
    assert_eq!(version_of(&baton, "version").await, "1");
    let mut events = baton.events_with("?calls=1").await;
    let whole = events.next("calls", &json!({"whole": true})).await.data;
    assert_eq!(whole["ended"][0]["function"], "fixture-version", "{whole:#}");
    assert_eq!(whole["ended"][0]["status"], 200, "{whole:#}");
    assert_eq!(whole["moments"].as_array().map(Vec::len), Some(3), "{whole:#}");

    let gate = project.gate("slow");
    let run = gated(&gate);
    let answered = start(&baton, &run);
    let began = events.next("calls", &json!({"began": [{"run": run.id}]})).await.data;
    assert_eq!(began["in_flight"]["1"], 1, "{began:#}");
    gate.open();
    let ended = events
        .next("calls", &json!({"ended": [{"run": run.id, "status": 206}]}))
        .await
        .data;
    assert_eq!(ended["ended"][0]["isolate"], 0, "{ended:#}");
    assert_eq!(answered.answer(&baton).await.status, 206);
}

const CANARY: &str = "await page.locator('#canary h2', { hasText: /^Canary running/ }).waitFor();
    await page.locator('#lanes div', { hasText: /^2 canary/ }).waitFor();
    await page.waitForFunction(() => /[1-9][0-9]* of 20 runs ended/.test(document.querySelector('#canary').textContent));
    await page.locator('#canary-evidence').focus();
    await shot('canary-light');
    const axe_light = await axe();
    await page.emulateMedia({ colorScheme: 'dark' });
    await page.waitForTimeout(300);
    await shot('canary-dark');
    const axe_dark = await axe();
    await page.setViewportSize({ width: 390, height: 840 });
    await page.waitForTimeout(300);
    await shot('canary-narrow');
    const axe_narrow = await axe();
    const sideways = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    await page.setViewportSize({ width: 1360, height: 900 });
    await page.emulateMedia({ colorScheme: 'light' });
    return { text: await page.locator('#canary').textContent(), attention: await page.locator('#attention').textContent(), focused: await page.evaluate(() => document.activeElement.id),
             axe_light, axe_dark, axe_narrow, sideways };";

#[tokio::test]
async fn a_canary_has_two_lanes_and_the_evidence_until_it_is_taken_back() {
    let project = Project::new();
    project.write("functions/versioned.ts", failing_version(0));
    let baton = Baton::start(&project).ready().await;
    let token = json!(baton.token());
    let mut browser = Browser::start().await;
    let open = format!(
        "await page.goto('http://127.0.0.1:{}/-/'); await page.locator('#token').fill({token});
         await page.keyboard.press('Enter'); await page.locator('#connection[data-state=live]').waitFor();
         // The browser calls the page that asks for the token an error, for its status.
         sentences.length = 0;",
        baton.port()
    );
    browser.run(&open).await;
    project.write("functions/versioned.ts", failing_version(3));
    assert_eq!(baton.reload_with("?canary=40").await.status(), "canary");
    let call = async || {
        let run = harness::Run::of("fixture-version");
        baton.executor().discover(&run).await.expect("an answer");
    };
    for _ in 0..24 {
        call().await;
    }
    let seen = browser.run(CANARY).await;
    let text = seen["text"].as_str().unwrap_or_default();
    for part in [
        "2 canary, 40 % of the new runs",
        "1 current, 60 % of the new runs",
        "runs with a failed attempt",
        "of the way to being taken back",
    ] {
        assert!(text.contains(part), "{part}: {seen:#}");
    }
    let attention = seen["attention"].as_str().unwrap_or_default();
    assert!(
        !attention.contains("newer than the code that serves"),
        "the code on the disk is the canary's: {attention}"
    );
    assert_eq!(
        seen["focused"], "canary-evidence",
        "the evidence is reached and scrolled by keyboard"
    );
    for look in ["axe_light", "axe_dark", "axe_narrow"] {
        nothing_wrong(&seen[look], look);
    }
    assert_eq!(seen["sideways"], 0, "a narrow page does not scroll sideways");

    project.write("functions/versioned.ts", failing_version(1));
    assert_eq!(baton.reload_with("?canary=40").await.status(), "canary");
    while baton.admin("GET", "/-/canary").answer(&baton.door()).await.json()["end"].is_null() {
        call().await;
    }
    let over = "await page.locator('#canary h2', { hasText: 'taken back' }).waitFor();
        await shot('canary-taken-back');
        return [await page.locator('#canary').textContent(), await axe(), sentences];";
    let over = browser.run(over).await;
    assert!(
        over[0]
            .as_str()
            .is_some_and(|text| text.contains("fixture-version is worse: runs")),
        "{over:#}"
    );
    nothing_wrong(&over[1], "a canary that was taken back");
    nothing_wrong(&over[2], "errors of the page");
}

/// The function `version`, which throws in each call of so many; never with 0.
fn failing_version(of: u32) -> String {
    format!(
        "import {{ inngest }} from \"../lib/client\";\nlet calls = 0;\nexport const version = inngest.createFunction(\n  \
         {{ id: \"version\", retries: 0, checkpointing: false, triggers: [{{ event: \"fixture/version\" }}] }},\n  \
         async () => {{\n    if ({of} && ++calls % {of} === 0) throw new Error(\"broken\");\n    return \"fine\";\n  }},\n);\n"
    )
}
