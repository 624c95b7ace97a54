// `Bun.spawn` and `Bun.spawnSync`, over node:child_process: a child belongs to the call that started
// it, and ends with the isolate, as any other.

import { Buffer } from "node:buffer";
import * as children from "node:child_process";
import * as fs from "node:fs";
import { constants } from "node:os";
import { delimiter, isAbsolute, resolve } from "node:path";
import { type Bytes, collect, isBytes, type ReadableBytes, toBytes, withReaders } from "./bytes.ts";
import { BunFile } from "./file.ts";

type Input =
  "pipe" | "ignore" | "inherit" | null | undefined | number | Bytes | Blob | Response | Request | ReadableStream;
type Output = "pipe" | "ignore" | "inherit" | null | undefined | number | Bytes | BunFile;

export interface SpawnOptions {
  cmd?: string[];
  cwd?: string;
  env?: Record<string, string | undefined>;
  argv0?: string;
  stdin?: Input;
  stdout?: Output;
  stderr?: Output;
  stdio?: [Input?, Output?, Output?, ...Output[]];
  onExit?(process: Subprocess, code: number | null, signal: string | null, error?: Error): void | Promise<void>;
  ipc?(message: unknown, process: Subprocess): void;
  serialization?: "json" | "advanced";
  detached?: boolean;
  timeout?: number;
  killSignal?: string | number;
  signal?: AbortSignal;
  maxBuffer?: number;
  lazy?: boolean;
  windowsHide?: boolean;
}

/** The file that a command is, as a shell would find it. */
export function which(
  command: string,
  { PATH, cwd = process.cwd() }: { PATH?: string; cwd?: string } = {},
): string | null {
  if (command === "") return null;
  if (command.includes("/")) {
    const path = resolve(cwd, command);
    return isExecutable(path) ? path : null;
  }
  for (const folder of (PATH ?? process.env.PATH ?? "").split(delimiter)) {
    if (folder === "") continue;
    const path = resolve(cwd, folder, command);
    if (isExecutable(path)) return path;
  }
  return null;
}

function isExecutable(path: string): boolean {
  try {
    fs.accessSync(path, fs.constants.X_OK);
    return fs.statSync(path).isFile();
  } catch {
    return false;
  }
}

/** A writer into a child's standard input. */
class InputSink {
  #stream: NodeJS.WritableStream;
  #failed: Error | undefined;

  constructor(stream: NodeJS.WritableStream) {
    this.#stream = stream;
    // A child that reads no further is no fault of who writes.
    stream.on("error", (error: Error) => {
      this.#failed = error;
    });
  }

