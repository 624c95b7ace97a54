// packages: workerpool
import { fileURLToPath } from "node:url";
import workerpool from "workerpool";
import { row } from "../row";

const file = fileURLToPath(new URL("../tasks/workerpool.cjs", import.meta.url));

export default row({ thread: [8, "refused", [{ at: 1 }], 3], process: [8, "refused", [{ at: 1 }], 3], late: "TimeoutError" }, async () => {
  const seen: Record<string, unknown> = {};
  for (const workerType of ["thread", "process"] as const) {
    const pool = workerpool.pool(file, { workerType, maxWorkers: 1 });
    try {
      const events: unknown[] = [];
      const doubled = await pool.exec("double", [4]);
      const failed = await pool.exec("fail", []).catch((error) => error.message);
      await pool.exec("tell", [], { on: (event) => events.push(event) });
      seen[workerType] = [doubled, failed, events, await pool.exec((a: number, b: number) => a + b, [1, 2])];
    } finally {
      await pool.terminate();
    }
  }
  const spinning = workerpool.pool({ workerType: "thread", maxWorkers: 1 });
  const spin = () => {
    for (;;);
  };
  seen.late = await spinning.exec(spin).timeout(300).catch((error: Error) => error.name);
  await spinning.terminate(true);
  return seen;
});
