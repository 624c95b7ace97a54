import { readFileSync } from "node:fs";
import { createServer, get } from "node:https";
import type { AddressInfo } from "node:net";

const told = (error: any) => `${error?.message}${error?.cause ? ` <- ${error.cause.code ?? error.cause.message}` : ""}`;

/** A service of the intranet, whose certificate is of the company's own authority, is asked in two ways. */
export async function work() {
  const here = (name: string) => readFileSync(new URL(`../${name}`, import.meta.url));
  const server = createServer({ key: here("server.key"), cert: here("server.pem") }, (_, response) => {
    response.end("report 42");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `https://localhost:${(server.address() as AddressInfo).port}/`;
  const byFetch = async () => (await fetch(url)).text();
  const byHttps = () =>
    new Promise<string>((resolve, reject) => {
      get(url, { agent: false }, (response) => {
        let text = "";
        response.on("data", (part) => (text += part)).on("end", () => resolve(text));
      }).on("error", reject);
    });
  const answers = { fetch: await byFetch().catch(told), https: await byHttps().catch(told) };
  server.closeAllConnections();
  server.close();
  return answers;
}
