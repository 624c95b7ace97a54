/**
 * Runs a child process and remembers the end of what it said.
 *
 * Always asynchronous: `execSync` would block the event loop that answers every other call.
 * `run` never rejects; how the command ended is part of its outcome. `runOrThrow` rejects with a `CommandError`.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { Tail } from "./tail.ts";

/** A string goes through the shell, a list is executed as it is. */
export type Command = string | readonly [file: string, ...args: string[]];

export type CommandOptions = {
  cwd: string;
  timeoutMs: number;
  /** Written to the child's stdin, which is then closed. */
  stdin?: string;
  signal?: AbortSignal;
  onLine?: (line: string) => void;
  /** The most of each stream that is kept. */
  tailChars?: number;
};

export type Ending =
  | { kind: "exited"; code: number }
  | { kind: "signalled"; signal: string }
  | { kind: "timed-out"; afterMs: number }
  | { kind: "aborted" }
  | { kind: "not-started"; reason: string };

export type CommandOutcome = {
  command: string;
  cwd: string;
  ending: Ending;
  stdout: string;
  stderr: string;
  durationMs: number;
};

export class CommandError extends Error {
  override readonly name = "CommandError";

  constructor(outcome: CommandOutcome, advice?: string) {
    super(explain(outcome, advice));
  }
}

/** Between asking a timed-out command to stop and making it. */
const GRACE_MS = 5_000;

export function run(command: Command, options: CommandOptions): Promise<CommandOutcome> {
  const { cwd, timeoutMs, stdin = "", signal, onLine, tailChars = 4_000 } = options;
  const started = Date.now();
  const stdout = new Tail(tailChars);
  const stderr = new Tail(tailChars);

  return new Promise((resolve) => {
    // A process group of its own: a timeout then stops what the command started as well,
    // and Ctrl-C in the host's terminal does not kill a step that the host would let finish.
    const child =
      typeof command === "string"
        ? spawn(command, { cwd, shell: true, detached: true })
        : spawn(command[0], command.slice(1), { cwd, detached: true });

    let stopped: Ending | undefined;
    let killTimer: NodeJS.Timeout | undefined;
    const stop = (why: Ending) => {
      if (stopped) return;
      stopped = why;
      killGroup(child, "SIGTERM");
      killTimer = setTimeout(() => killGroup(child, "SIGKILL"), GRACE_MS);
    };
    const timeout = setTimeout(() => stop({ kind: "timed-out", afterMs: timeoutMs }), timeoutMs);
    const onAbort = () => stop({ kind: "aborted" });

    const finish = (ending: Ending) => {
      clearTimeout(timeout);
      clearTimeout(killTimer);
      signal?.removeEventListener("abort", onAbort);
      resolve({
        command: typeof command === "string" ? command : command.join(" "),
        cwd,
        ending: stopped ?? ending,
        stdout: stdout.toString(),
        stderr: stderr.toString(),
        durationMs: Date.now() - started,
      });
    };

    child.on("error", (error) => {
      // The same event reports a failed kill of a running child; only a child without a pid never started.
      if (child.pid === undefined) finish({ kind: "not-started", reason: error.message });
    });
    // Programs that it left running in its group would hold its pipes open, and the step with them.
    child.on("exit", () => killGroup(child, "SIGTERM"));
    child.on("close", (code, killedBy) =>
      finish(code === null ? { kind: "signalled", signal: killedBy ?? "unknown" } : { kind: "exited", code }),
    );

    collect(child.stdout, stdout, onLine);
    collect(child.stderr, stderr, onLine);
    // A command may end without reading its stdin; that is no failure of the command.
    child.stdin.on("error", () => {});
    child.stdin.end(stdin);

    if (signal?.aborted) onAbort();
    else signal?.addEventListener("abort", onAbort, { once: true });
  });
}

export async function runOrThrow(command: Command, options: CommandOptions, advice?: string): Promise<CommandOutcome> {
  const outcome = await run(command, options);
  if (!succeeded(outcome)) throw new CommandError(outcome, advice);
  return outcome;
}

export function succeeded({ ending }: CommandOutcome): boolean {
  return ending.kind === "exited" && ending.code === 0;
}

/** 127 is how a shell says "command not found". */
export function isMissing({ ending }: CommandOutcome): boolean {
  return ending.kind === "not-started" || (ending.kind === "exited" && ending.code === 127);
}

export function describe(ending: Ending): string {
  switch (ending.kind) {
    case "exited":
      return `exit code ${ending.code}`;
    case "signalled":
      return `killed by ${ending.signal}`;
    case "timed-out":
      return `stopped after its time limit of ${ending.afterMs / 1000} s`;
    case "aborted":
      return "stopped because its step was aborted";
    case "not-started":
      return `could not be started: ${ending.reason}; is it installed, and does the folder exist?`;
  }
}

function explain({ command, cwd, ending, stdout, stderr }: CommandOutcome, advice?: string): string {
  const said = stderr || stdout;
  return [
    `\`${command}\` failed (${describe(ending)}) in ${cwd}.`,
    said ? `It last said on ${stderr ? "stderr" : "stdout"}:\n${said}` : "It printed nothing.",
    advice && `What to do: ${advice}`,
  ]
    .filter(Boolean)
    .join("\n");
}

function collect(stream: NodeJS.ReadableStream, tail: Tail, onLine?: (line: string) => void): void {
  let unfinished = "";
  stream.setEncoding("utf8");
  stream.on("data", (chunk: string) => {
    tail.push(chunk);
    if (!onLine) return;
    const lines = (unfinished + chunk).split("\n");
    unfinished = lines.pop() ?? "";
    lines.forEach(onLine);
  });
  stream.on("end", () => {
    if (unfinished) onLine?.(unfinished);
  });
}

function killGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, signal);
  } catch {
    // No such group (it has just ended, or the platform has none).
    child.kill(signal);
  }
}
