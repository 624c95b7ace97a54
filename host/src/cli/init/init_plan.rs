//! The plan of `baton init`: the files to write, given what is there. Pure: it looks at nothing, and writes nothing.

use std::path::Path;

use serde_json::Value;

use super::InitError;
use super::manager::PackageManager;
use super::package_name;
use super::surroundings::{NPM_PACKAGE, PlaceContent, ProgramOrigin, Surroundings};

const PACKAGE_JSON: &str = include_str!("template/package.json");
const TSCONFIG: &str = include_str!("template/tsconfig.json");
const BATON_TOML: &str = include_str!("template/baton.toml");
const GITIGNORE: &str = include_str!("template/gitignore");
const CLIENT: &str = include_str!("template/client.ts");
const HELLO: &str = include_str!("template/hello.ts");
const HELLO_OF_VERSION_3: &str = include_str!("template/hello.v3.ts");
const TEST: &str = include_str!("template/hello.test.mjs");

/// The name in the templates that the project's own name replaces, as they write it.
const NAME_IN_TEMPLATES: &str = "\"my-app\"";
/// The folder in the templates that the folder of functions replaces, as they write it.
const FOLDER_IN_TEMPLATES: &str = "\"functions\"";
/// Packages that run tests otherwise than `node --test` does, and take each `*.test.mjs` for one of theirs.
const OTHER_RUNNERS: [&str; 4] = ["vitest", "jest", "mocha", "ava"];

/// The answers to the questions of `baton init`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct InitAnswers {
    /// The name of the package, for a package.json that is new.
    pub(super) name: String,
    pub(super) manager: PackageManager,
}

impl InitAnswers {
    /// The answers where nobody is asked.
    pub(super) fn usual(around: &Surroundings) -> Self {
        Self {
            name: package_name::from_folder(&around.name),
            manager: around.signs.chosen(),
        }
    }
}

/// A file to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NewFile {
    /// Its path, relative to the project.
    pub(super) path: String,
    pub(super) text: String,
}

/// The changes to a folder, and the next step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct InitPlan {
    pub(super) files: Vec<NewFile>,
    /// The files that stay as they are.
    pub(super) kept: Vec<&'static str>,
    /// Sentences about what is not done, for people.
    pub(super) notes: Vec<String>,
    /// The command that installs the packages.
    pub(super) install: String,
    /// The command that serves.
    pub(super) serve: String,
}

/// Plans the files of a project.
///
/// # Errors
/// When the folder is no place for one.
pub(super) fn plan(around: &Surroundings, answers: &InitAnswers) -> Result<InitPlan, InitError> {
    refuse_root_of_workspace(around)?;
    let manifest = around.manifest.as_ref();
    let has = |package: &str| manifest.is_some_and(|manifest| manifest.has(package));
    let is_next = has("next");
    let place = place(around, is_next);
    let package = manifest
        .and_then(|manifest| manifest.name.as_str())
        .filter(|name| !name.is_empty());
    let package = package.unwrap_or(&answers.name);

    let mut files = Vec::new();
    let mut add = |path: &str, text: String| {
        if !around.files.contains(&path) {
            files.push(NewFile {
                path: path.to_owned(),
                text,
            });
        }
    };
    add("package.json", package_json(package, around.binary));
    // A tsconfig.json that Next.js has not made turns a project of it into another one.
    if !is_next {
        add("tsconfig.json", TSCONFIG.to_owned());
    }
    add(
        "baton.toml",
        BATON_TOML.replace(FOLDER_IN_TEMPLATES, &quoted(&place.path)),
    );
    if !around.is_ignored_above {
        add(".gitignore", GITIGNORE.to_owned());
    }
    if place.content == PlaceContent::Nothing {
        let folder = place.path.trim_end_matches('/');
        let mut add = |file: &str, text: String| add(&format!("{folder}/{file}"), text);
        add("client.ts", named(CLIENT, package_name::of_app(package)));
        add(
            "hello.ts",
            hello(manifest.and_then(|manifest| manifest.range("inngest"))).to_owned(),
        );
        if !OTHER_RUNNERS.into_iter().any(has) {
            add("hello.test.mjs", TEST.to_owned());
        }
    }

    let is_new = |path: &str| files.iter().any(|file| file.path == path);
    let mut notes = notes(around);
    if is_new("tsconfig.json") && !is_new("package.json") {
        let types = ["typescript", "@types/node"]
            .into_iter()
            .filter(|package| !has(package));
        let types: Vec<&str> = types.collect();
        if !types.is_empty() {
            let add = answers.manager.add_for_development(&types);
            notes.push(format!(
                "editors and `tsc` read tsconfig.json; for them run `{add}`. Functions run without."
            ));
        }
    }
    let is_lacking = around.binary == ProgramOrigin::Npm && !is_new("package.json") && !has(NPM_PACKAGE);
    let own = is_lacking.then_some(NPM_PACKAGE);
    let needed = if is_new("package.json") || has("inngest") {
        None
    } else {
        Some("inngest")
    };
    Ok(InitPlan {
        install: install(answers.manager, needed, own),
        serve: match around.binary {
            ProgramOrigin::Installed => "baton dev".to_owned(),
            ProgramOrigin::Npm => answers.manager.run("baton dev"),
        },
        kept: around.files.clone(),
        notes,
        files,
    })
}

