// Runs a file of cases, in whatever runtime this is, and says what each of them gave:
//   <runtime> run.mjs <file> <empty folder> <file for the results>
// Under Baton `serve.ts` calls `run` instead.

import { writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

/** Each case's value, or what it threw; in the same folder, which is called `<folder>` in the results. */
export async function run(file, folder) {
  const { default: cases } = await import(pathToFileURL(file).href);
  const results = {};
  for (const [name, act] of Object.entries(cases)) {
    let result;
    try {
      result = { value: plain(await within(act(folder))) };
    } catch (error) {
      result = { threw: said(error) };
    }
    results[name] = JSON.parse(JSON.stringify(result).replaceAll(folder, "<folder>"));
  }
  return results;
}

function within(promise) {
  let timer;
  const late = new Promise((_, fail) => {
    timer = setTimeout(() => fail(new Error("no answer in twenty seconds")), 20_000);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

function said(error) {
  if (!(error instanceof Error)) return { thrown: plain(error) };
  return { name: error.name, message: error.message, ...(error.code !== undefined && { code: error.code }) };
}

/** A value as JSON that keeps apart what JSON does not. */
function plain(value, seen = new Set()) {
  if (value === undefined) return { undefined: true };
  if (typeof value === "bigint") return { bigint: String(value) };
  if (typeof value === "function" || typeof value === "symbol") return { [typeof value]: true };
  if (typeof value === "number" && !Number.isFinite(value)) return { number: String(value) };
  if (typeof value !== "object" || value === null) return value;
  if (seen.has(value)) return { circular: true };
  seen.add(value);
  try {
    if (value instanceof Error) return { error: said(value) };
    if (value instanceof ArrayBuffer) return { buffer: Buffer.from(value).toString("hex") };
    if (ArrayBuffer.isView(value)) {
      const bytes = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
      return { [value.constructor.name]: bytes.toString("hex") };
    }
    if (value instanceof Date) return { date: value.toISOString() };
    if (value instanceof Map) return { map: [...value].map((entry) => plain(entry, seen)) };
    if (value instanceof Set) return { set: [...value].map((item) => plain(item, seen)) };
    if (Array.isArray(value)) return value.map((item) => plain(item, seen));
    return Object.fromEntries(
      Object.keys(value)
        .sort()
        .map((key) => [key, plain(value[key], seen)]),
    );
  } finally {
    seen.delete(value);
  }
}

const [, self, file, folder, results] = process.argv;
if (results !== undefined && self.endsWith("run.mjs")) {
  writeFileSync(results, JSON.stringify(await run(file, folder)));
  process.exit(0);
}
