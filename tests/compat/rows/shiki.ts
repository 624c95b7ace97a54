// packages: shiki
import { codeToHtml, createHighlighter } from "shiki";
import { row } from "../row";

export default row({ tokens: ["const", " ", "answer", " ", "=", " ", "42"], html: true }, async () => {
  const highlighter = await createHighlighter({ themes: ["nord"], langs: ["typescript"] });
  const { tokens } = highlighter.codeToTokens("const answer = 42", { lang: "typescript", theme: "nord" });
  highlighter.dispose();
  const html = await codeToHtml("fn main() {}", { lang: "rust", theme: "nord" });
  return { tokens: tokens.flat().map(({ content }) => content), html: html.startsWith('<pre class="shiki nord"') };
});
