//! Programs whose export `told` shows how they were compiled.

pub(super) struct Program {
    pub(super) name: &'static str,
    pub(super) extension: &'static str,
    pub(super) text: &'static str,
    /// Other files of its folder.
    pub(super) beside: &'static [(&'static str, &'static str)],
    /// Tells whether the program is meant for a tsconfig.json with this text.
    pub(super) suits: fn(&str) -> bool,
}

const fn program(name: &'static str, suits: fn(&str) -> bool, text: &'static str) -> Program {
    Program {
        name,
        extension: "ts",
        text,
        beside: &[],
        suits,
    }
}

fn any(_: &str) -> bool {
    true
}

fn has_legacy_decorators(tsconfig: &str) -> bool {
    tsconfig.contains("experimentalDecorators") || tsconfig.contains("first.json")
}

fn has_metadata(tsconfig: &str) -> bool {
    tsconfig.contains("emitDecoratorMetadata") || tsconfig.contains("second.json")
}

fn has_standard_decorators(tsconfig: &str) -> bool {
    !has_legacy_decorators(tsconfig)
}

fn is_commonjs(tsconfig: &str) -> bool {
    tsconfig.contains("commonjs") || tsconfig.contains("/* typeless */")
}

fn has_no_interop(tsconfig: &str) -> bool {
    tsconfig.contains("\"esModuleInterop\": false")
}

fn takes_javascript(tsconfig: &str) -> bool {
    tsconfig.contains("allowJs")
}

fn has_jsx(tsconfig: &str) -> bool {
    tsconfig.contains("\"jsx\"")
}

