//! `soak COUNT`: reloads the example project COUNT times, with an edit and a call each time, and
//! prints how memory changed. It fails when a call fails or when threads, sockets or children stay.

#[cfg(target_os = "linux")]
#[tokio::main]
async fn main() -> std::process::ExitCode {
    linux::soak().await
}

#[cfg(not(target_os = "linux"))]
fn main() -> std::process::ExitCode {
    eprintln!("the soak counts memory as Linux does");
    std::process::ExitCode::FAILURE
}

#[cfg(target_os = "linux")]
mod linux {
    use std::process::ExitCode;

    use harness::soak::{Progress, Soak, WARM_UP};
    use harness::{Baton, FakeInngest, Project, Run};
    use serde_json::json;

    const RELOADS: u64 = 20_000;
    const REPORT_EVERY: u64 = 1_000;
    const HELLO: &str = "functions/hello.ts";

    /// The limit for memory at the end, as a multiple of the memory after the warm-up.
    const GROWTH: f64 = 1.1;

    pub(super) async fn soak() -> ExitCode {
        let reloads = match std::env::args().nth(1).map(|count| count.parse()) {
            None => RELOADS,
            Some(Ok(count)) if count > WARM_UP => count,
            Some(_) => {
                eprintln!("soak COUNT: a number of reloads, more than {WARM_UP}");
                return ExitCode::from(2);
            }
        };
        let project = Project::example();
        let inngest = FakeInngest::start().await;
        let baton = Baton::dev(&project)
            .inngest(&inngest)
            .telling_of_isolates()
            .ready()
            .await;
        let original = project.read(HELLO);
        let edit = |version: u64| project.write(HELLO, original.replace("Hello, ", &format!("Hello {version}, ")));
        let call = async |version: u64| {
            let run = Run::of("baton-example-hello")
                .on("demo/hello")
                .with_data(json!({ "name": "Ada" }));
            let answer = baton.executor().discover(&run).await;
            let answer = answer.unwrap_or_else(|lost| panic!("{lost}\n{}", baton.stderr().tail()));
            let greeting = format!("Hello {version}, Ada!");
            assert!(
                answer.text().contains(&greeting),
                "{greeting:?} is not in the answer {answer}"
            );
            inngest.forget();
        };
        let course = Soak { baton: &baton, reloads }.run(edit, call, report).await;
        println!("memory: {course}");
        if course.last() > course.first() * GROWTH {
            println!("that is more than {GROWTH} times as much");
            return ExitCode::FAILURE;
        }
        ExitCode::SUCCESS
    }

    fn report(progress: Progress) {
        let Progress {
            reloads,
            elapsed,
            resident,
        } = progress;
        if reloads == WARM_UP || reloads % REPORT_EVERY == 0 {
            let a_second = reloads as f64 / elapsed.as_secs_f64();
            println!(
                "{reloads:>6} reloads, {a_second:.1} a second, {:.1} MiB resident",
                resident / 1024.0
            );
        }
    }
}
