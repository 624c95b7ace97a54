//! `chaos MINUTES [SEED]`: twenty callers and a stream of saves, while at random moments a host lacks threads,
//! descriptors or room on the disk, is stopped, killed or upgraded, an isolate runs out of memory, clients stall, and
//! nobody reads standard error. It ends well if
//!
//! - each call of a well-behaved function is answered by code that was current while it ran, unless its host was
//!   killed,
//! - nothing has grown, and
//! - five seconds after the last fault everything is as before.
//!
//! The clocks do not jump here: they are the machine's clocks.

#[cfg(target_os = "linux")]
#[tokio::main]
async fn main() -> std::process::ExitCode {
    linux::chaos().await
}

#[cfg(not(target_os = "linux"))]
fn main() -> std::process::ExitCode {
    eprintln!("the faults are made as Linux makes them");
    std::process::ExitCode::FAILURE
}

#[cfg(target_os = "linux")]
mod linux {
    use std::process::ExitCode;
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    use std::sync::{Arc, Mutex};
    use std::time::{Duration, Instant};

    use harness::process::Memory;
    use harness::{Baton, Chance, Project, Resource, Run, Shortage, send_signal};
    use serde_json::Value;
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpStream;

    const CALLERS: usize = 20;
    /// The limit for an answer. A call may wait for a host that is stopped, or for the successor of a host that was
    /// killed.
    const ANSWERED_WITHIN: Duration = Duration::from_secs(30);
    /// The limit for the recovery after the last fault.
    const RECOVERED_WITHIN: Duration = Duration::from_secs(5);
    /// The number of connections of clients that stall.
    const STALLED: usize = 30;

    /// A function whose call takes memory without end.
    const FILLS: &str = r#"import { inngest } from "../lib/client";
export const fills = inngest.createFunction(
  { id: "fills", retries: 0, checkpointing: false, triggers: [{ event: "fixture/fills" }] },
  async () => {
    const all: unknown[] = [];
    for (;;) {
      all.push(new Array(1000).fill({}));
      await null;
    }
  },
);
"#;

    /// A function that writes more lines to the log than a pipe holds.
    const TALKS: &str = r#"import { inngest } from "../lib/client";
export const talks = inngest.createFunction(
  { id: "talks", retries: 0, checkpointing: false, triggers: [{ event: "fixture/talks" }] },
  async () => {
    for (let line = 0; line < 400; line++) console.log("x".repeat(1000));
  },
);
"#;

    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Fault {
        Lack(Resource),
        Stop,
        Kill,
        /// The supervisor can start nothing when the host dies.
        KillWithoutThreads,
        Upgrade,
        OutOfMemory,
        StalledClients,
        /// Nobody reads standard error for a while.
        BlockedStandardError,
    }

    const FAULTS: [Fault; 10] = [
        Fault::Lack(Resource::Threads),
        Fault::Lack(Resource::Descriptors),
        Fault::Lack(Resource::FileSize),
        Fault::Stop,
        Fault::Kill,
        Fault::KillWithoutThreads,
        Fault::Upgrade,
        Fault::OutOfMemory,
        Fault::StalledClients,
        Fault::BlockedStandardError,
    ];

    /// The facts that callers compare answers with.
    #[derive(Debug)]
    struct Course {
        began: Instant,
        over: AtomicBool,
        /// The newest version that was written, and the newest version that was seen to serve.
        written: AtomicU64,
        serves: AtomicU64,
        /// The times in which hosts or isolates were killed, each from its beginning to its end, if it has ended.
        deaths: Mutex<Vec<(Instant, Option<Instant>)>>,
        answered: AtomicU64,
        lost: AtomicU64,
        /// The faults, each with its time since the start.
        faults: Mutex<Vec<(Duration, Fault)>>,
        /// The promises that were broken, each with its time since the start.
        broken: Mutex<Vec<(Duration, String)>>,
    }

    impl Course {
        fn new() -> Self {
            Self {
                began: Instant::now(),
                over: AtomicBool::default(),
                written: AtomicU64::default(),
                serves: AtomicU64::default(),
                deaths: Mutex::default(),
                answered: AtomicU64::default(),
                lost: AtomicU64::default(),
                faults: Mutex::default(),
                broken: Mutex::default(),
            }
        }

        /// Notes that a process is about to be killed: callers may notice its end before the code that kills it goes
        /// on.
        fn dies(&self) {
            self.deaths.lock().expect("no poison").push((Instant::now(), None));
        }

        fn died(&self) {
            let until = Instant::now() + Duration::from_secs(2);
            if let Some((_, end)) = self.deaths.lock().expect("no poison").last_mut() {
                *end = Some(until);
            }
        }

        fn begins(&self, fault: Fault) {
            let at = self.began.elapsed();
            self.faults.lock().expect("no poison").push((at, fault));
        }

        fn somebody_died(&self, from: Instant, until: Instant) -> bool {
            let deaths = self.deaths.lock().expect("no poison");
            let overlaps =
                |(died, gone): &(Instant, Option<Instant>)| *died <= until && gone.is_none_or(|gone| from <= gone);
            deaths.iter().any(overlaps)
        }

