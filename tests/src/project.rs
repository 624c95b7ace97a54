//! A folder of functions to serve and to edit: a copy of a fixture in a
//! temporary place, with the fixture's own `node_modules`.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

const PACKAGES: &str = "node_modules";

/// The major version of `inngest` that a fixture uses. The two majors declare functions differently and speak
/// differently on the wire (inngest/inngest-js, versions 3 and 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sdk {
    /// 4.24.0
    V4,
    /// 3.54.2
    V3,
}

impl Sdk {
    /// Returns exactly the version that the fixture's lockfile pins.
    #[must_use]
    pub fn version(self) -> &'static str {
        match self {
            Self::V4 => "4.24.0",
            Self::V3 => "3.54.2",
        }
    }

    /// Returns the name that tests and fixtures use for it.
    #[must_use]
    pub fn folder(self) -> &'static str {
        match self {
            Self::V4 => "v4",
            Self::V3 => "v3",
        }
    }
}

/// A project on disk, removed on drop.
///
/// ```text
/// <scratch>/project/   package.json, node_modules → the fixture's, functions/, lib/
/// <scratch>/state/     the state folder, when the test gives one
/// <scratch>/code/      what hosts make of its files, for the next one
/// <scratch>/           gates and whatever else a test puts there
/// ```
#[derive(Debug)]
pub struct Project {
    // The prefix is set because the default one would make a dot-folder.
    scratch: TempDir,
}

impl Project {
    /// The functions of `tests/fixtures/v4` or `v3`.
    #[must_use]
    pub fn of(sdk: Sdk) -> Self {
        let project = Self::without_functions(sdk);
        let fixture = fixture(sdk.folder());
        for folder in ["functions", "lib"] {
            copy(&fixture.join(folder), &project.root().join(folder));
        }
        project
    }

    /// Makes a project with every method and option of the SDK: those that both majors have
    /// (`tests/fixtures/differential`), and those that one of them has (`differential-v4` or `-v3`).
    #[must_use]
    pub fn of_everything(sdk: Sdk) -> Self {
        let project = Self::without_package_json();
        let fixture = fixture(&format!("differential-{}", sdk.folder()));
        copy(&self::fixture("differential"), &project.root());
        copy(&fixture, &project.root());
        link_packages(&fixture, &project.root());
        project
    }

    /// Entry files in `src/`, with the packages that they need.
    #[must_use]
    pub fn of_entries() -> Self {
        let project = Self::without_package_json();
        let fixture = fixture("entries");
        copy(&fixture, &project.root());
        link_packages(&fixture, &project.root());
        project
    }

    /// Makes a project with the packages that people use, and a row about each (`tests/compat`).
    #[must_use]
    pub fn of_packages() -> Self {
        let project = Self::without_package_json();
        let packages = Path::new(env!("CARGO_MANIFEST_DIR")).join("compat");
        copy(&packages, &project.root());
        link_packages(&packages, &project.root());
        project
    }

    /// Makes a project as a page of the book has it: the packages that people use are installed, and there are no functions.
    #[must_use]
    pub fn of_a_page() -> Self {
        let project = Self::without_packages();
        link_packages(&Path::new(env!("CARGO_MANIFEST_DIR")).join("compat"), &project.root());
        project
    }

    /// A case of `tests/compat/cases`, in a folder whose parent has the packages, as in a workspace that hoists them.
    #[must_use]
    pub fn of_case(name: &str) -> Self {
        let project = Self::without_package_json();
        let packages = Path::new(env!("CARGO_MANIFEST_DIR")).join("compat");
        copy(&packages.join("cases").join(name), &project.root());
        link_packages(&packages, project.root().parent().expect("a folder around it"));
        project
    }

    /// Makes a project as [`Project::of`] does, for tests that are not about the SDK.
    #[must_use]
    pub fn new() -> Self {
        Self::of(Sdk::V4)
    }

    /// Makes a project with the packages only; `functions/` is there and empty.
    #[must_use]
    pub fn without_functions(sdk: Sdk) -> Self {
        let project = Self::without_packages();
        let fixture = fixture(sdk.folder());
        link_packages(&fixture, &project.root());
        for file in ["package.json", "tsconfig.json"] {
            fs::copy(fixture.join(file), project.root().join(file)).expect("a copied file");
        }
        project
    }

