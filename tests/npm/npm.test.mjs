import assert from "node:assert/strict";
import { chmodSync, cpSync, existsSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";

import { install, makeProject, manage, NAME, platform, run, scratch, startWaiting } from "./project.mjs";

const folder = makeProject("npm");
install("npm", folder);
const baton = join(folder, "node_modules/.bin/baton");
const packages = join(folder, "node_modules");
const own = join(packages, `${NAME}-${platform}`);
const help = (words) => new RegExp(words.join("[^]*"));

/** Asserts that `baton` says something and ends with 1. */
function refuses(at, words, env) {
  const ran = run("node", [join(at, "node_modules/.bin/baton")], at, env);
  assert.equal(ran.status, 1, ran.stderr);
  assert.match(ran.stderr, help(words));
}

test("npx runs the binary with its arguments", () => {
  const ran = manage("npm", folder, ["exec", "--", "baton", "one", "two words"]);
  assert.equal(ran.stdout, "stand-in one two words\n", ran.stderr);
});

test("the binary is executable, and no script ran", () => {
  const manifest = JSON.parse(readFileSync(join(own, "package.json"), "utf8"));
  assert.deepEqual([manifest.os, manifest.cpu], [[process.platform], [process.arch]]);
  assert.equal(manifest.scripts, undefined);
  assert.equal(run(join(own, "bin/baton"), ["x"], folder).stdout, "stand-in x\n");
});

/** Node as it is here, which may be too old to replace itself, and one that can. */
const nodes = { node: "node", ...(process.env.NEWER_NODE ? { "a newer node": process.env.NEWER_NODE } : {}) };
for (const [name, node] of Object.entries(nodes)) {
  test(`${name}: the exit code is the binary's`, () => {
    for (const code of [0, 3, 78]) assert.equal(run(node, [baton, "exit", String(code)], folder).status, code);
    const ran = run(node, [baton, "exit", "0"], folder);
    assert.equal(ran.stderr, "");
  });

  test(`${name}: the signal that ends the binary ends the launcher`, () => {
    assert.equal(run(node, [baton, "die"], folder).signal, "SIGKILL");
  });

  test(`${name}: signals reach the binary`, async () => {
    for (const [signal, code] of [["SIGTERM", 7], ["SIGINT", 8]]) {
      const { child, ended } = await startWaiting(folder, node);
      child.kill(signal);
      assert.deepEqual([(await ended).code, (await ended).said.includes(`got ${signal.slice(3)}`)], [code, true]);
    }
  });
}

test("a newer node becomes the binary", { skip: !process.env.NEWER_NODE }, async () => {
  const { child, ended } = await startWaiting(folder, process.env.NEWER_NODE);
  const running = readFileSync(`/proc/${child.pid}/cmdline`, "utf8");
  child.kill();
  await ended;
  assert.match(running, /bin\/baton\0wait/);
});

test("BATON_BIN is another binary", () => {
  assert.match(run("node", [baton], folder, { BATON_BIN: "/bin/pwd" }).stdout, /npm-/);
  refuses(folder, ["BATON_BIN names no file"], { BATON_BIN: "/nowhere" });
  refuses(folder, ["cannot be executed", "is a folder", "Unset BATON_BIN"], { BATON_BIN: folder });
  refuses(folder, ["cannot be executed", "not executable"], { BATON_BIN: join(folder, "package.json") });
});

for (const option of ["--omit=optional", "--no-optional"]) {
  test(`npm install ${option}: what to do is said`, () => {
    const folder = makeProject("npm");
    install("npm", folder, [option]);
    refuses(folder, [`the package ${NAME}-${platform}`, "is not installed", "npm install", "without --omit=optional"]);
  });
}

/** A copy of what is installed, to break it. */
function broken() {
  const copy = join(scratch, "broken");
  rmSync(copy, { recursive: true, force: true });
  cpSync(folder, copy, { recursive: true, verbatimSymlinks: true });
  return { copy, own: join(copy, "node_modules", `${NAME}-${platform}`) };
}

test("packages of another machine, of another version, and broken ones are told", () => {
  let { copy, own } = broken();
  const launcher = join(copy, "node_modules", NAME);
  const manifest = JSON.parse(readFileSync(join(launcher, "package.json"), "utf8"));
  writeFileSync(join(launcher, "package.json"), JSON.stringify({ ...manifest, platforms: { ...manifest.platforms, "plan9-x64": {} } }));
  renameSync(own, join(copy, "node_modules", `${NAME}-plan9-x64`));
  refuses(copy, ["another machine \\(plan9-x64\\)", "npm install"]);
  ({ copy, own } = broken());
  writeFileSync(join(own, "package.json"), '{"version": "1.2.2"}');
  refuses(copy, ["is version 1\\.2\\.2", "install"]);
  ({ copy, own } = broken());
  chmodSync(join(own, "bin/baton"), 0o644);
  refuses(copy, ["cannot be executed", "chmod \\+x"]);
  rmSync(join(own, "bin/baton"));
  refuses(copy, ["is incomplete", "again"]);
});

test("a file that the system cannot run is told, not tried", () => {
  // Node itself would end with a stack of its native code.
  const { copy, own } = broken();
  const binary = join(own, "bin/baton");
  for (const node of Object.values(nodes)) {
    const says = (text, words) => {
      writeFileSync(binary, text);
      const ran = run(node, [join(copy, "node_modules/.bin/baton")], copy);
      assert.deepEqual([ran.status, ran.signal], [1, null], ran.stderr);
      assert.match(ran.stderr, help(words));
    };
    says("", ["is no program of", "again"]);
    says("<html>404</html>", ["is no program of", "again"]);
    says(elf({ x64: 183, arm64: 62 }[process.arch]), ["is no program of", "again"]);
  }
  const launcher = join(copy, "node_modules", NAME, "package.json");
  const manifest = JSON.parse(readFileSync(launcher, "utf8"));
  assert.ok(existsSync(manifest.platforms[platform].loader));
  manifest.platforms[platform].loader = "/nowhere/ld.so";
  writeFileSync(launcher, JSON.stringify(manifest));
  writeFileSync(binary, elf({ x64: 62, arm64: 183 }[process.arch]));
  refuses(copy, ["has no /nowhere/ld\\.so", "nix-ld"]);
});

/** The beginning of a program for a machine, by its number in ELF. */
function elf(machine) {
  const header = Buffer.alloc(64);
  header.write("\x7fELF\x02\x01\x01", "latin1");
  header.writeUInt16LE(machine, 18);
  return header;
}

test("machines without a binary are told what to do", async () => {
  const { findBinary } = await import(pathToFileURL(join(packages, NAME, "lib/binary.js")));
  const check = (machine, ...words) => assert.throws(() => findBinary(machine), { name: "NoBinaryError", message: help(words) });
  check({ platform: "linux", arch: process.arch, glibc: null }, "musl, as in Alpine", "node:22-slim");
  check({ platform: "linux", arch: process.arch, glibc: "2.31" }, "glibc 2.35 or newer", "has 2.31", "newer system");
  check({ platform: "win32", arch: "x64" }, "no binary for win32-x64", "WSL 2");
  check({ platform: "linux", arch: "riscv64", glibc: "2.39" }, "no binary for linux-riscv64: there are");
  assert.equal(findBinary({ platform: process.platform, arch: process.arch, glibc: "2.35" }), join(own, "bin/baton"));
});

test("the test library comes along", () => {
  writeFileSync(join(folder, "try.mjs"), `import { baton } from "${NAME}/test"; console.log(typeof baton.run);`);
  assert.equal(run("node", ["try.mjs"], folder).stdout, "function\n");
  assert.ok(existsSync(join(packages, NAME, "test/index.d.ts")));
});
