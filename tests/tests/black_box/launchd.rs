//! `baton service` under launchd: Baton's reaction to each of launchd's answers, for which the script
//! `tests/stand-ins/launchctl` stands in, and the property lists, read by two readers.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::service::Machine;

impl Machine {
    /// Writes a setting for the stand-in; its first lines describe the settings.
    fn tell(&self, what: &str, text: &str) {
        fs::write(self.stand_in().join(what), text).expect("a file");
    }

    fn untell(&self, what: &str) {
        fs::remove_file(self.stand_in().join(what)).expect("a file");
    }

    /// Calls the stand-in itself, as another user of the machine would.
    fn launchctl(&self, arguments: &[&str]) -> Option<i32> {
        let mut command = Command::new(self.stand_in().join("launchctl"));
        command.args(arguments).env("STAND_IN", self.stand_in());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command.status().expect("the stand-in").code()
    }

    /// Loads a job with the project's label into the domain of the machine, for a folder.
    fn load_in_system(&self, folder: &Path) {
        let file = self.project.scratch().join("system.plist");
        let folder = folder.display();
        let text = format!(
            "<plist version=\"1.0\"><dict><key>Label</key><string>baton.project</string>\
             <key>ProgramArguments</key><array><string>/bin/true</string></array>\
             <key>WorkingDirectory</key><string>{folder}</string></dict></plist>"
        );
        fs::write(&file, text).expect("a file");
        assert_eq!(
            self.launchctl(&["bootstrap", "system", file.to_str().expect("text")]),
            Some(0)
        );
    }

    fn unload(&self, domain: &str) {
        self.launchctl(&["bootout", &format!("{domain}/baton.project")]);
    }
}

fn gui() -> String {
    let id = Command::new("id").arg("-u").output().expect("id");
    format!("gui/{}", String::from_utf8_lossy(&id.stdout).trim())
}

fn count(machine: &Machine, command: &str) -> usize {
    let calls = machine.calls();
    calls
        .iter()
        .filter(|call| call.starts_with(&format!("launchctl {command} ")))
        .count()
}

#[tokio::test]
async fn a_service_of_launchd_is_put_in_again_once_its_predecessor_has_ended() {
    let machine = Machine::that_starts_hosts();
    machine.tell("refusals", "2");
    let installed = machine.install("--launchd").await;
    assert_eq!(
        installed.code,
        Some(0),
        "an error that passes is waited for: {installed}"
    );
    for words in [
        "ready: generation 1",
        &format!("launchd holds port {}", machine.port),
        "ends when you log out",
        "--system --run-as",
    ] {
        assert!(installed.stdout.contains(words), "{words}: {installed}");
    }
    assert_eq!(count(&machine, "bootstrap"), 3);
    let calls = machine.calls();
    let last = calls.last().expect("a call");
    assert!(last.starts_with("launchctl kickstart gui/"), "{calls:?}");
    assert!(!last.contains("-k"), "what runs is never killed: {calls:?}");
    assert!(
        machine.home().join("Library/Logs/baton").is_dir(),
        "launchd makes no folders"
    );

    let pid = machine.pid();
    machine.forget_calls();
    let same = machine.install("--launchd").await;
    assert_eq!(same.code, Some(0), "{same}");
    assert_eq!(
        (machine.calls(), machine.pid()),
        (Vec::new(), pid.clone()),
        "nothing has changed"
    );

    let port = machine.port.to_string();
    let arguments = ["--launchd", "--port", &port, "--tools", "bin"];
    let changed = machine.service("install", &arguments).await;
    assert_eq!(changed.code, Some(0), "{changed}");
    assert!(changed.stdout.contains("finishes its calls first"), "{changed}");
    assert_ne!(machine.pid(), pid);
    let ended = fs::read_to_string(machine.stand_in().join("ended")).expect("an end");
    assert!(ended.starts_with("0 "), "by itself, at SIGTERM: {ended}");

    let removed = machine.service("uninstall", &["--launchd"]).await;
    assert_eq!(removed.code, Some(0), "{removed}");
    assert_eq!((machine.pid(), machine.launchd_job().exists()), (None, false));
}