    /// Makes a project as [`Project::without_functions`] does, with packages of its own, as a release needs them. Those of
    /// OpenTelemetry, which the SDK imports where somebody asks for them, are left out: they are most of the files.
    #[must_use]
    pub fn to_push() -> Self {
        let project = Self::without_packages();
        let packages = fixture(Sdk::V4.folder()).join(PACKAGES);
        let own = project.root().join(PACKAGES);
        let telemetry = packages.join("@opentelemetry");
        link_files(&packages, &own, &|path| *path != telemetry);
        link_files(&telemetry.join("api"), &own.join("@opentelemetry/api"), &|_| true);
        project
    }

    /// Makes a project with a `package.json` and an empty `functions/`; nothing is installed.
    #[must_use]
    pub fn without_packages() -> Self {
        let project = Self::without_package_json();
        project.write(
            "package.json",
            r#"{ "name": "bare", "private": true, "type": "module" }"#,
        );
        project
    }

    /// Copies the example project of this repository: `functions/` is a project of its own.
    #[must_use]
    pub fn example() -> Self {
        let project = Self::without_package_json();
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../functions");
        let example = example.canonicalize().expect("the example project");
        copy(&example, &project.functions());
        link_packages(&example, &project.functions());
        project
    }

    /// Makes a worker as people have it (`tests/fixtures/worker`): an app with webhooks in which Inngest is mounted,
    /// and workspace packages, which belong to the copy.
    #[must_use]
    pub fn worker() -> Self {
        let project = Self::without_package_json();
        let fixture = fixture("worker");
        copy(&fixture, &project.root());
        let installed = fs::read_dir(fixture.join(PACKAGES)).expect("packages: run `npm ci` in tests/fixtures/worker");
        let linked = project.root().join(PACKAGES);
        fs::create_dir_all(&linked).expect("a folder of packages");
        for package in installed {
            let package = package.expect("a package");
            let link = linked.join(package.file_name());
            if package.file_name() == "@acme" {
                // npm's links are relative, so they lead to the copy's packages.
                link_each(&package.path(), &link);
            } else {
                std::os::unix::fs::symlink(package.path(), link).expect("a link to a package");
            }
        }
        project
    }

    /// A git repository for the example's stories, with its sample of them committed.
    #[must_use]
    pub fn repository(&self) -> PathBuf {
        let folder = self.scratch().join("repository");
        fs::create_dir_all(&folder).expect("a folder");
        fs::copy(self.functions().join("sample/prd.json"), folder.join("prd.json")).expect("the stories");
        let git = |arguments: &[&str]| {
            let done = std::process::Command::new("git")
                .arg("-C")
                .arg(&folder)
                .args(arguments)
                .output();
            assert!(done.is_ok_and(|output| output.status.success()), "git {arguments:?}");
        };
        git(&["init", "-q"]);
        git(&["config", "user.name", "Ada"]);
        git(&["config", "user.email", "ada@example.com"]);
        git(&["add", "."]);
        git(&["commit", "-qm", "start"]);
        folder
    }

    /// Makes an empty `functions/` in an empty folder.
    #[must_use]
    pub fn without_package_json() -> Self {
        let scratch = tempfile::Builder::new().prefix("baton-test-").tempdir();
        let project = Self {
            scratch: scratch.expect("a temporary folder"),
        };
        fs::create_dir_all(project.functions()).expect("a folder of functions");
        project
    }

    /// The folder that belongs to the test.
    #[must_use]
    pub fn scratch(&self) -> &Path {
        self.scratch.path()
    }

