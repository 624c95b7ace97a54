// packages: execa
import { ExecaError, execa, execaSync } from "execa";
import { row } from "../row";

export default row(
  { out: "hello", piped: "2", code: 3, lines: ["a", "b"], sync: "sync", killed: true, input: "from stdin", env: "set" },
  async () => {
    const lines: string[] = [];
    for await (const line of execa("printf", ["a\nb\n"])) lines.push(line as string);
    const sleeper = execa("sleep", ["60"], { timeout: 20 });
    return {
      out: (await execa`echo hello`).stdout,
      piped: (await execa("printf", ["a\nb\n"]).pipe("wc", ["-l"])).stdout.trim(),
      code: await execa("sh", ["-c", "exit 3"]).catch((error) => error instanceof ExecaError && error.exitCode),
      lines,
      sync: execaSync("echo", ["sync"]).stdout,
      killed: await sleeper.catch((error) => error.timedOut),
      input: (await execa({ input: "from stdin" })`cat`).stdout,
      env: (await execa({ env: { COMPAT: "set" } })`sh -c ${"echo $COMPAT"}`).stdout,
    };
  },
);
