// YAML, TOML, semver, hashes, passwords, globs.

import Bun, { Glob, hash, password, semver, TOML, YAML } from "bun";

const refused = (act) => {
  try {
    return act();
  } catch (error) {
    return error.name;
  }
};

export default {
  yaml: () =>
    YAML.parse(`
name: test
list:
  - 1
  - 2.5
  - "three"
nested: { a: true, b: null, c: ~ }
text: |
  one
  two
folded: >
  one
  two
quoted: 'it''s'
date: 2024-01-01
empty:
`),
  "yaml numbers": () => YAML.parse("[1, -1, 1.5, 0x1F, 0o17, 1e3, .inf, -.inf, .nan, 1_000, 007, '1', +1]"),
  "yaml words": () => YAML.parse("[true, false, True, yes, no, on, null, ~, Null, '']"),
  "yaml anchors": () => YAML.parse("base: &b { a: 1, b: 2 }\nuse: *b\nmerged:\n  <<: *b\n  b: 3\n"),
  "yaml documents": () => [
    YAML.parse("--- 1\n--- 2\n"),
    YAML.parse(""),
    YAML.parse("# only a comment"),
    YAML.parse("---\na: 1\n...\n"),
  ],
  "yaml keys": () => YAML.parse("1: one\ntrue: yes\n'a b': c\n? x\n: y\n"),
  "malformed yaml": () => [refused(() => YAML.parse("a: [")), refused(() => YAML.parse("a: b: c"))],
  "yaml tags": () => YAML.parse("[!!str 1, !!int '2', !!float 3, !!bool 'true']"),
  "yaml written": () => YAML.stringify({ a: 1, b: [1, "two", null, true], c: { d: "e" }, e: {}, f: [] }),
  "yaml written, indented": () =>
    YAML.stringify({ a: 1, b: [1, { c: "d", e: [2] }], c: { d: "e", f: {} }, e: {}, f: [] }, null, 2),
  "yaml written texts": () =>
    YAML.stringify(
      [
        "plain",
        "",
        "true",
        "1",
        "a: b",
        "#x",
        "a\nb",
        " lead",
        "trail ",
        "- x",
        "a, b",
        "[x]",
        "'q'",
        '"d"',
        "null",
        "~",
        "é",
        "a#b",
        "a:b",
        "*x",
        "&x",
        "!x",
        "%x",
        "@x",
        "`x",
        "1.5",
        "0x1",
        "no",
        "a\tb",
        "\\",
      ],
      null,
      2,
    ),
  "yaml written and read": () => {
    const value = { a: [1, 2, { b: "x: y", c: null }], d: "multi\nline", e: { f: [[1], []] } };
    return [YAML.parse(YAML.stringify(value)!), YAML.parse(YAML.stringify(value, null, 2)!)];
  },
  toml: () =>
    TOML.parse(`
title = "x"
n = 1
f = 1.5
on = true
list = [1, 2]
[a.b]
c = "d"
[[items]]
name = "one"
[[items]]
name = "two"
`),
  "malformed toml": () => refused(() => TOML.parse("a = ")),
  "semver satisfies": () =>
    [
      ["1.2.3", "^1.0.0"],
      ["2.0.0", "^1.0.0"],
      ["1.2.3", "~1.2.0"],
      ["1.3.0", "~1.2.0"],
      ["1.0.0", "1.x"],
      ["1.0.0-beta.1", "^1.0.0-beta.0"],
      ["1.0.0-beta", "^1.0.0"],
      ["1.0.0", ">=1.0.0 <2.0.0"],
      ["3.0.0", "1.x || >=2.5.0"],
      ["1.2.3", "*"],
      ["1.2.3", "1.2.3 - 1.3.0"],
      ["v1.2.3", "1.2.3"],
      ["0.2.5", "^0.2.3"],
      ["0.3.0", "^0.2.3"],
      ["nonsense", "^1.0.0"],
    ].map(([version, range]) => [version, range, semver.satisfies(version, range)]),
  "semver order": () => [
    semver.order("1.0.0", "1.0.1"),
    semver.order("1.0.0", "1.0.0"),
    semver.order("2.0.0", "1.9.9"),
    semver.order("1.0.0-alpha", "1.0.0"),
    ["1.10.0", "1.9.0", "1.0.0-rc.1", "1.0.0"].sort(semver.order),
    refused(() => semver.order("x", "1.0.0")),
  ],
  hash: () =>
    [
      "",
      "a",
      "abc",
      "hello world",
      "x".repeat(16),
      "x".repeat(17),
      "x".repeat(48),
      "x".repeat(49),
      "x".repeat(200),
    ].map((text) => hash(text)),
  "hash with seeds and bytes": () => [
    hash("abc", 1),
    hash("abc", 1234n),
    hash(new Uint8Array([1, 2, 3])),
    hash(new ArrayBuffer(4)),
    hash.wyhash("abc"),
  ],
  "hashes of other kinds": () => [
    hash.crc32("abc"),
    hash.adler32("abc"),
    hash.xxHash32("abc"),
    hash.xxHash64("abc"),
    hash.xxHash3("abc"),
    hash.xxHash32("abc", 7),
    hash.xxHash64("abc", 7),
    hash.xxHash3("x".repeat(300), 7),
    hash.adler32("x".repeat(10_000)),
  ],
  "murmur, city and rapid hashes": () => [
    (hash as any).murmur32v3("abc"),
    (hash as any).cityHash64("abc"),
    (hash as any).rapidhash("abc"),
  ],
  passwords: async () => {
    const hashed = await password.hash("secret", { algorithm: "argon2id", memoryCost: 1024, timeCost: 2 });
    return [
      hashed.slice(0, 30),
      hashed.length,
      await password.verify("secret", hashed),
      await password.verify("other", hashed),
    ];
  },
  "passwords by bcrypt": async () => {
    const hashed = await password.hash("secret", { algorithm: "bcrypt", cost: 4 });
    return [
      hashed.slice(0, 7),
      hashed.length,
      await password.verify("secret", hashed),
      await password.verify("other", hashed),
    ];
  },
  "passwords, synchronously": () => {
    const hashed = password.hashSync("secret", { algorithm: "argon2d", memoryCost: 256, timeCost: 2 });
    const bcrypt = password.hashSync("x".repeat(100), { algorithm: "bcrypt", cost: 4 });
    return [
      hashed.slice(0, 28),
      password.verifySync("secret", hashed),
      password.verifySync("secreT", hashed),
      password.verifySync("x".repeat(100), bcrypt),
      password.verifySync("x".repeat(99), bcrypt),
    ];
  },
  "passwords that others hashed": async () => [
    await password.verify("secret", "$2b$04$s1laRRlGa2MsDalCc7ilYOPCP35SLj5y7JJG9Y3T8GHjuXE4Qa.pK"),
    await password.verify(
      "correct horse",
      "$argon2id$v=19$m=256,t=1,p=1$kcWKhoi2h7tESd1LKiiEu4Zb2CwZfXrGmBofdxzZXWA$MYvvdvdH9nGPzlscl+hyT33iBgxr+VbcuUYa5dcWrBg",
    ),
    await password.verify("x".repeat(100), "$2b$04$yJVyP6kKVe4WjxJIy313D.xESpDHineeCynQLmGiD0nksYUqcXDcy"),
    await password.verify("secret", "nonsense").catch((error) => error.code),
  ],
  "the default of passwords": async () => (await password.hash("x")).slice(0, 29),
  "an empty password": async () => password.hash("").catch((error) => typeof error.message),
  globs: () =>
    [
      ["*.ts", "a.ts"],
      ["*.ts", "b/a.ts"],
      ["**/*.ts", "b/c/a.ts"],
      ["**/*.ts", "a.ts"],
      ["{a,b}.ts", "b.ts"],
      ["[ab].ts", "a.ts"],
      ["[!ab].ts", "a.ts"],
      ["[^ab].ts", "c.ts"],
      ["[a-c].ts", "b.ts"],
      ["?.ts", "x.ts"],
      ["?.ts", "xy.ts"],
      ["!*.ts", "a.js"],
      ["!*.ts", "a.ts"],
      ["a/**", "a/b/c"],
      ["a/**/b", "a/b"],
      ["*", ".hidden"],
      ["\\*", "*"],
      ["**", "a/b"],
      ["a{b,c{d,e}}f", "acef"],
    ].map(([pattern, path]) => [pattern, path, new Glob(pattern).match(path)]),
  "files by globs": async (folder) => {
    for (const file of ["g/a.ts", "g/b.js", "g/c/d.ts", "g/c/e/f.ts", "g/.hidden/x.ts", "g/.dot.ts"])
      await Bun.write(`${folder}/${file}`, "");
    const cwd = `${folder}/g`;
    const found = async (pattern, options = {}) =>
      (await Array.fromAsync(new Glob(pattern).scan({ cwd, ...options }))).sort();
    return [
      await found("*.ts"),
      await found("**/*.ts"),
      await found("**/*.ts", { dot: true }),
      await found("c/**", { onlyFiles: false }),
      await found("c/*"),
      await found("*.ts", { absolute: true }),
      [...new Glob("**/*.js").scanSync(cwd)],
      [...new Glob("nope/*").scanSync({ cwd })],
    ];
  },
};