#[tokio::test]
async fn a_call_that_comes_while_the_job_is_down_starts_it() {
    let machine = Machine::that_starts_hosts();
    machine.project.write("dev.env", "INNGEST_DEV=1\n");
    private(&machine.project.root().join("dev.env"));
    let port = machine.port.to_string();
    let install = ["--launchd", "--port", &port, "--env-file", "dev.env"];
    let installed = machine.service("install", &install).await;
    assert_eq!(installed.code, Some(0), "{installed}");
    let drained = machine.cli().baton(&["drain", "--wait"]).await;
    assert_eq!(drained.code, Some(0), "{drained}");
    let url = format!("http://127.0.0.1:{}/api/inngest", machine.port);
    let mut curl = Command::new("curl");
    curl.args([
        "--silent",
        "--output",
        "/dev/null",
        "--write-out",
        "%{http_code}",
        "--max-time",
        "60",
        &url,
    ]);
    let answer = curl.output().expect("curl");
    assert_eq!(
        String::from_utf8_lossy(&answer.stdout),
        "200",
        "it waited in launchd's socket"
    );
    assert!(machine.pid().is_some());
    machine.unload(&gui());
}

#[tokio::test]
async fn a_twin_in_the_other_domain_of_launchd_is_refused() {
    let machine = Machine::new();
    machine.load_in_system(&machine.project.root());
    let refused = machine.install("--launchd").await;
    refused.refuses(
        1,
        &[
            "system",
            "sudo baton service uninstall --launchd --system --name project",
        ],
    );
    assert!(!machine.launchd_job().exists());
    machine.unload("system");
}

#[tokio::test]
async fn a_label_that_another_project_has_is_left_to_it() {
    let machine = Machine::that_starts_hosts();
    let other = machine.project.scratch().join("pröject");
    fs::create_dir(&other).expect("a folder");
    fs::write(other.join("package.json"), "{}").expect("a file");
    fs::write(
        other.join("serve.ts"),
        "export default { fetch: () => new Response() };",
    )
    .expect("a file");
    assert_eq!(machine.install("--launchd").await.code, Some(0));
    let before = fs::read(machine.launchd_job()).expect("a job");
    let cli = machine.cli().at(&other);
    let install = [
        "service",
        "install",
        "--user",
        "--launchd",
        "serve.ts",
        "--name",
        "project",
    ];
    let refused = cli.baton(&install).await;
    let root = machine.project.root();
    let words = format!("baton.project is the service of another project, {}", root.display());
    let command = "`baton service uninstall --launchd --user --name project`";
    refused.refuses(1, &[&words, "--name", command]);
    assert_eq!(fs::read(machine.launchd_job()).expect("a job"), before);
    machine.unload(&gui());
}

#[tokio::test]
async fn where_nobody_is_logged_in_on_the_screen_the_command_for_a_daemon_is_told() {
    let machine = Machine::new();
    // Some versions of macOS answer with 5.
    for number in ["", "5", "125", "134"] {
        machine.tell("no-session", number);
        let refused = machine.install("--launchd").await;
        let domain = gui();
        let command = format!("service install --launchd --port {} --system --run-as ", machine.port);
        refused.refuses(
            1,
            &[
                &format!("launchd has no domain {domain}: you are not logged in on the screen"),
                "a LaunchDaemon that runs as you",
                "`sudo /",
                &command,
            ],
        );
        assert!(!refused.stderr.contains("--user"), "{refused}");
        assert!(
            !machine.launchd_job().exists(),
            "or the next login on the screen would start a second one: {refused}"
        );
        assert!(refused.stdout.contains("removed "), "{refused}");
    }
    machine.tell("fails", "enable 125");
    machine
        .install("--launchd")
        .await
        .refuses(1, &["launchd has no domain", "--system"]);
}

#[tokio::test]
async fn a_refusal_without_a_reason_leads_to_a_daemon_too() {
    let machine = Machine::new();
    machine.tell("refusals", "99");
    let refused = machine.install("--launchd").await;
    refused.refuses(
        1,
        &[
            "`launchctl bootstrap gui/",
            "Bootstrap failed: 5: Input/output error",
            "launchd gives no reason",
            "--system --run-as ",
        ],
    );
    assert!(!machine.launchd_job().exists());
    assert_eq!(count(&machine, "bootstrap"), 6, "it was tried for eight seconds");

    machine.tell("fails", "bootstrap 109");
    let refused = machine.install("--launchd").await;
    refused.refuses(1, &["`launchctl bootstrap gui/", "failed (exit code 109)"]);
    assert!(
        !refused.stderr.contains("--system"),
        "another domain would not help: {refused}"
    );
}

