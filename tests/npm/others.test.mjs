import assert from "node:assert/strict";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import { install, makeProject, manage, managers, NAME, platform, run } from "./project.mjs";

for (const manager of Object.keys(managers).filter((manager) => manager !== "npm")) {
  test(`${manager} installs the binary, and runs it`, () => {
    const folder = makeProject(manager);
    install(manager, folder);
    const ran = run("node_modules/.bin/baton", ["exit", "5"], folder);
    assert.deepEqual([ran.status, ran.stdout], [5, "stand-in exit 5\n"], ran.stderr);
    const exec = { pnpm: ["exec", "baton"], yarn: ["--silent", "baton"], berry: ["baton"], bun: ["x", "baton"] }[manager];
    assert.match(manage(manager, folder, [...exec, "x"]).stdout, /stand-in x\n/);
  });
}

test("pnpm --no-optional: what to do is said", () => {
  const folder = makeProject("pnpm");
  install("pnpm", folder, ["--no-optional"]);
  const ran = run("node_modules/.bin/baton", [], folder);
  assert.equal(ran.status, 1);
  assert.match(ran.stderr, /is not installed[^]*pnpm install` without --no-optional/);
});

test("bun --omit=optional: what to do is said", { skip: !managers.bun }, () => {
  const folder = makeProject("bun");
  install("bun", folder, ["--omit=optional"]);
  const ran = manage("bun", folder, ["x", "baton"]);
  assert.equal(ran.status, 1);
  assert.match(ran.stderr, /is not installed[^]*bun install` without --omit=optional/);
});

test("yarn --ignore-optional: what to do is said", () => {
  // With resolutions yarn installs the package all the same.
  const folder = makeProject("yarn");
  install("yarn", folder);
  rmSync(join(folder, "node_modules", `${NAME}-${platform}`), { recursive: true });
  const ran = run("node_modules/.bin/baton", [], folder, { npm_config_user_agent: "yarn/1.22.22 npm/? node/v20" });
  assert.equal(ran.status, 1);
  assert.match(ran.stderr, /is not installed[^]*yarn install` without --ignore-optional/);
});

test("Yarn with Plug'n'Play runs the binary", () => {
  const folder = makeProject("berry", { nodeLinker: "pnp" });
  install("berry", folder);
  const ran = manage("berry", folder, ["baton", "exit", "5"]);
  assert.deepEqual([ran.status, ran.stdout], [5, "stand-in exit 5\n"], ran.stderr);
});

test("Yarn with Plug'n'Play: a package that is left in its archive is told", () => {
  const own = `${NAME}-${platform}`;
  const folder = makeProject("berry", { nodeLinker: "pnp", more: { dependenciesMeta: { [own]: { unplugged: false } } } });
  install("berry", folder);
  const zipped = manage("berry", folder, ["baton"]);
  assert.equal(zipped.status, 1, zipped.stdout);
  assert.match(zipped.stderr, new RegExp(`has left ${own} in its archive[^]*"dependenciesMeta": \\{ "${own}": \\{ "unplugged": true`));
});
