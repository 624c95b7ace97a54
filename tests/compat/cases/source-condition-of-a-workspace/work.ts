import { from } from "@acme/tools";
import { createRequire } from "node:module";

/** A package of the workspace has its sources under a condition, and what is built beside them. */
export async function work() {
  return { imported: from, required: createRequire(import.meta.url)("@acme/tools").from };
}
