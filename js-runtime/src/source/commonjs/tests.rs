use deno_ast::MediaType;
use deno_core::url::Url;

use super::names;
use crate::source::emitted::EmittedCode;
use crate::source::transpile::{self, EmitKind};
use crate::source::tsconfig::CompilerOptions;

fn url() -> Url {
    Url::parse("file:///p/a.ts").unwrap()
}

fn options(settings: &str) -> CompilerOptions {
    let options: Option<CompilerOptions> = jsonc_parser::parse_to_serde_value(settings, &Default::default()).unwrap();
    options.unwrap()
}

fn emitted(text: &str, settings: &str) -> EmittedCode {
    let parsed = transpile::parse(&url(), MediaType::TypeScript, text.into()).unwrap();
    transpile::emit(&url(), parsed, EmitKind::Compiled, &options(settings)).unwrap()
}

/// Returns the code without its beginning, which ends with `/*begin*/`.
fn converted(text: &str) -> String {
    let code = emitted(text, r#"{ "esModuleInterop": true }"#).code;
    let (_, rest) = code.split_once("/*begin*/").unwrap();
    rest.trim().to_owned()
}

#[test]
fn imports_are_required_where_they_stand_and_read_where_they_are_used() {
    for (text, expected) in [
        (
            "first(); import { a, b as c } from 'm'; a(c.d, { a }, a`x`, a?.());",
            "first();\nconst module_1 = require(\"m\");\n(0, module_1.a)(module_1.b.d, {\n  a: module_1.a\n}, (0, module_1.a)`x`, (0, module_1.a)?.());",
        ),
        ("import 'm';", "require(\"m\");"),
        (
            "import d, { e } from 'm'; new d(e);",
            "const module_1 = require(\"m\"), module_1_default = __importDefault(module_1);\nnew module_1_default.default(module_1.e);",
        ),
        (
            "import * as n from 'm'; n.f(); (n => n)(1);",
            "const module_1 = require(\"m\"), n = __importStar(module_1);\nn.f();\n((n)=>n)(1);",
        ),
        (
            "import { a } from 'm'; export { a as b }; function f(a) { return a; }",
            "const module_1 = require(\"m\"); Object.defineProperty(exports, \"b\", { enumerable: true, get: function () { return module_1.a; } });\n\nfunction f(a) {\n  return a;\n}",
        ),
        ("import { a, type B } from 'm'; const b: B = 1;", "const b = 1;"),
        (
            "import a = require('m'); import b = require('n'); a(); const c: b.C = 1;",
            "const module_1 = require(\"m\"), a = module_1;\na();\nconst c = 1;",
        ),
    ] {
        assert_eq!(
            converted(&format!("/*begin*/;{text}")).trim_start_matches(";\n"),
            expected,
            "{text}"
        );
    }
}

#[test]
fn exports_are_properties_that_follow_their_declarations() {
    for (text, expected) in [
        (
            "export const a = 1, f = () => a; f();",
            "exports.a = 1; const f = ()=>exports.a; exports.f = f;\n(0, exports.f)();",
        ),
        ("export let a; a = 2; a++;", "void 0;\nexports.a = 2;\nexports.a++;"),
        (
            "export const { a, b: [c], ...d } = e; ",
            "({ a: exports.a, b: [exports.c], ...exports.d } = e);",
        ),
        (
            "let a = 1; export { a, a as b }; a += 2; a++; [a] = [3];",
            "let a = 1; exports.a = a; exports.b = a;\n\nexports.a = exports.b = a += 2;\n[a++, exports.a = a, exports.b = a][0];\n[[a] = [\n  3\n], exports.a = a, exports.b = a][0];",
        ),
        ("export class A {} A;", "class A {\n} exports.A = A;\nA;"),
        (
            "export default class {}",
            "class default_1 {\n} exports.default = default_1;",
        ),
        ("export default function* () {}", "function* default_1() {}"),
        ("export default (1, 2);", "exports.default = (1, 2);"),
        (
            "export * from 'm'; export * as n from 'o'; export { default as p, q } from 'r';",
            "__exportStar(require(\"m\"), exports);\nconst module_1 = require(\"o\"); exports.n = __importStar(module_1);\nconst module_2 = require(\"r\"); Object.defineProperty(exports, \"p\", { enumerable: true, get: function () { return __importDefault(module_2).default; } }); Object.defineProperty(exports, \"q\", { enumerable: true, get: function () { return module_2.q; } });",
        ),
    ] {
        let code = converted(&format!("/*begin*/;{text}"));
        assert_eq!(code.trim_start_matches(";\n"), expected, "{text}");
    }
}

#[test]
fn what_is_exported_is_known_before_it_is_evaluated() {
    let text = "import { x } from 'm'; export const a = x; export function f() {} export default f; export { x as y };
        export * from 'n'; export { z } from 'o'; export class C {}";
    let emitted = emitted(text, "{}");
    let first = emitted.code.lines().next().unwrap();
    for part in [
        "exports.a = void 0;",
        "exports.C = void 0;",
        "exports.f = f;",
        "exports.z = void 0;",
    ] {
        assert!(first.contains(part), "{part}: {first}");
    }
    let names = names(&url(), &emitted);
    assert!(names.is_module);
    assert_eq!(names.own, ["C", "a", "default", "f", "y", "z"]);
    assert_eq!(names.others, ["n"]);
}

#[test]
fn an_assignment_of_all_exports_comes_last_and_has_no_mark() {
    let emitted = emitted("export = b; import { a } from 'm'; const b = a;", "{}");
    assert!(
        emitted.code.trim_end().ends_with("module.exports = b;"),
        "{}",
        emitted.code
    );
    assert!(!emitted.code.contains("\"__esModule\""), "{}", emitted.code);
    assert!(!names(&url(), &emitted).is_module);
}

#[test]
fn without_interop_a_namespace_is_the_module_itself() {
    let code = emitted("import * as a from 'm'; a();", "{}").code;
    assert!(code.contains("a = module_1;"), "{code}");
}

#[test]
fn lines_stay_where_they_are() {
    let text = "import { a } from 'm';\n\nexport const b = 1;\nthrow new Error(a);\n";
    let emitted = emitted(text, "{}");
    let line = emitted.code.lines().position(|line| line.contains("throw")).unwrap();
    let map = sourcemap::SourceMap::from_slice(emitted.source_map.as_deref().unwrap()).unwrap();
    let column = emitted.code.lines().nth(line).unwrap().find("new").unwrap();
    let token = map
        .lookup_token(line.try_into().unwrap(), column.try_into().unwrap())
        .unwrap();
    assert_eq!((token.get_src_line(), token.get_src_col()), (3, 6));
}
