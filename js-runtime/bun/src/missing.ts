// The parts of Bun that Baton does not have, and what to use instead. Using one throws an error that says so; `in`
// is false for it.

const INSTEAD: Record<string, string> = {
  Archive: "use the npm package tar",
  Cookie: "use the npm package cookie",
  CookieMap: "use the npm package cookie",
  CSRF: "use node:crypto's createHmac",
  FFI: "load native code as a Node addon, or start it as a child process",
  FetchSession: "use fetch",
  FileSystemRouter: "use a router such as Hono's",
  Image: "use the npm package sharp",
  JSON5: "use the npm package json5",
  JSONC: "use the npm package jsonc-parser",
  JSONL: "split the text into lines and use JSON.parse",
  MD4: 'use new Bun.CryptoHasher("md4") where OpenSSL still has it',
  ModuleGraph: "build with a bundler before",
  RedisClient: "use the npm package ioredis",
  S3Client: "use the npm package @aws-sdk/client-s3",
  SQL: "use the npm package postgres or mysql2",
  Terminal: "use the npm package node-pty",
  Transpiler: "use the npm package esbuild",
  WebView: "use the npm package puppeteer-core",
  XML: "use the npm package fast-xml-parser",
  build: "build with a bundler before",
  color: "use the npm package colord",
  connect: "use node:net's connect",
  cron: "use a function with a cron trigger",
  dns: "use node:dns",
  generateHeapSnapshot: "use node:v8's writeHeapSnapshot",
  listen: "Baton owns the ports; use node:net's createServer for a port of your own",
  markdown: "use the npm package marked",
  mmap: "use node:fs's readFile",
  openInEditor: "open the file in your editor yourself",
  plugin: "build with a bundler before",
  postgres: "use the npm package postgres",
  redis: "use the npm package ioredis",
  s3: "use the npm package @aws-sdk/client-s3",
  secrets: "use environment variables",
  sliceAnsi: "use the npm package slice-ansi",
  sql: "use the npm package postgres or mysql2",
  udpSocket: "use node:dgram",
  wrapAnsi: "use the npm package wrap-ansi",
};

/** Returns the error for a name of Bun's that Baton does not have, and nothing for a name that Bun does not have. */
export function missing(name: PropertyKey): Error | undefined {
  if (typeof name !== "string" || !Object.hasOwn(INSTEAD, name)) return undefined;
  return new Error(`Baton has no Bun.${name}: ${INSTEAD[name]}`);
}

/** Stands for a missing part that was imported by its name: using it throws, importing it does not. */
export function stub(name: string): unknown {
  function refuse(): never {
    throw missing(name);
  }
  // Inspecting an export reads its symbols.
  const get = (_: unknown, key: PropertyKey) => (typeof key === "symbol" ? undefined : refuse());
  return new Proxy(refuse, { apply: refuse, construct: refuse, get, set: refuse });
}
