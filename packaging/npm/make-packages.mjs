// Makes the packages of npm out of binaries; bin/package-npm says how it is called. The name is in launcher/package.json.
import { execFileSync } from "node:child_process";
import { chmodSync, copyFileSync, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";

const here = import.meta.dirname;
const root = join(here, "../..");
const platforms = JSON.parse(readFileSync(join(here, "platforms.json"), "utf8"));
const template = JSON.parse(readFileSync(join(here, "launcher/package.json"), "utf8"));

function fail(message) {
  process.stderr.write(`bin/package-npm: ${message}\n`);
  process.exit(2);
}

function options() {
  let parsed;
  try {
    parsed = parseArgs({
      allowPositionals: true,
      options: {
        archives: { type: "string" },
        binary: { type: "string", multiple: true, default: [] },
        repository: { type: "string" },
        out: { type: "string", default: "npm-packages" },
      },
    });
  } catch (error) {
    fail(error.message);
  }
  const [version] = parsed.positionals;
  if (parsed.positionals.length !== 1 || !/^\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?$/.test(version)) {
    fail("the version is missing or malformed\nhelp: Give one, such as 0.1.0.");
  }
  return { version, ...parsed.values };
}

/** The binaries by target, from archives and from the command line. */
function binaries({ archives, binary }, scratch) {
  const found = new Map();
  for (const named of binary) {
    const at = named.indexOf("=");
    found.set(named.slice(0, at), resolve(named.slice(at + 1)));
  }
  for (const target of archives === undefined ? [] : Object.keys(platforms)) {
    const archive = join(resolve(archives), `baton-${target}.tar.gz`);
    if (!existsSync(archive)) fail(`there is no ${archive}\nhelp: Make it with packaging/pack.`);
    execFileSync(join(root, "packaging/pack"), ["--open", archive, join(scratch, target)]);
    found.set(target, join(scratch, target, "baton"));
  }
  if (found.size === 0) fail("there are no binaries\nhelp: Give --archives FOLDER or --binary TARGET=FILE.");
  for (const [target, file] of found) {
    if (!platforms[target]) fail(`${target} is not a target\nhelp: Name one of ${Object.keys(platforms).join(", ")}.`);
    if (!existsSync(file)) fail(`there is no ${file}\nhelp: Name a file that exists.`);
  }
  return found;
}

/** The repository as GitHub names it, for the packages' pages and for provenance. */
function repository({ repository }) {
  if (repository) return repository;
  try {
    const url = execFileSync("git", ["-C", root, "remote", "get-url", "origin"], { stdio: ["ignore", "pipe", "ignore"] });
    return /github\.com[:/](.+?)(\.git)?\s*$/.exec(String(url))?.[1];
  } catch {
    return undefined;
  }
}

function withRepository(manifest, name) {
  const { homepage, repository, ...rest } = manifest;
  if (!name) return rest;
  const filled = JSON.stringify({ homepage, repository }).replaceAll("REPOSITORY", name);
  return { ...rest, ...JSON.parse(filled) };
}

function write(folder, manifest) {
  writeFileSync(join(folder, "package.json"), `${JSON.stringify(manifest, null, 2)}\n`);
  for (const licence of ["LICENSE-MIT", "LICENSE-APACHE"]) copyFileSync(join(root, licence), join(folder, licence));
}

function pack(folder, out) {
  const packed = execFileSync("npm", ["pack", "--json", "--pack-destination", out], { cwd: folder, stdio: ["ignore", "pipe", "inherit"] });
  const [{ filename, size }] = JSON.parse(packed);
  process.stdout.write(`${join(out, filename)}  ${(size / 1e6).toFixed(1)} MB\n`);
}

const settings = options();
const { version } = settings;
const out = resolve(settings.out);
const scratch = mkdtempSync(join(tmpdir(), "baton-npm-"));
try {
  mkdirSync(out, { recursive: true });
  const name = repository(settings);
  const installed = {};
  const optionalDependencies = {};
  for (const [target, file] of binaries(settings, scratch)) {
    const { os, cpu, libc, glibc, loader } = platforms[target];
    const key = `${os}-${cpu}`;
    const folder = join(scratch, key);
    mkdirSync(join(folder, "bin"), { recursive: true });
    copyFileSync(file, join(folder, "bin/baton"));
    chmodSync(join(folder, "bin/baton"), 0o755);
    const platformName = `${template.name}-${key}`;
    writeFileSync(
      join(folder, "README.md"),
      `# ${platformName}\n\nThe binary of [${template.name}](https://www.npmjs.com/package/${template.name}) for ${key}. Install that package.\n`,
    );
    write(folder, {
      name: platformName,
      version,
      description: `The binary of ${template.name} for ${key}`,
      ...withRepository({ homepage: template.homepage, repository: template.repository }, name),
      license: template.license,
      os: [os],
      cpu: [cpu],
      ...(libc ? { libc: [libc] } : {}),
      files: ["bin", "LICENSE-*"],
      // Yarn leaves packages in their archives, where nothing can be executed.
      preferUnplugged: true,
    });
    installed[key] = { glibc, loader };
    optionalDependencies[platformName] = version;
    pack(folder, out);
  }
  const launcher = join(scratch, "launcher");
  cpSync(join(here, "launcher"), launcher, { recursive: true, filter: (path) => !path.includes("node_modules") });
  chmodSync(join(launcher, "bin/baton.js"), 0o755);
  write(launcher, { ...withRepository(template, name), version, optionalDependencies, platforms: installed });
  pack(launcher, out);
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
