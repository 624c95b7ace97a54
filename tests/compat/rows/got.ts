// packages: got
import { text } from "node:stream/consumers";
import got, { HTTPError } from "got";
import { row } from "../row";

export default row({ json: { hello: "world" }, echoed: '{"a":1}', status: 404, streamed: '{"hello":"world"}', tries: 3 }, async ({ standIn }) => {
  const client = got.extend({ prefixUrl: standIn, retry: { limit: 0 } });
  const echoed = await client.post("echo", { json: { a: 1 } }).json<{ body: string }>();
  const status = await client.get("status/404").catch((error) => error instanceof HTTPError && error.response.statusCode);
  const retried = await client.get("third-time/got", { retry: { limit: 5, calculateDelay: ({ computedValue }) => computedValue && 1 } });
  return {
    json: await client.get("json").json(),
    echoed: echoed.body,
    status,
    streamed: await text(client.stream("json")),
    tries: retried.retryCount + 1,
  };
});
