// The process `baton test-session`, and the lines that are exchanged with it.
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";

import { findBinary } from "../lib/binary.js";
import { Run } from "./run.js";

/** The functions' lines and failures of the host; each is a line of JSON on standard error. */
const LOG = "warn,notify=error,host::generation::keeper::loads=error,user=debug,test_session=info";
/** Lines of the log that explain an end of the process. */
const MOST_LINES = 40;

export class Session {
  #child;
  #ready;
  #runs = new Map();
  #advances = new Map();
  #last = 0;
  #busy = 0;
  #stderr = [];
  #over;
  #isReady = false;
  #dead;

  constructor({ path, cwd = process.cwd(), env = {}, envFile } = {}) {
    const args = ["test-session", ...(envFile ? ["--env-file", envFile] : []), ...(path ? [path] : [])];
    this.#child = spawn(findBinary(), args, {
      cwd,
      env: { ...process.env, ...env, BATON_LOG: LOG },
      stdio: ["pipe", "pipe", "pipe"],
    });
    this.#ready = new Promise((resolve, reject) => {
      this.begun = resolve;
      this.failed = reject;
    });
    // Whoever begins a run is told; a session whose runs nobody waits for fails silently.
    this.#ready.catch(() => {});
    this.#over = new Promise((resolve) => this.#child.once("close", resolve));
    this.#child.once("error", (error) => this.#end(error));
    this.#child.once("close", (code, signal) => this.#end(this.#whyEnded(code, signal)));
    this.#child.stdin.on("error", () => {});
    createInterface({ input: this.#child.stdout }).on("line", (line) => this.#take(JSON.parse(line)));
    createInterface({ input: this.#child.stderr }).on("line", (line) => this.#log(line));
    this.#hold(false);
  }

  /** Tells whether the engine has ended after it had begun: another one can be started. */
  get hasEnded() {
    return this.#isReady && this.#dead !== undefined;
  }

  /** Keeps this process alive while something is awaited, and only then. */
  #hold(held) {
    const method = held ? "ref" : "unref";
    for (const handle of [this.#child, ...this.#child.stdio]) handle?.[method]?.();
  }

  async #during(promise) {
    if (this.#busy++ === 0) this.#hold(true);
    try {
      return await promise;
    } finally {
      if (--this.#busy === 0) this.#hold(false);
    }
  }

  functions() {
    return this.#during(this.#ready);
  }

  begin(target, options) {
    const number = ++this.#last;
    const run = new Run(number, target, options, {
      say: (line) => this.#say({ run: number, ...line }),
      advance: (ms) => this.#advance(number, ms),
    });
    this.#runs.set(number, run);
    run.result = this.#during(
      this.#ready.then(() => {
        if (this.#dead) throw this.#dead;
        this.#say(run.order());
        return run.ended;
      }),
    ).finally(() => this.#runs.delete(number));
    // Whoever awaits the result is told of its failure.
    run.result.catch((error) => run.fail(error));
    return run;
  }

  async close() {
    this.#child.stdin.end();
    await this.#during(this.#over);
  }

  #say(line) {
    this.#child.stdin.write(`${JSON.stringify(line)}\n`);
  }

  async #advance(run, ms) {
    if (this.#dead) throw this.#dead;
    const id = ++this.#last;
    const advanced = new Promise((resolve, reject) => this.#advances.set(id, { resolve, reject }));
    this.#say({ type: "advance", run, ms, id });
    return this.#during(advanced);
  }

  #take(line) {
    switch (line.type) {
      case "ready":
        this.#isReady = true;
        return this.begun(line.functions);
      case "rejected":
        return this.failed(new Error(`the project cannot be loaded\n${line.message}`));
      case "advanced":
        this.#advances.get(line.id)?.resolve();
        return void this.#advances.delete(line.id);
      case "malformed":
        return this.#end(new Error(`the session did not understand a line: ${line.message}`));
      default:
        return this.#runs.get(line.run)?.take(line);
    }
  }

  #log(text) {
    let line;
    try {
      line = JSON.parse(text);
    } catch {
      line = undefined;
    }
    if (line?.target === "test_session") return this.#runs.get(line.ended)?.logged();
    if (line?.target === "user") {
      const run = [...this.#runs.values()].find((run) => run.has(line.run));
      if (run) return run.log(line);
    }
    this.#stderr.push(line?.message ?? text);
    if (this.#stderr.length > MOST_LINES) this.#stderr.shift();
  }

  #whyEnded(code, signal) {
    const lines = this.#stderr.length > 0 ? `:\n${this.#stderr.join("\n")}` : "";
    return new Error(`baton has ended with ${signal ?? `code ${code}`}${lines}`);
  }

  #end(error) {
    this.#dead ??= error;
    this.failed(error);
    for (const run of this.#runs.values()) run.fail(error);
    for (const { reject } of this.#advances.values()) reject(error);
    this.#advances.clear();
  }
}
