// Runs what `parser.ts` has made of a script: builtins here, everything else as child processes.

import { Buffer } from "node:buffer";
import * as children from "node:child_process";
import * as fs from "node:fs";
import { constants } from "node:os";
import { resolve } from "node:path";
import { isBytes, toBytes } from "../bytes.ts";
import { BunFile } from "../file.ts";
import { which } from "../spawn.ts";
import { builtins, condition } from "./builtins.ts";
import { expand, expandToText, NoMatch, type Surroundings } from "./expand.ts";
import type { Word } from "./lexer.ts";
import type { AndOr, Command, Pipeline, Redirect, Script } from "./parser.ts";
import { BrokenPipe, Collected, Memory, nothing, OpenFile, Pipe, type Sink, type Source, sourceOf } from "./streams.ts";

type Variables = Record<string, string | undefined>;

export interface Streams {
  stdin: Source;
  stdout: Sink;
  stderr: Sink;
}

/** One shell: its folder and its variables. A subshell is a copy. */
export class Shell implements Surroundings {
  cwd: string;
  #exported: Variables;
  #own: Variables = {};
  #stderr: Sink;

  constructor(cwd: string, environment: Variables, stderr: Sink) {
    this.cwd = cwd;
    this.#exported = { ...environment };
    this.#stderr = stderr;
  }

  /** Runs a script; returns the exit code of its last command. */
  async run({ statements }: Script, streams: Streams): Promise<number> {
    let code = 0;
    for (const statement of statements) code = await this.#andOr(statement, streams);
    return code;
  }

  variable(name: string): string | undefined {
    if (/^\d$/.test(name)) return process.argv[Number(name)];
    return this.#own[name] ?? this.#exported[name];
  }

  environment(): Record<string, string> {
    const set = Object.entries(this.#exported).filter(([, value]) => value !== undefined);
    return Object.fromEntries(set) as Record<string, string>;
  }

  export(name: string, value?: string): void {
    this.#exported[name] = value ?? this.#own[name] ?? this.#exported[name] ?? "";
    delete this.#own[name];
  }

  change(folder: string): void {
    this.#exported.OLDPWD = this.cwd;
    this.#exported.PWD = folder;
    this.cwd = folder;
  }

  async output(script: Script): Promise<string> {
    const stdout = new Collected();
    await this.#copy().run(script, { stdin: nothing, stdout, stderr: this.#stderr });
    return stdout.bytes.toString().replace(/\n+$/, "");
  }

  #copy(): Shell {
    const copy = new Shell(this.cwd, this.#exported, this.#stderr);
    copy.#own = { ...this.#own };
    return copy;
  }

  async #andOr({ first, rest }: AndOr, streams: Streams): Promise<number> {
    let code = await this.#pipeline(first, streams);
    for (const { operator, pipeline } of rest) {
      if ((operator === "&&") === (code === 0)) code = await this.#pipeline(pipeline, streams);
    }
    return code;
  }

