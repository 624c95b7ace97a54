//! Class fields: they are the language's own, or assigned as `useDefineForClassFields: false` says, which is
//! TypeScript's default for a `target` before ES2022.

use harness::{Baton, Project};
use serde_json::{Value, json};

use super::{came_to, returned, returning};

/// Classes that show which kind of fields they have, each by one value of `told`.
const TOLD: &str = r#"
const calls: string[] = [];
class Model {
  declare stored: string;
  get name() { return "from the model"; }
  set name(value: string) { calls.push(`set ${value}`); }
  static set table(value: string) { calls.push(`table ${value}`); }
}
class Customer extends Model {
  // @ts-ignore
  name!: string;
}
class Named extends Model {
  // @ts-ignore
  name = "Ada";
  // @ts-ignore
  static table = "customers";
}
class Base {
  label: string;
  constructor(readonly parts: number[] = []) { this.label = this.makeLabel(); }
  makeLabel() { return "base"; }
}
class Child extends Base {
  label!: string;
  optional?: number;
  makeLabel() { return "child"; }
}
class Values extends Base {
  own = this.parts.length;
  #hidden = this.own + 1;
  after = this.#hidden + 1;
  "quoted name" = 1;
  [Symbol.toStringTag] = "Values";
  later = () => this.own;
}
class Late extends Base {
  first = "first";
  constructor(readonly given: string) {
    const parts = [given.length];
    super(parts);
    this.first += this.parts.length;
  }
}
class Counted {
  static made = 0;
  static #secret = Counted.made + 1;
  static both = [Counted.made, Counted.#secret];
}
new Named();
const values = new Values([1, 2]);
export const told = {
  model: new Customer().name ?? null,
  child: new Child().label ?? null,
  keys: Object.keys(new Child([])),
  calls,
  values: [values.own, values.after, values["quoted name"], String(values), values.later()],
  late: [new Late("abc").first, new Late("abc").given],
  counted: Counted.both,
};
"#;

/// Returns the values of `told` if fields are assigned.
fn assigned() -> Value {
    json!({
        "model": "from the model",
        "child": "child",
        "keys": ["parts", "label"],
        "calls": ["table customers", "set Ada"],
        "values": [2, 4, 1, "[object Values]", 2],
        "late": ["first1", "abc"],
        "counted": [0, 1],
    })
}

/// Returns the values of `told` if fields are defined.
fn defined() -> Value {
    let mut defined = assigned();
    defined["model"] = Value::Null;
    defined["child"] = Value::Null;
    defined["keys"] = json!(["parts", "label", "optional"]);
    defined["calls"] = json!([]);
    defined
}

#[tokio::test]
async fn class_fields_are_assigned_where_the_target_or_the_setting_says_so() {
    let project = Project::new();
    project.write("old.json", r#"{ "compilerOptions": { "target": "ES2021" } }"#);
    let configurations = [
        (r#"{ "compilerOptions": { "target": "ES2020" } }"#, assigned()),
        (r#"{ "compilerOptions": { "target": "es6" } }"#, assigned()),
        (r#"{ "extends": "../old.json" }"#, assigned()),
        (
            r#"{ "extends": "../old.json", "compilerOptions": { "target": "ES2022" } }"#,
            defined(),
        ),
        (
            r#"{ "extends": "../old.json", "compilerOptions": { "useDefineForClassFields": true } }"#,
            defined(),
        ),
        (
            r#"{ "compilerOptions": { "target": "ESNext", "useDefineForClassFields": false } }"#,
            assigned(),
        ),
        (r#"{ "compilerOptions": { "target": "ES2023" } }"#, defined()),
        ("{}", defined()),
    ];
    let (mut beginning, mut names, mut expected) = (String::new(), Vec::new(), Vec::new());
    for (index, (configuration, value)) in configurations.into_iter().enumerate() {
        project.write(&format!("c{index}/tsconfig.json"), configuration);
        project.write(&format!("c{index}/told.ts"), TOLD);
        beginning += &format!("import {{ told as t{index} }} from \"../c{index}/told\";\n");
        names.push(format!("t{index}"));
        expected.push(value);
    }
    let value = came_to(&project, &beginning, &format!("[{}]", names.join(", "))).await;
    for (index, expected) in expected.into_iter().enumerate() {
        assert_eq!(value[index], expected, "configuration {index}");
    }
}

#[tokio::test]
async fn decorated_fields_that_are_assigned_are_decorated_and_shadow_nothing() {
    let project = Project::new();
    let settings = r#"{ "compilerOptions": { "target": "ES2020", "experimentalDecorators": true, "emitDecoratorMetadata": true } }"#;
    project.write("tsconfig.json", settings);
    let beginning = r#"const seen: unknown[] = [];
(Reflect as any).metadata = (key: string, type: any) => () => { seen.push([key, type?.name]); };
function column(target: any, key: string) {
  seen.push(key);
  if (typeof target === "object") Object.defineProperty(target, key, { get() { return this.values[key]; }, set(value) { this.values[key] = value; } });
}
class Row { values: any = { id: 7 }; }
class Customer extends Row {
  @column id!: number;
  @column name: string = "Ada";
  @column static table = "customers";
}
const ada = new Customer();"#;
    let value = came_to(
        &project,
        beginning,
        "[ada.id, ada.values, Object.keys(ada), Customer.table, seen]",
    )
    .await;
    let seen = json!([
        ["design:type", "Number"],
        "id",
        ["design:type", "String"],
        "name",
        ["design:type", "Object"],
        "table"
    ]);
    assert_eq!(
        value,
        json!([7, { "id": 7, "name": "Ada" }, ["values"], "customers", seen])
    );
}

#[tokio::test]
async fn standard_decorators_say_themselves_what_a_field_begins_with() {
    let project = Project::new();
    project.write(
        "tsconfig.json",
        r#"{ "compilerOptions": { "useDefineForClassFields": false } }"#,
    );
    let beginning = r#"const twice = (_: undefined, context: { name: string }) => (value: number) => (value ?? 1) * 2;
class Thing { @twice a = 4; @twice b!: number; c?: number; }
const thing = new Thing();"#;
    let value = came_to(&project, beginning, "[thing.a, thing.b, Object.keys(thing)]").await;
    assert_eq!(value, json!([8, 2, ["a", "b"]]));
}

#[tokio::test]
async fn a_target_that_changes_is_a_change_of_what_the_same_text_becomes() {
    let project = Project::new();
    project.write("functions/shape.ts", returning(TOLD, "told"));
    project.write("tsconfig.json", r#"{ "compilerOptions": { "target": "ES2020" } }"#);
    let baton = Baton::dev(&project).ready().await;
    assert_eq!(returned(&baton).await, assigned());
    project.write("tsconfig.json", r#"{ "compilerOptions": { "target": "ES2022" } }"#);
    let _ = baton.reload().await.activated();
    assert_eq!(returned(&baton).await, defined());
}

#[tokio::test]
async fn an_error_in_a_field_that_is_assigned_names_its_own_line() {
    let project = Project::new();
    project.write("tsconfig.json", r#"{ "compilerOptions": { "target": "ES2020" } }"#);
    let beginning =
        "class Broken {\n  fine = 1;\n  broken = (undefined as any).x;\n}\nexport const made = new Broken();";
    let baton = Baton::dev(&project).ready().await;
    project.write("functions/shape.ts", returning(beginning, "made"));
    let report = baton.reload().await;
    assert_eq!(report.error()["line"], 4, "{report:?}");
}
