// packages: piscina
import { Piscina } from "piscina";
import { row } from "../row";

const told = (error: unknown) => (error as Error).name;

export default row({ doubled: [2, 4, 6], triple: 6, failed: "TypeError", aborted: "AbortError" }, async () => {
  const pool = new Piscina({ filename: new URL("../tasks/task.mjs", import.meta.url).href, maxThreads: 2 });
  try {
    const abort = new AbortController();
    const spins = pool.run({ spins: true }, { signal: abort.signal }).catch(told);
    const doubled = await Promise.all([1, 2, 3].map((n) => pool.run({ n })));
    abort.abort();
    return {
      doubled,
      triple: await pool.run({ n: 2 }, { name: "triple" }),
      failed: await pool.run({ fails: true }).catch(told),
      aborted: await spins,
    };
  } finally {
    await pool.destroy();
  }
});
