//! User code's effects on its process stay inside its isolate.

use harness::{Baton, Line, Project, Run, mismatch};
use serde_json::{Value, json};

use crate::calls::{start, version_of};

/// Makes a project with one more function with this body. The body may use `event`, and `said`,
/// which returns the result of a call, or its error as text.
fn project_with(body: &str) -> Project {
    let project = Project::new();
    project.write(
        "functions/extra.ts",
        format!(
            "import {{ execFileSync, spawn }} from \"node:child_process\";\nimport {{ Inngest }} from \"inngest\";\n\
             void [execFileSync, spawn];\nconst inngest = new Inngest({{ id: \"fixture\" }});\n\
             export const extra = inngest.createFunction(\n  \
             {{ id: \"extra\", retries: 1, triggers: [{{ event: \"fixture/extra\" }}], checkpointing: false }},\n  \
             async ({{ event }}) => {{\n{body}\n  }},\n);\n\
             function said(call: () => unknown) {{\n  \
             try {{\n    return call();\n  }} catch (error) {{\n    return String(error);\n  }}\n}}\n"
        ),
    );
    project
}

/// Returns the function's result.
async fn returned(baton: &Baton) -> Value {
    let answer = start(baton, &Run::of("fixture-extra")).answer(baton).await;
    assert_eq!(answer.status, 200, "{answer}");
    answer.json()
}

#[tokio::test]
async fn an_exit_ends_its_isolate_and_nothing_else() {
    let project = project_with("    process.exit(3);");
    let baton = Baton::dev(&project).ready().await;
    for _ in 0..3 {
        let answer = start(&baton, &Run::of("fixture-extra")).answer(&baton).await;
        assert_eq!(answer.status, 500, "{answer}");
        assert_eq!(answer.header("x-inngest-no-retry"), Some("false"), "{answer}");
        assert_eq!(answer.header("retry-after"), Some("1"), "{answer}");
        assert_eq!(version_of(&baton, "version").await, "1", "the next isolate serves");
    }
    let line = baton.wait_for("isolate ended", json!({ "generation": 1 })).await;
    assert!(line.text.contains("process.exit(3)"), "{}", line.text);
    assert!(
        line.text.contains("functions/extra.ts:8"),
        "with its stack: {}",
        line.text
    );
    baton
        .wait_for("call failed", json!({ "function": "fixture-extra" }))
        .await;
    assert_eq!(baton.status().await.current(), 1);
}

/// The ways out of a process, by the exit code that the isolate ends with.
const WAYS_OUT: &str = r#"    const group = Number(execFileSync("ps", ["-o", "pgid=", "-p", String(process.pid)]).toString());
    const ways: Record<string, () => void> = {
      "process.reallyExit": () => (process as any).reallyExit(7),
      "process.abort": () => process.abort(),
      "process.kill": () => process.kill(process.pid),
      "process.kill by number": () => process.kill(process.pid, 9),
      "process.kill of the group": () => process.kill(0, "SIGHUP"),
      "process.kill of the group by its number": () => process.kill(-group, "SIGINT"),
      "Deno.kill": () => Deno.kill(Deno.pid, "SIGQUIT"),
    };
    ways[event.data.way]();"#;

#[tokio::test]
async fn every_way_out_of_the_process_leads_out_of_the_isolate() {
    let project = project_with(WAYS_OUT);
    let baton = Baton::dev(&project).ready().await;
    for (way, call) in [
        ("process.reallyExit", "process.exit(7)"),
        ("process.abort", "process.abort()"),
        ("process.kill", ", \"SIGTERM\")"),
        ("process.kill by number", ", \"SIGKILL\")"),
        ("process.kill of the group", "process.kill(0, \"SIGHUP\")"),
        ("process.kill of the group by its number", ", \"SIGINT\")"),
        ("Deno.kill", ", \"SIGQUIT\")"),
    ] {
        let run = Run::of("fixture-extra").with_data(json!({ "way": way }));
        let answer = start(&baton, &run).answer(&baton).await;
        assert_eq!(answer.status, 500, "{way}: {answer}");
        assert_eq!(answer.header("x-inngest-no-retry"), Some("false"), "{way}: {answer}");
        let told = |line: &Line| {
            let reason = line.json["reason"].as_str().unwrap_or_default();
            let stack = line.json["stack"].as_str().unwrap_or_default();
            line.message() == "isolate ended"
                && reason.starts_with("user code called ")
                && reason.ends_with(call)
                && stack.contains("functions/extra.ts:")
        };
        baton.stderr().wait_for_line(way, told).await;
        assert_eq!(version_of(&baton, "version").await, "1", "{way}");
    }
}

