#!/usr/bin/env node
// Becomes the binary of this platform. Where Node cannot replace itself (before 22.15 and 23.11) the binary is a child:
// it has the terminal, gets the signals that come here, and its end is the end of this process.
import { spawn } from "node:child_process";
import { constants } from "node:os";

import { findBinary, NoBinaryError } from "../lib/binary.js";

/** The signals that a child does not get by itself. */
const FORWARDED = ["SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2"];
/** The signals that a terminal sends to the child, too. */
const OF_TERMINAL = ["SIGINT", "SIGQUIT"];

function fail(message) {
  process.stderr.write(`${message}\n`);
  process.exitCode = 1;
}

function become(file, args) {
  // Node warns that the function is experimental; nobody who types `baton` can do anything about that.
  process.removeAllListeners("warning");
  process.on("warning", () => {});
  process.execve(file, [file, ...args], process.env);
}

function run(file, args) {
  const hasTerminal = process.stdin.isTTY || process.stdout.isTTY || process.stderr.isTTY;
  // Listened for before the child exists: a signal that ended this process meanwhile would leave the child behind.
  for (const signal of FORWARDED) process.on(signal, () => child.kill(signal));
  for (const signal of OF_TERMINAL) process.on(signal, () => hasTerminal || child.kill(signal));
  const child = spawn(file, args, { stdio: "inherit" });
  child.on("error", (error) => fail(`baton cannot be started: ${error.message}\nhelp: Try again; if it stays, install the package again.`));
  child.on("exit", (code, signal) => {
    if (signal === null) {
      process.exitCode = code;
      return;
    }
    for (const name of [...FORWARDED, ...OF_TERMINAL]) process.removeAllListeners(name);
    // An ignored signal would leave this process; the shell's number says the same.
    process.exitCode = 128 + (constants.signals[signal] ?? 0);
    process.kill(process.pid, signal);
  });
}

try {
  const file = findBinary();
  const args = process.argv.slice(2);
  if (typeof process.execve === "function" && !process.versions.bun) become(file, args);
  else run(file, args);
} catch (error) {
  if (!(error instanceof NoBinaryError)) throw error;
  fail(error.message);
}
