/** From evidence to a verdict. A rule decides what a machine can decide; an agent is asked only about the rest. */
import { z } from "zod";

export type CheckResult = { command: string; passed: boolean; ending: string; output: string };

export type Evidence = {
  preSha: string;
  headSha: string;
  diffStat: string;
  /** `git status --short`: what a failed check kept from being committed. */
  uncommitted: string;
  checks: CheckResult[];
};

const verdictSchema = z.object({
  verdict: z.enum(["pass", "fail"]),
  reasons: z.array(z.string()),
});

export type Verdict = z.infer<typeof verdictSchema>;

/** Fails for what no opinion can excuse, and passes otherwise. */
export function judgeByRule({ preSha, headSha, uncommitted, checks }: Evidence): Verdict {
  const failed = checks.filter(({ passed }) => !passed);
  const reasons = failed.map(({ command, ending, output }) => `\`${command}\` failed (${ending}). ${output}`.trim());
  if (headSha === preSha && !uncommitted) reasons.push(`Nothing has changed since ${preSha.slice(0, 8)}.`);

  if (reasons.length > 0) return { verdict: "fail", reasons };
  const passed = checks.length > 0 ? `All checks passed (${checks.length}).` : "The story has no checks.";
  return { verdict: "pass", reasons: [passed, "The repository changed."] };
}

/** The last verdict in an agent's answer, however much it says around it. */
export function parseVerdict(answer: string): Verdict | undefined {
  const end = answer.lastIndexOf("}") + 1;
  for (const { index } of [...answer.matchAll(/\{/g)].reverse()) {
    const parsed = verdictSchema.safeParse(tryJson(answer.slice(index, end)));
    if (parsed.success) return parsed.data;
  }
  return undefined;
}

function tryJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
