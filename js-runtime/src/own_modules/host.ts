// Reports to the host the output and the children of user code, with the call that they belong to: lines of the
// console and of the standard streams, uncaught errors, child processes; and the files that it requires, so that every
// isolate of a generation finds the same.

import { AsyncLocalStorage, AsyncResource } from "node:async_hooks";
import { ChildProcess } from "node:child_process";
import { tracingChannel } from "node:diagnostics_channel";
import type { EventEmitter } from "node:events";
import { existsSync } from "node:fs";
import Module from "node:module";
import { constants } from "node:os";
import { delimiter, isAbsolute, join } from "node:path";
import process from "node:process";
import { format } from "node:util";

/** The call that code runs for, wherever it was awaited. */
export interface Call {
  function: string | null;
  run: string | null;
  step: string | null;
  /** True for a call of the host's own, whose lines are logged as details: the host logs the outcome itself. */
  quiet?: boolean;
}

/** The functions of the host for this module. The names of a call are empty where there is none. */
interface Host {
  log(level: string, text: string, ...call: [fn: string, run: string, step: string]): void;
  write(stream: string, bytes: Uint8Array, ...call: [fn: string, run: string, step: string]): void;
  /** A child leads a process group, which is to end with the isolate. */
  groupBegun(leader: number): void;
  /** The leader has ended. */
  groupLeft(leader: number): void;
  /** Keeps the file that a `require` in a file has found, or returns the kept one. */
  remember(request: string, from: string, found?: string): string | undefined;
  /** User code starts a child process. */
  act(): void;
  /** A module has come to one of its top-level awaits, or to its end. */
  mark(url: string, number: number): void;
  /** The functions of built-in modules that are the host's. */
  nativesOf(name: string): object;
  /** The isolate's own standard output and error, by the numbers of the process's. */
  descriptors: { [fd: number]: number };
  /** The folder of this isolate's sockets; there is one for an entry file. */
  sockets?: string;
  /** Something goes on for a call, beside its answer; its generation stays until it is released. */
  hold(call: number): void;
  release(call: number): void;
  /** True when the caller of a call that still has work is gone. */
  isHungUp(call: number): boolean;
}

type Function = (this: unknown, ...values: unknown[]) => unknown;

const LEVELS = { debug: "debug", log: "info", info: "info", warn: "warn", error: "error", trace: "error" } as const;

export let host: Host;

// Replaces the variable below `AsyncLocalStorage`. Deno keeps the values in a WeakMap, which V8 collects with the old
// generation only: all that a call has made would outlive it and be copied twice. Here they are in the
// context itself: variables and values in turn.
const internals = (Deno as any)[(Deno as any).internal];
const { core } = internals;
const { AsyncVariable, getAsyncContext, setAsyncContext, kNoAsyncContextRestore } = core;
AsyncVariable.prototype.enter = function (value: unknown) {
  const previous: unknown[] | undefined = getAsyncContext();
  const next = previous?.slice() ?? [];
  const at = next.indexOf(this);
  if (at < 0) next.push(this, value);
  else next[at + 1] = value;
  setAsyncContext(next);
  return previous;
};
AsyncVariable.prototype.enterIfActive = function (value: unknown) {
  return getAsyncContext() ? this.enter(value) : kNoAsyncContextRestore;
};
AsyncVariable.prototype.get = function () {
  const context: unknown[] | undefined = getAsyncContext();
  const at = context?.indexOf(this) ?? -1;
  return at < 0 ? undefined : context![at + 1];
};

const current = new AsyncLocalStorage<Call | undefined>();
/** The last error that Deno hears of after its call was left. */
let thrown: { error: unknown; call: Call | undefined } | undefined;

/** Gives this module the host. */
export function connect(to: Host): void {
  host = to;
}

// The function that modules of the project call around an await at their top (`source/marks.rs`).
Object.defineProperty(globalThis, Symbol.for("baton:mark"), {
  value: (url: string, number: number, value: unknown) => {
    host.mark(url, number);
    return value;
  },
});

