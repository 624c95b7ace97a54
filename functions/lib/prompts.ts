/** The prompts of the agent. */
import type { Evidence } from "./judgment.ts";
import type { Story } from "./prd.ts";

export function implementPrompt(story: Story, judgment?: string): string {
  return paragraphs(
    headline(story),
    story.description,
    criteria(story),
    list("These commands must succeed", story.checks),
    judgment && `An earlier attempt was judged and failed. Mend this first:\n${judgment}`,
    "Implement the story in the current folder. Leave the changes uncommitted.",
  );
}

export function judgePrompt(story: Story, evidence: Evidence): string {
  const { preSha, headSha, diffStat } = evidence;
  return paragraphs(
    headline(story),
    criteria(story),
    `The code is in the current folder. Its latest change is \`git diff ${preSha} ${headSha}\`:\n${diffStat}`,
    "Judge strictly whether the code meets every criterion; work that is half done fails. Change nothing.",
    'End with one line of JSON: {"verdict":"pass" or "fail","reasons":["…"]}',
  );
}

const headline = ({ id, title }: Story) => `Story ${id}: ${title}`;
const criteria = (story: Story) => list("Acceptance criteria", story.acceptance_criteria);

function list(title: string, entries: readonly string[]): string | undefined {
  return entries.length > 0 ? `${title}:\n${entries.map((entry) => `- ${entry}`).join("\n")}` : undefined;
}

const paragraphs = (...parts: (string | undefined)[]) => parts.filter(Boolean).join("\n\n");
