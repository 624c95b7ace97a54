// `Bun.file` and `Bun.write`: a blob that is a file, read when it is asked for.

import { Buffer } from "node:buffer";
import * as fs from "node:fs";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { arrayBufferOf, type Bytes, collect, isBytes, toBytes, withReaders } from "./bytes.ts";
import { typeOf, withCharset } from "./mime.ts";

/** The arguments that `Bun.file` takes. */
export type Place = string | URL | number | Bytes;

interface Range {
  begin: number;
  /** Exclusive; nothing for the end of the file, whatever it is then. */
  end?: number;
}

/** A file, or a part of one, as a blob. It need not be there yet. */
export class BunFile extends Blob {
  #place: string | number;
  #type: string;
  #range: Range;

  constructor(place: Place, type?: string, range: Range = { begin: 0 }) {
    super([]);
    this.#place = typeof place === "number" ? place : pathOf(place);
    this.#type = type === undefined ? typeOf(this.#place) : withCharset(type);
    this.#range = range;
  }

  /** The path; nothing for a file descriptor. */
  get name(): string | undefined {
    return typeof this.#place === "string" ? this.#place : undefined;
  }

  /** A path or a descriptor. */
  get place(): string | number {
    return this.#place;
  }

  override get type(): string {
    return this.#type;
  }

  /** 0 when there is no such file. */
  override get size(): number {
    const stat = this.#stat();
    const whole = stat?.isFile() ? stat.size : 0;
    const { begin, end = whole } = this.#range;
    return Math.max(0, Math.min(end, whole) - Math.min(begin, whole));
  }