/** Runs a function for a call, and all that it starts. */
export function runFor<T>(call: Call | undefined, run: () => T): T {
  return current.run(call, run);
}

function names(): [string, string, string] {
  const call = current.getStore();
  return [call?.function ?? "", call?.run ?? "", call?.step ?? ""];
}

function say(level: string, ...values: unknown[]) {
  host.log(current.getStore()?.quiet ? "debug" : level, format(...values), ...names());
}

for (const [method, level] of Object.entries(LEVELS)) {
  console[method as keyof typeof LEVELS] = (...values: unknown[]) => say(level, ...values);
}

// The streams of `process.stdout` and `process.stderr`.
for (const name of ["stdout", "stderr"] as const) {
  Deno[name].writeSync = (bytes: Uint8Array) => {
    host.write(name, bytes, ...names());
    return bytes.length;
  };
  Deno[name].write = async (bytes: Uint8Array) => Deno[name].writeSync(bytes);
}

// A stray error belongs to the code that left it behind, not to the calls beside it: the listeners of user code hear
// it in that call. It becomes a line of the log unless one of them takes it, and ends nothing.
const { reportError } = globalThis;
core.setReportExceptionCallback((error: unknown) => runFor(callBehind(error), () => reportError(error)));
globalThis.addEventListener("error", (event: ErrorEvent) => {
  // Else Deno, which looks once all listeners were called, ends what runs. They themselves are not told of it.
  event.preventDefault();
  let isTaken = false;
  Object.defineProperties(event, {
    preventDefault: { value: () => void (isTaken = true) },
    defaultPrevented: { get: () => isTaken || event.eventPhase === Event.NONE },
  });
  const call = callBehind(event.error);
  queueMicrotask(() => {
    if (!isTaken) runFor(call, () => say("error", "Uncaught error:", event.error ?? event.message));
  });
});

// Deno ends the isolate for what the listeners of Node's process throw in turn.
const emitUncaughtException = (process as any)._fatalException as Function;
(process as any)._fatalException = function (...values: unknown[]) {
  try {
    return Reflect.apply(emitUncaughtException, this, values);
  } catch (error) {
    say("error", "Uncaught error:", error);
    return false;
  }
};

/** The call that left an error behind. */
function callBehind(error: unknown): Call | undefined {
  const call = thrown && thrown.error === error ? thrown.call : current.getStore();
  thrown = undefined;
  return call;
}

// Deno calls these two after the listeners of `globalThis`, and assigns the part that emits the events of Node's
// process while those have listeners.
let emitUnhandledRejection: ((event: PromiseRejectionEvent) => void) | undefined;
Object.defineProperty(internals, "nodeProcessUnhandledRejectionCallback", {
  get: () => (event: PromiseRejectionEvent) => {
    try {
      emitUnhandledRejection?.(event);
    } catch (error) {
      reportError(error);
    }
    if (event.defaultPrevented) return;
    event.preventDefault();
    say("error", "Unhandled rejection:", event.reason);
  },
  set: (emit) => (emitUnhandledRejection = emit),
});
// Node's listeners get the promise alone, Deno's the reason before it.
Object.defineProperty(internals, "nodeProcessRejectionHandledCallback", {
  get: () => (event: PromiseRejectionEvent) => {
    try {
      process.emit("rejectionHandled", event.promise);
    } catch (error) {
      reportError(error);
    }
  },
  set() {},
});

// Signals are the host's. The handlers of user code hear that the isolate is to end, and what user code sends to itself.
const handlers = new Map<string, Set<() => unknown>>();
Deno.addSignalListener = (signal, handler) => {
  if (typeof handler !== "function") {
    throw new TypeError(`Signal listener must be a function. "${typeof handler}" is given.`);
  }
  const known = handlers.get(signal) ?? new Set();
  handlers.set(signal, known.add(handler));
};
Deno.removeSignalListener = (signal, handler) => void handlers.get(signal)?.delete(handler);

