// packages: axios
import axios, { AxiosError } from "axios";
import { row } from "../row";

export default row(
  { got: { hello: "world" }, echoed: '{"a":1}', form: true, status: 404, cancelled: "ERR_CANCELED", streamed: 17 },
  async ({ standIn }) => {
    const api = axios.create({ baseURL: standIn, headers: { "x-client": "axios" } });
    const echoed = await api.post("/echo", { a: 1 });
    const form = await api.postForm("/echo", { name: "Ada" });
    const failed = await api.get("/status/404").catch((error: AxiosError) => error.response?.status);
    const controller = new AbortController();
    const cancelled = api.get("/slow", { signal: controller.signal }).catch((error: AxiosError) => error.code);
    controller.abort();
    let streamed = 0;
    for await (const chunk of (await api.get("/json", { responseType: "stream" })).data) streamed += chunk.length;
    return {
      got: (await api.get("/json")).data,
      echoed: echoed.data.body,
      form: form.data.body.includes('name="name"'),
      status: failed,
      cancelled: await cancelled,
      streamed,
    };
  },
);
