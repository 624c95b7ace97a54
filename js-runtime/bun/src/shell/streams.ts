// The streams that a command of `$` reads from and writes to.

import { Buffer } from "node:buffer";
import * as fs from "node:fs";
import { toBytes } from "../bytes.ts";

/** A place to write bytes to. */
export interface Sink {
  /** A descriptor that a child can have as it is. */
  readonly fd?: number;
  /** Throws [`BrokenPipe`] when nobody reads any more. */
  write(bytes: Buffer): void | Promise<void>;
}

/** A place to read bytes from. */
export interface Source extends AsyncIterable<Uint8Array> {
  readonly fd?: number;
  /** Ends the reading. */
  cancel(): void;
}

export class BrokenPipe extends Error {
  constructor() {
    super("nobody reads this pipe any more");
  }
}

/** Keeps everything; tells it to somebody else too. */
export class Collected implements Sink {
  #chunks: Buffer[] = [];
  #also: ((bytes: Buffer) => void) | undefined;

  constructor(also?: (bytes: Buffer) => void) {
    this.#also = also;
  }

  write(bytes: Buffer): void {
    this.#chunks.push(Buffer.from(bytes));
    this.#also?.(bytes);
  }

  get bytes(): Buffer {
    return Buffer.concat(this.#chunks);
  }
}

/** An open file, both ways. */
export class OpenFile implements Sink, Source {
  constructor(readonly fd: number) {}

  write(bytes: Buffer): void {
    for (let at = 0; at < bytes.length;) at += fs.writeSync(this.fd, bytes, at);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    yield fs.readFileSync(this.fd);
  }

  cancel(): void {}

  close(): void {
    fs.closeSync(this.fd);
  }
}

/** Memory of the script's: what does not fit is lost. */
export class Memory implements Sink {
  #target: Buffer;
  #at = 0;

  constructor(target: ArrayBuffer | SharedArrayBuffer | ArrayBufferView) {
    this.#target = toBytes(target);
  }

  write(bytes: Buffer): void {
    this.#at += bytes.copy(this.#target, this.#at);
  }
}

/** Nothing in, nothing out. */
export const nothing: Sink & Source = {
  write() {},
  cancel() {},
  async *[Symbol.asyncIterator]() {},
};

/** A source that somebody else has made. */
export function sourceOf(chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Source {
  return {
    async *[Symbol.asyncIterator]() {
      yield* chunks;
    },
    cancel() {},
  };
}

/** From one command to the next: a write waits until it is read. */
export class Pipe implements Sink, Source {
  #chunks: { bytes: Buffer; read: () => void; broken: (error: Error) => void }[] = [];
  #state: "open" | "ended" | "cancelled" = "open";
  #wake: () => void = () => {};

  write(bytes: Buffer): Promise<void> {
    if (this.#state !== "open") return Promise.reject(new BrokenPipe());
    return new Promise((read, broken) => {
      this.#chunks.push({ bytes: Buffer.from(bytes), read, broken });
      this.#wake();
    });
  }

  /** Nothing more is written. */
  end(): void {
    if (this.#state === "open") this.#state = "ended";
    this.#wake();
  }

  cancel(): void {
    this.#state = "cancelled";
    for (const { broken } of this.#chunks.splice(0)) broken(new BrokenPipe());
    this.#wake();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    while (this.#state !== "cancelled") {
      const chunk = this.#chunks.shift();
      if (chunk) {
        try {
          yield chunk.bytes;
        } finally {
          chunk.read();
        }
      } else if (this.#state === "ended") {
        return;
      } else {
        await new Promise<void>((wake) => {
          this.#wake = wake;
        });
      }
    }
  }
}
