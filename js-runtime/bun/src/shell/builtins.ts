// The commands that `$` has itself: those that change it, and those that are not worth a process.

import { Buffer } from "node:buffer";
import { statSync } from "node:fs";
import { resolve } from "node:path";
import { which } from "../spawn.ts";
import type { Shell } from "./execute.ts";
import type { Sink } from "./streams.ts";

export interface Outputs {
  stdout: Sink;
  stderr: Sink;
}

/** Returns the exit code. */
export type Builtin = (shell: Shell, values: string[], outputs: Outputs) => number | Promise<number>;

export const builtins: Record<string, Builtin> = {
  async cd(shell, [to = "~"], { stderr }) {
    const target = to === "-" ? shell.variable("OLDPWD") : to === "~" ? shell.variable("HOME") : to;
    const path = resolve(shell.cwd, target ?? shell.cwd);
    if (!isFolder(path)) {
      await say(stderr, `cd: not a directory: ${to}\n`);
      return 1;
    }
    shell.change(path);
    return 0;
  },

  async pwd(shell, _, { stdout }) {
    await say(stdout, `${shell.cwd}\n`);
    return 0;
  },

  async echo(_, values, { stdout }) {
    let at = 0;
    let newline = true;
    let escapes = false;
    for (; /^-[neE]+$/.test(values[at] ?? ""); at += 1) {
      for (const flag of values[at].slice(1)) {
        if (flag === "n") newline = false;
        else escapes = flag === "e";
      }
    }
    const text = values.slice(at).join(" ");
    await say(stdout, (escapes ? unescaped(text) : text) + (newline ? "\n" : ""));
    return 0;
  },

  async export(shell, values, { stdout }) {
    if (values.length === 0) {
      const lines = Object.entries(shell.environment()).sort(([a], [b]) => (a < b ? -1 : 1));
      await say(stdout, lines.map(([name, value]) => `${name}=${value}\n`).join(""));
    }
    for (const value of values) {
      const [, name, , text] = /^([^=]+)(=([\s\S]*))?$/.exec(value) ?? [];
      if (name) shell.export(name, text);
    }
    return 0;
  },

  async which(shell, values, { stdout }) {
    let code = values.length === 0 ? 1 : 0;
    for (const value of values) {
      const path = which(value, { PATH: shell.variable("PATH"), cwd: shell.cwd });
      await say(stdout, path ? `${path}\n` : `which: ${value} not found\n`);
      if (!path) code = 1;
    }
    return code;
  },

  true: () => 0,
  false: () => 1,

  async exit(_, values, { stderr }) {
    if (values.length > 1) {
      await say(stderr, "exit: too many arguments\n");
      return 1;
    }
    if (values.length === 0) return 0;
    if (!/^\d+$/.test(values[0])) {
      await say(stderr, "exit: numeric argument required\n");
      return 1;
    }
    return Number(values[0]) % 256;
  },
};

/** The result of `[[ … ]]`; nothing for a test that is not known. */
export function condition(words: string[], cwd: string): boolean | undefined {
  const [first, second, third] = words;
  if (words.length === 1) return first !== "";
  if (words.length === 2) {
    const path = () => resolve(cwd, second);
    switch (first) {
      case "-z":
        return second === "";
      case "-n":
        return second !== "";
      case "-e":
        return stat(path()) !== undefined;
      case "-f":
        return stat(path())?.isFile() ?? false;
      case "-d":
        return isFolder(path());
      case "-c":
        return stat(path())?.isCharacterDevice() ?? false;
    }
  }
  if (words.length === 3) {
    if (second === "==" || second === "=") return first === third;
    if (second === "!=") return first !== third;
  }
}

async function say(sink: Sink, text: string): Promise<void> {
  await sink.write(Buffer.from(text));
}

function stat(path: string) {
  return statSync(path, { throwIfNoEntry: false });
}

function isFolder(path: string): boolean {
  try {
    return stat(path)?.isDirectory() ?? false;
  } catch {
    return false;
  }
}

const ESCAPES: Record<string, string> = {
  a: "\x07",
  b: "\b",
  e: "\x1b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
  v: "\v",
  "\\": "\\",
};

function unescaped(text: string): string {
  return text.replace(/\\([abefnrtv\\]|0[0-7]{0,3}|x[0-9a-fA-F]{1,2})/g, (_, code: string) => {
    if (code[0] === "0") return String.fromCharCode(Number.parseInt(code, 8) || 0);
    return code[0] === "x" ? String.fromCharCode(Number.parseInt(code.slice(1), 16)) : ESCAPES[code];
  });
}