    /// The folder with the package.json.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.scratch().join("project")
    }

    /// The folder that Baton is told to serve.
    #[must_use]
    pub fn functions(&self) -> PathBuf {
        self.root().join("functions")
    }

    /// Returns the folder in which the project's hosts keep what they make of its files.
    #[must_use]
    pub fn code_cache(&self) -> PathBuf {
        self.scratch().join("code")
    }

    /// The state folder that tests give to Baton.
    #[must_use]
    pub fn state_dir(&self) -> PathBuf {
        self.scratch().join("state")
    }

    /// Writes a file of the project, all at once as an editor does: a reader sees the old text or the new one.
    pub fn write(&self, file: &str, text: impl AsRef<[u8]>) {
        let target = self.root().join(file);
        fs::create_dir_all(target.parent().expect("a folder")).expect("a folder for the file");
        let draft = self.scratch().join("draft");
        fs::write(&draft, text).expect("a written file");
        fs::rename(&draft, &target).expect("a file in its place");
    }

    /// Replaces the one occurrence of `old` in a file.
    pub fn edit(&self, file: &str, old: &str, new: &str) {
        let text = self.read(file);
        assert_eq!(text.matches(old).count(), 1, "{old:?} is not once in {file}:\n{text}");
        self.write(file, text.replace(old, new));
    }

    /// The text of a file of the project.
    #[must_use]
    pub fn read(&self, file: &str) -> String {
        fs::read_to_string(self.root().join(file)).expect("a file of the project")
    }

    /// Deletes a file of the project.
    pub fn remove(&self, file: &str) {
        fs::remove_file(self.root().join(file)).expect("a file to remove");
    }

    /// Edits the constant that `version`, `brisk`, `slow` and `gated` answer.
    pub fn set_version(&self, version: &str) {
        self.write("lib/version.ts", format!("export const VERSION = {version:?};\n"));
    }

    /// Makes a gate that is shut: code that waits for it waits until [`Gate::open`].
    #[must_use]
    pub fn gate(&self, name: &str) -> Gate {
        Gate {
            file: self.scratch().join(format!("{name}.gate")),
        }
    }
}

impl Default for Project {
    fn default() -> Self {
        Self::new()
    }
}

/// A file that does not exist yet, for which a step or a module waits
/// (`untilThereIs` of the fixtures).
#[derive(Debug)]
pub struct Gate {
    file: PathBuf,
}

impl Gate {
    /// Returns the value to give to `untilThereIs`.
    #[must_use]
    pub fn path(&self) -> &str {
        self.file.to_str().expect("a path that is text")
    }

    /// Lets everything through.
    pub fn open(&self) {
        fs::write(&self.file, "").expect("an open gate");
    }

    /// Lets nothing through any more.
    pub fn shut(&self) {
        fs::remove_file(&self.file).expect("an open gate");
    }
}

fn fixture(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(folder)
}

/// Links the copy to the original's packages.
fn link_packages(original: &Path, copy: &Path) {
    let packages = original.join(PACKAGES);
    assert!(
        packages.join("inngest/package.json").is_file(),
        "packages are missing: run `npm ci` in {}",
        original.display()
    );
    std::os::unix::fs::symlink(packages, copy.join(PACKAGES)).expect("a link to the packages");
}

/// Makes the links of a folder again in another place.
fn link_each(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder of links") {
        let entry = entry.expect("a link");
        let target = fs::read_link(entry.path()).expect("where it leads");
        std::os::unix::fs::symlink(target, to.join(entry.file_name())).expect("a link");
    }
}

/// Makes a folder with the same files as another one, hard links where the file system has them.
fn link_files(from: &Path, to: &Path, is_wanted: &dyn Fn(&PathBuf) -> bool) {
    fs::create_dir_all(to).expect("a folder");
    let entries = fs::read_dir(from)
        .expect("a folder of packages")
        .map(|entry| entry.expect("an entry"));
    for entry in entries.filter(|entry| is_wanted(&entry.path())) {
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().expect("its type");
        if kind.is_dir() {
            link_files(&path, &target, is_wanted);
        } else if kind.is_file() && fs::hard_link(&path, &target).is_err() {
            fs::copy(&path, &target).expect("a copied file");
        }
    }
}

/// Copies a folder, but not the packages in it.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder to copy") {
        let entry = entry.expect("an entry of the folder");
        let target = to.join(entry.file_name());
        if entry.file_name() == PACKAGES {
            continue;
        }
        if entry.file_type().expect("its type").is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("a copied file");
        }
    }
}
