//! Crashes in native code, which no isolate contains: the next host names the call that the host before it ran,
//! and the place.

use std::process::Command;

use harness::{Baton, Line, Project, Run, deadline};
use serde_json::json;

use crate::calls::{gated, start, version_of};

/// Adds a function that loads an addon in the middle of a step. The addon writes its thread's number to a file
/// and crashes. Returns the path of that file.
fn crash_in_a_step(project: &Project) -> std::path::PathBuf {
    let thread = project.scratch().join("thread");
    let source = format!(
        "#include <stdio.h>\n#ifdef __APPLE__\n#include <pthread.h>\n#include <stdint.h>\n\
         static unsigned long long number(void) {{ uint64_t id; pthread_threadid_np(0, &id); return id; }}\n#else\n\
         #include <sys/syscall.h>\n#include <unistd.h>\n\
         static unsigned long long number(void) {{ return syscall(SYS_gettid); }}\n#endif\n\
         void *napi_register_module_v1(void *env, void *exports) {{\n  FILE *file = fopen({thread:?}, \"w\");\n  \
         fprintf(file, \"%llu\", number());\n  fclose(file);\n  *(volatile int *)0 = 1;\n  return exports;\n}}\n"
    );
    project.write("lib/crash.c", source);
    let mut compiler = Command::new("cc");
    compiler
        .args(["-shared", "-fPIC", "-o", "crash.node", "crash.c"])
        .current_dir(project.root().join("lib"));
    assert!(
        compiler.status().is_ok_and(|status| status.success()),
        "cc, which a build needs anyway"
    );
    project.write(
        "functions/crash.ts",
        r#"import { createRequire } from "node:module";
import { inngest } from "../lib/client";
export const crash = inngest.createFunction(
  { id: "crash", retries: 1, checkpointing: false, triggers: [{ event: "fixture/crash" }] },
  async ({ step }) => step.run("in-native-code", () => createRequire(import.meta.url)("../lib/crash.node")),
);
"#,
    );
    thread
}

async fn is_named(baton: &Baton, run: &Run, generation: u64) -> Line {
    let lost = json!({ "function": run.function, "run": run.id, "step": "step", "generation": generation });
    baton.wait_for("call lost: its host died", lost).await
}

#[tokio::test]
async fn a_crash_names_function_run_step_generation_and_thread_of_what_ran() {
    let project = Project::new();
    let thread = crash_in_a_step(&project);
    let baton = Baton::start(&project).ready().await;
    let host = baton.host().await;
    let beside = gated(&project.gate("never"));
    let _beside = start(&baton, &beside);
    baton.in_flight(1, 1).await;
    assert_eq!(
        version_of(&baton, "version").await,
        "1",
        "what is answered is not named"
    );
    project.set_version("2");
    assert_eq!(baton.reload().await.activated(), 2);
    let crashes = Run::of("fixture-crash");
    let _crashes = start(&baton, &crashes);

    baton
        .wait_for("host died", json!({ "host": host, "status": "signal 11" }))
        .await;
    let line = is_named(&baton, &crashes, 2).await;
    let wrote = std::fs::read_to_string(&thread).expect("the addon has run");
    assert_eq!(line.json["thread"].to_string(), wrote, "{}", line.text);
    let line = is_named(&baton, &beside, 1).await;
    assert!(line.json["thread"].is_u64(), "{}", line.text);
    assert_ne!(line.json["thread"].to_string(), wrote, "{}", line.text);
    let next = async || {
        let ready = baton.get("/-/ready").await;
        (ready.status == 200 && baton.host().await != host).then_some(())
    };
    deadline::until("another host serves", || baton.stderr().tail(), next).await;
    assert_eq!(version_of(&baton, "version").await, "2");
    let lines = baton.stderr().lines();
    let lost = lines.iter().filter(|line| line.message().starts_with("call lost"));
    assert_eq!(lost.count(), 2, "{}", baton.stderr().tail());
}

#[tokio::test]
async fn the_next_dev_host_names_what_crashed_the_one_before() {
    let project = Project::new();
    crash_in_a_step(&project);
    let mut baton = Baton::dev(&project).ready().await;
    let crashes = Run::of("fixture-crash");
    let _crashes = start(&baton, &crashes);
    baton.ended().await;

    let mut baton = Baton::dev(&project).ready().await;
    is_named(&baton, &crashes, 1).await;
    baton.signal("TERM").await;
    baton.ended().await;
    let baton = Baton::dev(&project).ready().await;
    assert!(
        !baton.stderr().text().contains("call lost"),
        "each is named once: {}",
        baton.stderr().tail()
    );
}
