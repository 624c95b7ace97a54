//! The projects that are served: the functions of `tests/bench/app`, or a project of any number of
//! modules. Each server gets a copy of its own, with the packages of `tests/bench`.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::symlink;

use harness::Project;
use serde_json::json;

use crate::client::Requests;
use crate::subject::folder;

const LEAF: &str = "functions/f0.ts";
const HUB: &str = "lib/shared.ts";

/// Makes a project with `hello`, `fifty` and `burn`, and with entry files for every subject.
pub(crate) fn app() -> Project {
    let project = entries();
    for file in [
        "all.ts",
        "lib/client.ts",
        "functions/hello.ts",
        "functions/fifty.ts",
        "functions/burn.ts",
    ] {
        copy(&project, file);
    }
    project
}

/// Makes the same project with entry files that connect to Inngest.
pub(crate) fn connecting_app() -> Project {
    let project = app();
    let text = fs::read(folder().join("app/connect.ts")).expect("a file of the app");
    for file in ["bun.ts", "deno.ts", "node.ts"] {
        project.write(file, &text);
    }
    project
}

fn entries() -> Project {
    let project = Project::without_package_json();
    let folder = folder();
    fs::copy(folder.join("package.json"), project.root().join("package.json")).expect("a copied file");
    symlink(folder.join("node_modules"), project.root().join("node_modules")).expect("a link to the packages");
    for file in ["bun.ts", "deno.ts", "node.ts"] {
        copy(&project, file);
    }
    project
}

fn copy(project: &Project, file: &str) {
    let text = fs::read(folder().join("app").join(file)).expect("a file of the app");
    project.write(file, text);
}

/// The module that is saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Edit {
    /// A function: only the file that serves it imports it.
    Leaf,
    /// A module that every function imports.
    Hub,
}

impl Edit {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Leaf => "a function",
            Self::Hub => "what all import",
        }
    }
}

/// A project of a number of modules. A third of them are functions, which import the SDK, zod, two modules
/// of the library, and the module that all import. The function `f0` answers with its own version and with
/// the version of that module.
#[derive(Debug)]
pub(crate) struct Generated {
    pub(crate) project: Project,
    alone: bool,
}

impl Generated {
    /// Makes a project of 1 module, or of more than 4.
    pub(crate) fn of(modules: usize) -> Self {
        let project = entries();
        let generated = Self {
            project,
            alone: modules == 1,
        };
        let project = &generated.project;
        if generated.alone {
            project.write("all.ts", all(1, LEAF));
        } else {
            let functions = (modules - 2).div_ceil(3);
            let library = modules - 2 - functions;
            copy(project, "lib/client.ts");
            project.write(HUB, hub("first"));
            for number in 0..library {
                project.write(&format!("lib/order{number}.ts"), order(number));
            }
            for number in 1..functions {
                project.write(&format!("functions/f{number}.ts"), function(number, library, "first"));
            }
            project.write("all.ts", all(functions, "lib/client.ts"));
        }
        generated.write(Edit::Leaf, "first");
        generated
    }

    /// Saves in place, as most editors do; no watcher overlooks such a save.
    pub(crate) fn save(&self, edit: Edit, version: &str) {
        let (file, text) = self.text(edit, version);
        fs::write(self.project.root().join(file), text).expect("a saved file");
    }

    fn write(&self, edit: Edit, version: &str) {
        let (file, text) = self.text(edit, version);
        self.project.write(file, text);
    }

    fn text(&self, edit: Edit, version: &str) -> (&'static str, String) {
        match edit {
            Edit::Hub => (HUB, hub(version)),
            Edit::Leaf if self.alone => (LEAF, function_alone(version)),
            Edit::Leaf => (LEAF, function(0, 2, version)),
        }
    }

    /// Returns calls of `f0`, whose answers contain `(version)` for both versions.
    pub(crate) fn requests() -> Requests {
        Requests::of("f0", &json!({ "id": "o-1", "amount": 3 }))
    }

    /// Tells whether this is an answer of the code that was saved as `version`.
    pub(crate) fn shows(reply: &crate::client::Reply, version: &str) -> bool {
        reply.text.contains(&format!("({version})"))
    }
}

