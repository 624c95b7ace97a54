// The binary of this machine: it is in a package of its own, which package managers install by `os`, `cpu` and `libc`.
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

import { fault } from "./program.js";

const require = createRequire(import.meta.url);
const { name: NAME, version: VERSION, platforms: PLATFORMS = {} } = require("../package.json");

/** The reason why there is no binary, and what to do. */
export class NoBinaryError extends Error {
  constructor(message, help) {
    super(`${message}\nhelp: ${help}`);
    this.name = "NoBinaryError";
  }
}

/**
 * Returns the path of the binary: `BATON_BIN`, else that of the package for this machine.
 * @param {{ platform?: string, arch?: string, glibc?: string | null }} [machine] for tests
 */
export function findBinary(machine = thisMachine()) {
  const named = process.env.BATON_BIN;
  if (named) {
    const help = "Unset BATON_BIN, or let it name a binary of baton.";
    if (!existsSync(named)) throw new NoBinaryError(`BATON_BIN names no file: ${named}`, help);
    const found = fault(named, machine);
    if (found) throw new NoBinaryError(`BATON_BIN names ${named}, which cannot be executed: ${found.why}`, help);
    return named;
  }
  if (Object.keys(PLATFORMS).length === 0) {
    throw new NoBinaryError(`this copy of ${NAME} is from no release`, "Let BATON_BIN name a binary of baton.");
  }
  const key = `${machine.platform}-${machine.arch}`;
  const wanted = PLATFORMS[key];
  if (!wanted) {
    const known = Object.keys(PLATFORMS).join(", ");
    const help =
      machine.platform === "win32"
        ? "Install it within WSL 2."
        : machine.platform === "darwin"
          ? "Build it from source, or use a Linux container."
          : "Build it from source.";
    throw new NoBinaryError(`baton has no binary for ${key}: there are ${known}`, help);
  }
  if (wanted.glibc) checkLibc(machine.glibc, wanted.glibc);
  return binaryOf(`${NAME}-${key}`, key, machine);
}

function checkLibc(found, wanted) {
  if (found === null) {
    throw new NoBinaryError(
      "baton needs glibc, and this system has another C library (musl, as in Alpine)",
      "Use an image with glibc, such as node:22-slim instead of node:22-alpine.",
    );
  }
  if (isOlder(found, wanted)) {
    throw new NoBinaryError(
      `baton needs glibc ${wanted} or newer, and this system has ${found}`,
      "Use a newer system (Debian 12, Ubuntu 22.04, RHEL 10 or later), or an image such as node:22-slim.",
    );
  }
}

/** Tells whether a version `a.b` is older than another. */
function isOlder(version, than) {
  const [major, minor] = version.split(".").map(Number);
  const [wantedMajor, wantedMinor] = than.split(".").map(Number);
  return major < wantedMajor || (major === wantedMajor && minor < wantedMinor);
}

function binaryOf(name, key, machine) {
  let manifest;
  try {
    manifest = require.resolve(`${name}/package.json`);
  } catch {
    throw missing(name, key);
  }
  const { version } = JSON.parse(readFileSync(manifest, "utf8"));
  if (version !== VERSION) {
    throw new NoBinaryError(
      `${name} is version ${version}, and ${NAME} is ${VERSION}`,
      `Install both again: remove node_modules/${name} and run \`${installer()} install\`.`,
    );
  }
  const file = join(dirname(manifest), "bin", "baton");
  if (process.versions.pnp && file.includes(".zip/")) {
    throw new NoBinaryError(
      `Yarn has left ${name} in its archive, where a binary cannot be executed`,
      `Add to package.json: "dependenciesMeta": { "${name}": { "unplugged": true } }, and run \`yarn install\`.`,
    );
  }
  if (!existsSync(file)) {
    throw new NoBinaryError(`${name} is incomplete: there is no ${file}`, `Run \`${installer()} install\` again.`);
  }
  const found = fault(file, machine, PLATFORMS[key].loader);
  if (found) throw new NoBinaryError(`baton cannot be executed (${file}): ${found.why}`, found.help);
  return file;
}

/** Says why the package is not there: the usual reasons, the one that can be seen first. */
function missing(name, key) {
  const other = Object.keys(PLATFORMS).find((platform) => platform !== key && resolves(`${NAME}-${platform}`));
  const what = `the package ${name}, which has the binary, is not installed`;
  if (other) {
    return new NoBinaryError(
      `${what}: node_modules are of another machine (${other})`,
      `Run \`${installer()} install\` on this machine, and do not copy node_modules between machines.`,
    );
  }
  const help = {
    pnpm: "Run `pnpm install` without --no-optional; with `supportedArchitectures` in pnpm-workspace.yaml name this machine there, too.",
    yarn: process.versions.pnp
      ? "Run `yarn install`; with `supportedArchitectures` in .yarnrc.yml name this machine there, too."
      : "Run `yarn install` without --ignore-optional; with `supportedArchitectures` in .yarnrc.yml name this machine there, too.",
    bun: "Run `bun install` without --omit=optional.",
    npm: "Run `npm install` without --omit=optional and --no-optional. If that does not help, remove node_modules and package-lock.json first (https://github.com/npm/cli/issues/4828).",
  }[installer()];
  return new NoBinaryError(`${what}: optional dependencies were left out`, help);
}

function resolves(name) {
  try {
    require.resolve(`${name}/package.json`);
    return true;
  } catch {
    return false;
  }
}

/** Returns the package manager that installed this package, as far as one sees. */
function installer() {
  const agent = /^(npm|pnpm|yarn|bun)\//.exec(process.env.npm_config_user_agent ?? "")?.[1];
  if (process.versions.pnp) return "yarn";
  if (import.meta.url.includes("/node_modules/.pnpm/")) return "pnpm";
  return agent ?? "npm";
}

function thisMachine() {
  return { platform: process.platform, arch: process.arch, glibc: process.platform === "linux" ? glibc() : null };
}

/** Returns the version of glibc, `null` where there is another C library. */
function glibc() {
  const report = process.report;
  if (report?.getReport) {
    report.excludeNetwork = true;
    return report.getReport().header?.glibcVersionRuntime ?? null;
  }
  return existsSync("/etc/alpine-release") ? null : "999.0";
}
