/** The command that writes code. Any program will do that reads a prompt on stdin and works in its folder. */
import { fileURLToPath } from "node:url";
import { NonRetriableError } from "inngest";
import { type Command, CommandError, type CommandOutcome, isMissing, run, succeeded } from "./command.ts";

export type Agent = {
  name: string;
  command: Command;
  /** True for an agent with opinions: the stand-in has none, so the rule alone judges its work. */
  canJudge: boolean;
  timeoutMs: number;
};

// Codex is read-only by default.
const DEFAULT_COMMAND = "codex exec --sandbox workspace-write";
const DEFAULT_TIMEOUT_MINUTES = 30;

export function agentFrom(env: NodeJS.ProcessEnv): Agent {
  const chosen = env.STORY_AGENT?.trim() || DEFAULT_COMMAND;
  const timeoutMs = timeoutMinutes(env.STORY_AGENT_TIMEOUT_MINUTES) * 60_000;
  if (chosen !== "stand-in") return { name: chosen, command: chosen, canJudge: true, timeoutMs };

  // `node` by name: inside Baton, `process.execPath` is not Node.
  const script = fileURLToPath(new URL("stand-in-agent.cjs", import.meta.url));
  return { name: chosen, command: ["node", script], canJudge: false, timeoutMs };
}

export async function askAgent(
  agent: Agent,
  prompt: string,
  cwd: string,
  onLine: (line: string) => void,
): Promise<CommandOutcome> {
  const outcome = await run(agent.command, { cwd, stdin: prompt, timeoutMs: agent.timeoutMs, onLine });
  if (succeeded(outcome)) return outcome;

  if (isMissing(outcome)) {
    const advice = "install it, or set STORY_AGENT to your agent's command (STORY_AGENT=stand-in needs only node).";
    throw new NonRetriableError(new CommandError(outcome, advice).message);
  }
  throw new CommandError(
    outcome,
    outcome.ending.kind === "timed-out"
      ? "make the story smaller, or raise STORY_AGENT_TIMEOUT_MINUTES."
      : "run the command by hand in that folder; its login or its sandbox is the usual reason.",
  );
}

function timeoutMinutes(text: string | undefined): number {
  if (!text) return DEFAULT_TIMEOUT_MINUTES;
  const minutes = Number(text);
  if (minutes > 0) return minutes;
  throw new NonRetriableError(`STORY_AGENT_TIMEOUT_MINUTES must be a number above 0, not "${text}".`);
}