#[tokio::test]
async fn signals_that_end_nothing_are_ignored_and_other_processes_get_theirs() {
    let body = "    const child = spawn(\"sleep\", [\"600\"]);\n    \
                const ended = new Promise((then) => child.on(\"exit\", (_, signal) => then(signal)));\n    \
                const self = [0, \"SIGCHLD\", \"SIGWINCH\", \"SIGSTOP\"].map((signal) => process.kill(process.pid, signal));\n    \
                const alive = process.kill(child.pid!, 0);\n    process.kill(child.pid!, \"SIGUSR2\");\n    \
                return { self, alive, ended: await ended, gone: said(() => process.kill(child.pid!, 0)) };";
    let project = project_with(body);
    let baton = Baton::dev(&project).ready().await;
    let said = returned(&baton).await;
    let expected =
        json!({ "self": [true, true, true, true], "alive": true, "ended": "SIGUSR2", "gone": "Error: kill ESRCH" });
    assert_eq!(said, expected);
}

#[tokio::test]
async fn the_title_the_user_and_the_priority_are_the_hosts() {
    let body = "    const os = await import(\"node:os\");\n    const v8 = await import(\"node:v8\");\n    \
                process.title = \"a title\";\n    const child = spawn(\"sleep\", [\"600\"]);\n    \
                os.setPriority(child.pid!, 5);\n    const ofChild = os.getPriority(child.pid!);\n    child.kill();\n    \
                return { title: process.title, ofChild, own: os.getPriority(process.pid), refused: [\n      \
                () => process.setuid!(0), () => process.seteuid!(0), () => process.setgid!(\"root\"), \
                () => process.setegid!(0), () => os.setPriority(0, 5), () => os.setPriority(process.pid, 5), \
                () => os.setPriority(5), () => v8.setHeapSnapshotNearHeapLimit(1)].map(said) };";
    let project = project_with(body);
    let baton = Baton::dev(&project).ready().await;
    let names = || {
        let pid = baton.pid().to_string();
        let shown = std::process::Command::new("ps")
            .args(["-o", "comm=,args=", "-p", &pid])
            .output();
        String::from_utf8(shown.expect("ps").stdout).expect("text")
    };
    let before = names();
    let said = returned(&baton).await;
    assert_eq!(names(), before, "the process is not renamed");
    assert_eq!(
        (&said["title"], &said["ofChild"]),
        (&json!("a title"), &json!(5)),
        "{said}"
    );
    assert_eq!(said["own"], 0, "{said}");
    let refused = said["refused"].as_array().expect("what was refused");
    let instead = ["`uid` and `gid` options"; 4]
        .into_iter()
        .chain(["child.pid"; 3])
        .chain(["writeHeapSnapshot"]);
    assert_eq!(refused.len(), instead.clone().count(), "{said}");
    for (refusal, instead) in refused.iter().zip(instead) {
        assert!(
            refusal.as_str().is_some_and(|text| text.contains(instead)),
            "{instead}: {refusal}"
        );
    }
}

#[tokio::test]
async fn an_exit_while_code_is_loaded_rejects_the_code() {
    let project = Project::new();
    let baton = Baton::dev(&project).ready().await;
    project.write("functions/exits.ts", "interface Unused {}\n\nprocess.exit(1);\n");
    let report = baton.reload().await;
    assert_eq!((report.http, report.status()), (422, "rejected"), "{report}");
    let error = json!({ "kind": "evaluate", "file": "functions/exits.ts", "line": 3 });
    assert_eq!(mismatch(report.error(), &error), None, "{report}");
    assert_eq!(version_of(&baton, "version").await, "1");
}

