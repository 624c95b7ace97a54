// packages: unified, remark-parse, remark-rehype, rehype-stringify
import rehypeStringify from "rehype-stringify";
import remarkParse from "remark-parse";
import remarkRehype from "remark-rehype";
import { unified } from "unified";
import { row } from "../row";

export default row("<h1>Hello</h1>\n<p>A <strong>word</strong> &#x26; <a href=\"/x\">a link</a></p>", async () => {
  const file = await unified()
    .use(remarkParse)
    .use(remarkRehype)
    .use(rehypeStringify)
    .process("# Hello\n\nA **word** & [a link](/x)");
  return String(file);
});
