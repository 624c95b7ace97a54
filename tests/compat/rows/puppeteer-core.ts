// packages: puppeteer-core
// needs: chromium
import puppeteer from "puppeteer-core";
import { row } from "../row";

export default row({ title: "Stand-in", clicked: "clicked", png: true }, async ({ chromium, standIn }) => {
  const browser = await puppeteer.launch({ executablePath: chromium, args: ["--no-sandbox"] });
  try {
    const page = await browser.newPage();
    await page.goto(`${standIn}/page`);
    await page.click("button");
    const clicked = await page.$eval("button", (button) => button.textContent);
    const png = await page.screenshot();
    return { title: await page.title(), clicked, png: Buffer.from(png).subarray(1, 4).toString() === "PNG" };
  } finally {
    await browser.close();
  }
});
