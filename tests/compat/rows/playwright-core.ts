// packages: playwright-core
// needs: chromium
import { chromium as playwright } from "playwright-core";
import { row } from "../row";

export default row({ title: "Stand-in", clicked: "clicked", routed: "from the route" }, async ({ chromium, standIn }) => {
  const browser = await playwright.launch({ executablePath: chromium, args: ["--no-sandbox"] });
  try {
    const page = await browser.newPage();
    await page.route("**/json", (route) => route.fulfill({ body: "from the route" }));
    await page.goto(`${standIn}/page`);
    await page.getByRole("button").click();
    return {
      title: await page.title(),
      clicked: await page.getByRole("button").textContent(),
      routed: await page.evaluate(async () => (await fetch("/json")).text()),
    };
  } finally {
    await browser.close();
  }
});