  async #pipeline({ negated, commands }: Pipeline, streams: Streams): Promise<number> {
    let code: number;
    if (commands.length === 1) {
      code = await this.#command(commands[0], streams);
    } else {
      const pipes = commands.slice(1).map(() => new Pipe());
      const codes = await Promise.all(
        commands.map(async (command, index) => {
          const stdin = pipes[index - 1] ?? streams.stdin;
          const stdout = pipes[index] ?? streams.stdout;
          try {
            return await this.#copy().#command(command, { ...streams, stdin, stdout });
          } finally {
            pipes[index]?.end();
            pipes[index - 1]?.cancel();
          }
        }),
      );
      code = codes[codes.length - 1];
    }
    return negated ? Number(code === 0) : code;
  }

  async #command(command: Command, given: Streams): Promise<number> {
    const opened: OpenFile[] = [];
    try {
      const streams = await this.#redirected(command.redirects, given, opened);
      switch (command.kind) {
        case "subshell":
          return await this.#copy().run(command.script, streams);
        case "if":
          for (const { condition, body } of command.branches) {
            if ((await this.run(condition, streams)) === 0) return await this.run(body, streams);
          }
          return command.otherwise ? await this.run(command.otherwise, streams) : 0;
        case "condition": {
          const words = await Promise.all(command.words.map((word) => expandToText(word, this)));
          return condition(words, this.cwd) ? 0 : 1;
        }
        case "simple":
          return await this.#simple(command, streams);
      }
    } catch (error) {
      const complaint = complaintOf(error);
      if (complaint === undefined) throw error;
      await given.stderr.write(Buffer.from(complaint));
      return 1;
    } finally {
      for (const file of opened) file.close();
    }
  }

  async #simple({ assignments, words }: Command & { kind: "simple" }, streams: Streams): Promise<number> {
    const values: [string, string][] = [];
    for (const { name, value } of assignments) values.push([name, await expandToText(value, this)]);
    const expanded: string[] = [];
    for (const word of words) expanded.push(...(await expand(word, this)));
    const [name, ...rest] = expanded;
    if (name === undefined) {
      for (const [variable, value] of values) {
        // An exported variable stays exported.
        if (this.#exported[variable] !== undefined) this.#exported[variable] = value;
        else this.#own[variable] = value;
      }
      return 0;
    }
    if (Object.hasOwn(builtins, name)) {
      return await builtins[name](this, rest, streams);
    }
    const environment = { ...this.environment(), ...Object.fromEntries(values) };
    const file = which(name, { PATH: environment.PATH, cwd: this.cwd });
    if (file === null) {
      await streams.stderr.write(Buffer.from(`bun: command not found: ${name}\n`));
      return 1;
    }
    return await runChild(file, rest, this.cwd, environment, streams);
  }

  async #redirected(redirects: Redirect[], given: Streams, opened: OpenFile[]): Promise<Streams> {
    const streams = { ...given };
    for (const redirect of redirects) {
      if (redirect.kind === "duplicate") {
        const of = redirect.of === 1 ? streams.stdout : streams.stderr;
        if (redirect.stream === 1) streams.stdout = of;
        else streams.stderr = of;
        continue;
      }
      const { stream, append, target } = redirect;
      if (stream === 0) {
        streams.stdin = await this.#source(target, opened);
        continue;
      }
      const sink = await this.#sink(target, append, opened);
      if (stream !== 2) streams.stdout = sink;
      if (stream !== 1) streams.stderr = sink;
    }
    return streams;
  }

  async #source(target: Word, opened: OpenFile[]): Promise<Source> {
    const object = objectOf(target);
    if (isBytes(object)) return sourceOf([toBytes(object)]);
    if (object instanceof ReadableStream) return sourceOf(object as any);
    if (object instanceof Response) return sourceOf((object.body ?? []) as any);
    if (object instanceof Blob && !(object instanceof BunFile)) return sourceOf(object.stream() as any);
    const place = object instanceof BunFile ? object.place : await expandToText(target, this);
    return this.#open(place, "r", opened);
  }

  async #sink(target: Word, append: boolean, opened: OpenFile[]): Promise<Sink> {
    const object = objectOf(target);
    if (isBytes(object)) return new Memory(object);
    if (object && !(object instanceof BunFile)) {
      throw new Error("output can go to a path, Bun.file(path) or a buffer, not to a response, blob or stream");
    }
    const place = object instanceof BunFile ? object.place : await expandToText(target, this);
    return this.#open(place, append ? "a" : "w", opened);
  }

  #open(place: string | number, flags: string, opened: OpenFile[]): OpenFile {
    if (typeof place === "number") return new OpenFile(place);
    try {
      const file = new OpenFile(fs.openSync(resolve(this.cwd, place), flags));
      opened.push(file);
      return file;
    } catch (error) {
      throw new CannotOpen(place, error as NodeJS.ErrnoException);
    }
  }
}

class CannotOpen extends Error {
  constructor(place: string, { code, message }: NodeJS.ErrnoException) {
    const texts: Record<string, string> = {
      ENOENT: "No such file or directory",
      EACCES: "Permission denied",
      EISDIR: "Is a directory",
    };
    super(`${texts[code ?? ""] ?? message}: ${place}`);
  }
}

/** The message of an error after which a shell goes on; nothing for an error that is not the script's. */
function complaintOf(error: unknown): string | undefined {
  if (error instanceof BrokenPipe) return "";
  if (error instanceof CannotOpen) return `bun: ${error.message}`;
  if (error instanceof NoMatch) return `bun: ${error.message}\n`;
}

function objectOf(word: Word): object | undefined {
  return word.length === 1 && word[0].kind === "object" ? word[0].value : undefined;
}

async function runChild(
  file: string,
  rest: string[],
  cwd: string,
  env: Record<string, string>,
  { stdin, stdout, stderr }: Streams,
): Promise<number> {
  // Two pipes could not keep the order of what goes to the same place; the system can.
  const joined = stdout === stderr && stdout.fd === undefined && stdout !== nothing;
  const [command, words] = joined ? ["/bin/sh", ["-c", 'exec "$0" "$@" 2>&1', file, ...rest]] : [file, rest];
  const child = children.spawn(command as string, words as string[], {
    cwd,
    env,
    stdio: [stdin === nothing ? "ignore" : (stdin.fd ?? "pipe"), stdout.fd ?? "pipe", stderr.fd ?? "pipe"],
  });
  const ended = new Promise<number>((done, fail) => {
    child.once("error", fail);
    child.once("exit", (code, signal) => {
      done(code ?? 128 + (signal ? constants.signals[signal] : 0));
    });
  });
  // Whoever ends has read enough.
  if (child.stdin) pump(stdin, child.stdin).catch(() => {});
  const outputs = [child.stdout && drain(child.stdout, stdout), child.stderr && !joined && drain(child.stderr, stderr)];
  const [code] = await Promise.all([ended, ...outputs]);
  return code;
}

/** Gives a child its input, as long as it reads. */
async function pump(source: Source, stdin: NodeJS.WritableStream): Promise<void> {
  const closed = new Promise<void>((done) => {
    stdin.once("close", () => done()).once("error", () => done());
  });
  for await (const chunk of source) {
    if (!stdin.writable) break;
    if (!stdin.write(chunk)) await Promise.race([closed, new Promise<void>((on) => stdin.once("drain", on))]);
  }
  stdin.end();
}

/** Passes a child's output on; when nobody wants it any more, the child is to notice. */
async function drain(stream: NodeJS.ReadableStream & { destroy(): void }, sink: Sink): Promise<void> {
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) await sink.write(chunk);
  } catch (error) {
    if (!(error instanceof BrokenPipe)) throw error;
    stream.destroy();
  }
}