fn all(functions: usize, client: &str) -> String {
    let mut text = format!("export {{ inngest }} from \"./{client}\";\n");
    for number in 0..functions {
        let _ = writeln!(text, "import {{ f{number} }} from \"./functions/f{number}.ts\";");
    }
    let names: Vec<_> = (0..functions).map(|number| format!("f{number}")).collect();
    let _ = writeln!(text, "export const functions = [{}];", names.join(", "));
    text
}

fn hub(version: &str) -> String {
    format!(
        r#"/** What all modules share. */
export const VERSION = "({version})";

export interface Money {{
  amount: number;
  currency: string;
}}

export function label(text: string, money: Money): string {{
  return `${{text}}: ${{(money.amount / 100).toFixed(2)}} ${{money.currency}}`;
}}

export function sum<T>(items: T[], of: (item: T) => number): number {{
  return items.reduce((total, item) => total + of(item), 0);
}}
"#
    )
}

/// Returns a module of the library; every second one imports the one before.
fn order(number: usize) -> String {
    let (import, use_it) = match number % 2 {
        0 => (String::new(), "0".to_owned()),
        _ => {
            let before = number - 1;
            (
                format!("import {{ total{before} }} from \"./order{before}.ts\";\n"),
                format!("total{before}({{ id: order.id, lines: [] }})"),
            )
        }
    };
    format!(
        r#"import {{ z }} from "zod";
import {{ label, sum, type Money }} from "./shared.ts";
{import}
export interface Line{number} {{
  sku: string;
  price: number;
  amount: number;
}}

export const order{number} = z.object({{
  id: z.string().min(1),
  lines: z.array(z.object({{ sku: z.string(), price: z.number().positive(), amount: z.number().int() }})),
}});

export function total{number}(order: {{ id: string; lines: Line{number}[] }}): number {{
  return sum(order.lines, (line) => line.price * line.amount) + {use_it};
}}

export async function describe{number}(input: unknown): Promise<string> {{
  const order = await order{number}.parseAsync(input);
  const money: Money = {{ amount: total{number}(order), currency: "EUR" }};
  return label(`order ${{order.id}}`, money);
}}
"#
    )
}

fn function(number: usize, library: usize, version: &str) -> String {
    let (one, other) = (2 * number % library, (2 * number + 1) % library);
    let one_more = if other == one {
        String::new()
    } else {
        format!("import {{ order{other} }} from \"../lib/order{other}.ts\";\n")
    };
    format!(
        r#"import {{ eventType }} from "inngest";
import {{ z }} from "zod";
import {{ inngest }} from "../lib/client.ts";
import {{ describe{one} }} from "../lib/order{one}.ts";
{one_more}import {{ VERSION }} from "../lib/shared.ts";

const wanted = eventType("bench/f{number}", {{
  schema: z.object({{ id: z.string().min(1), amount: z.number().int() }}),
}});

export const f{number} = inngest.createFunction(
  {{ id: "f{number}", retries: 3, checkpointing: false, triggers: [wanted] }},
  async ({{ event, step }}) => {{
    const told = await step.run("describe", async () => {{
      const lines = [{{ sku: "s-1", price: 100, amount: event.data.amount }}];
      return `${{await describe{one}({{ id: event.data.id, lines }})}} {check} ({version}) ${{VERSION}}`;
    }});
    return {{ told }};
  }},
);
"#,
        check = if other == one {
            String::new()
        } else {
            format!("${{order{other}.safeParse(event.data).success}}")
        },
    )
}

/// Returns a function with everything in one module.
fn function_alone(version: &str) -> String {
    format!(
        r#"import {{ eventType, Inngest }} from "inngest";
import {{ z }} from "zod";

export const inngest = new Inngest({{ id: "bench" }});

const wanted = eventType("bench/f0", {{
  schema: z.object({{ id: z.string().min(1), amount: z.number().int() }}),
}});

export const f0 = inngest.createFunction(
  {{ id: "f0", retries: 3, checkpointing: false, triggers: [wanted] }},
  async ({{ event, step }}) => {{
    const told = await step.run("describe", () => `order ${{event.data.id}} ({version})`);
    return {{ told }};
  }},
);
"#
    )
}
