// Everything else of the module `bun`.

import * as namespace from "bun";
import { readFileSync } from "node:fs";

const refused = (act) => {
  try {
    return act();
  } catch (error) {
    return error.name;
  }
};

export default {
  "the module is the global": async () => [
    namespace.file === Bun.file,
    typeof Bun.$,
    (await import("bun")).spawn === Bun.spawn,
  ],
  "the names that it exports": () =>
    Object.keys(namespace)
      .filter((name) => name !== "default")
      .sort(),
  "an unknown name": () => [(Bun as any).unheardOf, "unheardOf" in Bun, "file" in Bun],
  sleep: async () => {
    const began = performance.now();
    await Bun.sleep(30);
    await Bun.sleep(new Date(Date.now() + 30));
    Bun.sleepSync(30);
    return performance.now() - began >= 80;
  },
  env: () => {
    process.env.BATON_BUN_TEST = "set";
    return [Bun.env.BATON_BUN_TEST, import.meta.env.BATON_BUN_TEST];
  },
  "import.meta": () => {
    const { dir, dirname, file, path, filename, url, main, env, resolve, require } = import.meta as any;
    return [
      path.startsWith(dir),
      dir === dirname,
      path === filename,
      file,
      url === Bun.pathToFileURL(path).href,
      main,
      typeof env,
      typeof resolve,
      typeof require,
      require("node:path").basename("a/b"),
    ];
  },
  escapeHTML: () => [Bun.escapeHTML(`<a href="x">'&'</a>`), Bun.escapeHTML(1 as any), Bun.escapeHTML("plain")],
  stringWidth: () =>
    ["hello", "日本", "é", "😀", "\x1b[31mred\x1b[0m", "", "a\tb", "👨‍👩‍👧", "e\u0301", "\u200b"].map((text) =>
      Bun.stringWidth(text),
    ),
  stripANSI: () => Bun.stripANSI("\x1b[31mred\x1b[0m plain"),
  deepEquals: () => [
    Bun.deepEquals({ a: [1, { b: 2 }] }, { a: [1, { b: 2 }] }),
    Bun.deepEquals({ a: 1 }, { a: 2 }),
    Bun.deepEquals({ a: undefined }, {}),
    Bun.deepEquals({ a: undefined }, {}, true),
    Bun.deepEquals(new Map([[1, 2]]), new Map([[1, 2]])),
    Bun.deepEquals(new Set([1]), new Set([2])),
    Bun.deepEquals(new Date(0), new Date(0)),
    Bun.deepEquals([1, 2], [2, 1]),
    Bun.deepEquals(NaN, NaN),
  ],
  deepMatch: () => [Bun.deepMatch({ a: 1 }, { a: 1, b: 2 }), Bun.deepMatch({ a: 1, b: 2 }, { a: 1 })],
  compression: () => {
    const text = Buffer.from("compress me ".repeat(20));
    return [
      Buffer.from(Bun.gunzipSync(Bun.gzipSync(text))).equals(text),
      Buffer.from(Bun.inflateSync(Bun.deflateSync(text))).equals(text),
      Buffer.from(Bun.zstdDecompressSync(Bun.zstdCompressSync(text))).equals(text),
      Bun.gzipSync(text).length < 100,
      Bun.gzipSync(text) instanceof Uint8Array,
    ];
  },
  "compression, later": async () => {
    const text = Buffer.from("later ".repeat(20));
    return Buffer.from(await Bun.zstdDecompress(await Bun.zstdCompress(text, { level: 5 }))).equals(text);
  },
  nanoseconds: () => {
    const first = Bun.nanoseconds();
    return [typeof first, Number.isInteger(first), Bun.nanoseconds() >= first];
  },
  uuids: () => {
    const [first, second] = [Bun.randomUUIDv7(), Bun.randomUUIDv7()];
    return [
      /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/.test(first),
      first !== second,
      Bun.randomUUIDv7("buffer").length,
      Bun.randomUUIDv7("hex", 0).slice(0, 14),
    ];
  },
  "uuids of names": () => [
    Bun.randomUUIDv5("example.com", "dns"),
    Bun.randomUUIDv5("x", "6ba7b811-9dad-11d1-80b4-00c04fd430c8"),
  ],
  "urls and paths": () => [Bun.fileURLToPath("file:///a/b%20c"), Bun.pathToFileURL("/a/b c").href],
  resolve: async (folder) => {
    await Bun.write(`${folder}/node_modules/pkg/index.js`, "");
    await Bun.write(`${folder}/local.js`, "");
    return [
      Bun.resolveSync("pkg", folder),
      await Bun.resolve("./local.js", folder),
      refused(() => Bun.resolveSync("no-such-package", folder)) !== undefined,
    ];
  },
  version: () => [Bun.version, typeof Bun.revision],
  "argv, main": () => [
    Array.isArray(Bun.argv),
    Bun.argv.length >= 1,
    typeof Bun.main,
    Bun.isMainThread,
    Bun.enableANSIColors,
  ],
  peek: async () => {
    const done = Promise.resolve(1);
    const never = new Promise(() => {});
    const failed = Promise.reject(new Error("no"));
    return [
      Bun.peek(done),
      Bun.peek(never) === never,
      (Bun.peek(failed) as Error).message,
      Bun.peek(42),
      [done, never, failed].map((promise) => Bun.peek.status(promise)),
    ];
  },
  hashers: () => [
    new Bun.CryptoHasher("sha256").update("hello").update(" world").digest("hex"),
    Bun.CryptoHasher.hash("md5", "x", "hex"),
    new Bun.CryptoHasher("sha1").update("x").digest("base64"),
    new Bun.CryptoHasher("sha256", "key").update("x").digest("hex"),
    new Bun.CryptoHasher("sha512").update(new Uint8Array([1])).digest().length,
    new Bun.CryptoHasher("sha256").algorithm,
    new Bun.CryptoHasher("sha256").byteLength,
    new Bun.CryptoHasher("sha3-256").update("x").digest("hex"),
    new Bun.CryptoHasher("sha512-256").update("x").digest("hex"),
    refused(() => new Bun.CryptoHasher("nonsense" as any)) !== undefined,
  ],
  "a hasher's copy": () => {
    const first = new Bun.CryptoHasher("sha256").update("a");
    const second = first.copy();
    return [first.update("b").digest("hex"), second.digest("hex")];
  },
  "hashers by name": () => [
    Bun.SHA256.hash("x", "hex"),
    new Bun.SHA1().update("x").digest("hex"),
    new Bun.MD5().update("x").digest("base64"),
    Bun.SHA512.byteLength,
    Bun.SHA512_256.hash("x", "hex"),
    Bun.sha("x", "hex"),
  ],
  "a sink": () => {
    const sink = new Bun.ArrayBufferSink();
    sink.write("one ");
    sink.write(new Uint8Array([116, 119, 111]));
    return sink.end();
  },
  "a sink that streams": () => {
    const sink = new Bun.ArrayBufferSink();
    sink.start({ stream: true, asUint8Array: true });
    sink.write("one");
    const first = sink.flush();
    sink.write("two");
    return [first, sink.end()];
  },
  streams: async () => {
    const stream = () => new Response('["one"]').body!;
    return [
      await Bun.readableStreamToText(stream()),
      await Bun.readableStreamToJSON(stream()),
      await Bun.readableStreamToBytes(stream()),
      ((await Bun.readableStreamToArrayBuffer(stream())) as ArrayBuffer).byteLength,
      await (await Bun.readableStreamToBlob(stream())).text(),
      (await Bun.readableStreamToArray(stream())).length,
    ];
  },
  memory: () => [
    Bun.concatArrayBuffers([new Uint8Array([1]), new Uint8Array([2, 3]).buffer]),
    Bun.indexOfLine(new TextEncoder().encode("ab\ncd\n"), 0),
    Bun.indexOfLine(new TextEncoder().encode("ab\ncd\n"), 3),
    Bun.indexOfLine(new TextEncoder().encode("ab"), 0),
    Bun.allocUnsafe(3).length,
  ],
  garbage: () => typeof Bun.gc(true),
  "streams of the process": () => [Bun.stdin instanceof Blob, Bun.stdout instanceof Blob, Bun.stderr instanceof Blob],
  required: () => {
    const { require } = import.meta as any;
    return [require("bun").file === Bun.file, typeof require("bun:sqlite").Database];
  },
  "the source of this file": () => readFileSync((import.meta as any).path, "utf8").includes("bun"),
  inspect: () => [Bun.inspect({ a: 1, b: [1, "x"] }), Bun.inspect("x"), Bun.inspect(new Map([[1, 2]]))],
  "a function that Baton lacks": () => refused(() => (Bun as any).redis),
};
