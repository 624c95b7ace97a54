// Packages of a stand-in for the binary, and projects that install them from their archives.
import { spawn, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";

// The packages' own binary is what is tested, also where this is run with another one.
delete process.env.BATON_BIN;

const here = import.meta.dirname;
const root = join(here, "../..");
export const scratch = mkdtempSync(join(tmpdir(), "baton-npm-test-"));
after(() => rmSync(scratch, { recursive: true, force: true }));

/** This machine, as packages and as releases name it. */
export const platform = `${process.platform}-${process.arch}`;
const target = { "linux-x64": "x86_64-linux", "linux-arm64": "aarch64-linux", "darwin-arm64": "aarch64-macos" }[platform];

export const NAME = JSON.parse(run("node", ["-p", "JSON.stringify(require('./package.json').name)"], join(root, "packaging/npm/launcher")).stdout);

/** Runs a program to its end. */
export function run(program, args, cwd, env = {}) {
  const clean = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(npm_|NODE_|BATON_)/i.test(name)));
  return spawnSync(program, args, { cwd, env: { ...clean, ...env }, encoding: "utf8", timeout: 100_000 });
}

function succeeded(ran) {
  if (ran.status !== 0) throw new Error(`it ended with ${ran.status ?? ran.signal}:\n${ran.stdout}\n${ran.stderr}`);
  return ran;
}

/** Makes the packages, and returns their archives: the launcher's and the platform's. */
export function makePackages(version = "1.2.3") {
  const out = join(scratch, `packages-${version}`);
  const binary = `${target}=${join(here, "stand-in")}`;
  succeeded(run(join(root, "bin/package-npm"), [version, "--binary", binary, "--out", out], root));
  const archives = readdirSync(out).map((file) => join(out, file));
  const own = archives.find((file) => file.endsWith(`${platform}-${version}.tgz`));
  return { launcher: archives.find((file) => file !== own), own };
}

const modules = join(here, "node_modules");
export const managers = {
  npm: { program: ["npm"], install: ["install", "--no-audit", "--no-fund"] },
  pnpm: { program: ["node", join(modules, "pnpm/bin/pnpm.cjs")], install: ["install"] },
  yarn: { program: ["node", join(modules, "yarn/bin/yarn.js")], install: ["install"] },
  berry: { program: ["node", join(modules, "@yarnpkg/cli-dist/bin/yarn.js")], install: ["install"] },
  ...(process.env.BUN ? { bun: { program: [process.env.BUN], install: ["install"] } } : {}),
};

let projects = 0;

/** Makes a project that depends on the launcher. The platform's package is its archive, as it is nowhere published. */
export function makeProject(manager, { nodeLinker = "node-modules", more = {} } = {}) {
  const folder = join(scratch, `${manager}-${++projects}`);
  mkdirSync(folder);
  const { launcher, own } = makePackages();
  const platforms = { [`${NAME}-${platform}`]: `file:${own}` };
  const manifest = {
    name: "project",
    version: "1.0.0",
    private: true,
    dependencies: { [NAME]: `file:${launcher}` },
    overrides: platforms,
    resolutions: platforms,
    pnpm: { overrides: platforms },
    ...more,
  };
  writeFileSync(join(folder, "package.json"), JSON.stringify(manifest));
  if (manager === "berry") {
    writeFileSync(join(folder, "yarn.lock"), "");
    writeFileSync(join(folder, ".yarnrc.yml"), `nodeLinker: ${nodeLinker}\nenableTelemetry: false\nenableGlobalCache: false\nenableImmutableInstalls: false\n`);
  }
  return folder;
}

/** Runs the package manager in a project. */
export function manage(manager, folder, args) {
  const [program, ...first] = managers[manager].program;
  return run(program, [...first, ...args], folder);
}

export function install(manager, folder, more = []) {
  return succeeded(manage(manager, folder, [...managers[manager].install, ...more]));
}

/** Starts `baton` of a project, and resolves once it says that it is ready. */
export async function startWaiting(folder, node = "node") {
  const child = spawn(node, [join(folder, "node_modules/.bin/baton"), "wait"], { cwd: folder, stdio: ["ignore", "pipe", "pipe"] });
  let said = "";
  const ended = new Promise((resolve) => child.once("close", (code, signal) => resolve({ code, signal, said })));
  await new Promise((resolve) => {
    child.stdout.on("data", (data) => {
      said += data;
      if (said.includes("ready")) resolve();
    });
    ended.then(resolve);
  });
  return { child, ended };
}