#[tokio::test]
async fn what_launchd_is_busy_with_is_waited_for() {
    let machine = Machine::that_starts_hosts();
    machine.tell("busy", "2");
    let installed = machine.install("--launchd").await;
    assert_eq!(installed.code, Some(0), "37 passes: {installed}");
    assert_eq!(count(&machine, "bootstrap"), 3);
    let removed = machine.service("uninstall", &["--launchd"]).await;
    assert_eq!(removed.code, Some(0), "36 says that it is on its way: {removed}");
    assert_eq!(machine.pid(), None);

    machine.forget_calls();
    machine.tell("races", "");
    machine.tell("fails", "kickstart 37");
    let installed = machine.install("--launchd").await;
    assert_eq!(
        installed.code,
        Some(0),
        "who else puts it in has put it in: {installed}"
    );
    assert_eq!(count(&machine, "bootstrap"), 1);
    machine.untell("fails");

    machine.tell("vanishes", "");
    let removed = machine.service("uninstall", &["--launchd"]).await;
    assert_eq!(removed.code, Some(0), "113 says that it is gone: {removed}");
    assert!(!machine.launchd_job().exists());

    machine.tell("fails", "kickstart 113");
    let lost = machine.install("--launchd").await;
    lost.refuses(
        1,
        &["`launchctl kickstart gui/", "113: Could not find specified service"],
    );
    machine.unload(&gui());
}

#[tokio::test]
async fn a_job_can_be_removed_after_its_user_has_logged_out() {
    let machine = Machine::that_starts_hosts();
    assert_eq!(machine.install("--launchd").await.code, Some(0));
    machine.unload(&gui());
    machine.tell("no-session", "");
    let removed = machine.service("uninstall", &["--launchd"]).await;
    assert_eq!(removed.code, Some(0), "{removed}");
    assert!(!machine.launchd_job().exists());
}

#[tokio::test]
async fn what_launchctl_says_when_it_fails_is_told() {
    let machine = Machine::new();
    machine.tell("fails", "enable 119");
    let failed = machine.install("--launchd").await;
    failed.refuses(1, &["`launchctl enable gui/", "failed (exit code 119)"]);
}

/// Returns the line of `baton doctor` about the service.
async fn service_line(machine: &Machine) -> Value {
    let port = machine.port.to_string();
    let told = machine.cli().baton(&["doctor", "--json", "--port", &port]).await;
    let json = told.json();
    let checks = json["checks"].as_array().expect("checks");
    let line = checks.iter().find(|check| check["check"] == "service");
    line.unwrap_or_else(|| panic!("no line about the service: {told}"))
        .clone()
}

#[tokio::test]
async fn doctor_says_in_which_domain_the_job_is_and_who_else_has_its_label() {
    let machine = Machine::that_starts_hosts();
    let none = service_line(&machine).await;
    assert_eq!(none["status"], "skipped", "{none}");
    assert_eq!(machine.install("--launchd").await.code, Some(0));
    let domain = gui();
    let runs = service_line(&machine).await;
    let pid = machine.pid().expect("a process");
    let message = runs["message"].as_str().expect("a message");
    assert_eq!(runs["status"], "ok", "{runs}");
    assert!(
        message.starts_with(&format!(
            "{domain}/baton.project runs as process {pid}; it ends when you log out"
        )),
        "{message}"
    );

    machine.load_in_system(&machine.project.root());
    let two = service_line(&machine).await;
    assert_eq!(two["finding"], "two_services", "{two}");
    machine.unload("system");

    machine.unload(&domain);
    let target = format!("{domain}/baton.project");
    harness::deadline::until("the job is gone", String::new, async || {
        (machine.launchctl(&["print", &target]) != Some(0)).then_some(())
    })
    .await;
    machine.tell("no-session", "");
    let away = service_line(&machine).await;
    assert_eq!(away["finding"], "service_not_loaded", "{away}");
    fs::remove_file(machine.launchd_job()).expect("a job");
    machine.load_in_system(machine.project.scratch());
    let other = service_line(&machine).await;
    assert_eq!(other["finding"], "label_taken", "{other}");
    machine.unload("system");
}

