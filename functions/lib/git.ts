/** The few git commands of the story pipeline. */
import { type Command, runOrThrow } from "./command.ts";

const TIMEOUT_MS = 60_000;

export async function git(cwd: string, ...args: string[]): Promise<string> {
  const command: Command = ["git", ...args];
  return (await runOrThrow(command, { cwd, timeoutMs: TIMEOUT_MS })).stdout;
}

export const headSha = (cwd: string) => git(cwd, "rev-parse", "HEAD");

/** Empty when there is nothing to commit. */
export const uncommittedChanges = (cwd: string) => git(cwd, "status", "--short");

/** Returns the new commit. */
export async function commitAll(cwd: string, message: string): Promise<string> {
  await git(cwd, "add", "--all");
  await git(cwd, "commit", "--quiet", "--message", message);
  return headSha(cwd);
}