  get lastModified(): number {
    return Math.trunc(this.#stat()?.mtimeMs ?? 0);
  }

  async exists(): Promise<boolean> {
    const stat = this.#stat();
    return stat !== undefined && Boolean(stat.isFile() || stat.isFIFO());
  }

  stat(): Promise<fs.Stats> {
    return typeof this.#place === "string" ? fs.promises.stat(this.#place) : Promise.resolve(fs.fstatSync(this.#place));
  }

  override async bytes(): Promise<Uint8Array<ArrayBuffer>> {
    return new Uint8Array(await this.#read());
  }

  override async arrayBuffer(): Promise<ArrayBuffer> {
    return arrayBufferOf(await this.#read());
  }

  override async text(): Promise<string> {
    return new TextDecoder().decode(await this.#read());
  }

  async json(): Promise<any> {
    return JSON.parse(await this.text());
  }

  async formData(): Promise<FormData> {
    return await new Response(await this.bytes(), { headers: { "content-type": this.type } }).formData();
  }

  override stream(): ReadableStream<Uint8Array<ArrayBuffer>> {
    const { begin, end } = this.#range;
    const place = this.#place;
    let source: AsyncIterator<Buffer> | undefined;
    const open = () =>
      fs
        .createReadStream(typeof place === "string" ? place : "", {
          ...(typeof place === "number" && { fd: place, autoClose: false }),
          ...((begin > 0 || end !== undefined) && { start: begin }),
          ...(end !== undefined && { end: end - 1 }),
          highWaterMark: 256 * 1024,
        })
        [Symbol.asyncIterator]();
    const stream = new ReadableStream<Uint8Array>({
      async pull(controller) {
        if (end !== undefined && end <= begin) return controller.close();
        const { done, value } = await (source ??= open()).next();
        if (done) controller.close();
        else controller.enqueue(new Uint8Array(value));
      },
      async cancel() {
        await source?.return?.();
      },
    });
    return withReaders(stream) as any;
  }

  override slice(begin?: number | string, end?: number | string, type?: string): BunFile {
    if (typeof begin === "string") return new BunFile(this.#place, begin, this.#range);
    if (typeof end === "string") return this.slice(begin, undefined, end);
    const { size } = this;
    const at = (value: number | undefined, otherwise: number) =>
      value === undefined ? otherwise : value < 0 ? Math.max(0, size + value) : Math.min(value, size);
    const from = at(begin, 0);
    const range = { begin: this.#range.begin + from, end: this.#range.begin + Math.max(from, at(end, size)) };
    return new BunFile(this.#place, type ?? this.#type, range);
  }

  writer({ highWaterMark }: { highWaterMark?: number } = {}): FileSink {
    if (typeof this.#place === "number") return new FileSink(this.#place, false, highWaterMark);
    fs.mkdirSync(dirname(this.#place), { recursive: true });
    return new FileSink(fs.openSync(this.#place, "w"), true, highWaterMark);
  }

  write(data: Writable, options?: WriteOptions): Promise<number> {
    return write(this, data, options);
  }

  async unlink(): Promise<void> {
    if (typeof this.#place === "number") throw new TypeError("a file descriptor has no name to unlink");
    await fs.promises.unlink(this.#place);
  }

  delete(): Promise<void> {
    return this.unlink();
  }

  #stat(): fs.Stats | undefined {
    try {
      return typeof this.#place === "string" ? fs.statSync(this.#place) : fs.fstatSync(this.#place);
    } catch {
      return undefined;
    }
  }

  async #read(): Promise<Buffer> {
    const { begin, end } = this.#range;
    if (typeof this.#place === "number") return await collect(this.stream() as any);
    if (begin === 0 && end === undefined) return await fs.promises.readFile(this.#place);
    return await collect(this.stream() as any);
  }
}

/** A writer that keeps what it is given until it is flushed, ended, or has too much. */
export class FileSink {
  #fd: number;
  #closes: boolean;
  #limit: number;
  #kept: Buffer[] = [];
  #length = 0;

  constructor(fd: number, closes: boolean, limit = 16 * 1024) {
    this.#fd = fd;
    this.#closes = closes;
    this.#limit = limit;
  }

  write(data: string | Bytes): number {
    // A copy, since the caller may use its buffer again.
    const bytes = Buffer.from(toBytes(data));
    this.#kept.push(bytes);
    this.#length += bytes.length;
    if (this.#length >= this.#limit) this.flush();
    return bytes.length;
  }

  flush(): number {
    const bytes = Buffer.concat(this.#kept);
    this.#kept = [];
    this.#length = 0;
    for (let at = 0; at < bytes.length;) at += fs.writeSync(this.#fd, bytes, at);
    return bytes.length;
  }

  end(): number {
    const flushed = this.flush();
    if (this.#closes) fs.closeSync(this.#fd);
    this.#closes = false;
    return flushed;
  }

  ref(): void {}
  unref(): void {}
}

export function file(place: Place | BunFile, options?: { type?: string }): BunFile {
  return new BunFile(place instanceof BunFile ? place.place : place, options?.type);
}

export type Writable = string | Bytes | Blob | Response | Request | ReadableStream | BunFile | ArchiveLike;

/** Something else that makes bytes. */
interface ArchiveLike {
  arrayBuffer(): Promise<ArrayBuffer>;
}

export interface WriteOptions {
  createPath?: boolean;
  mode?: number;
}

/** Writes to a file, and makes its folder unless that is not wanted; returns how many bytes. */
export function write(
  to: Place | BunFile | { place: string | number },
  data: Writable | (string | Bytes | Blob)[],
  { createPath = true, mode }: WriteOptions = {},
): Promise<number> {
  if (data === undefined || data === null) {
    const message = "Bun.write(pathOrFdOrBlob, blob) expects a Blob-y thing to write";
    throw Object.assign(new TypeError(message), { code: "ERR_INVALID_ARG_TYPE" });
  }
  const place = to instanceof BunFile ? to.place : typeof to === "number" ? to : pathOf(to as Place);
  return put(place, data, createPath, mode);
}

async function put(
  place: string | number,
  data: Writable | (string | Bytes | Blob)[],
  createPath: boolean,
  mode?: number,
): Promise<number> {
  const bytes = await contentOf(data);
  if (typeof place === "number") {
    for (let at = 0; at < bytes.length;) at += fs.writeSync(place, bytes, at);
    return bytes.length;
  }
  const attempt = () => fs.promises.writeFile(place, bytes, { mode });
  try {
    await attempt();
  } catch (error: any) {
    if (error.code !== "ENOENT" || !createPath) throw error;
    await fs.promises.mkdir(dirname(place), { recursive: true });
    await attempt();
  }
  return bytes.length;
}

/** The bytes of anything that can be written. */
export async function contentOf(data: Writable | (string | Bytes | Blob)[]): Promise<Buffer> {
  if (typeof data === "string" || isBytes(data)) return toBytes(data);
  if (Array.isArray(data)) return Buffer.from(await new Blob(data as BlobPart[]).arrayBuffer());
  if (data instanceof ReadableStream) return await collect(data as any);
  if (typeof (data as ArchiveLike).arrayBuffer === "function") return Buffer.from(await data.arrayBuffer());
  return Buffer.from(String(data));
}

function pathOf(place: Place): string {
  if (place instanceof URL) return fileURLToPath(place);
  if (typeof place === "string") return place.startsWith("file://") ? fileURLToPath(place) : place;
  if (isBytes(place)) return toBytes(place).toString();
  throw new TypeError("Expected a path: a string, a URL, bytes or a file descriptor");
}