/// Returns a property list as Python's reader reads it, after that reader has compared each key and its type
/// with the table of launchd.plist(5).
fn read_by_python(text: &str) -> Value {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("read_job.py");
    let mut python = Command::new("python3")
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3");
    let mut input = python.stdin.take().expect("a pipe");
    input.write_all(text.as_bytes()).expect("it reads");
    drop(input);
    let output = python.wait_with_output().expect("an end");
    assert!(output.status.success(), "what is wrong with it is above: {text}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[tokio::test]
async fn the_property_lists_of_odd_projects_are_read_alike_by_two_readers() {
    let machine = Machine::new();
    let mut labels = BTreeSet::new();
    for (number, name) in [
        "a shop",
        "größer & schöner",
        "gro\u{308}ßer",
        "<tags> ]]> &amp;",
        "\"quoted\" 'twice'",
        "$HOME %h ~ * `id`",
        "link to a folder",
        "日本語 🦊",
        "-leading.dots..",
        "back\\slash\u{a0}space",
    ]
    .into_iter()
    .enumerate()
    {
        let mut root = machine.project.scratch().join("odd").join(name);
        fs::create_dir_all(&root).expect("a folder");
        if name.starts_with("link") {
            let link = root.with_file_name("a link & more");
            std::os::unix::fs::symlink(&root, &link).expect("a link");
            root = link;
        }
        fs::write(root.join("package.json"), "{}").expect("a file");
        let entry = format!("sérvé {number} & <co>.ts");
        fs::write(root.join(&entry), "export default { fetch: () => new Response() };").expect("a file");
        fs::write(root.join("böse & gut.env"), "").expect("a file");
        private(&root.join("böse & gut.env"));
        for scope in [&["--user"][..], &["--system", "--run-as", "root"]] {
            let more = [
                "service",
                "print",
                "--launchd",
                &entry,
                "--env-file",
                "böse & gut.env",
                "--tools",
                "bin & more",
            ];
            let printed = machine
                .cli()
                .at(&root)
                .env("PWD", &root)
                .baton(&[&more[..], scope].concat())
                .await;
            assert_eq!(printed.code, Some(0), "{printed}");
            let python = read_by_python(&printed.stdout);
            let crate_ = plist::Value::from_reader_xml(printed.stdout.as_bytes()).expect("a property list");
            assert_eq!(
                python,
                serde_json::to_value(&crate_).expect("JSON"),
                "{}",
                printed.stdout
            );
            let folder = Path::new(python["WorkingDirectory"].as_str().expect("a folder")).to_owned();
            assert!(folder.is_absolute(), "{folder:?}");
            assert_eq!(
                folder.canonicalize().expect("it is there"),
                root.canonicalize().expect("a folder")
            );
            let arguments = python["ProgramArguments"].as_array().expect("arguments");
            let arguments: Vec<&str> = arguments.iter().filter_map(Value::as_str).collect();
            assert_eq!(arguments[1], "start");
            for path in [0, 2, 4].map(|index| Path::new(arguments[index])) {
                assert!(path.is_absolute() && path.exists(), "{arguments:?}");
            }
            assert!(
                arguments[2].ends_with(&entry) && arguments[4].ends_with("böse & gut.env"),
                "{arguments:?}"
            );
            let search_path = python["EnvironmentVariables"]["PATH"].as_str().expect("PATH");
            assert!(search_path.contains("/bin & more:"), "{search_path}");
            assert_eq!(
                python["UserName"],
                if scope.len() > 1 { json!("root") } else { Value::Null }
            );
            assert_eq!(python["Sockets"]["Listeners"]["SockServiceName"], "3111");
            labels.insert(python["Label"].as_str().expect("a label").to_owned());
        }
    }
    let is_plain = |label: &String| {
        let name = label.strip_prefix("baton.").expect("Baton's");
        let allowed = |letter: char| letter.is_ascii_alphanumeric() || "-_".contains(letter);
        !name.is_empty() && name.chars().all(allowed)
    };
    assert!(labels.iter().all(is_plain), "{labels:?}");
}

fn private(file: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).expect("a mode");
}
