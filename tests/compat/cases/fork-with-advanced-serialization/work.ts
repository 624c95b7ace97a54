import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";

/** Values that JSON does not have go to a forked process and back. */
export async function work() {
  const child = fork(fileURLToPath(new URL("./child.cjs", import.meta.url)), { serialization: "advanced", execArgv: [] });
  const back = new Promise<Map<string, unknown>>((resolve) => child.once("message", resolve as never));
  child.send(new Map<string, unknown>([["big", 7n], ["date", new Date(0)], ["bytes", new Uint8Array([1, 2])]]));
  const told = await back;
  child.kill();
  return [told instanceof Map, String(told.get("big")), (told.get("date") as Date).toISOString(), told.get("length")];
}
