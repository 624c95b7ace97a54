// `Bun.hash`, `Bun.password`, `Bun.CryptoHasher` and the hashers by name.

import { Buffer } from "node:buffer";
import * as crypto from "node:crypto";
import { crc32 } from "node:zlib";
import { type Bytes, native, toBytes, type Work } from "./bytes.ts";

type Input = string | Bytes;

const MASK = (1n << 64n) - 1n;

function wide(algorithm: string) {
  return (data: Input, seed: number | bigint = 0): bigint => native.hash(algorithm, toBytes(data), BigInt(seed) & MASK);
}

function adler32(data: Input): number {
  let [a, b] = [1, 0];
  for (const byte of toBytes(data)) {
    a = (a + byte) % 65521;
    b = (b + a) % 65521;
  }
  return ((b << 16) | a) >>> 0;
}

const wyhash = wide("wyhash");

export const hash = Object.assign((data: Input, seed?: number | bigint) => wyhash(data, seed), {
  wyhash,
  adler32,
  crc32: (data: Input, seed = 0): number => crc32(toBytes(data), seed),
  xxHash32: (data: Input, seed?: number): number => Number(wide("xxHash32")(data, seed)),
  xxHash64: wide("xxHash64"),
  xxHash3: wide("xxHash3"),
  ...Object.fromEntries(
    ["cityHash32", "cityHash64", "murmur32v2", "murmur32v3", "murmur64v2", "rapidhash"].map((name) => [
      name,
      absent(name),
    ]),
  ),
});

function absent(name: string) {
  return (): never => {
    throw new Error(`Baton has no Bun.hash.${name}: use Bun.hash, Bun.hash.xxHash64 or Bun.hash.crc32`);
  };
}

type Encoding = "hex" | "base64" | "base64url" | "latin1" | "buffer";

/** `CryptoHasher` and what it makes, over node:crypto. */
export class CryptoHasher {
  static readonly algorithms = [
    "blake2b256",
    "blake2b512",
    "blake2s256",
    "md4",
    "md5",
    "ripemd160",
    "sha1",
    "sha224",
    "sha256",
    "sha384",
    "sha512",
    "sha512-224",
    "sha512-256",
    "sha3-224",
    "sha3-256",
    "sha3-384",
    "sha3-512",
    "shake128",
    "shake256",
  ];

  readonly algorithm: string;
  #hash: crypto.Hash | crypto.Hmac;

  constructor(algorithm: string, key?: Input) {
    this.algorithm = algorithm;
    this.#hash =
      key === undefined ? crypto.createHash(nameOf(algorithm)) : crypto.createHmac(nameOf(algorithm), toBytes(key));
  }

  static hash(algorithm: string, data: Input, output?: Encoding | Bytes): any {
    return new CryptoHasher(algorithm).update(data).digest(output);
  }

  get byteLength(): number {
    return crypto.createHash(nameOf(this.algorithm)).digest().length;
  }

  update(data: Input, encoding?: BufferEncoding): this {
    this.#hash.update(typeof data === "string" ? Buffer.from(data, encoding) : toBytes(data));
    return this;
  }

