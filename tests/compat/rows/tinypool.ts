// packages: tinypool
// note: with threads it wants `useAtomics: false`, as under Deno
import { fileURLToPath } from "node:url";
import { Tinypool } from "tinypool";
import { row } from "../row";

const filename = fileURLToPath(new URL("../tasks/task.mjs", import.meta.url));

export default row([[4, 6, "TypeError"], [4, 6, "TypeError"]], async () => {
  const seen = [];
  for (const runtime of ["worker_threads", "child_process"] as const) {
    const pool = new Tinypool({ filename, runtime, minThreads: 1, maxThreads: 1, useAtomics: false });
    try {
      const failed = await pool.run({ fails: true }).catch((error) => error.name);
      seen.push([await pool.run({ n: 2 }), await pool.run({ n: 2 }, { name: "triple" }), failed]);
    } finally {
      await pool.destroy();
    }
  }
  return seen;
});
