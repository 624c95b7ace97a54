// A look at a file before it is run: where `process.execve` fails, Node ends with a stack of its own code.
import { accessSync, closeSync, constants, existsSync, openSync, readSync, statSync } from "node:fs";

/** `e_machine` of ELF, by the names of Node. */
const ELF_MACHINES = { x64: 62, arm64: 183 };
/** The beginnings of programs of macOS: of one machine, of several. */
const MACH_O = ["cffaedfe", "cafebabe"];

/**
 * Returns the reason why this machine cannot run a file, and a way out; nothing where it can.
 * @param {{ platform: string, arch: string }} machine
 * @param {string | undefined} loader the program of the system that starts the file
 * @returns {{ why: string, help: string } | undefined}
 */
export function fault(file, machine, loader) {
  if (statSync(file).isDirectory()) return { why: "it is a folder", help: "Name a file." };
  try {
    accessSync(file, constants.X_OK);
  } catch {
    return { why: "it is not executable here", help: `Run chmod +x '${file}', or install the package again; from a file system that is mounted noexec nothing runs.` };
  }
  const header = beginning(file);
  if (!header || header.toString("latin1", 0, 2) === "#!") return undefined;
  if (!isOf(header, machine)) {
    return { why: `it is no program of ${machine.platform}-${machine.arch}`, help: "Install the package again." };
  }
  if (loader && machine.platform === "linux" && !existsSync(loader)) {
    return {
      why: `this system has no ${loader}, which starts programs of glibc`,
      help: "On NixOS enable nix-ld; elsewhere use an image with glibc, such as node:22-slim.",
    };
  }
  return undefined;
}

/** Returns the first bytes of a file, if it can be read: who may run a file need not be one who may read it. */
function beginning(file) {
  let descriptor;
  try {
    descriptor = openSync(file, "r");
  } catch {
    return undefined;
  }
  try {
    const header = Buffer.alloc(20);
    readSync(descriptor, header, 0, header.length, 0);
    return header;
  } finally {
    closeSync(descriptor);
  }
}

function isOf(header, { platform, arch }) {
  if (platform === "darwin") return MACH_O.includes(header.toString("hex", 0, 4));
  return header.toString("latin1", 0, 4) === "\x7fELF" && header.readUInt16LE(18) === ELF_MACHINES[arch];
}
