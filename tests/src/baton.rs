//! A Baton under test: a child process that dies with its guard, and the
//! requests that an operator would send to it.

use std::ffi::OsString;
use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::process::{Child, Command};

use crate::binary::baton_binary;
use crate::cli::{self, Cli, Finished};
use crate::deadline;
use crate::events::Events;
use crate::executor::Executor;
use crate::fake_inngest::FakeInngest;
use crate::http::{Answer, Call, Door};
use crate::project::Project;
use crate::status::{Report, Status};
use crate::stderr::{Line, Stderr};

const NO_WATCH: &str = "--no-watch";

/// The way to start a Baton: its command line and its environment.
#[derive(Clone, Debug)]
pub struct Launch {
    /// The program that is started in place of Baton.
    program: Option<PathBuf>,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    folder: PathBuf,
    /// The file that its standard input reads; it reads nothing when none is given.
    input: Option<PathBuf>,
    /// A socket in the place of its standard input.
    socket: Option<Arc<TcpListener>>,
    /// The file that its standard output goes to; it goes nowhere when none is given.
    output: Option<PathBuf>,
    state_dir: PathBuf,
    needs_token: bool,
}

impl Launch {
    fn new(command: &str, project: &Project, path: PathBuf) -> Self {
        let arguments = vec![command.into(), path.into(), "--port".into(), "0".into()];
        // A test must not find the Inngest that a developer happens to run. Most tests register the
        // functions themselves.
        let environment = vec![
            ("INNGEST_DEV".into(), "http://127.0.0.1:1".into()),
            ("BATON_REGISTER".into(), "off".into()),
            ("BATON_CODE_CACHE".into(), project.code_cache().into()),
        ];
        Self {
            program: None,
            arguments,
            environment,
            folder: project.scratch().to_owned(),
            input: None,
            socket: None,
            output: None,
            state_dir: project.state_dir(),
            needs_token: command == "start",
        }
        .argument("--state-dir")
        .argument(project.state_dir())
        // Most tests ask for a reload themselves when there is something new.
        .argument(NO_WATCH)
    }

    /// Lets Baton notice changes by itself; `what` is the value of `--watch`, for example `files`.
    #[must_use]
    pub fn watching(mut self, what: &str) -> Self {
        self.arguments.retain(|argument| argument != NO_WATCH);
        self.argument("--watch").argument(what)
    }

    /// Starts another program, which takes Baton's place, with the same command line.
    #[must_use]
    pub fn program(mut self, program: impl Into<PathBuf>) -> Self {
        self.program = Some(program.into());
        self
    }

    /// Starts Baton so that its threads can run short, whichever user runs the tests; see
    /// [`crate::Shortage`].
    #[cfg(target_os = "linux")]
    #[must_use]
    pub fn whose_threads_can_run_short(self) -> Self {
        use std::fs;
        use std::os::unix::fs::PermissionsExt as _;

        let script = self.folder.join("with-a-limit-of-threads");
        fs::write(&script, crate::shortage::script(&baton_binary())).expect("a script");
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("a script that runs");
        self.program(script)
    }

    /// Adds an argument.
    #[must_use]
    pub fn argument(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Replaces the value of an option that is there.
    #[must_use]
    pub fn option(mut self, option: &str, value: impl Into<OsString>) -> Self {
        let at = self.arguments.iter().position(|argument| argument == option);
        let at = at.unwrap_or_else(|| panic!("{option} is not among {:?}", self.arguments));
        self.arguments[at + 1] = value.into();
        if option == "--state-dir" {
            self.state_dir = PathBuf::from(&self.arguments[at + 1]);
        }
        self
    }

    /// Leaves the state folder to Baton: below `home`, its `XDG_STATE_HOME`.
    #[must_use]
    pub fn default_state_dir(mut self, home: impl Into<OsString>) -> Self {
        let at = self.arguments.iter().position(|argument| argument == "--state-dir");
        let at = at.expect("a state folder");
        self.arguments.drain(at..at + 2);
        self.env("XDG_STATE_HOME", home)
    }

    /// Sets a variable of its environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Has Baton log when an isolate is ready, for [`Baton::rested`].
    #[must_use]
    pub fn telling_of_isolates(self) -> Self {
        self.env("BATON_LOG", "info,js_runtime::isolate::thread=debug")
    }

    /// Takes a variable that every test sets out of its environment.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.environment.retain(|(known, _)| known != name);
        self
    }