/// Returns the package.json of a new project, which has the binary among its packages if npm has it.
fn package_json(name: &str, binary: ProgramOrigin) -> String {
    let text = named(PACKAGE_JSON, name);
    match binary {
        ProgramOrigin::Installed => text,
        ProgramOrigin::Npm => {
            let before = "    \"typescript\"";
            let package = format!("    \"{NPM_PACKAGE}\": \"^{}\",\n{before}", env!("CARGO_PKG_VERSION"));
            text.replace(before, &package)
        }
    }
}

/// A workspace's root is seldom a project: its packages are.
fn refuse_root_of_workspace(around: &Surroundings) -> Result<(), InitError> {
    let Some(workspace) = &around.workspace else {
        return Ok(());
    };
    let has_inngest = around.manifest.as_ref().is_some_and(|manifest| manifest.has("inngest"));
    let is_root = workspace.folder.as_os_str().is_empty();
    if !is_root || has_inngest || around.functions.is_some() {
        return Ok(());
    }
    Err(InitError::RootOfWorkspace {
        folder: workspace.root.clone(),
        list: workspace.list,
        example: workspace
            .members
            .example()
            .unwrap_or_else(|| "packages/functions".to_owned()),
    })
}

struct FunctionsFolder {
    path: String,
    content: PlaceContent,
}

/// Returns the folder of functions: the one that is there, else where such a project has it.
fn place(around: &Surroundings, is_next: bool) -> FunctionsFolder {
    if let Some(there) = &around.functions {
        return FunctionsFolder {
            path: there.path.clone(),
            content: there.content,
        };
    }
    let is_older = around.manifest.is_some();
    let path = match (is_next, is_older && around.has_src) {
        (true, true) => "src/inngest",
        (true, false) => "inngest",
        (false, true) => "src/functions",
        (false, false) => "functions",
    };
    FunctionsFolder {
        path: path.to_owned(),
        content: PlaceContent::Nothing,
    }
}

/// Returns the function as the version of the SDK has it that the project wants: `^3.54.2`.
fn hello(range: Option<&str>) -> &'static str {
    let version = range.unwrap_or_default().trim_start_matches(['^', '~', '=', 'v', ' ']);
    match version.split('.').next() {
        Some("3") => HELLO_OF_VERSION_3,
        _ => HELLO,
    }
}

/// Returns the command that installs the packages without which nothing is served: those of functions, and the program.
fn install(manager: PackageManager, needed: Option<&str>, program: Option<&str>) -> String {
    let needed = needed.map(|package| manager.add(&[package]));
    let program = program.map(|package| manager.add_for_development(&[package]));
    let commands: Vec<String> = needed.into_iter().chain(program).collect();
    if commands.is_empty() {
        manager.install()
    } else {
        commands.join(" && ")
    }
}

fn notes(around: &Surroundings) -> Vec<String> {
    let Some(workspace) = &around.workspace else {
        return Vec::new();
    };
    let is_root = workspace.folder == Path::new("");
    if is_root || workspace.members.contain(&workspace.folder) {
        return Vec::new();
    }
    vec![format!(
        "{} is not a package of the workspace around it: add it to {}.",
        workspace.folder.display(),
        workspace.root.join(workspace.list).display()
    )]
}