  digest(output?: Encoding | Bytes): any {
    return given(this.#hash.digest(), output);
  }

  copy(): CryptoHasher {
    if (!("copy" in this.#hash)) throw new Error("a hasher with a key cannot be copied");
    const copy = Object.create(CryptoHasher.prototype) as CryptoHasher;
    const made = new CryptoHasher(this.algorithm);
    made.#hash = (this.#hash as crypto.Hash).copy();
    Object.setPrototypeOf(made, Object.getPrototypeOf(copy));
    return made;
  }
}

function given(digest: Buffer, output: Encoding | Bytes | undefined): any {
  if (typeof output === "string" && output !== "buffer") return digest.toString(output as BufferEncoding);
  if (output === undefined || output === "buffer") return digest;
  const target = toBytes(output as Bytes);
  if (target.length < digest.length) throw new RangeError(`TypedArray must be at least ${digest.length} bytes`);
  digest.copy(target);
  return output;
}

function nameOf(algorithm: string): string {
  const name = algorithm.toLowerCase().replace("sha-", "sha");
  return name === "blake2b256" ? "blake2b256" : name;
}

function hasher(algorithm: string, byteLength: number) {
  return class {
    static readonly byteLength = byteLength;
    static hash = (data: Input, output?: Encoding | Bytes): any => CryptoHasher.hash(algorithm, data, output);
    readonly byteLength = byteLength;
    #hasher = new CryptoHasher(algorithm);

    update(data: Input): this {
      this.#hasher.update(data);
      return this;
    }

    digest(output?: Encoding | Bytes): any {
      return this.#hasher.digest(output);
    }
  };
}

export const MD5 = hasher("md5", 16);
export const SHA1 = hasher("sha1", 20);
export const SHA224 = hasher("sha224", 28);
export const SHA256 = hasher("sha256", 32);
export const SHA384 = hasher("sha384", 48);
export const SHA512 = hasher("sha512", 64);
export const SHA512_256 = hasher("sha512-256", 32);

export function sha(data: Input, output?: Encoding | Bytes): any {
  return CryptoHasher.hash("sha512-256", data, output);
}

type Algorithm = "argon2id" | "argon2i" | "argon2d" | "bcrypt";
type HashOptions =
  | Algorithm
  | { algorithm: "argon2id" | "argon2i" | "argon2d"; memoryCost?: number; timeCost?: number }
  | { algorithm: "bcrypt"; cost?: number };

/** The parameters of a hash, and the text of the hash. */
interface Plan {
  work: Work;
  finish(derived: any): any;
}

function hashing(password: Input, options: HashOptions = "argon2id"): Plan {
  const text = passwordOf(password);
  const settings = typeof options === "string" ? { algorithm: options } : options;
  if (settings.algorithm === "bcrypt") {
    const { cost = 10 } = settings as { cost?: number };
    if (!(cost >= 4 && cost <= 31)) throw new RangeError("Rounds must be between 4 and 31");
    return { work: { kind: "bcryptHash", password: [...bcryptInput(text)], cost }, finish: (hash) => hash };
  }
  const { algorithm, memoryCost = 65536, timeCost = 2 } = settings as any;
  if (!["argon2id", "argon2i", "argon2d"].includes(algorithm)) {
    throw new TypeError(
      `unknown algorithm ${JSON.stringify(algorithm)}, expected one of: "bcrypt", "argon2id", "argon2d" or "argon2i"`,
    );
  }
  const salt = crypto.randomBytes(32);
  const work: Work = {
    kind: "argon2",
    algorithm,
    password: text,
    salt: [...salt],
    memoryCost,
    timeCost,
    parallelism: 1,
    length: 32,
  };
  const head = `$${algorithm}$v=19$m=${memoryCost},t=${timeCost},p=1$${unpadded(salt)}`;
  return { work, finish: (derived: Uint8Array) => `${head}$${unpadded(Buffer.from(derived))}` };
}

function verifying(password: Input, hash: Input): Plan {
  const text = passwordOf(password);
  const expected = toBytes(hash).toString();
  if (/^\$2[abxy]\$/.test(expected)) {
    return {
      work: { kind: "bcryptVerify", password: [...bcryptInput(text)], hash: expected },
      finish: (matches) => matches,
    };
  }
  const [, algorithm, m, t, p, salt, digest] =
    /^\$(argon2(?:id|i|d))\$v=19\$m=(\d+),t=(\d+),p=(\d+)\$([^$]+)\$([^$]+)$/.exec(expected) ?? [];
  if (!digest) {
    throw Object.assign(new Error('Password verification failed with error "UnsupportedAlgorithm"'), {
      code: "PASSWORD_UNSUPPORTED_ALGORITHM",
    });
  }
  const known = Buffer.from(digest, "base64");
  const work: Work = {
    kind: "argon2",
    algorithm,
    password: text,
    salt: [...Buffer.from(salt, "base64")],
    memoryCost: Number(m),
    timeCost: Number(t),
    parallelism: Number(p),
    length: known.length,
  };
  return { work, finish: (derived: Uint8Array) => crypto.timingSafeEqual(derived, known) };
}

export const password = {
  hash(password: Input, options?: HashOptions): Promise<string> {
    const { work, finish } = hashing(password, options);
    return native.password(work).then(finish);
  },
  async verify(password: Input, hash: Input): Promise<boolean> {
    if (toBytes(hash).length === 0 || toBytes(password).length === 0) return false;
    const { work, finish } = verifying(password, hash);
    return finish(await native.password(work));
  },
  hashSync(password: Input, options?: HashOptions): string {
    const { work, finish } = hashing(password, options);
    return finish(native.passwordSync(work));
  },
  verifySync(password: Input, hash: Input): boolean {
    if (toBytes(hash).length === 0 || toBytes(password).length === 0) return false;
    const { work, finish } = verifying(password, hash);
    return finish(native.passwordSync(work));
  },
};

function passwordOf(password: Input): string {
  const text = toBytes(password).toString();
  if (text === "") throw Object.assign(new TypeError("password must not be empty"), { code: "ERR_INVALID_ARG_TYPE" });
  return text;
}

/** bcrypt reads 72 bytes: Bun takes the SHA-512 of a longer password. */
function bcryptInput(password: string): Buffer {
  const bytes = Buffer.from(password);
  return bytes.length > 72 ? crypto.createHash("sha512").update(bytes).digest() : bytes;
}

function unpadded(bytes: Buffer): string {
  return bytes.toString("base64").replace(/=+$/, "");
}

export function randomUUIDv7(
  encoding: "hex" | "base64" | "base64url" | "buffer" = "hex",
  timestamp: number | Date = Date.now(),
): string | Buffer {
  const bytes = crypto.randomBytes(16);
  bytes.writeUIntBE(Number(timestamp), 0, 6);
  bytes[6] = (bytes[6] & 0x0f) | 0x70;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  return uuid(bytes, encoding);
}

const NAMESPACES: Record<string, string> = {
  dns: "6ba7b8109dad11d180b400c04fd430c8",
  url: "6ba7b8119dad11d180b400c04fd430c8",
  oid: "6ba7b8129dad11d180b400c04fd430c8",
  x500: "6ba7b8149dad11d180b400c04fd430c8",
};

export function randomUUIDv5(
  name: Input,
  namespace: Input,
  encoding: "hex" | "base64" | "base64url" | "buffer" = "hex",
): string | Buffer {
  const space =
    typeof namespace === "string"
      ? Buffer.from(NAMESPACES[namespace] ?? namespace.replaceAll("-", ""), "hex")
      : toBytes(namespace);
  const bytes = crypto.createHash("sha1").update(space).update(toBytes(name)).digest().subarray(0, 16);
  bytes[6] = (bytes[6] & 0x0f) | 0x50;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  return uuid(bytes, encoding);
}

function uuid(bytes: Buffer, encoding: "hex" | "base64" | "base64url" | "buffer"): string | Buffer {
  if (encoding === "buffer") return bytes;
  if (encoding !== "hex") return bytes.toString(encoding);
  return bytes.toString("hex").replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}