    /// Gives it a file as its standard input.
    #[must_use]
    pub fn input(mut self, file: impl Into<PathBuf>) -> Self {
        self.input = Some(file.into());
        self
    }

    /// Gives it a listening socket as its standard input.
    #[must_use]
    pub fn socket(mut self, socket: Arc<TcpListener>) -> Self {
        self.socket = Some(socket);
        self
    }

    /// Has its standard output written to a file.
    #[must_use]
    pub fn output(mut self, file: impl Into<PathBuf>) -> Self {
        self.output = Some(file.into());
        self
    }

    /// Points the functions at a fake Inngest.
    #[must_use]
    pub fn inngest(self, fake: &FakeInngest) -> Self {
        self.env("INNGEST_DEV", fake.url())
    }

    /// Has Baton register its functions by itself.
    #[must_use]
    pub fn registering(self) -> Self {
        self.env("BATON_REGISTER", "auto")
    }

    /// Starts Baton and waits until it listens; there need be no generation yet.
    pub async fn listening(self) -> Baton {
        let mut child = self.command().spawn().expect("Baton starts");
        let stderr = Stderr::collect(child.stderr.take().expect("its standard error"));
        let line = stderr.wait_for("listening", &json!({})).await;
        let url = line.json["url"].as_str().unwrap_or_default();
        let address = url
            .strip_prefix("http://")
            .and_then(|address| address.trim_end_matches('/').parse().ok())
            .unwrap_or_else(|| panic!("no url in the line {}", line.text));
        Baton {
            child,
            stderr,
            address,
            state_dir: self.state_dir,
            needs_token: self.needs_token,
        }
    }

    /// Starts Baton and waits until its first generation serves.
    pub async fn ready(self) -> Baton {
        let baton = self.listening().await;
        baton.wait_until_ready().await;
        baton
    }

    /// Starts Baton and waits until it ends by itself.
    pub async fn to_the_end(self) -> Finished {
        cli::finish(self.command()).await
    }

    fn command(&self) -> Command {
        let socket = self
            .socket
            .as_ref()
            .map(|socket| socket.try_clone().expect("the socket"));
        let input = match &self.input {
            _ if socket.is_some() => Stdio::from(OwnedFd::from(socket.expect("a socket"))),
            Some(file) => File::open(file).expect("the file for its standard input").into(),
            None => Stdio::null(),
        };
        let output = match &self.output {
            Some(file) => File::create(file).expect("a file for its standard output").into(),
            None => Stdio::null(),
        };
        let mut command = Command::new(self.program.clone().unwrap_or_else(baton_binary));
        cli::clean_environment(&mut command);
        command
            .args(&self.arguments)
            .envs(self.environment.iter().cloned())
            .current_dir(&self.folder)
            .stdin(input)
            .stdout(output)
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }
}

/// A running Baton, killed on drop.
#[derive(Debug)]
pub struct Baton {
    child: Child,
    stderr: Stderr,
    address: SocketAddr,
    state_dir: PathBuf,
    needs_token: bool,
}

impl Baton {
    /// Launches `baton dev` on the project's folder of functions.
    #[must_use]
    pub fn dev(project: &Project) -> Launch {
        Launch::new("dev", project, project.functions())
    }

    /// Launches `baton dev` on a file or folder of the project.
    #[must_use]
    pub fn dev_on(project: &Project, path: &str) -> Launch {
        Launch::new("dev", project, project.root().join(path))
    }

