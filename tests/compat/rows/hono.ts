// packages: hono
import { Hono } from "hono";
import { bearerAuth } from "hono/bearer-auth";
import { HTTPException } from "hono/http-exception";
import { streamSSE } from "hono/streaming";
import { row } from "../row";

const app = new Hono()
  .use("/private/*", bearerAuth({ token: "secret" }))
  .get("/hello/:name", (c) => c.json({ hello: c.req.param("name"), q: c.req.query("q") }))
  .get("/private/x", (c) => c.text("inside"))
  .get("/events", (c) => streamSSE(c, async (stream) => stream.writeSSE({ data: "one", id: "1" })))
  .onError((error) => (error instanceof HTTPException ? error.getResponse() : new Response(null, { status: 500 })));

export default row(
  { hello: { hello: "Ada", q: "1" }, statuses: [401, 200, 404], events: "data: one\nid: 1\n\n" },
  async () => {
    const authorization = { headers: { authorization: "Bearer secret" } };
    return {
      hello: await (await app.request("/hello/Ada?q=1")).json(),
      statuses: [
        (await app.request("/private/x")).status,
        (await app.request("/private/x", authorization)).status,
        (await app.request("/nowhere")).status,
      ],
      events: await (await app.request("/events")).text(),
    };
  },
);
