// packages: ai, @ai-sdk/openai
import { createOpenAI } from "@ai-sdk/openai";
import { generateText, streamText } from "ai";
import { row } from "../row";

export default row({ said: "Hello, Ada!", streamed: "Hello, Ada!" }, async ({ standIn }) => {
  const openai = createOpenAI({ apiKey: "sk-test", baseURL: `${standIn}/v1` });
  const model = openai.chat("gpt-test");
  const { text: said } = await generateText({ model, prompt: "I am Ada", maxRetries: 0 });
  let streamed = "";
  for await (const part of streamText({ model, prompt: "I am Ada", maxRetries: 0 }).textStream) streamed += part;
  return { said, streamed };
});
