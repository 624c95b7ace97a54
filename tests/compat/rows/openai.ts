// packages: openai
import OpenAI from "openai";
import { row } from "../row";

export default row({ said: "Hello, Ada!", streamed: "Hello, Ada!", file: "file-1" }, async ({ standIn }) => {
  const openai = new OpenAI({ apiKey: "sk-test", baseURL: `${standIn}/v1`, maxRetries: 0 });
  const question = { model: "gpt-test", messages: [{ role: "user" as const, content: "I am Ada" }] };
  const answer = await openai.chat.completions.create(question);
  let streamed = "";
  for await (const chunk of await openai.chat.completions.create({ ...question, stream: true })) {
    streamed += chunk.choices[0]?.delta.content ?? "";
  }
  const file = await openai.files.create({
    purpose: "user_data",
    file: new File(["some text"], "notes.txt", { type: "text/plain" }),
  });
  return { said: answer.choices[0]?.message.content, streamed, file: file.id };
});
