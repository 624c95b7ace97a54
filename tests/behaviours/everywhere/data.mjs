// Bytes, texts, numbers, dates, URLs, copies.

import { Buffer } from "node:buffer";
import { StringDecoder } from "node:string_decoder";
import { domainToASCII, fileURLToPath, format, parse, pathToFileURL, urlToHttpOptions } from "node:url";
import querystring from "node:querystring";
import v8 from "node:v8";

export default {
  "Buffer: encodings": () =>
    ["utf8", "hex", "base64", "base64url", "latin1", "ascii", "utf16le"].map((encoding) => [
      encoding,
      Buffer.from("héllo").toString(encoding),
    ]),
  "Buffer: from malformed texts": () => [
    Buffer.from("abc", "hex"),
    Buffer.from("zz", "hex"),
    Buffer.from("a-_=", "base64"),
    Buffer.from("€", "latin1"),
  ],
  "Buffer: numbers": () => {
    const buffer = Buffer.alloc(16);
    buffer.writeUInt32BE(0xdeadbeef, 0);
    buffer.writeDoubleLE(1.5, 4);
    buffer.writeInt16LE(-2, 12);
    return [buffer, buffer.readUInt32LE(0), buffer.readBigUInt64BE(0), buffer.readInt16LE(12)];
  },
  "Buffer: searching, comparing, slicing": () => {
    const buffer = Buffer.from("hello world");
    return [
      buffer.indexOf("o"),
      buffer.lastIndexOf("o"),
      buffer.includes("wor"),
      Buffer.compare(Buffer.from("a"), Buffer.from("b")),
      buffer.subarray(-5).toString(),
      buffer.equals(Buffer.from("hello world")),
      buffer.fill("ab", 0, 5).toString(),
      buffer.swap16 !== undefined,
    ];
  },
  "Buffer: an offset out of range": () => {
    try {
      Buffer.alloc(1).writeUInt32LE(1);
    } catch (error) {
      return [error.name, error.code];
    }
  },
  "Buffer: JSON and inspection": () => [
    JSON.stringify(Buffer.from([1, 2])),
    Buffer.concat([Buffer.from("a"), new Uint8Array([98])], 5),
    Buffer.byteLength("é"),
    Buffer.isEncoding("UTF-8"),
  ],
  "atob and btoa": () => {
    const refused = [];
    for (const act of [() => btoa("€"), () => atob("*")]) {
      try {
        act();
      } catch (error) {
        refused.push(error.name);
      }
    }
    return [btoa("héllo"), atob("aGk="), refused];
  },
  TextDecoder: () => [
    new TextDecoder().decode(new Uint8Array([0xef, 0xbb, 0xbf, 0x61, 0xff])),
    new TextDecoder("utf-16le").decode(new Uint8Array([0x61, 0])),
    new TextDecoder("latin1").encoding,
  ],
  "TextDecoder, fatal": () => {
    try {
      new TextDecoder("utf-8", { fatal: true }).decode(new Uint8Array([0xff]));
    } catch (error) {
      return [error.name, error.code];
    }
  },
  TextEncoder: () => [new TextEncoder().encode("é\ud800"), new TextEncoder().encodeInto("abc", new Uint8Array(2))],
  StringDecoder: () => {
    const decoder = new StringDecoder("utf8");
    return [
      decoder.write(Buffer.from([0xe2, 0x82])),
      decoder.write(Buffer.from([0xac])),
      decoder.end(Buffer.from([0xe2])),
    ];
  },
  URL: () => {
    const url = new URL("../b?x=1&x=2#h", "https://user:pw@example.com:8080/a/c");
    url.searchParams.append("y", "a b&c");
    url.pathname = "/ü";
    return [
      url.href,
      url.origin,
      url.host,
      url.hash,
      url.searchParams.getAll("x"),
      URL.canParse("nope"),
      JSON.stringify(url),
    ];
  },
  "malformed URL": () => {
    try {
      new URL("nope");
    } catch (error) {
      return [error.name, error.code];
    }
  },
  URLSearchParams: () => {
    const search = new URLSearchParams({ b: "1", a: "x y" });
    search.append("a", "ü");
    search.sort();
    return [search.toString(), [...search], search.has("a", "ü"), search.size];
  },
  "node:url": () => [
    fileURLToPath("file:///a%20b"),
    pathToFileURL("/a b#c").href,
    parse("http://a:1/b?c=d#e", true).query,
    format({ protocol: "http", host: "x", pathname: "/y" }),
    domainToASCII("español.com"),
    urlToHttpOptions(new URL("http://u:p@x:1/y")).auth,
  ],
  querystring: () => [querystring.stringify({ a: [1, 2], b: "x y" }), { ...querystring.parse("a=1&a=2&b=%20") }],
  structuredClone: () => {
    const value = {
      map: new Map([[1, { a: 1 }]]),
      set: new Set(["x"]),
      date: new Date(0),
      error: new RangeError("e"),
      bytes: new Uint8Array([1]),
      none: undefined,
      big: 1n,
    };
    value.self = value;
    const copy = structuredClone(value);
    return [copy.self === copy, copy.map, copy.set, copy.date, copy.error.name, copy.bytes, "none" in copy, copy.big];
  },
  "structuredClone refuses functions": () => {
    try {
      structuredClone(() => {});
    } catch (error) {
      return [error.name, error.code];
    }
  },
  "structuredClone transfers": () => {
    const buffer = new ArrayBuffer(4);
    const copy = structuredClone(buffer, { transfer: [buffer] });
    return [copy.byteLength, buffer.byteLength];
  },
  "v8.serialize": () => v8.deserialize(v8.serialize({ a: [1, new Date(0), new Map([[1, 2]])] })),
  "Intl: numbers": () => [
    new Intl.NumberFormat("de-DE", { style: "currency", currency: "EUR" }).format(1234.5),
    new Intl.NumberFormat("en", { notation: "compact" }).format(12345),
    (1234.5).toLocaleString("en-IN"),
  ],
  "Intl: dates": () => [
    new Intl.DateTimeFormat("en-US", { dateStyle: "full", timeZone: "America/New_York" }).format(0),
    new Date(0).toLocaleString("de-DE", { timeZone: "Asia/Tokyo" }),
    new Intl.DateTimeFormat("en-GB", { timeStyle: "long", timeZone: "UTC" }).format(0),
  ],
  "Intl: parts, plurals, lists, order": () => [
    new Intl.PluralRules("en", { type: "ordinal" }).select(2),
    new Intl.ListFormat("en").format(["a", "b", "c"]),
    ["ä", "z", "a"].sort(new Intl.Collator("de").compare),
    new Intl.RelativeTimeFormat("en").format(-1, "day"),
    [...new Intl.Segmenter("en", { granularity: "word" }).segment("a b")].length,
  ],
  "Intl: time zones and locales": () => [
    Intl.supportedValuesOf("timeZone").includes("Europe/Berlin"),
    new Intl.Locale("de-AT").language,
    typeof Intl.DateTimeFormat().resolvedOptions().timeZone,
    "İ".toLocaleLowerCase("tr"),
  ],
  "Date: parsing": () =>
    ["2024-01-01", "2024-01-01T00:00:00+02:00", "Tue, 02 Jan 2024 00:00:00 GMT", "nope"].map((text) =>
      new Date(text).getTime(),
    ),
  JSON: () => [
    JSON.stringify({ a: undefined, b: () => {}, c: NaN, d: new Date(0), e: [undefined] }),
    JSON.stringify({ a: [1, { b: 2 }] }, null, 2),
    JSON.parse('{"a":1}', (key, value) => (key === "a" ? 2 : value)),
  ],
  "malformed JSON": () => {
    try {
      JSON.parse("{a");
    } catch (error) {
      return error.name;
    }
  },
  "__proto__ of an object": () => {
    function Sub(executor) {
      const promise = new Promise(executor);
      promise.__proto__ = Sub.prototype;
      return promise;
    }
    Sub.__proto__ = Promise;
    Sub.prototype.__proto__ = Promise.prototype;
    const bare = Object.create(null);
    bare.__proto__ = 1;
    return [
      Sub.resolve(1) instanceof Sub,
      [].__proto__ === Array.prototype,
      Object.keys(Object.assign({}, JSON.parse('{"__proto__": {"polluted": true}}'))),
      {}.polluted,
      Object.keys(JSON.parse('{"__proto__": 1}')),
      Object.keys(bare),
    ];
  },
  "newer parts of the language": () => [
    [3, 1, 2].toSorted(),
    Object.groupBy([1, 2, 3], (n) => (n % 2 ? "odd" : "even")),
    [1, 2, 3].at(-1),
    [1, 2].with(0, 9),
    "ab".isWellFormed(),
    new Set([1, 2]).union(new Set([3])),
    Iterator.from([1, 2])
      .map((n) => n * 2)
      .toArray(),
    typeof Array.fromAsync,
    "a-b".replaceAll("-", "+"),
    /(?<year>\d+)/v.exec("y2024").groups.year,
    Math.sumPrecise === undefined,
  ],
  "regular expressions": () => [
    "aBc".replace(/b/i, (m) => m.toUpperCase()),
    "2024-01".match(/(?<y>\d+)-(?<m>\d+)/).groups.m,
    [..."a1b2".matchAll(/\d/g)].map((m) => m.index),
    /(?<=\$)\d+/.exec("$5")[0],
    /\p{Lu}/u.test("Ä"),
  ],
};
