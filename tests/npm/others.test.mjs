import assert from "node:assert/strict";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import { install, makeProject, manage, NAME, platform, run } from "./project.mjs";

for (const manager of ["pnpm", "yarn", "berry"]) {
  test(`${manager} installs the binary, and runs it`, () => {
    const folder = makeProject(manager);
    install(manager, folder);
    const ran = run("node_modules/.bin/baton", ["exit", "5"], folder);
    assert.deepEqual([ran.status, ran.stdout], [5, "stand-in exit 5\n"], ran.stderr);
    const exec = { pnpm: ["exec", "baton"], yarn: ["--silent", "baton"], berry: ["baton"] }[manager];
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
