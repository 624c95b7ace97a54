import { mkdirSync, writeFileSync } from "node:fs";

const folder = new URL("./generated/", import.meta.url);
const write = (name: string, code: string) => writeFileSync(new URL(name, folder), code);

/** A generated module imports another one, which was written for it. */
export async function work() {
  mkdirSync(folder, { recursive: true });
  const seen = [];
  for (const version of [1, 2]) {
    write(`part-${version}.mjs`, `export const part = ${version};\n`);
    write("whole.mjs", `import { part } from "./part-${version}.mjs";\nexport const whole = part * 10;\n`);
    seen.push((await import(`${folder.href}whole.mjs?v=${version}`)).whole);
  }
  return seen;
}
