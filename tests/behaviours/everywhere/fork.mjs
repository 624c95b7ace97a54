// `child_process.fork`: its options, and the messages on its channel.

import { fork } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const CHILD = `
process.on("message", async (message) => {
  if (message.ask === "echo") process.send(message.value);
  if (message.ask === "kinds") process.send(Object.entries(message.value).map(([name, value]) => [name, Object.prototype.toString.call(value)]));
  if (message.ask === "self") process.send({ execArgv: process.execArgv, argv: process.argv.slice(2), own: process.env.OWN ?? null, path: "PATH" in process.env, cwd: process.cwd(), connected: process.connected, title: typeof process.channel });
  if (message.ask === "say") { console.log("said"); console.error("complained"); process.send("done"); }
  if (message.ask === "exit") process.exit(message.code);
  if (message.ask === "disconnect") process.disconnect();
});
`;

/** Forks the script and gives what `act` does with it; it is gone then. */
async function forked(folder, options, act, args = []) {
  const file = join(folder, "child.cjs");
  writeFileSync(file, CHILD);
  const child = fork(file, args, options);
  const ended = new Promise((resolve) => child.once("exit", (code, signal) => resolve([code, signal])));
  try {
    return await act(child, ended);
  } finally {
    child.kill("SIGKILL");
    await ended;
  }
}

const answer = (child, message) =>
  new Promise((resolve, reject) => {
    child.once("message", resolve).once("error", reject);
    child.send(message);
  });

const RICH = () => ({ map: new Map([[1, { a: 2n }]]), set: new Set(["x"]), date: new Date(0), bytes: new Uint8Array([1, 2]), big: 3n, missing: undefined, pattern: /x/g, error: new RangeError("far") });

export default {
  "a message there and back": (folder) => forked(folder, {}, (child) => answer(child, { ask: "echo", value: { a: [1, null, "ü"] } })),
  "a message: values as JSON": (folder) =>
    forked(folder, {}, (child) => answer(child, { ask: "echo", value: { date: new Date(0), map: new Map([[1, 2]]), missing: undefined, nan: NaN } })),
  "a message: large": (folder) =>
    forked(folder, {}, async (child) => (await answer(child, { ask: "echo", value: "ü".repeat(500_000) })).length),
  "messages keep their order": (folder) =>
    forked(folder, {}, async (child) => {
      const seen = [];
      const all = new Promise((resolve) => child.on("message", (value) => seen.push(value) === 100 && resolve()));
      for (let n = 0; n < 100; n += 1) child.send({ ask: "echo", value: n });
      await all;
      return seen.every((value, at) => value === at);
    }),
  "advanced: kinds of values": (folder) =>
    forked(folder, { serialization: "advanced" }, (child) => answer(child, { ask: "kinds", value: RICH() })),
  "advanced: there and back": (folder) =>
    forked(folder, { serialization: "advanced" }, (child) => answer(child, { ask: "echo", value: RICH() })),
  "advanced: circles": (folder) =>
    forked(folder, { serialization: "advanced" }, async (child) => {
      const value = { name: "it" };
      value.self = value;
      const back = await answer(child, { ask: "echo", value });
      return back.self === back && back.name;
    }),
  "advanced: large": (folder) =>
    forked(folder, { serialization: "advanced" }, async (child) => (await answer(child, { ask: "echo", value: new Uint8Array(300_000).fill(7) })).reduce((sum, byte) => sum + byte, 0)),
  "arguments, env, cwd, execArgv": (folder) => {
    mkdirSync(join(folder, "inner"), { recursive: true });
    const options = { env: { OWN: "1" }, cwd: join(folder, "inner"), execArgv: ["--no-warnings"] };
    return forked(folder, options, (child) => answer(child, { ask: "self" }), ["one", "two words"]);
  },
  "env: inherited": (folder) => forked(folder, {}, async (child) => (await answer(child, { ask: "self" })).path),
  "silent: its output": (folder) =>
    forked(folder, { silent: true }, async (child) => {
      const said = { out: "", err: "" };
      child.stdout.setEncoding("utf8").on("data", (text) => (said.out += text));
      child.stderr.setEncoding("utf8").on("data", (text) => (said.err += text));
      await answer(child, { ask: "say" });
      const closed = new Promise((resolve) => child.once("close", resolve));
      child.send({ ask: "exit", code: 0 });
      await closed;
      return said;
    }),
  "stdio: pipes beside the channel": (folder) =>
    forked(folder, { stdio: ["ignore", "pipe", "ignore", "ipc"] }, async (child) => {
      let said = "";
      child.stdout.on("data", (text) => (said += text));
      await answer(child, { ask: "say" });
      const closed = new Promise((resolve) => child.once("close", resolve));
      child.send({ ask: "exit", code: 0 });
      await closed;
      return [said, child.stderr];
    }),
  "stdio: without a channel": (folder) => {
    try {
      return fork(join(folder, "child.cjs"), { stdio: ["ignore", "ignore", "ignore"] }).pid;
    } catch (error) {
      return error.code;
    }
  },
  "an exit code": (folder) =>
    forked(folder, {}, async (child, ended) => {
      child.send({ ask: "exit", code: 7 });
      return ended;
    }),
  "a signal: kill": (folder) =>
    forked(folder, {}, async (child, ended) => {
      await answer(child, { ask: "echo", value: 1 });
      return [child.kill(), await ended, child.killed, child.signalCode];
    }),
  "a signal: aborted": (folder) => {
    const controller = new AbortController();
    return forked(folder, { signal: controller.signal }, async (child, ended) => {
      const failed = new Promise((resolve) => child.once("error", (error) => resolve(error.name)));
      await answer(child, { ask: "echo", value: 1 });
      controller.abort();
      return [await failed, (await ended)[1]];
    });
  },
  "a signal: timeout and killSignal": (folder) =>
    forked(folder, { timeout: 300, killSignal: "SIGINT" }, async (_, ended) => ended),
  "disconnected: by the parent": (folder) =>
    forked(folder, {}, async (child, ended) => {
      await answer(child, { ask: "echo", value: 1 });
      const told = new Promise((resolve) => child.once("disconnect", () => resolve("disconnect")));
      child.disconnect();
      return [await told, child.connected, await ended];
    }),
  "disconnected: by the child": (folder) =>
    forked(folder, {}, async (child) => {
      const told = new Promise((resolve) => child.once("disconnect", () => resolve("disconnect")));
      child.send({ ask: "disconnect" });
      await told;
      return child.connected;
    }),
  "disconnected: a message after that": (folder) =>
    forked(folder, {}, async (child) => {
      child.disconnect();
      return new Promise((resolve) => child.send({ ask: "echo" }, (error) => resolve(error?.code)));
    }),
  "a message: a callback once it is sent": (folder) =>
    forked(folder, {}, (child) => new Promise((resolve) => child.send({ ask: "echo", value: 1 }, (error) => resolve(error)))),
  "a missing module": (folder) => {
    const child = fork(join(folder, "missing.cjs"), { silent: true });
    return new Promise((resolve) => child.once("exit", (code) => resolve(code)));
  },
  "detached: a group of its own": (folder) =>
    forked(folder, { detached: true }, async (child, ended) => {
      await answer(child, { ask: "echo", value: 1 });
      process.kill(-child.pid, "SIGKILL");
      return ended;
    }),
  "arguments that fork refuses": (folder) =>
    [() => fork(1), () => fork(join(folder, "x"), "no list"), () => fork(join(folder, "x"), { serialization: "other" })].map((act) => {
      try {
        return act().kill();
      } catch (error) {
        return error.code;
      }
    }),
};
