// packages: @anthropic-ai/sdk
import Anthropic, { AuthenticationError } from "@anthropic-ai/sdk";
import { row } from "../row";

export default row({ said: "Hello, Ada!", streamed: "Hello, Ada!", refused: true }, async ({ standIn }) => {
  const anthropic = new Anthropic({ apiKey: "test", baseURL: standIn, maxRetries: 0 });
  const question = {
    model: "claude-test",
    max_tokens: 16,
    messages: [{ role: "user" as const, content: "I am Ada" }],
  };
  const answer = await anthropic.messages.create(question);
  const block = answer.content[0];
  const streamed = await anthropic.messages.stream(question).finalText();
  const stranger = new Anthropic({ apiKey: "wrong", baseURL: standIn, maxRetries: 0 });
  const refused = await stranger.messages.create(question).catch((error) => error instanceof AuthenticationError);
  return { said: block?.type === "text" && block.text, streamed, refused };
});