        fn breaks(&self, what: String) {
            let at = self.began.elapsed();
            println!("BROKEN after {at:.1?}: {what}");
            self.broken.lock().expect("no poison").push((at, what));
        }
    }

    pub(super) async fn chaos() -> ExitCode {
        let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<f64>());
        let (Some(Ok(minutes)), Ok(seed)) = (arguments.next(), arguments.next().unwrap_or(Ok(1.0))) else {
            eprintln!("chaos MINUTES [SEED]: two numbers");
            return ExitCode::from(2);
        };
        let end = Instant::now() + Duration::from_secs_f64(minutes * 60.0);
        let mut chance = Chance((seed as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let project = Project::new();
        project.write("functions/fills.ts", FILLS);
        project.write("functions/talks.ts", TALKS);
        project.set_version("0");
        let baton = Baton::start(&project)
            .argument("--heap-limit=96")
            .argument("--drain-timeout=10")
            .whose_threads_can_run_short()
            .ready()
            .await;
        let before = [baton.pid(), baton.host().await].map(Held::by);
        let course = Arc::new(Course::new());
        let callers: Vec<_> = (0..CALLERS)
            .map(|_| tokio::spawn(call(baton.executor(), course.clone())))
            .collect();
        let saving = save(&baton, &project, &course);
        let faults = async {
            while Instant::now() < end {
                tokio::time::sleep(chance.milliseconds(200, 1500)).await;
                let fault = FAULTS[chance.below(FAULTS.len() as u64) as usize];
                course.begins(fault);
                make(fault, &baton, &course, &mut chance).await;
            }
            course.over.store(true, Ordering::Relaxed);
        };
        let ((), ()) = tokio::join!(faults, saving);
        let last_fault = Instant::now();
        for caller in callers {
            let _ = caller.await;
        }
        recovers(&baton, &project, &course, last_fault).await;
        let after = [baton.pid(), baton.host().await].map(Held::by);
        for (what, (before, after)) in ["supervisor", "host"].iter().zip(before.into_iter().zip(after)) {
            println!("{what}: {before:?} before, {after:?} after");
            if after.grew_from(before) {
                course.breaks(format!("the {what} has grown"));
            }
        }
        let made = course.faults.lock().expect("no poison").clone();
        for fault in FAULTS {
            let count = made.iter().filter(|(_, made)| *made == fault).count();
            println!("{count:>4} {fault:?}");
        }
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        println!(
            "seed {seed}: {} calls answered, {} lost with what was killed, {} versions saved",
            count(&course.answered),
            count(&course.lost),
            count(&course.written)
        );
        let broken = course.broken.lock().expect("no poison").clone();
        if broken.is_empty() {
            return ExitCode::SUCCESS;
        }
        // The promises come last: who reads the end of a long log finds them.
        println!("{}\nthe faults:", baton.stderr().tail());
        for (at, fault) in made {
            println!("after {at:.1?}: {fault:?}");
        }
        println!("{} promises broken:", broken.len());
        for (at, what) in &broken {
            println!("after {at:.1?}: {what}");
        }
        ExitCode::FAILURE
    }

    /// Runs one caller, which makes a call after another.
    async fn call(executor: harness::Executor, course: Arc<Course>) {
        while !course.over.load(Ordering::Relaxed) {
            let run = Run::of("fixture-version");
            let least = course.serves.load(Ordering::Acquire);
            let began = Instant::now();
            let answer = tokio::time::timeout(ANSWERED_WITHIN, executor.discover(&run)).await;
            let ended = Instant::now();
            let most = course.written.load(Ordering::Acquire);
            let failure = match answer {
                Ok(Ok(answer)) if answer.status == 200 => {
                    let version = answer.json()["version"]
                        .as_str()
                        .and_then(|version| version.parse().ok());
                    course.answered.fetch_add(1, Ordering::Relaxed);
                    match version {
                        Some(version) if (least..=most).contains(&version) => None,
                        _ => {
                            course.breaks(format!("answered by {version:?}, current were {least} to {most}"));
                            None
                        }
                    }
                }
                Ok(Ok(answer)) => Some(format!("{answer}")),
                Ok(Err(lost)) => Some(format!("{lost}")),
                Err(_) => Some(format!("no answer within {ANSWERED_WITHIN:?}")),
            };
            match failure {
                None => {}
                Some(_) if course.somebody_died(began, ended) => {
                    course.lost.fetch_add(1, Ordering::Relaxed);
                }
                Some(failure) => course.breaks(format!("a call failed: {failure}")),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Saves one version after another, and asks for each version to be served.
    async fn save(baton: &Baton, project: &Project, course: &Course) {
        let mut version = 0;
        while !course.over.load(Ordering::Relaxed) {
            version += 1;
            course.written.store(version, Ordering::Release);
            project.set_version(&version.to_string());
            let door = baton.door();
            let reload = baton.admin("PUT", "/api/reload").send(&door);
            if let Ok(Ok(answer)) = tokio::time::timeout(ANSWERED_WITHIN, reload).await {
                let answer: Value = serde_json::from_str(&answer.text()).unwrap_or_default();
                if answer["status"] == "activated" || answer["status"] == "unchanged" {
                    course.serves.store(version, Ordering::Release);
                }
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }

    async fn make(fault: Fault, baton: &Baton, course: &Course, chance: &mut Chance) {
        let began = Instant::now();
        let lasts = chance.milliseconds(50, 1500);
        let Some(host) = host(baton).await else {
            return course.breaks("no host accepts".to_owned());
        };
        match fault {
            Fault::Lack(resource) => {
                let lack = Shortage::of(resource, host);
                tokio::time::sleep(lasts).await;
                drop(lack);
            }
            Fault::Stop => {
                send_signal("STOP", host).await;
                tokio::time::sleep(lasts * 2).await;
                send_signal("CONT", host).await;
            }
            Fault::Kill => {
                course.dies();
                send_signal("KILL", host).await;
                course.died();
            }
            Fault::KillWithoutThreads => {
                let lack = Shortage::of(Resource::Threads, baton.pid());
                course.dies();
                send_signal("KILL", host).await;
                course.died();
                tokio::time::sleep(lasts / 2).await;
                drop(lack);
            }
            Fault::Upgrade => drop(baton.upgrade(&[]).await),
            Fault::OutOfMemory => {
                let run = Run::of("fixture-fills");
                course.dies();
                let filled = tokio::time::timeout(ANSWERED_WITHIN, baton.executor().discover(&run)).await;
                drop(filled);
                course.died();
            }
            Fault::StalledClients => {
                let mut stalled = Vec::new();
                for _ in 0..STALLED {
                    if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", baton.port())).await {
                        let _ = stream
                            .write_all(b"POST /api/inngest?fnId=fixture-version HTTP/1.1\r\nHost: lo")
                            .await;
                        stalled.push(stream);
                    }
                }
                tokio::time::sleep(lasts).await;
            }
            Fault::BlockedStandardError => {
                baton.stderr().reads(false);
                let run = Run::of("fixture-talks");
                let talked = tokio::time::timeout(ANSWERED_WITHIN, baton.executor().discover(&run)).await;
                match talked {
                    Ok(Ok(answer)) if answer.status == 200 => {}
                    _ if course.somebody_died(began, Instant::now()) => {}
                    other => course.breaks(format!("a call that logs failed while nobody read: {other:?}")),
                }
                tokio::time::sleep(lasts).await;
                baton.stderr().reads(true);
            }
        }
    }

    /// Returns the host that accepts, once it answers.
    async fn host(baton: &Baton) -> Option<u32> {
        let asked = async {
            loop {
                let answer = baton.admin("GET", "/-/status").send(&baton.door()).await;
                let answer = answer.map(|answer| answer.text()).unwrap_or_default();
                let status: Value = serde_json::from_str(&answer).unwrap_or_default();
                if let Some(pid) = status["pid"].as_u64() {
                    return u32::try_from(pid).ok();
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(ANSWERED_WITHIN, asked).await.ok().flatten()
    }

    /// Checks that the newest version is saved, and serves soon.
    async fn recovers(baton: &Baton, project: &Project, course: &Course, last_fault: Instant) {
        project.set_version("last");
        let serves = async {
            loop {
                let _ = baton.admin("PUT", "/api/reload").send(&baton.door()).await;
                let answer = baton.executor().discover(&Run::of("fixture-version")).await;
                let ready = baton.get("/-/ready").await.status;
                if answer.is_ok_and(|answer| answer.status == 200 && answer.json()["version"] == "last") && ready == 200
                {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        match tokio::time::timeout(RECOVERED_WITHIN, serves).await {
            Ok(()) => println!("the last save serves {:?} after the last fault", last_fault.elapsed()),
            Err(_) => course.breaks(format!("not as before {RECOVERED_WITHIN:?} after the last fault")),
        }
        // Earlier hosts and generations have ended by now.
        tokio::time::sleep(RECOVERED_WITHIN).await;
    }

    /// The resources of a process.
    #[derive(Debug, Clone, Copy)]
    #[allow(dead_code, reason = "shown")]
    struct Held {
        threads: usize,
        descriptors: usize,
        resident_mib: f64,
    }

    impl Held {
        fn by(pid: u32) -> Self {
            let count = |what: &str| std::fs::read_dir(format!("/proc/{pid}/{what}")).map_or(0, Iterator::count);
            Self {
                threads: count("task"),
                descriptors: count("fd"),
                resident_mib: Memory::of(pid).resident / 1024.0,
            }
        }

        /// Tells whether a process has grown. Twenty connections of callers and the threads of a spare come and go,
        /// and do not count.
        fn grew_from(self, before: Self) -> bool {
            self.threads > before.threads + 20
                || self.descriptors > before.descriptors + 60
                || self.resident_mib > before.resident_mib * 2.0 + 100.0
        }
    }
}