#[tokio::test]
async fn environment_variables_that_a_function_sets_are_gone_with_its_generation() {
    let body = "    const before = process.env.BATON_TEST_MARK ?? null;\n    process.env.BATON_TEST_MARK = \"set\";\n    \
                delete process.env.HOME;\n    \
                const child = execFileSync(\"sh\", [\"-c\", \"echo $BATON_TEST_MARK\"]).toString().trim();\n    \
                return { before, after: process.env.BATON_TEST_MARK, child, home: process.env.HOME ?? null };";
    let project = project_with(body);
    let baton = Baton::dev(&project).ready().await;
    let first = json!({ "before": null, "after": "set", "child": "set", "home": null });
    assert_eq!(returned(&baton).await, first);
    let _ = baton.reload_with("?force=1").await.activated();
    assert_eq!(returned(&baton).await, first, "a new generation begins with the host's");
}

#[tokio::test]
async fn the_standard_input_of_the_host_reads_as_empty() {
    let body = "    const { readFileSync } = await import(\"node:fs\");\n    let streamed = \"\";\n    \
                const file = readFileSync(0, \"utf8\");\n    \
                const child = execFileSync(\"cat\", { stdio: [\"inherit\", \"pipe\", \"inherit\"] }).toString();\n    \
                for await (const chunk of process.stdin) streamed += chunk;\n    \
                return { file, child, streamed, tty: process.stdin.isTTY };";
    let project = project_with(body);
    let input = project.scratch().join("input");
    std::fs::write(&input, "not for functions\n").expect("a file");
    let baton = Baton::dev(&project).input(&input).ready().await;
    let expected = json!({ "file": "", "child": "", "streamed": "", "tty": false });
    assert_eq!(returned(&baton).await, expected);
}

#[tokio::test]
async fn an_env_file_sets_what_is_not_set_for_its_generation_only() {
    let body = "    const before = process.env.BATON_TEST_FILE ?? null;\n    process.env.BATON_TEST_MARK = \"set\";\n    \
                process.loadEnvFile(event.data.file);\n    \
                return { before, after: process.env.BATON_TEST_FILE, mark: process.env.BATON_TEST_MARK };";
    let project = project_with(body);
    let file = project.scratch().join("variables");
    std::fs::write(
        &file,
        "BATON_TEST_FILE=\"from the file\" # said twice\nBATON_TEST_MARK=file\n",
    )
    .expect("a file");
    let baton = Baton::dev(&project).ready().await;
    let run = Run::of("fixture-extra").with_data(json!({ "file": file }));
    let expected = json!({ "before": null, "after": "from the file", "mark": "set" });
    assert_eq!(start(&baton, &run).answer(&baton).await.json(), expected);
    let _ = baton.reload_with("?force=1").await.activated();
    assert_eq!(start(&baton, &run).answer(&baton).await.json(), expected);
}

