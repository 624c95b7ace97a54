// Compiles folders of programs with TypeScript, each by its own tsconfig.json, runs what comes of them under Node, and
// prints what each program tells: {"<folder>/<program>": value}.
//   node tsc.mjs FOLDER < rows.json     [{ folder, program, instead: { compilerOptions } }]
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import ts from "typescript";

const root = process.argv[2];
const rows = JSON.parse(readFileSync(0, "utf8"));

/** Types are not checked: what does not fit a setting is emitted all the same, as for Baton. */
function compile(folder, instead) {
  const file = join(root, folder, "tsconfig.json");
  const { config, error } = ts.readConfigFile(file, ts.sys.readFile);
  if (error) throw new Error(`${file}: ${ts.flattenDiagnosticMessageText(error.messageText, "\n")}`);
  const host = { ...ts.sys };
  const { options, fileNames } = ts.parseJsonConfigFileContent(config, host, join(root, folder), instead, file);
  // JavaScript would be written over itself.
  const out = options.allowJs ? { rootDir: join(root, folder), outDir: join(root, folder, "out") } : {};
  const program = ts.createProgram(fileNames, { ...options, ...out, noEmit: false, skipLibCheck: true, types: [] });
  if (program.emit().emitSkipped) throw new Error(`${folder}: nothing was emitted`);
  return out.outDir ?? join(root, folder);
}

async function run(folder, program) {
  try {
    const module = await import(pathToFileURL(join(folder, `${program}.js`)).href);
    return await (module.told ?? module.default.told);
  } catch (error) {
    return { threw: error.name, message: error.message };
  }
}

const told = {};
const compiled = new Map();
for (const { folder, program, instead } of rows) {
  if (!compiled.has(folder)) compiled.set(folder, compile(folder, instead));
  told[`${folder}/${program}`] = await run(compiled.get(folder), program);
}
console.log(JSON.stringify(told));
