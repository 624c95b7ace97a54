// packages: gray-matter
import matter from "gray-matter";
import { row } from "../row";

export default row({ data: { title: "Hello", tags: ["a", "b"] }, content: "Text.\n", back: "---\nx: 1\n---\nText.\n" }, () => {
  const { data, content } = matter("---\ntitle: Hello\ntags: [a, b]\n---\nText.\n");
  return { data, content, back: matter.stringify(content, { x: 1 }) };
});