#[tokio::test]
async fn each_generation_tells_the_time_in_the_zone_of_its_own_environment() {
    let project = project_with(
        r#"    const { untilThereIs } = await import("../lib/work");
    const { Worker } = await import("node:worker_threads");
    const noon = new Date(Date.UTC(2026, 0, 15, 12));
    const told = () => [noon.getHours(), Intl.DateTimeFormat().resolvedOptions().timeZone, noon.toLocaleTimeString("en-GB")];
    if (event.data.zone) process.env.TZ = event.data.zone;
    const before = told();
    if (event.data.gate) await untilThereIs(event.data.gate);
    const code = "require('node:worker_threads').parentPort.postMessage(new Date(Date.UTC(2026, 0, 15, 12)).toLocaleTimeString('en-GB'))";
    const worker = new Worker(code, { eval: true });
    const inWorker = await new Promise((told) => worker.once("message", told));
    const inChild = execFileSync("date", ["-d", "@0", "+%H"]).toString().trim();
    return [...before, ...told(), inWorker, inChild];"#,
    );
    project.write("baton.toml", "[env]\nfile = \".env\"\n");
    project.write(".env", "TZ=Asia/Tokyo\n");
    let baton = Baton::dev(&project).ready().await;
    let tokyo = [json!(21), json!("Asia/Tokyo"), json!("21:00:00")];
    let of_tokyo = json!([&tokyo[..], &tokyo, &[json!("21:00:00"), json!("09")]].concat());
    assert_eq!(returned(&baton).await, of_tokyo);

    let gate = project.gate("held");
    let held = start(
        &baton,
        &Run::of("fixture-extra").with_data(json!({ "gate": gate.path() })),
    );
    baton.in_flight(1, 1).await;
    project.write(".env", "TZ=America/New_York\n");
    assert_eq!(baton.reload().await.activated(), 2);
    let new_york = [json!(7), json!("America/New_York"), json!("07:00:00")];
    let of_new_york = json!([&new_york[..], &new_york, &[json!("07:00:00"), json!("19")]].concat());
    assert_eq!(returned(&baton).await, of_new_york);
    let kathmandu = start(
        &baton,
        &Run::of("fixture-extra").with_data(json!({ "zone": "Asia/Kathmandu" })),
    );
    let kathmandu = kathmandu.answer(&baton).await.json();
    assert_eq!(kathmandu[3], 17, "code may set another one: {kathmandu}");
    gate.open();
    assert_eq!(
        held.answer(&baton).await.json(),
        of_tokyo,
        "the older generation keeps its own"
    );

    project.write(".env", "OTHER=1\n");
    assert_eq!(baton.reload().await.activated(), 3);
    assert_eq!(returned(&baton).await[0], 12, "the zone is the host's again");
}

#[tokio::test]
async fn the_working_folder_and_the_umask_are_the_hosts() {
    let body = "    return { chdir: said(() => process.chdir(\"/\")), umask: said(() => process.umask(0)), \
                mask: process.umask(), cwd: process.cwd() };";
    let project = project_with(body);
    let baton = Baton::dev(&project).ready().await;
    let said = returned(&baton).await;
    assert!(
        said["chdir"].as_str().is_some_and(|text| text.contains("`cwd` option")),
        "{said}"
    );
    assert!(
        said["umask"].as_str().is_some_and(|text| text.contains("not possible")),
        "{said}"
    );
    assert!(said["mask"].is_u64(), "{said}");
    assert_ne!(said["cwd"], "/");
}

/// The SDK waits for such a timer at every tenth step of a run.
#[tokio::test]
async fn a_timer_of_0_fires_at_the_next_turn_of_the_event_loop_wherever_it_comes_from() {
    let project = project_with(
        r#"    const timers = await import("node:timers");
    const turns = async (count: number, wait: (go: () => void) => unknown) => {
      for (let n = 0; n < count; n += 1) await new Promise<void>((go) => wait(go));
      return count;
    };
    const first = (wait: (go: () => void) => unknown) => Promise.race([turns(10, wait), turns(30, setImmediate)]);
    return [
      await first((go) => setTimeout(go)),
      await first((go) => timers.setTimeout(go, 0)),
      await first((go) => timers.promises.setTimeout(0).then(go)),
      await first((go) => setTimeout(go, 60_000)),
    ];"#,
    );
    let baton = Baton::dev(&project).ready().await;
    assert_eq!(returned(&baton).await, json!([10, 10, 10, 30]));
}

/// The test reads Linux's limit.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn it_may_open_as_many_files_as_the_system_allows() {
    use std::os::unix::fs::PermissionsExt as _;

    let project = Project::new();
    let limited = project.scratch().join("limited");
    let text = format!("#!/bin/sh\nulimit -Sn 256\nexec {:?} \"$@\"\n", harness::baton_binary());
    std::fs::write(&limited, text).expect("a script");
    std::fs::set_permissions(&limited, std::fs::Permissions::from_mode(0o755)).expect("a script that runs");
    let baton = Baton::dev(&project).program(&limited).ready().await;
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", baton.pid())).expect("its limits");
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"))
        .expect("a limit of files");
    let numbers: Vec<&str> = line.split_whitespace().skip(3).take(2).collect();
    assert_eq!(numbers[0], numbers[1], "{line}");
}
