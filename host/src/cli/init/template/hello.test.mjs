import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";

/** Runs a function to its end, as Inngest would, and returns its last word. */
function invoke(name, data) {
  const lines = execFileSync("baton", ["invoke", name, "--data", JSON.stringify(data), "--skip-sleep", "--json"]);
  return JSON.parse(lines.toString().trimEnd().split("\n").at(-1));
}

test("hello greets by name", () => {
  const { status, output } = invoke("hello", { name: "Ada" });
  assert.equal(status, "completed");
  assert.deepEqual(output, { greeting: "Hello, Ada!" });
});
