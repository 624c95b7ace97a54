import { createServer } from "node:http";

/** A request by `fetch` takes the proxy that the environment names at the start, by a tunnel or without one. */
export async function work() {
  let asked = 0;
  const proxy = createServer((_, response) => {
    asked += 1;
    response.end("by the proxy");
  });
  proxy.on("connect", (_, socket) => {
    asked += 1;
    socket.end("HTTP/1.1 502 Bad Gateway\r\n\r\n");
  });
  const { port } = new URL(process.env.HTTP_PROXY!);
  await new Promise<void>((resolve) => proxy.listen(Number(port), "127.0.0.1", resolve));
  await fetch("http://intranet.invalid/report").catch(() => {});
  proxy.closeAllConnections();
  proxy.close();
  return asked === 0 ? "past the proxy" : "by the proxy";
}
