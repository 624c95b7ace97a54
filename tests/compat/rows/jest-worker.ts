// packages: jest-worker
import { fileURLToPath } from "node:url";
import { Worker } from "jest-worker";
import { row } from "../row";

type Tasks = Worker & { double(n: number): Promise<number>; fail(): Promise<never> };

export default row([[8, "TypeError: refused"], [8, "TypeError: refused"]], async () => {
  const seen = [];
  for (const enableWorkerThreads of [true, false]) {
    const file = fileURLToPath(new URL("../tasks/jest-worker.cjs", import.meta.url));
    const worker = new Worker(file, { enableWorkerThreads, numWorkers: 1 }) as Tasks;
    seen.push([await worker.double(4), await worker.fail().catch((error) => `${error.name}: ${error.message}`)]);
    await worker.end();
  }
  return seen;
});