    /// Launches `baton start` on the project's folder of functions.
    #[must_use]
    pub fn start(project: &Project) -> Launch {
        Launch::new("start", project, project.functions())
    }

    /// Launches `baton start` on a file or folder of the project.
    #[must_use]
    pub fn start_on(project: &Project, path: &str) -> Launch {
        Launch::new("start", project, project.root().join(path))
    }

    /// Launches `baton start` on a release; the project gives the folders of the test.
    #[must_use]
    pub fn start_release(project: &Project, reference: &str) -> Launch {
        Launch::new("start", project, format!("oci://{reference}").into())
    }

    /// The port that Baton listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// The process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id().expect("a running Baton")
    }

    /// The process id of the host that accepts, which is a child of this process under `baton start`.
    pub async fn host(&self) -> u32 {
        let pid = self.status().await.0["pid"].as_u64().unwrap_or_default();
        u32::try_from(pid).expect("a process id")
    }

    /// Runs `baton upgrade` with these arguments to its end.
    pub async fn upgrade(&self, arguments: &[&str]) -> Finished {
        let folder = self.state_dir.parent().expect("a folder around it");
        let cli = Cli::within(folder).env("BATON_STATE_DIR", &self.state_dir);
        let arguments: Vec<_> = ["upgrade"].iter().chain(arguments).copied().collect();
        cli.baton(&arguments).await
    }

    /// The address that takes requests.
    #[must_use]
    pub fn door(&self) -> Door {
        Door::Tcp(self.address)
    }

    /// The control socket, which takes requests without a token.
    #[must_use]
    pub fn control_socket(&self) -> Door {
        Door::Unix(self.state_dir.join("control.sock"))
    }

    /// An executor that calls the functions.
    #[must_use]
    pub fn executor(&self) -> Executor {
        Executor::new(self.door())
    }

    /// The lines that Baton has written to its standard error so far.
    #[must_use]
    pub fn stderr(&self) -> &Stderr {
        &self.stderr
    }

    /// The token of `baton start`.
    #[must_use]
    pub fn token(&self) -> String {
        let file = self.state_dir.join("admin-token");
        let token =
            std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("no token in {}: {error}", file.display()));
        token.trim().to_owned()
    }

    /// An admin's request, with the token where one is needed.
    #[must_use]
    pub fn admin(&self, method: &str, path: &str) -> Call {
        let call = Call::new(method, path);
        if self.needs_token {
            call.header("authorization", &format!("Bearer {}", self.token()))
        } else {
            call
        }
    }

    /// A `GET` that needs no rights.
    pub async fn get(&self, path: &str) -> Answer {
        Call::new("GET", path).answer(&self.door()).await
    }

    /// Sends `GET /-/status` and returns the status.
    pub async fn status(&self) -> Status {
        let answer = self.admin("GET", "/-/status").answer(&self.door()).await;
        assert_eq!(answer.status, 200, "GET /-/status: {answer}");
        Status(answer.json())
    }

    /// Asks for the status until `wanted` holds for it.
    pub async fn status_when(&self, what: &str, wanted: impl Fn(&Status) -> bool) -> Status {
        let last = std::cell::RefCell::new(Value::Null);
        let context = || format!("the last status was {:#}\n{}", last.borrow(), self.stderr.tail());
        deadline::until(what, context, async || {
            let status = self.status().await;
            last.replace(status.0.clone());
            wanted(&status).then_some(status)
        })
        .await
    }

    /// Waits until `generation` serves exactly `calls` calls, and answers them.
    pub async fn in_flight(&self, generation: u64, calls: usize) -> Vec<Value> {
        let what = format!("{calls} calls in flight in generation {generation}");
        let status = self
            .status_when(&what, |status| status.in_flight(generation).len() == calls)
            .await;
        status.in_flight(generation).to_vec()
    }

    /// Waits until `GET /-/ready` says yes.
    pub async fn wait_until_ready(&self) {
        let what = "a generation that serves";
        deadline::until(
            what,
            || self.stderr.tail(),
            async || (self.get("/-/ready").await.status == 200).then_some(()),
        )
        .await;
    }

    /// Sends `PUT /api/reload` and returns its whole answer. The harness's deadline does not apply: a
    /// reload may wait for other reloads and for generations that drain.
    pub async fn reload(&self) -> Report {
        self.reload_with("").await
    }

    /// Reloads as [`Baton::reload`] does, with a query such as `?dry_run=1`.
    pub async fn reload_with(&self, query: &str) -> Report {
        let answer = self
            .admin("PUT", &format!("/api/reload{query}"))
            .send(&self.door())
            .await
            .unwrap_or_else(|lost| panic!("{lost}\n{}", self.stderr.tail()));
        let known = matches!(answer.status, 200 | 422);
        assert!(known, "PUT /api/reload{query}: {answer}\n{}", self.stderr.tail());
        Report {
            http: answer.status,
            body: answer.json(),
        }
    }

    /// Sends `POST /-/rollback`, to go back to `generation` or to the previous one.
    pub async fn rollback(&self, generation: Option<u64>) -> Answer {
        let call = self.admin("POST", "/-/rollback");
        let call = match generation {
            Some(generation) => call.json(&json!({ "generation": generation })),
            None => call,
        };
        call.answer(&self.door()).await
    }

    /// Opens `GET /-/events`.
    pub async fn events(&self) -> Events {
        self.events_with("").await
    }

    /// Opens the stream as [`Baton::events`] does, with a query such as `?calls=1`.
    pub async fn events_with(&self, query: &str) -> Events {
        Events::open(self.admin("GET", &format!("/-/events{query}")), &self.door()).await
    }

    /// Waits until the spare isolate of a Baton is ready, and nothing is left to do. The Baton was launched
    /// with [`Launch::telling_of_isolates`].
    pub async fn rested(&self) {
        let is_ready = || async {
            let lines = self.stderr().lines();
            let mut lines = lines.iter().rev();
            let last = lines.find(|line| ["isolate booted", "isolate loaded"].contains(&line.message()))?;
            (last.message() == "isolate booted" && last.json["isolate"] == "spare").then_some(())
        };
        deadline::until("a spare isolate", || self.stderr().tail(), is_ready).await;
    }

    /// Waits for the line with this message whose fields fit `pattern`.
    pub async fn wait_for(&self, message: &str, pattern: Value) -> Line {
        self.stderr.wait_for(message, &pattern).await
    }

    /// Sends it a signal, by its name without `SIG`.
    pub async fn signal(&self, name: &str) {
        send_signal(name, self.pid()).await;
    }

    /// Waits until the process has ended.
    pub async fn ended(&mut self) -> ExitStatus {
        let stderr = self.stderr.clone();
        deadline::within("the end of Baton", || stderr.tail(), self.child.wait())
            .await
            .expect("its exit status")
    }

    /// Tells whether the process has not ended yet.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("its state").is_none()
    }
}

/// Kills a supervisor's hosts as well: without it they would finish their calls, for hours.
#[cfg(target_os = "linux")]
impl Drop for Baton {
    fn drop(&mut self) {
        let Some(pid) = self.child.id() else {
            return;
        };
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        // The supervisor goes first: it would start another host.
        let _ = self.child.start_kill();
        for child in children.split_whitespace() {
            let killed = std::process::Command::new("kill").args(["-9", child]).status();
            assert!(killed.is_ok() || std::thread::panicking(), "process {child} was killed");
        }
        // The project's folder is not free for another Baton until this process is gone.
        while let Ok(None) = self.child.try_wait() {
            std::thread::yield_now();
        }
    }
}

/// Sends a process a signal, by its name without `SIG`.
pub async fn send_signal(name: &str, pid: u32) {
    let sent = Command::new("sh")
        .args(["-c", "kill -s \"$0\" \"$1\"", name, &pid.to_string()])
        .status()
        .await;
    assert!(sent.is_ok_and(|status| status.success()), "SIG{name} was sent");
}
