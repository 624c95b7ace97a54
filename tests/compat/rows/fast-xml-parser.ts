// packages: fast-xml-parser
import { XMLBuilder, XMLParser, XMLValidator } from "fast-xml-parser";
import { row } from "../row";

export default row({ parsed: { a: { b: [1, "two"], "@_c": "3" } }, built: "<x><y>1</y></x>", valid: [true, "InvalidTag"] }, () => {
  const wrong = XMLValidator.validate("<a></b>");
  return {
    parsed: new XMLParser({ ignoreAttributes: false }).parse('<a c="3"><b>1</b><b>two</b></a>'),
    built: new XMLBuilder().build({ x: { y: 1 } }),
    valid: [XMLValidator.validate("<a/>"), wrong !== true && wrong.err.code],
  };
});
