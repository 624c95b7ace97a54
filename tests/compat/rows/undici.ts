// packages: undici
import { Agent, fetch, FormData, MockAgent, Pool, request } from "undici";
import { row } from "../row";

export default row({ fetched: { hello: "world" }, requested: 200, pooled: [200, 200], mocked: "mocked", form: true }, async ({ standIn }) => {
  const dispatcher = new Agent({ keepAliveTimeout: 10 });
  const pool = new Pool(standIn, { connections: 2 });
  const mock = new MockAgent();
  mock.get("http://mocked.example").intercept({ path: "/" }).reply(200, "mocked");
  try {
    const { statusCode, body } = await request(`${standIn}/json`, { dispatcher });
    await body.dump();
    const pooled = await Promise.all(
      [1, 2].map(async () => {
        const { statusCode, body } = await pool.request({ path: "/json", method: "GET" });
        await body.json();
        return statusCode;
      }),
    );
    const form = new FormData();
    form.append("name", "Ada");
    const echoed = (await (await fetch(`${standIn}/echo`, { method: "POST", body: form })).json()) as { body: string };
    return {
      fetched: await (await fetch(`${standIn}/json`, { dispatcher })).json(),
      requested: statusCode,
      pooled,
      mocked: await (await fetch("http://mocked.example/", { dispatcher: mock })).text(),
      form: echoed.body.includes('name="name"'),
    };
  } finally {
    await Promise.all([dispatcher.destroy(), pool.destroy(), mock.close()]);
  }
});