/** Calls the handlers of a signal for no call; returns what they return, or nothing where there are none. */
export function raise(signal: string): unknown[] | undefined {
  const known = [...(handlers.get(signal) ?? [])];
  if (known.length === 0) return undefined;
  const call = (handler: () => unknown) => {
    try {
      return handler();
    } catch (error) {
      reportError(error);
    }
  };
  return runFor(undefined, () => known.map(call));
}

const { kill } = Deno;
const nameOf = (signal: string | number) => Object.entries(constants.signals).find(([, number]) => number === signal)?.[0];
/** Has a signal to itself reach its handlers, at the next turn of the event loop. False where it has none. */
function reachesHandlers(pid: number, signal: string | number = "SIGTERM"): boolean {
  const name = typeof signal === "number" ? nameOf(signal) : signal;
  if (pid !== process.pid || !name || !handlers.get(name)?.size) return false;
  setImmediate(() => raise(name));
  return true;
}
Deno.kill = (pid, signal) => {
  if (!reachesHandlers(pid, signal)) kill(pid, signal);
};
const killOfNode = (process as any)._kill as (pid: number, signal: number) => number;
(process as any)._kill = (pid: number, signal: number) => (reachesHandlers(pid, signal) ? 0 : killOfNode(pid, signal));

/** The same function, whose errors are known as the current call's. */
function owned(run: Function): Function {
  const call = current.getStore();
  return function (...values) {
    try {
      return Reflect.apply(run, this, values);
    } catch (error) {
      thrown = { error, call };
      throw error;
    }
  };
}

// Timers leave their call before Deno reports what they threw.
const timeout = setTimeout(() => {});
const immediate = setImmediate(() => {});
changeFirst(Object.getPrototypeOf(timeout), "_onTimeout", owned);
changeFirst(Object.getPrototypeOf(immediate), "_onImmediate", owned);
clearTimeout(timeout);
clearImmediate(immediate);

// Children end with the isolate, but a shell's own children would not: it leads a process group that
// the host knows of, unless it is to live on. What children inherit is the isolate's.
tracingChannel("child_process.spawn").subscribe({
  start({ process: child, options }: { process: ChildProcess; options: any }) {
    if (Array.isArray(options.stdio)) {
      options.stdio = options.stdio.map((stream: any) => host.descriptors[stream] ?? stream);
    }
    if (options.detached || !isShell(options)) return;
    options.detached = true;
    changeFirst(child, "pid", (pid: number) => {
      host.groupBegun(pid);
      child.once("exit", () => host.groupLeft(pid));
      return pid;
    });
  },
  // Deno calls the listeners of their streams for no call.
  end({ process: child }: { process: ChildProcess }) {
    for (const stream of child.stdio as (EventEmitter | null)[]) {
      if (stream) stream.emit = owned(AsyncResource.bind(stream.emit)) as typeof stream.emit;
    }
  },
} as any);

// Deno's audit is told of no child process. `node:child_process` asks for the path of the runtime before it starts one,
// which is the only part of `spawnSync` that can be seen from here; a test of what is evaluated ahead relies on it.
const { Command, execPath } = Deno as any;
(Deno as any).execPath = () => {
  host.act();
  return execPath();
};
for (const method of ["output", "outputSync", "spawn"]) changeMethod(Command.prototype, method);
changeMethod(ChildProcess.prototype, "spawn");

function changeMethod(owner: any, method: string) {
  const start = owner[method];
  owner[method] = function (this: unknown, ...values: unknown[]) {
    host.act();
    return Reflect.apply(start, this, values);
  };
}

// Deno asks the host for each variable, and again for the list of them, where programs (the SDK at
// each call) copy them all. They are read from an object that every write goes to as well.
const { env } = Deno;
const { set: setVariable, delete: deleteVariable } = env;
const writes = process.env;
const variables = env.toObject();
env.set = (name: string, value: string) => {
  setVariable(name, value);
  variables[name] = String(value);
};
env.delete = (name: string) => {
  deleteVariable(name);
  delete variables[name];
};
process.env = new Proxy(variables, {
  set: (_, name, value) => Reflect.set(writes, name, value),
  defineProperty: (_, name, attributes) => Reflect.defineProperty(writes, name, attributes),
  deleteProperty: (_, name) => Reflect.deleteProperty(writes, name),
});
const { loadEnvFile } = process;
process.loadEnvFile = (path?: string | URL) => {
  loadEnvFile(path);
  Object.assign(variables, env.toObject());
};

