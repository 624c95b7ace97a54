// packages: express
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import express from "express";
import { row } from "../row";

export default row({ echoed: { body: { a: 1 }, id: "7", q: "x" }, failed: [418, "teapot"], missing: 404 }, async () => {
  const app = express();
  app.use(express.json());
  app.post("/things/:id", (request, response) => {
    response.json({ body: request.body, id: request.params.id, q: request.query.q });
  });
  app.get("/fails", () => {
    throw new Error("teapot");
  });
  app.use(((error, _request, response, _next) => {
    response.status(418).send(error.message);
  }) as express.ErrorRequestHandler);
  const server = createServer(app);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const headers = { "content-type": "application/json" };
    const echoed = await fetch(`${url}/things/7?q=x`, { method: "POST", headers, body: '{"a":1}' });
    const failed = await fetch(`${url}/fails`);
    return {
      echoed: await echoed.json(),
      failed: [failed.status, await failed.text()],
      missing: (await fetch(`${url}/nowhere`)).status,
    };
  } finally {
    server.closeAllConnections();
    server.close();
  }
});
