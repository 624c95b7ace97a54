/**
 * A story goes from paper to a judged commit:
 *
 *   load-prd → gateway-progress → get-pre-sha → implement → check-and-commit → prove → judge
 *                                                  ▲                                    │
 *                                                  └─ the same event, attempt + 1 ◀─ fail
 *
 * `implement` takes minutes and its result lives in a git working tree: the step that a restart must not cost.
 */
import { isAbsolute, resolve } from "node:path";
import { eventType, NonRetriableError } from "inngest";
import { z } from "zod";
import { inngest } from "./client.ts";
import { agentFrom, askAgent } from "./lib/agent.ts";
import { describe, run, succeeded } from "./lib/command.ts";
import { reportProgress } from "./lib/gateway.ts";
import { commitAll, git, headSha, uncommittedChanges } from "./lib/git.ts";
import { type CheckResult, type Evidence, judgeByRule, parseVerdict, type Verdict } from "./lib/judgment.ts";
import { loadStory, type Story } from "./lib/prd.ts";
import { implementPrompt, judgePrompt } from "./lib/prompts.ts";
import { tailOf } from "./lib/tail.ts";

const MAX_ATTEMPTS = 3;
const CHECK_TIMEOUT_MS = 10 * 60_000;
/** Step outputs travel with every call of the run. */
const OUTPUT_CHARS = 1_500;

const storyStart = eventType("agent/story.start", {
  schema: z.object({
    /** Absolute, or relative to `cwd`. */
    prdPath: z.string().min(1),
    storyId: z.string().min(1),
    cwd: z.string().refine(isAbsolute, "must be the absolute path of a git repository"),
    attempt: z.number().int().min(1).max(MAX_ATTEMPTS).optional(),
    /** Why the attempt before this one failed. */
    judgment: z.string().optional(),
  }),
});

export const storyPipeline = inngest.createFunction(
  {
    id: "story-pipeline",
    retries: 2,
    triggers: [storyStart],
    // One step at a time in a working tree. Inngest counts running steps, not runs, so two stories
    // of one folder would take turns: give each its own `git worktree`.
    concurrency: { limit: 1, key: "event.data.cwd" },
    // One step a call: code that changes while `implement` runs is live for the very next step.
    checkpointing: false,
  },
  async ({ event, step, runId }) => {
    const { prdPath, storyId, cwd, attempt = 1, judgment } = event.data;

    const story = await step.run("load-prd", () => loadStory(resolve(cwd, prdPath), storyId));

    await step.run("gateway-progress", () =>
      reportProgress({ runId, storyId, title: story.title, attempt }, process.env.GATEWAY_URL),
    );

    const preSha = await step.run("get-pre-sha", () => startingPoint(cwd, attempt));

    await step.run("implement", () => implement(story, cwd, judgment));

    const { checks, note } = await step.run("check-and-commit", () => checkAndCommit(story, cwd, preSha, attempt));

    const evidence = await step.run("prove", () => prove(cwd, preSha, checks));

    const { verdict, reasons } = await step.run("judge", () => judge(story, cwd, evidence));

    const result = { storyId, attempt, headSha: evidence.headSha, note, reasons };
    if (verdict === "pass") return { status: "passed" as const, ...result };
    if (attempt >= MAX_ATTEMPTS) return { status: "failed" as const, ...result };

    const next = { prdPath, storyId, cwd, attempt: attempt + 1, judgment: reasons.join("\n") };
    // The id makes the event one, even when the step has to run twice.
    await step.sendEvent("try-again", storyStart.create(next, { id: `${runId}-attempt-${next.attempt}` }));
    return { status: "trying-again" as const, ...result };
  },
);

async function startingPoint(cwd: string, attempt: number): Promise<string> {
  const sha = await headSha(cwd).catch((error: Error) => {
    throw new NonRetriableError(`${error.message}\nWhat to do: give \`cwd\` a git repository with one commit or more.`);
  });

  // The pipeline commits all it finds. A later attempt finds what its predecessor left;
  // a first one would find, and commit, somebody else's work.
  const changes = attempt === 1 ? await uncommittedChanges(cwd) : "";
  if (changes) {
    throw new NonRetriableError(`${cwd} has uncommitted changes:\n${changes}\nWhat to do: commit or stash them first.`);
  }
  return sha;
}

async function implement(story: Story, cwd: string, judgment?: string) {
  const agent = agentFrom(process.env);
  const prompt = implementPrompt(story, judgment);
  const { durationMs, stdout } = await askAgent(agent, prompt, cwd, (line) => console.log(`implement: ${line}`));
  return { agent: agent.name, durationMs, said: tailOf(stdout, OUTPUT_CHARS) };
}

async function checkAndCommit(story: Story, cwd: string, preSha: string, attempt: number) {
  const checks: CheckResult[] = [];
  for (const command of story.checks) {
    const outcome = await run(command, { cwd, timeoutMs: CHECK_TIMEOUT_MS });
    checks.push({
      command,
      passed: succeeded(outcome),
      ending: describe(outcome.ending),
      output: tailOf(`${outcome.stdout}\n${outcome.stderr}`, OUTPUT_CHARS),
    });
  }

  return { checks, note: await commit() };

  async function commit(): Promise<string> {
    if (!(await uncommittedChanges(cwd))) {
      // An agent that commits by itself, or an earlier try of this step.
      const committed = (await headSha(cwd)) !== preSha;
      return committed ? "nothing left to commit" : "nothing to commit";
    }
    if (checks.some(({ passed }) => !passed)) return "not committed: a check failed, the changes stay in the folder";
    const sha = await commitAll(cwd, `story(${story.id}): ${story.title}\n\nAttempt ${attempt}.`);
    return `committed ${sha.slice(0, 8)}`;
  }
}

async function prove(cwd: string, preSha: string, checks: CheckResult[]): Promise<Evidence> {
  const sha = await headSha(cwd);
  return {
    preSha,
    headSha: sha,
    diffStat: tailOf(await git(cwd, "diff", "--stat", preSha, sha), OUTPUT_CHARS),
    uncommitted: tailOf(await uncommittedChanges(cwd), OUTPUT_CHARS),
    checks,
  };
}

async function judge(story: Story, cwd: string, evidence: Evidence): Promise<Verdict> {
  const ruled = judgeByRule(evidence);
  const agent = agentFrom(process.env);
  if (ruled.verdict === "fail" || !agent.canJudge) return ruled;

  const prompt = judgePrompt(story, evidence);
  const { stdout } = await askAgent(agent, prompt, cwd, (line) => console.log(`judge: ${line}`));
  const verdict = parseVerdict(stdout);
  // An ordinary error, so retried: the next answer may well have a verdict.
  if (!verdict) throw new Error(`\`${agent.name}\` gave no verdict. It ended with:\n${tailOf(stdout, OUTPUT_CHARS)}`);
  return verdict;
}
