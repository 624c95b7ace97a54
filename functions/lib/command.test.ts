import assert from "node:assert/strict";
import { test } from "node:test";
import { type CommandOptions, isMissing, run, runOrThrow } from "./command.ts";

const options: CommandOptions = { cwd: process.cwd(), timeoutMs: 20_000 };

test("stdin reaches the command and its output comes back line by line", async () => {
  const lines: string[] = [];
  const outcome = await run("cat; echo done", { ...options, stdin: "one\ntwo\n", onLine: (line) => lines.push(line) });
  assert.deepEqual(outcome.ending, { kind: "exited", code: 0 });
  assert.deepEqual(lines, ["one", "two", "done"]);
});

test("a list is not interpreted by a shell", async () => {
  const outcome = await run(["echo", "$HOME; exit 3"], options);
  assert.equal(outcome.stdout, "$HOME; exit 3");
});

test("only the tail of the output is kept", async () => {
  const outcome = await run("seq 1 100000", { ...options, tailChars: 20 });
  assert.match(outcome.stdout, /^\[… \d+ earlier characters\]\n[\d\n]*100000$/);
});

test("a command that ignores a large stdin does not fail for it", async () => {
  const outcome = await run("exit 0", { ...options, stdin: "x".repeat(1_000_000) });
  assert.deepEqual(outcome.ending, { kind: "exited", code: 0 });
});

test("a command over its time limit is stopped with all that it started", async () => {
  const outcome = await run("sleep 60 & sleep 60", { ...options, timeoutMs: 100 });
  assert.deepEqual(outcome.ending, { kind: "timed-out", afterMs: 100 });
});

test("an aborted signal stops the command", async () => {
  const outcome = await run("sleep 60", { ...options, signal: AbortSignal.abort() });
  assert.deepEqual(outcome.ending, { kind: "aborted" });
});

test("a process left in the background does not hold the outcome back", async () => {
  const outcome = await run("sleep 60 & echo started", options);
  assert.deepEqual(outcome.ending, { kind: "exited", code: 0 });
  assert.equal(outcome.stdout, "started");
});

test("a program or folder that does not exist is an outcome, not a crash", async () => {
  assert.ok(isMissing(await run("no-such-program", options)));
  assert.ok(isMissing(await run(["no-such-program"], options)));
  assert.ok(isMissing(await run("true", { ...options, cwd: "no-such-folder" })));
});

test("a failure names the command, how it ended, its last words and what to do", async () => {
  const command = "echo compiling; echo 'no disk space' >&2; exit 2";
  await assert.rejects(runOrThrow(command, options, "make room."), {
    name: "CommandError",
    message: [
      `\`${command}\` failed (exit code 2) in ${options.cwd}.`,
      "It last said on stderr:",
      "no disk space",
      "What to do: make room.",
    ].join("\n"),
  });
});
