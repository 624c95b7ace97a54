//! The two sides that are compared: the SDK served by Node (`tests/reference`), and by Baton, each
//! with an Inngest of its own to talk to.

use std::path::Path;

use harness::{Baton, Door, Executor, FakeInngest, Project, Sdk};

use super::scenario::{Scenario, Script, outcome};
use super::transcript::{Differing, Transcript};

/// The key of cloud mode. Below it is the fallback: the key that may have been in use before.
pub(super) const KEY: &str = "signkey-test-0123456789abcdef0123456789abcdef";
pub(super) const FALLBACK_KEY: &str = "signkey-test-fedcba9876543210fedcba9876543210";

/// The mode in which the functions run, as their environment says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// `INNGEST_DEV` names the fake Inngest.
    Dev,
    /// `INNGEST_DEV` names the fake Inngest, and `INNGEST_STREAMING` asks for streamed answers.
    Streaming,
    /// The environment has a signing key and a fallback.
    Cloud,
    /// Cloud mode without any key.
    Keyless,
}

/// The setting in which scenarios are played.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stage {
    /// The folder of the fixture that is served.
    pub(super) folder: &'static str,
    pub(super) mode: Mode,
    /// The status with which Inngest answers checkpoints.
    pub(super) checkpoints: u16,
}

impl Stage {
    /// `functions/` in dev mode.
    pub(super) const DEV: Self = Self {
        folder: "functions",
        mode: Mode::Dev,
        checkpoints: 200,
    };
}

/// One of the two sides.
pub(super) struct Side {
    server: Baton,
    inngest: FakeInngest,
    project: Project,
    mode: Mode,
    /// The name that the SDK gives to the program that serves it.
    framework: &'static str,
}

impl Side {
    pub(super) async fn node(sdk: Sdk, stage: Stage) -> Self {
        let reference = Path::new(env!("CARGO_MANIFEST_DIR")).join("reference");
        assert!(
            reference.join("node_modules/esbuild").is_dir(),
            "packages are missing: run `npm ci` in {}",
            reference.display()
        );
        Self::start(sdk, stage, Some(&reference.join("baton.mjs"))).await
    }

    pub(super) async fn baton(sdk: Sdk, stage: Stage) -> Self {
        Self::start(sdk, stage, None).await
    }

    async fn start(sdk: Sdk, stage: Stage, program: Option<&Path>) -> Self {
        let inngest = FakeInngest::answering_checkpoints_with(stage.checkpoints).await;
        let project = Project::of_everything(sdk);
        let launch = Baton::dev_on(&project, stage.folder);
        let launch = match program {
            Some(program) => launch.program(program),
            None => launch,
        };
        let launch = match stage.mode {
            Mode::Dev => launch.inngest(&inngest),
            Mode::Streaming => launch.inngest(&inngest).env("INNGEST_STREAMING", "force"),
            Mode::Cloud => launch
                .env("INNGEST_SIGNING_KEY", KEY)
                .env("INNGEST_SIGNING_KEY_FALLBACK", FALLBACK_KEY)
                .env("INNGEST_EVENT_KEY", "event-key"),
            Mode::Keyless => launch,
        };
        let launch = match stage.mode {
            Mode::Dev | Mode::Streaming => launch,
            Mode::Cloud | Mode::Keyless => launch.env("INNGEST_DEV", "0").env("INNGEST_BASE_URL", inngest.url()),
        };
        let server = launch.ready().await;
        Self {
            server,
            inngest,
            project,
            mode: stage.mode,
            framework: if program.is_some() { "edge" } else { "baton" },
        }
    }

    pub(super) fn door(&self) -> Door {
        self.server.door()
    }

    pub(super) fn executor(&self) -> Executor {
        self.server.executor()
    }

    /// Returns the URL that Inngest would call.
    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/api/inngest", self.server.port())
    }

    /// Plays a scenario, and returns the lines of its transcript.
    pub(super) async fn play(&self, scenario: &Scenario) -> Vec<String> {
        self.inngest.forget();
        let keys = match self.mode {
            Mode::Cloud => vec![("valid, by the key", KEY), ("valid, by the fallback key", FALLBACK_KEY)],
            Mode::Dev | Mode::Streaming | Mode::Keyless => Vec::new(),
        };
        let mut transcript = Transcript::new(self.differing(), keys);
        match &scenario.script {
            Script::Run(run) => {
                let finish = self.executor().drive(run(), &outcome).await;
                for (target, answer) in &finish.calls {
                    let step = target.as_ref().map_or("step", |op| op.display_name());
                    transcript.answered(&format!("POST stepId={step}"), answer);
                }
            }
            Script::Calls(calls) => {
                for (what, call) in calls(self) {
                    let answer = call.send(&self.door()).await;
                    let answer = answer.unwrap_or_else(|lost| panic!("{}: {lost}", scenario.name));
                    transcript.answered(what, &answer);
                }
            }
        }
        transcript.told(&self.inngest.received());
        transcript.lines()
    }

    fn differing(&self) -> Differing {
        let port = self.server.port();
        let mut texts = vec![
            (self.inngest.url().to_owned(), "<inngest>"),
            (format!("http://127.0.0.1:{port}"), "<served>"),
            (format!("http://localhost:{port}"), "<served>"),
        ];
        let framework = self.framework;
        texts.push((
            format!("x-inngest-framework: {framework}"),
            "x-inngest-framework: <framework>",
        ));
        texts.push((
            format!("\"framework\":\"{framework}\""),
            "\"framework\":\"<framework>\"",
        ));
        texts.push((self.project.root().display().to_string(), "<project>"));
        Differing::new(texts)
    }
}