pub(super) const PROGRAMS: &[Program] = &[
    program("fields", any, FIELDS),
    program("order", any, ORDER),
    program("privates", any, PRIVATES),
    program("legacy", has_legacy_decorators, LEGACY),
    program("metadata", has_metadata, METADATA),
    program("aliases", has_metadata, ALIASES),
    program("standard", has_standard_decorators, STANDARD),
    program("decorating", has_standard_decorators, DECORATING),
    program("enums", any, ENUMS),
    program("syntax", any, SYNTAX),
    Program {
        beside: &[
            (
                "effect.ts",
                "import { effects } from \"./effects.js\";\neffects.push(\"effect\");\nexport interface Shape { a: number }\nexport const value = 1;\n",
            ),
            (
                "other.ts",
                "import { effects } from \"./effects.js\";\neffects.push(\"other\");\nexport class Other {}\n",
            ),
            (
                "named.ts",
                "import { effects } from \"./effects.js\";\neffects.push(\"named\");\nexport type Named = string;\n",
            ),
            ("effects.ts", "export const effects: string[] = [];\n"),
        ],
        ..program("elision", |tsconfig| !tsconfig.contains("isolatedModules"), ELISION)
    },
    Program {
        beside: &[(
            "circle.ts",
            "import { Parent, name } from \"./circles.js\";\nexport class Part { parent?: Parent; tell() { return [name(), typeof Parent]; } }\n",
        )],
        ..program("circles", any, CIRCLES)
    },
    program("interop", |tsconfig| !has_no_interop(tsconfig), INTEROP),
    Program {
        beside: &[
            ("seen.ts", "export const seen: string[] = [];\n"),
            (
                "second.ts",
                "import { seen } from \"./seen.js\";\nseen.push(\"second\");\nexport const second = 2;\nexport default 2;\n",
            ),
        ],
        ..program("interleaved", any, INTERLEAVED)
    },
    Program {
        beside: &[
            (
                "owner.ts",
                "import { on } from \"./seeing.js\";\nimport { Pet } from \"./pet.js\";\n@on\nexport class Owner { @on pet!: Pet; @on tell(_pet: Pet): Pet { return new Pet(); } constructor(@on readonly first?: Pet) {} }\n",
            ),
            (
                "pet.ts",
                "import { on } from \"./seeing.js\";\nimport { Owner } from \"./owner.js\";\n@on\nexport class Pet { @on owner!: Owner; make() { return new Owner(this) instanceof Owner; } }\n",
            ),
            (
                "seeing.ts",
                "export const seen: unknown[] = [];\n// Of a class that is not there yet TypeScript tells nothing, and Object where it reads one file at a time.\n(Reflect as any).metadata = (key: string, value: any = Object) => () => { if (key !== \"design:type\" || value !== Function) seen.push([key, Array.isArray(value) ? value.map((one) => one?.name) : value.name]); };\nexport const on = (..._all: any[]): any => {};\n",
            ),
        ],
        ..program(
            "relations",
            |tsconfig| is_commonjs(tsconfig) && has_metadata(tsconfig),
            RELATIONS,
        )
    },
    Program {
        beside: &[(
            "early.ts",
            "import { later, Later, called, all } from \"./until.js\";\nimport * as whole from \"./until.js\";\nimport other from \"./until.js\";\nexport const seen = [typeof later, typeof Later, typeof called, called(), typeof all, Object.keys(whole).length > 3, typeof other];\nexport const now = () => [later, typeof Later, all, typeof other];\n",
        )],
        ..program("until", is_commonjs, UNTIL)
    },
    program("callable", has_no_interop, CALLABLE),
    Program {
        beside: &[
            (
                "parts.ts",
                "export let count = 0;\nexport function up() { count++; ++count; count += 1; return count; }\nexport const { a, b: [c, ...d], e = 5 } = { a: 1, b: [2, 3, 4] } as any;\nlet own = 1;\nexport { own as renamed, own };\nexport const change = () => { [own] = [own + 1]; return own--; };\nexport const arrow = () => arrow.name, named = class {};\nexport default class { static who = \"default\"; }\nexport namespace Space { export const inside = 1; }\nexport enum Kind { A, B }\nexport var hoisted = typeof hoisted;\n",
            ),
            (
                "barrel.ts",
                "export * from \"./parts.js\";\nexport { default, a as again } from \"./parts.js\";\nexport * as whole from \"./parts.js\";\nexport type Nothing = string;\n",
            ),
        ],
        ..program("exports", any, EXPORTS)
    },
    program("given", is_commonjs, GIVEN),
    Program {
        beside: &[(
            "plainly.js",
            "import React from \"react\";\nconst calls = [];\nclass Base { set name(value) { calls.push(value); } }\nexport class Child extends Base { name = \"child\"; }\nexport const make = () => [new Child() instanceof Base, calls, typeof React, JSON.stringify(<b id=\"x\" />).length > 2];\n",
        )],
        ..program("javascript", takes_javascript, JAVASCRIPT)
    },
    program("equals", is_commonjs, EQUALS),
    Program {
        extension: "tsx",
        ..program("page", has_jsx, PAGE)
    },
    Program {
        extension: "tsx",
        ..program(
            "pragma",
            |tsconfig| has_jsx(tsconfig) && !tsconfig.contains("jsxImportSource"),
            PRAGMA,
        )
    },
];

const FIELDS: &str = r#"
const calls: string[] = [];
class Model {
  get name(): any { return "model"; }
  set name(value: any) { calls.push(`set ${value}`); }
  static set table(value: any) { calls.push(`table ${value}`); }
}
// @ts-ignore
class Customer extends Model { name!: string; }
// @ts-ignore
class Named extends Model { name = "Ada"; static table = "customers"; declare stored: string; }
class Base {
  label: string;
  constructor() { this.label = this.make(); }
  make() { return "base"; }
}
class Child extends Base { label!: string; optional?: number; "a b"?: string; make() { return "child"; } }
const KEY = "computed";
class Computed { [KEY] = 1; ["lit"] = 2; 3 = "three"; [Symbol.toStringTag] = "Tag"; }
new Named();
const anonymous = class { static own = "static"; x = 1; };
export const told = {
  customer: new Customer().name ?? null, hasOwn: Object.keys(new Customer()),
  named: Object.keys(new Named()), calls,
  child: new Child().label ?? null, keys: Object.keys(new Child()),
  computed: [Object.keys(new Computed()), String(new Computed())],
  anonymous: [anonymous.own, new anonymous().x],
  descriptor: Object.getOwnPropertyDescriptor(new (class { a = 1; })(), "a"),
};
"#;