fn named(template: &str, name: &str) -> String {
    template.replace(NAME_IN_TEMPLATES, &quoted(name))
}

/// Writes a text between quotes, as JSON, TypeScript and TOML all read it.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::surroundings::{FunctionsPlace, PackageManifest, Workspace};
    use super::super::workspace::WorkspaceMembers;
    use super::*;
    use crate::config::ConfigFile;

    fn planned(around: &Surroundings) -> InitPlan {
        plan(around, &InitAnswers::usual(around)).unwrap()
    }

    fn paths(plan: &InitPlan) -> Vec<&str> {
        plan.files.iter().map(|file| &*file.path).collect()
    }

    fn text<'a>(plan: &'a InitPlan, path: &str) -> &'a str {
        let file = plan.files.iter().find(|file| file.path == path);
        &file.unwrap_or_else(|| panic!("no {path} in {:?}", paths(plan))).text
    }

    fn folder(name: &str) -> Surroundings {
        Surroundings {
            name: name.to_owned(),
            ..Surroundings::default()
        }
    }

    fn project(manifest: &Value) -> Surroundings {
        let manifest: PackageManifest = serde_json::from_value(manifest.clone()).unwrap();
        Surroundings {
            manifest: Some(manifest),
            files: vec!["package.json"],
            ..folder("shop")
        }
    }

    fn in_workspace(folder: &str, around: Surroundings) -> Surroundings {
        let workspace = Workspace {
            root: "/shop".into(),
            folder: folder.into(),
            members: WorkspaceMembers(vec!["packages/*".to_owned()]),
            list: "pnpm-workspace.yaml",
        };
        Surroundings {
            workspace: Some(workspace),
            ..around
        }
    }

    #[test]
    fn an_empty_folder_becomes_a_project_that_has_its_name() {
        let plan = planned(&folder("My Orders"));
        let all = [
            "package.json",
            "tsconfig.json",
            "baton.toml",
            ".gitignore",
            "functions/client.ts",
            "functions/hello.ts",
            "functions/hello.test.mjs",
        ];
        assert_eq!(paths(&plan), all);
        let package: Value = serde_json::from_str(text(&plan, "package.json")).unwrap();
        assert_eq!(package["name"], "my-orders");
        assert!(text(&plan, "functions/client.ts").contains(r#"id: "my-orders""#));
        assert_eq!((&*plan.install, plan.notes.len()), ("npm install", 0));
    }

    #[test]
    fn a_project_of_a_binary_from_npm_has_it_among_its_packages() {
        let mut around = folder("shop");
        around.binary = ProgramOrigin::Npm;
        let plan = planned(&around);
        let package: Value = serde_json::from_str(text(&plan, "package.json")).unwrap();
        assert_eq!(
            package["devDependencies"][NPM_PACKAGE],
            concat!("^", env!("CARGO_PKG_VERSION"))
        );
        assert_eq!((&*plan.install, &*plan.serve), ("npm install", "npx baton dev"));
        let mut around = project(&json!({"dependencies": {"inngest": "^4"}}));
        around.binary = ProgramOrigin::Npm;
        around.files.push("tsconfig.json");
        around.signs.agent = Some("pnpm/10.0.0".to_owned());
        let plan = planned(&around);
        assert_eq!(
            (&*plan.install, &*plan.serve),
            ("pnpm add -D baton-inngest", "pnpm exec baton dev")
        );
        let mut around = project(&json!({"dependencies": {"inngest": "^4", "baton-inngest": "file:x.tgz"}}));
        around.binary = ProgramOrigin::Npm;
        around.files.push("tsconfig.json");
        assert_eq!(planned(&around).install, "npm install");
    }

    #[test]
    fn what_is_there_stays() {
        let mut around = project(&json!({"name": "@acme/shop", "dependencies": {"inngest": "^4.0.0"}}));
        around.files = vec!["package.json", "tsconfig.json", "baton.toml", ".gitignore"];
        around.functions = Some(FunctionsPlace {
            path: "functions".to_owned(),
            content: PlaceContent::Code,
        });
        let plan = planned(&around);
        assert_eq!(paths(&plan), [""; 0]);
        assert_eq!(plan.kept, around.files);
        assert_eq!(plan.install, "npm install");
    }

    #[test]
    fn a_project_that_lacks_the_packages_is_told_to_add_them() {
        let mut around = project(&json!({"name": "@acme/shop"}));
        let plan = planned(&around);
        assert_eq!(plan.install, "npm install inngest");
        assert!(
            plan.notes[0].contains("`npm install -D typescript @types/node`"),
            "{plan:?}"
        );
        assert!(text(&plan, "functions/client.ts").contains(r#"id: "shop""#));
        around.files.push("tsconfig.json");
        around.signs.agent = Some("bun/1.3.0".to_owned());
        let plan = planned(&around);
        assert_eq!((&*plan.install, plan.notes.len()), ("bun add inngest", 0));
    }

    #[test]
    fn next_has_its_functions_where_its_users_have_them_and_makes_its_own_tsconfig() {
        let next = json!({"name": "web", "dependencies": {"next": "16.0.0", "inngest": "^4"}});
        let mut around = project(&next);
        let plan = planned(&around);
        assert!(paths(&plan).contains(&"inngest/hello.ts") && !paths(&plan).contains(&"tsconfig.json"));
        around.has_src = true;
        let plan = planned(&around);
        assert!(paths(&plan).contains(&"src/inngest/hello.ts"), "{plan:?}");
        assert!(text(&plan, "baton.toml").contains("\npath = \"src/inngest\"\n"));
    }

    #[test]
    fn version_3_of_the_sdk_gets_a_function_as_version_3_has_them() {
        let function = |range: &str| {
            let around = project(&json!({"dependencies": {"inngest": range}}));
            text(&planned(&around), "functions/hello.ts").contains("{ event: \"demo/hello\" },")
        };
        assert!(function("^3.54.2") && function("~3") && function("3.x"));
        assert!(!function("^4.1.0") && !function("latest") && !function("^30"));
    }

    #[test]
    fn a_project_that_tests_otherwise_gets_no_test() {
        let around = project(&json!({"devDependencies": {"vitest": "^4"}}));
        let plan = planned(&around);
        assert!(!paths(&plan).iter().any(|path| path.contains("test")), "{plan:?}");
    }

    #[test]
    fn the_root_of_a_workspace_is_no_project_unless_it_is_one_already() {
        let around = in_workspace("", project(&json!({})));
        let error = plan(&around, &InitAnswers::usual(&around)).unwrap_err();
        assert!(matches!(&error, InitError::RootOfWorkspace { example, .. } if example == "packages/functions"));
        let around = in_workspace("", project(&json!({"dependencies": {"inngest": "4"}})));
        assert!(!planned(&around).files.is_empty());
    }

    #[test]
    fn a_package_that_its_workspace_does_not_list_is_told_so() {
        assert_eq!(planned(&in_workspace("packages/jobs", folder("jobs"))).notes, [""; 0]);
        let plan = planned(&in_workspace("jobs", folder("jobs")));
        assert!(
            plan.notes[0].contains("add it to /shop/pnpm-workspace.yaml"),
            "{plan:?}"
        );
    }

    #[test]
    fn names_are_quoted() {
        let around = project(&json!({"name": "a\"b\\c"}));
        assert!(text(&planned(&around), "functions/client.ts").contains(r#"id: "a\"b\\c""#));
    }

    /// The settings that are comments in the template are settings that there are.
    #[test]
    fn the_comments_of_baton_toml_are_settings() {
        let lines = BATON_TOML.lines().filter_map(|line| {
            let line = line.strip_prefix("# ").unwrap_or(line);
            (line.starts_with('[') || line.contains(" = ")).then_some(line)
        });
        let config: ConfigFile = toml::from_str(&lines.collect::<Vec<&str>>().join("\n")).unwrap();
        assert_eq!((config.path, config.port), (Some("functions".into()), Some(3111)));
        assert!(config.env.file.is_some() && config.functions.default_retries.is_some());
        assert!(config.inngest.serve_origin.is_some());
        let config: ConfigFile = toml::from_str(BATON_TOML).unwrap();
        assert_eq!((config.path, config.port), (Some("functions".into()), None));
    }
}
