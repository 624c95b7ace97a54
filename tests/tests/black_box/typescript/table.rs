//! The same programs by TypeScript's own emit and by Baton, for a table of configurations: the values that each
//! program tells are compared. `tests/reference/tsc.mjs` compiles and runs the programs under Node.

mod programs;

use std::fs;
use std::path::Path;
use std::process::Stdio;

use harness::{Baton, Project};
use serde_json::{Map, Value, json};
use tokio::io::AsyncWriteExt as _;

use self::programs::{PACKAGES, PROGRAMS, Program};
use super::{returned, returning};

/// The settings of one folder of programs.
struct Configuration {
    /// `"type"` of its `package.json`.
    is_module: bool,
    /// Its `tsconfig.json`.
    tsconfig: &'static str,
    /// The value of `jsx` for the comparison, if the settings leave the file's JSX to a bundler.
    bundled: Option<&'static str>,
}

const fn module(tsconfig: &'static str) -> Configuration {
    Configuration {
        is_module: true,
        tsconfig,
        bundled: None,
    }
}

const fn typeless(tsconfig: &'static str) -> Configuration {
    Configuration {
        is_module: false,
        tsconfig,
        bundled: None,
    }
}

const fn preserved(tsconfig: &'static str) -> Configuration {
    Configuration {
        is_module: true,
        tsconfig,
        bundled: Some("react-jsx"),
    }
}

