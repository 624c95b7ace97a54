// `$`: a template is a promise of what its script prints.

import { Buffer } from "node:buffer";
import { statSync } from "node:fs";
import { resolve } from "node:path";
import { arrayBufferOf } from "../bytes.ts";
import { Shell } from "./execute.ts";
import { braces } from "./expand.ts";
import { parse, type Script } from "./parser.ts";
import { Collected, nothing } from "./streams.ts";

type Environment = Record<string, string | undefined>;

/** The output of a script, and its exit code. */
export class ShellOutput {
  readonly stdout: Buffer;
  readonly stderr: Buffer;
  readonly exitCode: number;

  constructor(stdout: Buffer, stderr: Buffer, exitCode: number) {
    this.stdout = stdout;
    this.stderr = stderr;
    this.exitCode = exitCode;
  }

  text(encoding?: BufferEncoding): string {
    return this.stdout.toString(encoding);
  }

  json(): any {
    return JSON.parse(this.stdout.toString());
  }

  arrayBuffer(): ArrayBuffer {
    return arrayBufferOf(this.stdout);
  }

  bytes(): Uint8Array {
    return new Uint8Array(this.arrayBuffer());
  }

  blob(): Blob {
    return new Blob([this.arrayBuffer()]);
  }
}

/** A script ended with another code than 0. */
export class ShellError extends Error {
  #output: ShellOutput;
  readonly exitCode: number;
  readonly stdout: Buffer;
  readonly stderr: Buffer;

  constructor(output: ShellOutput) {
    super(`Failed with exit code ${output.exitCode}`);
    this.name = "ShellError";
    this.#output = output;
    this.exitCode = output.exitCode;
    this.stdout = output.stdout;
    this.stderr = output.stderr;
  }

  text(encoding?: BufferEncoding): string {
    return this.#output.text(encoding);
  }

  json(): any {
    return this.#output.json();
  }

  arrayBuffer(): ArrayBuffer {
    return this.#output.arrayBuffer();
  }

  bytes(): Uint8Array {
    return this.#output.bytes();
  }

  blob(): Blob {
    return this.#output.blob();
  }
}

interface Settings {
  cwd: string | undefined;
  env: Environment | undefined;
  throws: boolean;
}

/** Runs when it is awaited first. */
export class ShellPromise extends Promise<ShellOutput> {
  #script: Script;
  #settings: Settings;
  #quiet = false;
  #started = false;
  #settle: { done: (output: ShellOutput) => void; fail: (error: unknown) => void };

  constructor(script: Script, settings: Settings) {
    let settle: any;
    super((done, fail) => {
      settle = { done, fail };
    });
    this.#settle = settle;
    this.#script = script;
    this.#settings = { ...settings };
  }

  /** Returns an ordinary promise. */
  static override get [Symbol.species]() {
    return Promise;
  }

  cwd(folder: string): this {
    this.#configure("cwd", folder);
    return this;
  }

  env(variables: Environment | undefined): this {
    this.#configure("env", variables);
    return this;
  }

  quiet(quiet = true): this {
    this.#quiet = quiet;
    return this;
  }

  nothrow(): this {
    return this.throws(false);
  }

  throws(throws: boolean): this {
    this.#configure("throws", throws);
    return this;
  }

  run(): this {
    if (!this.#started) {
      this.#started = true;
      this.#run().then(this.#settle.done, this.#settle.fail);
    }
    return this;
  }

  async text(encoding?: BufferEncoding): Promise<string> {
    return (await this.quiet()).text(encoding);
  }

  async json(): Promise<any> {
    return (await this.quiet()).json();
  }

  async *lines(): AsyncGenerator<string> {
    yield* (await this.text()).split(/\r?\n/);
  }

  async arrayBuffer(): Promise<ArrayBuffer> {
    return (await this.quiet()).arrayBuffer();
  }

  async bytes(): Promise<Uint8Array> {
    return (await this.quiet()).bytes();
  }

  async blob(): Promise<Blob> {
    return (await this.quiet()).blob();
  }

  override then<A = ShellOutput, B = never>(
    done?: ((output: ShellOutput) => A | PromiseLike<A>) | null,
    fail?: ((error: any) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    this.run();
    return super.then(done, fail);
  }

  #configure<K extends keyof Settings>(name: K, value: Settings[K]): void {
    if (this.#started) throw new Error("Shell is already running");
    this.#settings[name] = value;
  }

  async #run(): Promise<ShellOutput> {
    const { cwd, env, throws } = this.#settings;
    const folder = resolve(cwd ?? process.cwd());
    if (!statSync(folder, { throwIfNoEntry: false })?.isDirectory()) {
      throw Object.assign(new Error("No such file or directory"), { code: "ENOENT", path: folder });
    }
    const stdout = new Collected(this.#quiet ? undefined : (bytes) => process.stdout.write(bytes));
    const stderr = new Collected(this.#quiet ? undefined : (bytes) => process.stderr.write(bytes));
    const shell = new Shell(folder, env ?? { ...process.env }, stderr);
    const code = await shell.run(this.#script, { stdin: nothing, stdout, stderr });
    const output = new ShellOutput(stdout.bytes, stderr.bytes, code);
    if (code !== 0 && throws) throw new ShellError(output);
    return output;
  }
}

export interface Dollar {
  (strings: TemplateStringsArray, ...values: unknown[]): ShellPromise;
  cwd(folder?: string): Dollar;
  env(variables?: Environment): Dollar;
  nothrow(): Dollar;
  throws(throws: boolean): Dollar;
  escape(text: string): string;
  braces(pattern: string): string[];
  Shell: new () => Dollar;
  ShellPromise: typeof ShellPromise;
  ShellError: typeof ShellError;
}

/** A `$` with defaults of its own. */
export function createShell(): Dollar {
  const settings: Settings = { cwd: undefined, env: undefined, throws: true };
  const $ = ((strings: TemplateStringsArray, ...values: unknown[]) => {
    if (!Array.isArray(strings) || !Array.isArray(strings.raw)) {
      throw new Error("Please use '$' as a tagged template function: $`cmd arg1 arg2`");
    }
    return new ShellPromise(parse(strings.raw, values), settings);
  }) as Dollar;
  const configure = (change: Partial<Settings>) => {
    Object.assign(settings, change);
    return $;
  };
  return Object.assign($, {
    cwd: (folder?: string) => configure({ cwd: folder }),
    env: (variables?: Environment) => configure({ env: variables }),
    nothrow: () => configure({ throws: false }),
    throws: (throws: boolean) => configure({ throws }),
    escape,
    braces: (pattern: string) =>
      braces([{ kind: "text", text: pattern, quoted: false }]).map((word) =>
        word.map((part) => (part.kind === "text" ? part.text : "")).join(""),
      ),
    Shell: createShell as unknown as new () => Dollar,
    ShellPromise,
    ShellError,
  });
}

/** A text as one word of a script. */
function escape(text: string): string {
  const value = String(text);
  if (value !== "" && !/[\s$'"`\\*~={}()[\]<>;|&#!?^]/.test(value)) return value;
  return `"${value.replace(/[$"`\\]/g, "\\$&")}"`;
}
