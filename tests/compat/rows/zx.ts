// packages: zx
import { $, glob, ProcessOutput, within, YAML } from "zx";
import { row } from "../row";

export default row({ out: "it's $5", piped: "2", code: 3, within: "/", yaml: { a: [1] }, found: ["a.txt"] }, async ({ scratch }) => {
  const text = "it's $5";
  await $`touch ${scratch}/a.txt`;
  return {
    out: (await $`echo ${text}`).stdout.trim(),
    piped: (await $`printf ${"a\nb\n"}`.pipe($`wc -l`)).stdout.trim(),
    code: await $`exit 3`.catch((error) => error instanceof ProcessOutput && error.exitCode),
    within: await within(async () => {
      $.cwd = "/";
      return (await $`pwd`).stdout.trim();
    }),
    yaml: YAML.parse("a: [1]"),
    found: await glob("*.txt", { cwd: scratch }),
  };
});
