// packages: cheerio
import * as cheerio from "cheerio";
import { row } from "../row";

export default row({ links: ["/a", "/b"], html: "<li>1</li>", fetched: "Stand-in" }, async ({ standIn }) => {
  const $ = cheerio.load('<ul><li><a href="/a">a</a></li><li><a href="/b">b</a></li></ul>');
  const links = $("a").map((_, link) => $(link).attr("href")).get();
  $("ul").empty().append("<li>1</li>");
  const page = await cheerio.fromURL(`${standIn}/page`);
  return { links, html: $("ul").html(), fetched: page("title").text() };
});