const ORDER: &str = r#"
const seen: string[] = [];
const see = <T>(what: string, value: T) => { seen.push(what); return value; };
class Base { constructor() { see("base", 0); } base = see("field of base", 1); }
class Derived extends Base {
  first = see("first", 1);
  static s = see("static", 2);
  second = see("second", this.first + 1);
  constructor(readonly given: number, protected other = see("default", 5)) {
    see("before super", 0);
    super();
    see("body", 0);
  }
  third = () => this.given + this.other;
  static { see("block", this.s); }
  static last = see("last", Derived.s + 1);
}
class Implicit extends Derived { extra = this.given * 2; }
const implicit = new Implicit(21);
class Late extends Base {
  own = see("own", 1);
  constructor(flag: boolean) {
    if (flag) see("flag", 0);
    super();
    this.own += 1;
  }
}
export const told = { seen, implicit: [implicit.extra, implicit.third(), implicit.second], late: new Late(true).own, arity: [Derived.length, Implicit.length], last: Derived.last };
"#;

const PRIVATES: &str = r#"
class Counter {
  #count = 1;
  static #made = 0;
  readonly #log: string[] = [`made ${this.#count}`];
  after = this.#count + 1;
  static make() { Counter.#made += 1; return [Counter.#made, new Counter()] as const; }
  #bump() { this.#count += 1; this.#log.push("bump"); return this; }
  get value() { return this.#bump().#count; }
  static is(value: object) { return #count in value; }
  accessor held = 4;
  log() { return this.#log; }
}
const [made, counter] = Counter.make();
counter.held += 1;
export const told = [made, counter.value, counter.after, Counter.is(counter), Counter.is({}), counter.held, counter.log(), Object.keys(counter)];
"#;

const LEGACY: &str = r#"
const seen: unknown[] = [];
const on = (what: string) => (...all: any[]) => { seen.push([what, typeof all[0], all[1] ?? null, typeof all[2] === "number" ? all[2] : typeof all[2]]); };
function column(target: any, key: string) {
  Object.defineProperty(target, key, { get() { return `column ${key}`; }, set(value) { seen.push(["set", key, value]); }, configurable: true });
}
function doubled(_: any, __: string, descriptor: PropertyDescriptor) {
  const method = descriptor.value;
  descriptor.value = function (...all: any[]) { return method.apply(this, all) * 2; };
}
const sealed = <T extends new (...all: any[]) => object>(target: T) => class extends target { sealed = true; };
@on("class 1") @on("class 2")
class Service {
  @on("field") field!: string;
  @on("valued") valued = 1;
  @on("static") static shared = 2;
  @on("method") method(@on("parameter") _a: number, b: number) { return b; }
  @on("accessor") get read() { return 3; }
  constructor(@on("of constructor") readonly given: string) {}
}
class Row { @column id!: number; @column name = "Ada"; @doubled twice(a: number) { return a; } }
@sealed class Sealed { own = 1; }
const row = new Row();
const service = new Service("x");
export const told = [seen, Object.keys(service), service.given, service.method(1, 2), Service.shared, row.id ?? null, row.name, row.twice(4), Object.keys(row), Object.keys(new Sealed()), Sealed.name];
"#;

const METADATA: &str = r#"
const seen: unknown[] = [];
(Reflect as any).metadata = (key: string, value: any) => (_: any, property?: string) => {
  const named = (type: any) => (Array.isArray(type) ? type.map((one) => one?.name ?? null) : (type?.name ?? null));
  seen.push([property ?? "class", key, named(value)]);
};
const on = (..._all: any[]): any => {};
class Part {}
enum Kind { A, B }
enum Word { A = "a" }
interface Shape { a: number }
@on
class Thing {
  @on text!: string; @on count = 0; @on flag?: boolean; @on part!: Part; @on parts!: Part[]; @on kind!: Kind; @on word!: Word;
  @on either!: string | number; @on maybe!: string | null; @on shape!: Shape; @on any!: any; @on when!: Date;
  @on literal!: "a" | "b"; @on big!: bigint; @on symbol!: symbol; @on func!: () => void; @on tuple!: [string]; @on object!: object; @on promise!: Promise<string>;
  @on static shared: Map<string, number>;
  @on method(_a: string, _b: Part, _c?: number): Promise<void> { return Promise.resolve(); }
  @on nothing(): void {}
  @on untyped(_a, _b = 1) { return 1; }
  @on get read(): number { return 1; }
  @on set write(_value: Part) {}
  constructor(_a: string, readonly b: Part, _rest: Shape) {}
}
delete (Reflect as any).metadata;
// Of a class the transpiler tells one more, which no library reads: that it is a function.
export const told = seen.filter((one: any) => String(one) !== "class,design:type,Function");
"#;

const ALIASES: &str = r#"
const seen: unknown[] = [];
(Reflect as any).metadata = (_: string, value: any) => () => { seen.push(value?.name ?? null); };
const on = (..._all: any[]): any => {};
type Alias = string;
class Thing { @on alias!: Alias; }
delete (Reflect as any).metadata;
export const told = [seen, typeof Thing];
"#;

const STANDARD: &str = r#"
const seen: unknown[] = [];
const on = (what: string) => (_: any, context: any): any => { seen.push([what, context.kind, String(context.name), context.static ?? null, context.private ?? null]); };
const twice = (_: undefined, _context: any) => (value: number) => (value ?? 1) * 2;
const bound = (_: any, context: any) => { context.addInitializer(function (this: any) { this[context.name] = this[context.name].bind(this); }); };
const logged = (method: any, context: any) => function (this: any, ...all: any[]) { seen.push(["call", context.name]); return method.apply(this, all); };
@on("class")
class Thing {
  @on("field") field = 1;
  @twice doubled = 4;
  @twice unset!: number;
  @on("static") static shared = 2;
  @logged method(a: number) { return a + this.field; }
  @bound later() { return this.doubled; }
  @on("getter") get read() { return 5; }
  @on("accessor") accessor held = 6;
  @on("private") #hidden = 7;
  tell() { return this.#hidden; }
}
const thing = new Thing();
const { later } = thing;
export const told = [[...seen].sort(), thing.field, thing.doubled, thing.unset, Thing.shared, thing.method(1), later(), thing.read, thing.held, thing.tell(), Thing.name];
"#;

const DECORATING: &str = r#"
const seen: string[] = [];
const on = (what: string) => (_: any, context: any): any => { seen.push(`${what} ${context.kind}`); };
class Thing { @on("a") a = 1; @on("b") static b = 2; @on("c") c() {} @on("d") static d() {} @on("e") accessor e = 3; @on("f") get f() { return 1; } }
export const told = [seen, typeof Thing];
"#;

const ENUMS: &str = r#"
enum Color { Red = "r", Blue = "b" }
enum Size { Small = 1, Large, Huge = Large * 10, Word = "word".length }
const enum Level { Low = 5, High }
declare enum Gone { A }
namespace Deep { export const x = 5; export namespace Inner { export let y = x + 1; } export function f() { return Inner.y; } }
namespace Color { export const parse = (text: string) => (text === "r" ? Color.Red : Color.Blue); }
function called() { return called.times; }
namespace called { export let times = 3; }
class Merged { static own = 1; }
namespace Merged { export const more = 2; }
enum Size { More = 100 }
abstract class Shape { abstract area(): number; tell() { return this.area(); } }
class Square extends Shape { constructor(private side: number) { super(); } override area() { return this.side ** 2; } }
function over(a: number): number;
function over(a: string): string;
function over(a: any): any { return a; }
export const told = [Color, Size, Level.High, Deep.f(), Deep.Inner.y, Color.parse("r"), called(), Merged.own, Merged.more, new Square(3).tell(), over(2), [1, 2] as const, <number>3, ({ a: 1 } satisfies object), Size[2]];
"#;

const SYNTAX: &str = r#"
async function* numbers() { yield 1; yield await Promise.resolve(2); }
const collected: number[] = [];
const object: any = { a: { b: null }, ...{ c: 1 }, get d() { return 2; } };
object.a.b ??= "set";
object.c ||= 9;
object.d2 &&= 1;
class Names { static readonly made = new Names(); whose = Names.name; get [`x${1}`]() { return "computed"; } *walk() { yield* [1, 2]; } async wait() { return this.whose; } }
const { c, ...rest } = object;
label: for (const a of [1, 2]) for (const b of [1, 2]) { if (b === 2) continue label; collected.push(a * 10 + b); }
const regex = /(?<year>\d{4})/u.exec("in 2024")?.groups?.year;
try { throw new Error("x", { cause: "y" }); } catch { collected.push(-1); }
const tagged = (parts: TemplateStringsArray, ...values: number[]) => parts.raw.join("|") + values.join();
let arrow = () => {};
export const told = (async () => {
  for await (const number of numbers()) collected.push(number);
  return [collected, object.a?.b, object.x?.y?.z ?? "none", c, Object.keys(rest), Names.made.whose, (Names.made as any).x1, [...Names.made.walk()], await Names.made.wait(), regex, tagged`a${1}\n${2}`, 2n * 4n === 8n, arrow.name, (function named() {}).name, 1_000, [[1], [2]].flat(), Math.max(...[1, 2])];
})();
"#;

const ELISION: &str = r#"
import type { Shape } from "./effect.js";
import { type Named } from "./named.js";
import { Other } from "./other.js";
import { effects } from "./effects.js";
const shape: Shape = { a: 1 };
const named: Named = "n";
const other: Other | undefined = undefined;
export type { Shape };
export const told = [[...effects].sort(), shape.a, named, other ?? null];
"#;

const CIRCLES: &str = r#"
import { Part } from "./circle.js";
export function name() { return "circles"; }
export class Parent { part = new Part(); }
export const told = new Parent().part.tell();
"#;

const INTEROP: &str = r#"
import compiled, { named } from "compiled";
import * as all from "compiled";
import { default as again } from "compiled";
import plain from "plain";
import chosen, { other } from "chosen";
import path, { basename } from "node:path";
import * as namespace from "node:path";
export { default as reexported } from "compiled";
const kinds = [compiled, again, all.default].map((value: any) => typeof value);
const called = typeof compiled === "function" ? (compiled as any)() : (compiled as any).default();
export const told = import("compiled").then((dynamic: any) => [kinds, called, named, all.named, plain(), typeof chosen, other, typeof path.join, basename("/a/b"), typeof namespace.join, typeof dynamic.default, dynamic.named]);
"#;

const INTERLEAVED: &str = r#"
import { seen } from "./seen.js";
seen.push("before");
import { second } from "./second.js";
seen.push(`after ${second}`);
import again from "./second.js";
export { second as third } from "./second.js";
export const told = [[...seen], second, again];
"#;

const RELATIONS: &str = r#"
import { Owner } from "./owner.js";
import { Pet } from "./pet.js";
import { seen } from "./seeing.js";
delete (Reflect as any).metadata;
export const told = [seen, new Pet().make(), typeof Owner, Owner.name, new Owner().tell(new Pet()) instanceof Pet];
"#;

const UNTIL: &str = r#"
export function called() { return typeof later; }
import { now, seen } from "./early.js";
export const later = 1;
export class Later {}
export let all = { later };
export default Later;
export const told = [seen, now()];
"#;

const CALLABLE: &str = r#"
import * as plain from "plain";
import * as compiled from "compiled";
import chosen from "chosen";
export { plain };
export const told = [(plain as any)(), typeof compiled.default, typeof chosen, typeof (plain as any).default];
"#;

const EXPORTS: &str = r#"
import Default, { a, again, arrow, c, change, count, d, e, hoisted, Kind, named, own, renamed, Space, up, whole } from "./barrel.js";
const before = [count, own];
export const told = [before, up(), count, change(), own, renamed, a, again, c, d, e, arrow(), named.name, Default.who, Space.inside, Kind.B, Kind[0], hoisted, Object.keys(whole).sort(), { own }, `${count}`];
"#;

const GIVEN: &str = r#"
import { basename } from "node:path";
const self: any = (globalThis as any).undefined ?? this;
exports.more = 1;
module.exports.most = 2;
const { extname } = require("node:path");
export const told = [basename(__filename).replace(/\.[jt]s$/, ""), basename(__dirname).length > 0, self === exports, module.exports === exports, exports.more, exports.most, extname("a.b"), require.main === module, typeof require.resolve, Object.keys(require.cache).length > 0, module.id === __filename, exports.__esModule];
"#;

const JAVASCRIPT: &str = r#"
import { make } from "./plainly.js";
export const told = make();
"#;

const EQUALS: &str = r#"
import path = require("node:path");
import compiled = require("compiled");
namespace Inner { export const deep = "deep"; }
import Alias = Inner.deep;
const told = [path.basename("/a/b"), typeof compiled.default, Alias, typeof module, typeof require, typeof __filename];
export = { told };
"#;

const PAGE: &str = r#"
import React, { h, Fragment } from "react";
import Preact from "preact";
const Name = ({ name, children }: any) => [name, children];
const rest = { title: "t", "data-x": 1 };
const key = "k";
export const page = (
  <main id="x" key={key} {...rest} hidden>
    text &amp; more
    <Name name="Ada">{1}{"two"}</Name>
    <>
      <b>bold</b> and {[1, 2].map((n) => <i key={n}>{n}</i>)}
    </>
    {/* nothing */}
    {...[<u key="u" />]}
    <Name.Inner ns:attr="1" />
  </main>
);
Name;
export const told = JSON.parse(JSON.stringify([page, [React, Preact, h, Fragment].map((value) => typeof value)], (name, value) => (name === "source" ? undefined : typeof value === "function" ? value.name : value)));
"#;

const PRAGMA: &str = r#"/** @jsxImportSource preact */
export const told = <p id="x"><b/></p>;
"#;

/// Packages below `node_modules`.
pub(super) const PACKAGES: &[(&str, &str)] = &[
    ("compiled/package.json", r#"{ "name": "compiled", "main": "main.js" }"#),
    (
        "compiled/main.js",
        "\"use strict\";\nObject.defineProperty(exports, \"__esModule\", { value: true });\nexports.named = \"named\";\n\
         exports.default = function compiled() { return \"compiled\"; };\n",
    ),
    ("plain/package.json", r#"{ "name": "plain", "main": "main.js" }"#),
    ("plain/main.js", "module.exports = () => \"plain\";\n"),
    ("chosen/package.json", r#"{ "name": "chosen", "main": "main.js" }"#),
    ("chosen/main.js", "module.exports = require(\"./real.js\");\n"),
    (
        "chosen/real.js",
        "Object.defineProperty(exports, \"__esModule\", { value: true });\nexports.default = class {};\nexports.other = 1;\n",
    ),
    ("react/package.json", ELEMENTS),
    ("react/main.js", CLASSIC),
    ("react/jsx.js", AUTOMATIC),
    ("react/dev.js", AUTOMATIC),
    ("preact/package.json", ELEMENTS),
    ("preact/main.js", CLASSIC),
    ("preact/jsx.js", AUTOMATIC),
    ("preact/dev.js", AUTOMATIC),
];

const ELEMENTS: &str =
    r#"{ "exports": { ".": "./main.js", "./jsx-runtime": "./jsx.js", "./jsx-dev-runtime": "./dev.js" } }"#;

const CLASSIC: &str = r#"Object.defineProperty(exports, "__esModule", { value: true });
const by = __dirname.split("/").at(-1);
exports.createElement = (type, props, ...children) => ({ by: `${by} createElement`, type, props, children });
exports.h = (type, props, ...children) => ({ by: `${by} h`, type, props, children });
exports.Fragment = "fragment";
exports.default = exports;
"#;

const AUTOMATIC: &str = r#"const by = __dirname.split("/").at(-1);
const made = (name) => (type, props, key, isStatic) => ({ by: `${by} ${name}`, type, props, key, isStatic });
exports.jsx = made("jsx");
exports.jsxs = made("jsxs");
exports.jsxDEV = made("jsxDEV");
exports.Fragment = "fragment";
"#;
