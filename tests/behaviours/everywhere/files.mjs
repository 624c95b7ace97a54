// Files and modules.

import fs from "node:fs";
import * as promises from "node:fs/promises";
import module, { createRequire } from "node:module";
import { join } from "node:path";
import readline from "node:readline";
import { Worker, isMainThread } from "node:worker_threads";
import test from "node:assert";

const require = createRequire(import.meta.url);

export default {
  "write, append, read": async (folder) => {
    const file = join(folder, "a");
    await promises.writeFile(file, "one");
    await promises.appendFile(file, " two");
    return [await promises.readFile(file, "utf8"), fs.readFileSync(file), (await promises.stat(file)).size];
  },
  "a missing file": async (folder) =>
    promises
      .readFile(join(folder, "nope"))
      .catch((error) => [error.code, error.errno, error.syscall, error.path, error.message]),
  "a missing file, synchronously": (folder) => {
    try {
      fs.readFileSync(join(folder, "nope"));
    } catch (error) {
      return [error.code, error.syscall, error.message];
    }
  },
  folders: async (folder) => {
    await promises.mkdir(join(folder, "x/y"), { recursive: true });
    await promises.writeFile(join(folder, "x/f"), "");
    const entries = await promises.readdir(join(folder, "x"), { withFileTypes: true });
    const said = entries.map((entry) => [entry.name, entry.isDirectory()]).sort();
    const all = fs.readdirSync(folder, { recursive: true }).sort();
    const refused = await promises.rmdir(join(folder, "x")).catch((error) => error.code);
    await promises.rm(join(folder, "x"), { recursive: true });
    return [said, all.includes(join("x", "y")), refused, fs.existsSync(join(folder, "x"))];
  },
  links: async (folder) => {
    await promises.writeFile(join(folder, "target"), "t");
    await promises.symlink("target", join(folder, "link"));
    return [
      await promises.readlink(join(folder, "link")),
      (await promises.lstat(join(folder, "link"))).isSymbolicLink(),
      await promises.realpath(join(folder, "link")),
      fs.readFileSync(join(folder, "link"), "utf8"),
    ];
  },
  "an open file": async (folder) => {
    const file = await promises.open(join(folder, "h"), "w+");
    await file.write("hello");
    const { bytesRead, buffer } = await file.read(Buffer.alloc(3), 0, 3, 1);
    await file.truncate(2);
    const text = await file.readFile("utf8");
    await file.close();
    return [bytesRead, buffer.toString(), fs.readFileSync(join(folder, "h"), "utf8"), typeof text];
  },
  "exclusive files": (folder) => {
    fs.writeFileSync(join(folder, "e"), "", { flag: "wx" });
    try {
      fs.writeFileSync(join(folder, "e"), "", { flag: "wx" });
    } catch (error) {
      return error.code;
    }
  },
  "modes and times": async (folder) => {
    const file = join(folder, "m");
    fs.writeFileSync(file, "", { mode: 0o600 });
    fs.utimesSync(file, 10, 20);
    const stat = fs.statSync(file);
    fs.chmodSync(file, 0o644);
    return [
      (stat.mode & 0o777).toString(8),
      stat.mtimeMs,
      (fs.statSync(file).mode & 0o777).toString(8),
      fs.statSync(file, { bigint: true }).size,
      await promises.access(file, fs.constants.X_OK).catch((error) => error.code),
    ];
  },
  "copy and rename": async (folder) => {
    fs.writeFileSync(join(folder, "c1"), "copied");
    fs.copyFileSync(join(folder, "c1"), join(folder, "c2"));
    fs.renameSync(join(folder, "c2"), join(folder, "c3"));
    fs.cpSync(join(folder, "c3"), join(folder, "c4"));
    return [fs.readFileSync(join(folder, "c4"), "utf8"), fs.existsSync(join(folder, "c2"))];
  },
  "streams of files": async (folder) => {
    const file = join(folder, "s");
    await new Promise((done) => fs.createWriteStream(file).on("finish", done).end("streamed"));
    let text = "";
    for await (const chunk of fs.createReadStream(file, { encoding: "utf8", start: 2, end: 5 })) text += chunk;
    return text;
  },
  "lines of a file": async (folder) => {
    fs.writeFileSync(join(folder, "l"), "a\nb\r\nc");
    return Array.fromAsync(
      readline.createInterface({ input: fs.createReadStream(join(folder, "l")), crlfDelay: Infinity }),
    );
  },
  "watching a file": async (folder) => {
    const watcher = fs.watch(folder);
    const heard = new Promise((done) => watcher.on("change", (kind, name) => done([typeof kind, name])));
    fs.writeFileSync(join(folder, "watched"), "");
    const said = await heard;
    watcher.close();
    return said;
  },
  "temporary folders": async (folder) => {
    const made = await promises.mkdtemp(join(folder, "t-"));
    return [made.startsWith(join(folder, "t-")), fs.statSync(made).isDirectory()];
  },
  "import.meta": () => [
    import.meta.url.startsWith("file:"),
    import.meta.filename.endsWith("files.mjs"),
    typeof import.meta.dirname,
    typeof import.meta.resolve("./x.mjs"),
    import.meta.main,
  ],
  require: (folder) => {
    fs.writeFileSync(
      join(folder, "c.cjs"),
      "exports.a = 1; exports.name = __filename.split('/').pop(); exports.self = module.exports === exports;",
    );
    fs.writeFileSync(join(folder, "d.json"), '{"d":2}');
    return [
      { ...require(join(folder, "c.cjs")) },
      require(join(folder, "d.json")),
      require(join(folder, "c.cjs")) === require(join(folder, "c.cjs")),
      require("fs") === fs,
    ];
  },
  "require of a missing package": () => {
    try {
      require("no-such-package");
    } catch (error) {
      return error.code;
    }
  },
  "require of an ES module": (folder) => {
    fs.writeFileSync(join(folder, "e.mjs"), "export const a = 1; export default 2;");
    const { a, default: other } = require(join(folder, "e.mjs"));
    return [a, other];
  },
  "import of CommonJS": async (folder) => {
    fs.writeFileSync(join(folder, "f.cjs"), "exports.named = 1; exports.other = 2;");
    const { named, default: all } = await import(join(folder, "f.cjs"));
    return [named, { ...all }];
  },
  "import of JSON": async (folder) => {
    fs.writeFileSync(join(folder, "g.json"), '{"g":1}');
    return (await import(join(folder, "g.json"), { with: { type: "json" } })).default;
  },
  "import of a missing file": async () => import("./no-such-file.mjs").catch((error) => [error.name, error.code]),
  "import of a file that throws": async (folder) => {
    fs.writeFileSync(join(folder, "h.mjs"), 'throw new RangeError("while it loads");');
    const first = await import(join(folder, "h.mjs")).catch((error) => error);
    const second = await import(join(folder, "h.mjs")).catch((error) => error);
    return [first.name, first.message, first === second];
  },
  "builtin modules": () => [
    module.isBuiltin("fs"),
    module.isBuiltin("node:test"),
    module.isBuiltin("nope"),
    module.builtinModules.includes("path"),
  ],
  "a worker": async () => {
    if (!isMainThread) return "in a worker";
    const worker = new Worker(
      "const { parentPort, workerData } = require('node:worker_threads'); parentPort.postMessage(workerData * 2);",
      { eval: true, workerData: 21 },
    );
    return new Promise((done) => worker.on("message", done).on("error", (error) => done(error.message)));
  },
  "workers that have ended": async () => {
    if (!isMainThread) return "in a worker";
    const shared = new SharedArrayBuffer(4);
    const ended = [
      "Atomics.add(new Int32Array(workerData), 0, 5)",
      "setTimeout(() => parentPort.postMessage(1), 5)",
      "parentPort.once('message', () => {}); parentPort.unref()",
      "process.exit(3)",
    ].map((code) => {
      const required = "const { parentPort, workerData } = require('node:worker_threads');";
      const worker = new Worker(required + code, { eval: true, workerData: shared });
      return new Promise((done) => worker.on("exit", done));
    });
    return [await Promise.all(ended), new Int32Array(shared)[0]];
  },
  assert: () => {
    try {
      test.deepStrictEqual({ a: 1 }, { a: 2 });
    } catch (error) {
      return [error.name, error.code, error.generatedMessage, error.operator];
    }
  },
};
