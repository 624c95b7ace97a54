// The process, its children, the system.

import * as children from "node:child_process";
import os from "node:os";
import path from "node:path";
import { promisify } from "node:util";

const run = promisify(children.execFile);

export default {
  "process: kinds of its properties": () =>
    [
      "pid",
      "ppid",
      "platform",
      "arch",
      "version",
      "versions",
      "argv",
      "execArgv",
      "execPath",
      "title",
      "env",
      "exitCode",
      "stdout",
      "stderr",
      "stdin",
      "release",
      "config",
      "features",
      "report",
      "arch",
      "debugPort",
    ].map((name) => [name, typeof process[name]]),
  "process: kinds of its functions": () =>
    [
      "cwd",
      "chdir",
      "exit",
      "kill",
      "hrtime",
      "uptime",
      "memoryUsage",
      "cpuUsage",
      "nextTick",
      "emitWarning",
      "on",
      "umask",
      "getuid",
      "resourceUsage",
      "getBuiltinModule",
      "setUncaughtExceptionCaptureCallback",
    ].map((name) => [name, typeof process[name]]),
  "process.hrtime": () => [
    process.hrtime().length,
    typeof process.hrtime.bigint(),
    process.hrtime(process.hrtime())[0],
  ],
  "process.memoryUsage": () => Object.keys(process.memoryUsage()).sort(),
  "process.env: texts, absent and deleted": () => {
    process.env.BATON_BEHAVIOUR = "1";
    const said = [
      process.env.BATON_BEHAVIOUR,
      process.env.BATON_NOPE,
      "BATON_BEHAVIOUR" in process.env,
      delete process.env.BATON_BEHAVIOUR,
    ];
    return [...said, "BATON_BEHAVIOUR" in process.env, Object.keys(process.env).includes("PATH")];
  },
  "process.release and versions": () => [
    process.release.name,
    typeof process.versions.node,
    typeof process.versions.v8,
  ],
  "process.emitWarning": async () =>
    new Promise((heard) => {
      process.once("warning", (warning) => heard([warning.name, warning.message, warning.code]));
      process.emitWarning("careful", { type: "Custom", code: "W1" });
    }),
  "process.stdout": () => [
    typeof process.stdout.write,
    process.stdout.isTTY ?? false,
    process.stdout.fd,
    typeof process.stdout.columns,
  ],
  "process.exitCode": () => {
    process.exitCode = 0;
    const said = process.exitCode;
    process.exitCode = undefined;
    return said;
  },
  "a child: output, errors, code": async (folder) => {
    const child = children.spawn("sh", ["-c", "echo out; echo err >&2; exit 3"], { cwd: folder });
    const said = { out: "", err: "" };
    child.stdout.on("data", (data) => (said.out += data));
    child.stderr.on("data", (data) => (said.err += data));
    return new Promise((done) => child.on("close", (code, signal) => done([said, code, signal])));
  },
  "a child: input": async () => {
    const child = children.spawn("cat");
    let text = "";
    child.stdout.setEncoding("utf8").on("data", (data) => (text += data));
    child.stdin.write("a");
    child.stdin.end("b");
    await new Promise((done) => child.on("close", done));
    return text;
  },
  "a child: promisified": async () => {
    const { stdout, stderr } = await run("sh", ["-c", "echo out; echo err >&2"]);
    return [stdout, stderr];
  },
  "a child: promisified, failing": async () =>
    run("sh", ["-c", "echo out; exit 2"]).catch((error) => [
      error.code,
      error.stdout,
      error.killed,
      error.signal,
      error.cmd,
    ]),
  "a child: a missing program": async () =>
    run("no-such-command-at-all").catch((error) => [error.code, error.syscall, error.path]),
  "a child: a signal": async () => {
    const child = children.spawn("sleep", ["60"]);
    child.kill("SIGTERM");
    return new Promise((done) => child.on("exit", (code, signal) => done([code, signal, child.killed])));
  },
  "a child: a timeout": async () =>
    run("sleep", ["60"], { timeout: 50 }).catch((error) => [error.killed, error.signal, error.code]),
  "a child: too much output": async () =>
    run("head", ["-c", "100000", "/dev/zero"], { maxBuffer: 1000 }).catch((error) => [error.code, error.name]),
  "a child: aborted": async () => {
    const abort = new AbortController();
    const ended = run("sleep", ["60"], { signal: abort.signal }).catch((error) => [error.name, error.code]);
    abort.abort();
    return ended;
  },
  execSync: () => [
    children.execSync("echo $((1+1))", { encoding: "utf8" }),
    children.execFileSync("echo", ["a b"]).toString(),
  ],
  "execSync that fails": () => {
    try {
      children.execSync("echo out; echo err >&2; exit 4", { stdio: "pipe" });
    } catch (error) {
      return [error.status, error.stdout.toString(), error.stderr.toString(), error.signal];
    }
  },
  spawnSync: () => {
    const { status, stdout, stderr, signal, error } = children.spawnSync("sh", ["-c", "cat; echo err >&2"], {
      input: "in",
      encoding: "utf8",
    });
    return [status, stdout, stderr, signal, error];
  },
  "spawnSync of a missing program": () => {
    const { error, status } = children.spawnSync("no-such-command-at-all");
    return [error.code, status];
  },
  "exec in a shell": async () => (await promisify(children.exec)("echo one | tr a-z A-Z")).stdout,
  "a child's environment": async () => (await run("sh", ["-c", "echo $A-$HOME"], { env: { A: "a" } })).stdout,
  os: () => [
    os.EOL,
    os.platform(),
    typeof os.cpus().length,
    os.hostname().length > 0,
    os.tmpdir().startsWith("/"),
    os.type(),
    os.endianness(),
    typeof os.totalmem(),
    Object.keys(os.userInfo()).sort(),
  ],
  "os.constants": () => [os.constants.signals.SIGTERM, os.constants.errno.ENOENT, os.devNull],
  path: () => [
    path.join("a", "..", "b", "./c"),
    path.resolve("/a", "b", "../c"),
    path.relative("/a/b", "/a/c/d"),
    path.parse("/x/y.tar.gz"),
    path.normalize("/a//b/../c/"),
    path.extname(".bashrc"),
    path.basename("/a/b.js", ".js"),
    path.isAbsolute("a"),
    path.format({ dir: "/d", base: "f" }),
    path.win32.join("a", "b"),
    path.matchesGlob?.("a/b.js", "a/*.js"),
  ],
};