  write(data: string | Bytes): number {
    const bytes = Buffer.from(toBytes(data));
    if (!this.#failed) this.#stream.write(bytes);
    return bytes.length;
  }

  async flush(): Promise<number> {
    await new Promise<void>((done) => (this.#failed ? done() : this.#stream.write("", () => done())));
    return 0;
  }

  async end(): Promise<number> {
    await new Promise<void>((done) => {
      if (this.#failed) return done();
      this.#stream.once("close", () => done());
      this.#stream.end(() => done());
    });
    return 0;
  }

  ref(): void {}
  unref(): void {}
}

/** A child process that was started. */
export class Subprocess {
  #child: children.ChildProcess;
  #stdin: InputSink | undefined;
  #stdout: ReadableBytes | undefined;
  #stderr: ReadableBytes | undefined;
  readonly exited: Promise<number>;
  exitCode: number | null = null;
  signalCode: string | null = null;

  constructor(child: children.ChildProcess, input: Input, outputs: [Output, Output], options: SpawnOptions) {
    this.#child = child;
    if (child.stdin) {
      if (input === "pipe") this.#stdin = new InputSink(child.stdin);
      else feed(child.stdin, input);
    }
    const overflow = () => this.kill(options.killSignal);
    [this.#stdout, this.#stderr] = [child.stdout, child.stderr].map((stream, index) => {
      if (!stream) return undefined;
      const output = outputs[index];
      if (isBytes(output)) return void fill(toBytes(output), stream);
      return readable(stream, options.maxBuffer, overflow);
    });
    if (options.ipc) child.on("message", (message) => options.ipc?.(message, this));
    const kill = () => this.kill(options.killSignal);
    const timer = options.timeout ? setTimeout(kill, options.timeout) : undefined;
    if (options.signal?.aborted) kill();
    else options.signal?.addEventListener("abort", kill, { once: true });
    this.exited = new Promise((exited) => {
      child.once("exit", (code, signal) => {
        clearTimeout(timer);
        options.signal?.removeEventListener("abort", kill);
        this.exitCode = code;
        this.signalCode = signal;
        exited(code ?? 128 + (signal ? constants.signals[signal] : 0));
        options.onExit?.(this, code, signal);
      });
    });
  }

  get pid(): number {
    return this.#child.pid!;
  }

  get stdin(): InputSink | undefined {
    return this.#stdin;
  }

  get stdout(): ReadableBytes | undefined {
    return this.#stdout;
  }

  get stderr(): ReadableBytes | undefined {
    return this.#stderr;
  }

  get readable(): ReadableBytes | undefined {
    return this.#stdout;
  }

  get stdio(): [null, null, null, ...unknown[]] {
    return [null, null, null];
  }

  get killed(): boolean {
    return this.exitCode !== null || this.signalCode !== null;
  }

  kill(signal: string | number = "SIGTERM"): void {
    if (!this.killed) this.#child.kill(signal as NodeJS.Signals);
  }

  send(message: any): void {
    this.#child.send(message);
  }

  disconnect(): void {
    this.#child.disconnect();
  }

  ref(): void {
    this.#child.ref();
  }

  unref(): void {
    this.#child.unref();
  }

  resourceUsage(): undefined {
    return undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.kill();
    await this.exited;
  }
}

/** Starts a child. Throws when there is no such command. */
export function spawn(command: string[] | (SpawnOptions & { cmd: string[] }), options: SpawnOptions = {}): Subprocess {
  const { file, rest, all } = commandOf(command, options);
  const [input, ...outputs] = streamsOf(all, ["ignore", "pipe", "inherit"]);
  const opened: number[] = [];
  try {
    const stdio: any[] = [inputOf(input as Input, opened)];
    for (const output of outputs) stdio.push(outputOf(output as Output, opened));
    if (all.ipc) stdio.push("ipc");
    const child = children.spawn(file, rest, {
      argv0: all.argv0 ?? commandName(command),
      cwd: all.cwd,
      env: all.env as NodeJS.ProcessEnv,
      detached: all.detached,
      serialization: all.serialization ?? "advanced",
      stdio,
    });
    // The program was looked for before: a later failure is reported by `exited`.
    child.on("error", () => {});
    return new Subprocess(child, input as Input, outputs as [Output, Output], all);
  } finally {
    for (const fd of opened) fs.closeSync(fd);
  }
}

/** Runs a child and waits: this isolate does nothing else meanwhile. */
export function spawnSync(command: string[] | (SpawnOptions & { cmd: string[] }), options: SpawnOptions = {}) {
  const { file, rest, all } = commandOf(command, options);
  const [input, ...outputs] = streamsOf(all, ["ignore", "pipe", "pipe"]);
  const opened: number[] = [];
  const given = isBytes(input) ? toBytes(input as Bytes) : undefined;
  try {
    const stdio: any[] = [given ? "pipe" : inputOf(input as Input, opened)];
    for (const output of outputs) stdio.push(outputOf(output as Output, opened));
    const ended = children.spawnSync(file, rest, {
      argv0: all.argv0 ?? commandName(command),
      cwd: all.cwd,
      env: all.env as NodeJS.ProcessEnv,
      input: given,
      killSignal: all.killSignal as NodeJS.Signals,
      maxBuffer: all.maxBuffer ?? Number.MAX_SAFE_INTEGER,
      timeout: all.timeout,
      stdio,
    });
    const error = ended.error as NodeJS.ErrnoException | undefined;
    return {
      pid: ended.pid,
      stdout: outputs[0] === "pipe" ? (ended.stdout ?? Buffer.alloc(0)) : undefined,
      stderr: outputs[1] === "pipe" ? (ended.stderr ?? Buffer.alloc(0)) : undefined,
      exitCode: ended.status,
      success: ended.status === 0,
      ...(ended.signal && { signalCode: ended.signal }),
      ...(error?.code === "ETIMEDOUT" && { exitedDueToTimeout: true }),
      ...(error?.code === "ENOBUFS" && { exitedDueToMaxBuffer: true }),
    };
  } finally {
    for (const fd of opened) fs.closeSync(fd);
  }
}

function commandName(command: string[] | { cmd: string[] }): string {
  return (Array.isArray(command) ? command : command.cmd)[0];
}

function commandOf(command: string[] | (SpawnOptions & { cmd: string[] }), options: SpawnOptions) {
  const all: SpawnOptions = Array.isArray(command) ? options : { ...command, ...options };
  const words = Array.isArray(command) ? command : command.cmd;
  if (!Array.isArray(words)) throw new TypeError("cmd must be an array");
  if (words.length === 0) throw new TypeError("cmd must not be empty");
  const [name, ...rest] = words.map(String);
  const cwd = all.cwd ?? process.cwd();
  if (all.cwd !== undefined && !fs.existsSync(all.cwd)) throw notFound(name, "No such working directory", all.cwd);
  const file = which(name, { PATH: all.env?.PATH ?? process.env.PATH, cwd });
  if (file === null) {
    const message =
      isAbsolute(name) || name.includes("/")
        ? "no such file or directory, posix_spawn"
        : "Executable not found in $PATH:";
    throw notFound(name, message, `'${name}'`);
  }
  return { file, rest, all };
}

function notFound(name: string, message: string, what: string): Error {
  const text = message.startsWith("Executable") ? `${message} "${name}"` : `ENOENT: ${message} ${what}`;
  return Object.assign(new Error(text), { code: "ENOENT", errno: -2, path: name, syscall: "posix_spawn" });
}

function streamsOf({ stdio, stdin, stdout, stderr }: SpawnOptions, defaults: string[]): unknown[] {
  const given = stdio ?? [stdin, stdout, stderr];
  return defaults.map((otherwise, index) => {
    const stream = given[index];
    return stream === undefined ? otherwise : stream === null ? "ignore" : stream;
  });
}

/** The name in node:child_process. */
function inputOf(input: Input, opened: number[]): string | number {
  if (input === "pipe" || input === "ignore" || input === "inherit" || typeof input === "number") return input;
  if (!(input instanceof BunFile)) return "pipe";
  if (typeof input.place === "number") return input.place;
  opened.push(fs.openSync(input.place, "r"));
  return opened[opened.length - 1];
}

function outputOf(output: Output, opened: number[]): string | number {
  if (output === "pipe" || output === "ignore" || output === "inherit" || typeof output === "number") return output;
  if (!(output instanceof BunFile)) {
    if (isBytes(output)) return "pipe";
    throw new TypeError('stdout and stderr must be "pipe", "inherit", "ignore", Bun.file(path), a buffer or a number');
  }
  if (typeof output.place === "number") return output.place;
  opened.push(fs.openSync(output.place, "w"));
  return opened[opened.length - 1];
}

/** Writes a whole input and ends it. */
async function feed(stdin: NodeJS.WritableStream, input: Input): Promise<void> {
  // A child that reads no further is no fault of who writes.
  stdin.on("error", () => {});
  if (isBytes(input)) return void stdin.end(toBytes(input));
  const source =
    input instanceof ReadableStream ? input : input instanceof Blob ? input.stream() : (input as Response).body;
  for await (const chunk of (source ?? []) as AsyncIterable<Uint8Array>) {
    if (!stdin.writable) break;
    if (!stdin.write(chunk)) await new Promise<void>((on) => stdin.once("drain", on).once("close", on));
  }
  stdin.end();
}

async function fill(target: Buffer, stream: NodeJS.ReadableStream): Promise<void> {
  toBytes(await collect(stream as any)).copy(target);
}

/** A stream of the web, whose memory is the pipe's until somebody reads. */
function readable(stream: NodeJS.ReadableStream, limit: number | undefined, overflow: () => void): ReadableBytes {
  // Otherwise Node throws away, when the child ends, what nobody has begun to read.
  stream.on("readable", () => {});
  const chunks = stream[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  let length = 0;
  const source = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const { done, value } = await chunks.next();
        if (done) return controller.close();
        length += value.length;
        if (limit !== undefined && length > limit) {
          controller.enqueue(new Uint8Array(value.subarray(0, value.length - (length - limit))));
          overflow();
          return controller.close();
        }
        controller.enqueue(new Uint8Array(value));
      },
      async cancel() {
        await chunks.return?.();
      },
    },
    { highWaterMark: 0 },
  );
  return withReaders(source);
}
