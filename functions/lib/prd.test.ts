import assert from "node:assert/strict";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { NonRetriableError } from "inngest";
import { findStory, loadStory } from "./prd.ts";

const sample = fileURLToPath(new URL("../sample/prd.json", import.meta.url));

test("the sample PRD has the story that the README starts", async () => {
  const story = await loadStory(sample, "S-1");
  assert.equal(story.title, "Passes at once");
});

test("checks are optional", () => {
  const story = { id: "S-1", title: "T", acceptance_criteria: ["it works"] };
  assert.deepEqual(findStory(JSON.stringify({ title: "P", stories: [story] }), "S-1", "prd.json").checks, []);
});

for (const { problem, attempt, message } of [
  { problem: "a missing file", attempt: () => loadStory("no/prd.json", "S-1"), message: /Cannot read the PRD no\/prd/ },
  { problem: "an unknown story", attempt: () => loadStory(sample, "S-9"), message: /no story "S-9".*S-1, S-2, S-3/ },
  { problem: "broken JSON", attempt: async () => findStory("{", "S-1", "prd.json"), message: /prd\.json is not JSON/ },
  {
    problem: "a story without criteria",
    attempt: async () => findStory('{"title":"P","stories":[{"id":"S-1","title":"T"}]}', "S-1", "prd.json"),
    message: /malformed[^]*stories\[0\]\.acceptance_criteria/,
  },
]) {
  test(`${problem} is explained and not retried`, async () => {
    await assert.rejects(attempt, (error) => {
      assert.ok(error instanceof NonRetriableError);
      assert.match(error.message, message);
      return true;
    });
  });
}
