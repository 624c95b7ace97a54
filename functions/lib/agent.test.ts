import assert from "node:assert/strict";
import { test } from "node:test";
import { agentFrom, askAgent } from "./agent.ts";

test("Codex is the agent unless the environment names another", () => {
  assert.equal(agentFrom({}).command, "codex exec --sandbox workspace-write");
  assert.equal(agentFrom({ STORY_AGENT: "claude -p" }).command, "claude -p");
  assert.equal(agentFrom({ STORY_AGENT: "stand-in" }).canJudge, false);
});

test("the time limit is given in minutes", () => {
  assert.equal(agentFrom({ STORY_AGENT_TIMEOUT_MINUTES: "0.5" }).timeoutMs, 30_000);
  assert.throws(() => agentFrom({ STORY_AGENT_TIMEOUT_MINUTES: "soon" }), /must be a number above 0, not "soon"/);
});

test("an agent that is not installed says so and is not retried", async () => {
  const agent = agentFrom({ STORY_AGENT: "no-such-agent --fast" });
  await assert.rejects(askAgent(agent, "prompt", process.cwd(), () => {}), {
    name: "NonRetriableError",
    message: /`no-such-agent --fast` failed[^]*set STORY_AGENT/,
  });
});
