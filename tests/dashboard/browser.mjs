// A browser that does what it is told, a line of JSON for each thing: {"script": "…"} in, {"value": …} or
// {"error": "…"} out. A script is the body of an async function that sees `page`, `context`, `axe`, `shot` and
// `sentences`, what the page has said of errors.
import { readFile, mkdir } from "node:fs/promises";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-gpu"] }).catch((error) => {
  console.log(JSON.stringify({ error: `no browser at ${executablePath} (Debian: apt install chromium): ${error.message}` }));
  process.exit(1);
});
const context = await browser.newContext({ viewport: { width: 1360, height: 900 } });
const page = await context.newPage();
page.setDefaultTimeout(20_000);
const sentences = [];
page.on("pageerror", (error) => sentences.push(`${error}`));
// (Chromium counts an answer 422, which a rejected reload is, among the errors.)
page.on("console", (line) => line.type() === "error" && !line.text().includes("status of 422") && sentences.push(line.text()));

const axeSource = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
/** The faults that axe-core finds, as text. */
async function axe() {
  // As a debugger does, past the page's policy, which allows no inline script.
  const session = await context.newCDPSession(page);
  await session.send("Runtime.evaluate", { expression: axeSource });
  await session.detach();
  const { violations } = await page.evaluate(() => axe.run());
  return violations.map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.map((node) => node.html.slice(0, 200)).join(" | ")}`);
}
async function shot(name) {
  await mkdir(process.env.SHOTS, { recursive: true });
  await page.screenshot({ path: `${process.env.SHOTS}/${name}.png`, fullPage: true });
}

const AsyncFunction = async function () {}.constructor;
for await (const line of createInterface({ input: process.stdin })) {
  let answer;
  try {
    const { script } = JSON.parse(line);
    const run = new AsyncFunction("page", "context", "axe", "shot", "sentences", script);
    answer = { value: (await run(page, context, axe, shot, sentences)) ?? null };
  } catch (error) {
    answer = { error: error.stack ?? `${error}` };
  }
  console.log(JSON.stringify(answer));
}
await browser.close();
