/** The product requirements document: a JSON file with the stories that an agent implements. */
import { readFile } from "node:fs/promises";
import { NonRetriableError } from "inngest";
import { z } from "zod";

const storySchema = z.object({
  id: z.string().min(1),
  title: z.string().min(1),
  description: z.string().optional(),
  acceptance_criteria: z.array(z.string().min(1)).min(1),
  /** Shell commands, run in the story's repository; each must exit with 0. */
  checks: z.array(z.string().min(1)).default([]),
});

const prdSchema = z.object({
  title: z.string().min(1),
  stories: z.array(storySchema).min(1),
});

export type Story = z.infer<typeof storySchema>;

/** Failures are not retriable: a file that is wrong now is wrong in thirty seconds, too. */
export async function loadStory(prdPath: string, storyId: string): Promise<Story> {
  const text = await readFile(prdPath, "utf8").catch((error: unknown) => {
    throw new NonRetriableError(`Cannot read the PRD ${prdPath}: ${messageOf(error)}. Check \`prdPath\` in the event.`);
  });
  return findStory(text, storyId, prdPath);
}

export function findStory(text: string, storyId: string, prdPath: string): Story {
  const parsed = prdSchema.safeParse(parseJson(text, prdPath));
  if (!parsed.success) {
    throw new NonRetriableError(`The PRD ${prdPath} is malformed:\n${z.prettifyError(parsed.error)}`);
  }

  const { stories } = parsed.data;
  const story = stories.find(({ id }) => id === storyId);
  if (!story) {
    const known = stories.map(({ id }) => id).join(", ");
    throw new NonRetriableError(`The PRD ${prdPath} has no story "${storyId}". It has: ${known}.`);
  }
  return story;
}

function parseJson(text: string, prdPath: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new NonRetriableError(`The PRD ${prdPath} is not JSON: ${messageOf(error)}`);
  }
}

const messageOf = (error: unknown) => (error instanceof Error ? error.message : String(error));