/// The configurations, as people write them. The first folder is `c0`.
const CONFIGURATIONS: &[Configuration] = &[
    module(r#"{ "compilerOptions": { "target": "ES2022", "module": "ESNext", "moduleResolution": "bundler" } }"#),
    module(r#"{ "compilerOptions": { "target": "ES2021", "module": "ESNext", "moduleResolution": "bundler" } }"#),
    module(
        r#"{ "compilerOptions": { "target": "es2017", "module": "esnext", "moduleResolution": "bundler", "isolatedModules": true, "jsx": "react-jsx" } }"#,
    ),
    module(r#"{ "compilerOptions": { "target": "ES2015", "module": "ES2020", "moduleResolution": "bundler" } }"#),
    module(
        r#"{ "compilerOptions": { "target": "ES2022", "module": "ES2022", "moduleResolution": "bundler", "useDefineForClassFields": false } }"#,
    ),
    module(
        r#"{ "compilerOptions": { "target": "ES2020", "module": "ESNext", "moduleResolution": "bundler", "useDefineForClassFields": true } }"#,
    ),
    module(
        r#"{ "compilerOptions": { "target": "ES2022", "module": "ESNext", "moduleResolution": "bundler", "experimentalDecorators": true } }"#,
    ),
    module(
        r#"{ "compilerOptions": { "target": "ES2020", "module": "ESNext", "moduleResolution": "bundler", "experimentalDecorators": true, "emitDecoratorMetadata": true } }"#,
    ),
    module(
        r#"{ "compilerOptions": { "target": "ES2023", "module": "ESNext", "moduleResolution": "bundler", "experimentalDecorators": true, "emitDecoratorMetadata": true } }"#,
    ),
    module(r#"{ "compilerOptions": { "target": "ES2022", "module": "NodeNext" } }"#),
    module(
        r#"{ "compilerOptions": { "target": "ES2022", "module": "ESNext", "moduleResolution": "bundler", "verbatimModuleSyntax": true } }"#,
    ),
    module(
        r#"{ "extends": ["../first.json", "../second.json"], "compilerOptions": { "moduleResolution": "bundler" } }"#,
    ),
    module(
        r#"{ "compilerOptions": { "target": "ES2022", "module": "ESNext", "moduleResolution": "bundler", "jsx": "react" } }"#,
    ),
    module(
        r#"{ "compilerOptions": { "target": "ES2022", "module": "ESNext", "moduleResolution": "bundler", "jsx": "react", "jsxFactory": "h", "jsxFragmentFactory": "Fragment" } }"#,
    ),
    module(
        r#"{ "compilerOptions": { "target": "ES2022", "module": "ESNext", "moduleResolution": "bundler", "jsx": "react", "reactNamespace": "Preact" } }"#,
    ),
    module(
        r#"{ "compilerOptions": { "target": "ES2022", "module": "ESNext", "moduleResolution": "bundler", "jsx": "react-jsx", "jsxImportSource": "preact" } }"#,
    ),
    module(
        r#"{ "compilerOptions": { "target": "ES2022", "module": "ESNext", "moduleResolution": "bundler", "jsx": "react-jsxdev" } }"#,
    ),
    preserved(
        r#"{ "compilerOptions": { "target": "ES2022", "module": "ESNext", "moduleResolution": "bundler", "jsx": "preserve" } }"#,
    ),
    preserved(
        r#"{ "compilerOptions": { "target": "ES2022", "module": "ESNext", "moduleResolution": "bundler", "jsx": "react-native" } }"#,
    ),
    typeless(r#"{ "compilerOptions": { "target": "ES2022", "module": "commonjs", "esModuleInterop": true } }"#),
    typeless(
        r#"{ "compilerOptions": { "target": "ES2019", "module": "commonjs", "esModuleInterop": true, "experimentalDecorators": true, "emitDecoratorMetadata": true } }"#,
    ),
    typeless(r#"{ "compilerOptions": { "target": "ES2022", "module": "Node16" /* typeless */ } }"#),
    typeless(
        r#"{ "compilerOptions": { "target": "ES2022", "module": "commonjs", "esModuleInterop": true, "verbatimModuleSyntax": false, "isolatedModules": true, "jsx": "react-jsx" } }"#,
    ),
    typeless(
        r#"{ "compilerOptions": { "target": "ES2017", "module": "commonjs", "esModuleInterop": true, "useDefineForClassFields": true, "jsx": "react" } }"#,
    ),
    typeless(
        r#"{ "compilerOptions": { "target": "ES2022", "module": "NodeNext" /* typeless */, "experimentalDecorators": true, "emitDecoratorMetadata": true } }"#,
    ),
    typeless(
        r#"{ "compilerOptions": { "target": "ES2020", "module": "CommonJS" /* commonjs */, "esModuleInterop": false, "experimentalDecorators": true, "emitDecoratorMetadata": true, "ignoreDeprecations": "6.0" } }"#,
    ),
    typeless(
        r#"{ "compilerOptions": { "target": "ES2022", "module": "Node20" /* typeless */, "isolatedModules": true } }"#,
    ),
    typeless(
        r#"{ "compilerOptions": { "target": "ES2022", "module": "commonjs", "esModuleInterop": true, "allowJs": true, "checkJs": false, "jsx": "react-jsx", "experimentalDecorators": true } }"#,
    ),
    module(
        r#"{ "compilerOptions": { "target": "ES2019", "module": "ESNext", "moduleResolution": "bundler", "allowJs": true, "jsx": "react-jsx", "experimentalDecorators": true, "emitDecoratorMetadata": true } }"#,
    ),
];

/// The differences that are left: the program, a part of the configurations in which it differs, and the reason.
const DIFFERENCES: &[(&str, &str, &str)] = &[
    (
        "decorating",
        "",
        "the transpiler decorates by the proposal of 2022-03, static members before all others; since 2023-05 methods come \
         before fields",
    ),
    (
        "aliases",
        "",
        "the type behind an alias is not looked for: one file is read at a time, and never by its types",
    ),
    (
        "interop",
        "/* typeless */",
        "import() stays Node's own there, with Node's default export, while import declarations become require",
    ),
];

#[tokio::test]
async fn programs_tell_what_they_tell_when_typescript_has_compiled_them() {
    let project = Project::new();
    let rows = write(&project);
    assert!(rows.len() >= 400, "{} rows", rows.len());
    // TypeScript emits beside the sources, so the test gives it a copy.
    let copy = project.scratch().join("tsc");
    copy_folder(&project.root().join("rows"), &copy);
    let expected = compiled(&copy, &rows).await;

    let imports = rows.iter().map(|row| {
        let file = row.file();
        format!("    {:?}: () => import(\"../rows/{file}\"),\n", row.name())
    });
    let beginning = format!(
        "const rows: Record<string, () => Promise<any>> = {{\n{}}};\n\
         const told: Record<string, unknown> = {{}};\n\
         for (const [name, load] of Object.entries(rows)) {{\n  try {{\n    const module = await load();\n    \
         told[name] = await (module.told ?? module.default.told);\n  }} catch (error: any) {{\n    told[name] = {{ threw: error.name, message: error.message }};\n  }}\n}}",
        imports.collect::<String>()
    );
    project.write("functions/shape.ts", returning(&beginning, "told"));
    let told = returned(&Baton::dev(&project).ready().await).await;

    let mut wrong = Vec::new();
    for row in &rows {
        let name = row.name();
        let (tsc, baton) = (&expected[&name], &told[&name]);
        if tsc.get("threw").is_some() {
            wrong.push(format!("{name} does not run as TypeScript emits it: {tsc}"));
        }
        let known = DIFFERENCES
            .iter()
            .find(|(program, part, _)| *program == row.program.name && row.configuration.tsconfig.contains(part));
        match known {
            None if tsc != baton => wrong.push(format!(
                "{name} {}\n  tsc:   {tsc}\n  Baton: {baton}",
                row.configuration.tsconfig
            )),
            Some((.., reason)) if tsc == baton => wrong.push(format!("{name} is equal by now: {reason}")),
            _ => {}
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {} rows differ:\n{}",
        wrong.len(),
        rows.len(),
        wrong.join("\n")
    );
}

struct Row {
    folder: String,
    configuration: &'static Configuration,
    program: &'static Program,
}

impl Row {
    fn name(&self) -> String {
        format!("{}/{}", self.folder, self.program.name)
    }

    fn file(&self) -> String {
        format!("{}.{}", self.name(), self.program.extension)
    }
}

/// Writes each program below `rows` for each configuration that it suits.
fn write(project: &Project) -> Vec<Row> {
    let mut rows = Vec::new();
    for (file, text) in PACKAGES {
        project.write(&format!("rows/node_modules/{file}"), text);
    }
    project.write(
        "rows/first.json",
        r#"{ "compilerOptions": { "target": "ES2022", "module": "ESNext", "experimentalDecorators": true } }"#,
    );
    project.write(
        "rows/second.json",
        r#"{ "compilerOptions": { "target": "ES2019", "emitDecoratorMetadata": true } }"#,
    );
    for (index, configuration) in CONFIGURATIONS.iter().enumerate() {
        let folder = format!("c{index}");
        let package = if configuration.is_module {
            r#"{ "type": "module" }"#
        } else {
            "{}"
        };
        project.write(&format!("rows/{folder}/package.json"), package);
        project.write(&format!("rows/{folder}/tsconfig.json"), configuration.tsconfig);
        for program in PROGRAMS
            .iter()
            .filter(|program| (program.suits)(configuration.tsconfig))
        {
            let row = Row {
                folder: folder.clone(),
                configuration,
                program,
            };
            project.write(&format!("rows/{}", row.file()), program.text);
            for (file, text) in program.beside {
                project.write(&format!("rows/{folder}/{file}"), text);
            }
            rows.push(row);
        }
    }
    rows
}

/// Returns the values that the programs tell once TypeScript has compiled them.
async fn compiled(folder: &Path, rows: &[Row]) -> Map<String, Value> {
    let asked = rows.iter().map(|row| {
        let jsx = row.configuration.bundled;
        let instead = jsx.map_or(json!({}), |_| json!({ "jsx": 4 }));
        json!({ "folder": row.folder, "program": row.program.name, "instead": instead })
    });
    let asked = Value::from_iter(asked).to_string();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("reference/tsc.mjs");
    let mut node = tokio::process::Command::new("node")
        .arg(script)
        .arg(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("node starts");
    let mut input = node.stdin.take().expect("its input");
    input.write_all(asked.as_bytes()).await.expect("it reads");
    drop(input);
    let output = node.wait_with_output().await.expect("node ends");
    assert!(output.status.success(), "tsc.mjs failed: see above");
    serde_json::from_slice(&output.stdout).expect("tsc.mjs prints JSON")
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).expect("a file");
        }
    }
}