// An `import` asks the host anyway.
const find = Module._resolveFilename;
Module._resolveFilename = (request: string, parent?: { filename?: string }, isMain?: boolean, options?: object) => {
  const from = options ? undefined : parent?.filename;
  const known = from && host.remember(request, from);
  if (known) return known;
  const found = find(request, parent, isMain, options);
  return from && isAbsolute(found) ? host.remember(request, from, found) : found;
};

/** The functions of the host for the built-in modules of this name. */
export function nativesOf(name: string): object {
  return host.nativesOf(name);
}

// An addon that is made with Node-API finds it in this binary; one that is made for Node's own V8 does not.
const extensions = (Module as any)._extensions;
extensions[".node"] = explained(extensions[".node"]);
process.dlopen = explained(process.dlopen as Function) as typeof process.dlopen;

function explained(open: Function): Function {
  return function (...values) {
    try {
      return Reflect.apply(open, this, values);
    } catch (error) {
      if (!/symbol.*(_ZN2v8|_ZN4node|node_module_register)/.test(String(error))) throw error;
      const message =
        `cannot load the addon ${values[1]}: it needs the V8 of Node, which is not here. ` +
        "Use an addon with Node-API: a newer version of the package may be one. For SQLite use node:sqlite.";
      throw new Error(message, { cause: error });
    }
  };
}

// A child process that runs JavaScript runs Node where there is one: this binary cannot.
const node = pathOf("node");
if (node) process.execPath = node;

// `fork` runs Node too, and fails with a message where there is none. `cluster.fork` names this binary as the program.
const spawn = (ChildProcess.prototype as any).spawn;
(ChildProcess.prototype as any).spawn = function (options: any) {
  const forks = options?.file === Deno.execPath() && options.stdio?.includes?.("ipc");
  const spawned = Reflect.apply(spawn, this, [forks ? { ...options, ...nodeOf(options.args) } : options]);
  if (this.send) this.send = withoutHandle(this.send);
  return spawned;
};

/** Refuses servers and sockets, which a child would never get. */
function withoutHandle(send: Function) {
  return function (this: unknown, message: unknown, handle: unknown, ...rest: unknown[]) {
    if (typeof handle === "object" && handle !== null) {
      const error = new TypeError(
        "a server or a socket cannot be sent to another process from here: it belongs to the isolate. Have the child listen itself.",
      );
      throw Object.assign(error, { code: "ERR_INVALID_HANDLE_TYPE" });
    }
    return Reflect.apply(send, this, [message, handle, ...rest]);
  };
}

function nodeOf([, ...args]: string[]) {
  if (node && !args.includes(Deno.execPath())) return { file: node, args: [node, ...args] };
  const reason = node
    ? "Baton has no node:cluster: it runs a project in as many isolates as `--isolates` says."
    : "child_process.fork needs Node.js: there is no `node` on the PATH. Install it, or use worker threads, which need none.";
  return { file: "/bin/sh", args: ["sh", "-c", 'echo "$0" >&2; exit 1', reason] };
}

function pathOf(program: string): string | undefined {
  for (const folder of process.env.PATH?.split(delimiter) ?? []) {
    const path = join(folder, program);
    if (isAbsolute(path) && existsSync(path)) return path;
  }
}

function isShell({ shell, file }: { shell?: boolean | string; file: string }): boolean {
  return Boolean(shell) || /(^|\/)(ba|da|z)?sh$/.test(file);
}

/** Has the first value that is assigned to a property changed. */
function changeFirst(owner: object, property: string, change: (value: any) => unknown) {
  Object.defineProperty(owner, property, {
    configurable: true,
    get: () => undefined,
    set(value) {
      const changed = change(value);
      Object.defineProperty(this, property, { value: changed, configurable: true, enumerable: true, writable: true });
    },
  });
}
