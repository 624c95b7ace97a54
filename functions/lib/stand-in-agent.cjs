/**
 * Stands in for a coding agent: reads a prompt, takes its time, and adds a line about the story to STORIES.md.
 * It is CommonJS so that Baton, which imports every .js and .mjs of a functions folder, leaves it alone.
 */
const { appendFileSync } = require("node:fs");
const { text } = require("node:stream/consumers");
const { setTimeout: sleep } = require("node:timers/promises");

const seconds = Number(process.env.STORY_STAND_IN_SECONDS ?? 8);

async function main() {
  const prompt = await text(process.stdin);
  const [, id, title] = /^Story (\S+): (.+)$/m.exec(prompt) ?? [];
  if (!id) throw new Error('The prompt has no line "Story <id>: <title>".');
  if (prompt.includes("An earlier attempt was judged")) console.log("taking the earlier judgment to heart");

  for (let second = 1; second <= seconds; second++) {
    await sleep(1000);
    console.log(`working on ${id} (${second}/${seconds} s)`);
  }
  appendFileSync("STORIES.md", `- ${id}: ${title}\n`);
  console.log("added a line to STORIES.md");
}

main().catch((error) => {
  console.error(error.message);
  process.exitCode = 1;
});
