// packages: fastify
import Fastify from "fastify";
import { row } from "../row";

export default row({ sum: { sum: 3 }, refused: 400, hooked: "yes" }, async () => {
  const app = Fastify();
  app.addHook("onSend", async (_request, reply) => void reply.header("x-hooked", "yes"));
  const numbers = { type: "object", required: ["a", "b"], properties: { a: { type: "number" }, b: { type: "number" } } };
  const sum = { type: "object", properties: { sum: { type: "number" } } };
  app.post<{ Body: { a: number; b: number } }>(
    "/sum",
    { schema: { body: numbers, response: { 200: sum } } },
    async ({ body }) => ({ sum: body.a + body.b, dropped: true }),
  );
  const good = await app.inject({ method: "POST", url: "/sum", payload: { a: 1, b: 2 } });
  const bad = await app.inject({ method: "POST", url: "/sum", payload: { a: 1 } });
  await app.close();
  return { sum: good.json(), refused: bad.statusCode, hooked: good.headers["x-hooked"] };
});
