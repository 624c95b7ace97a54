// Digests, keys, randomness, compression.

import crypto from "node:crypto";
import zlib from "node:zlib";
import { promisify } from "node:util";

export default {
  createHash: () =>
    ["md5", "sha1", "sha256", "sha512", "sha3-256"].map((name) =>
      crypto.createHash(name).update("a").update(Buffer.from("b")).digest("hex"),
    ),
  "createHash in other encodings": () => [
    crypto.createHash("sha256").update("x").digest("base64url"),
    crypto.hash?.("sha1", "x"),
    crypto.createHash("shake128", { outputLength: 4 }).update("x").digest("hex"),
  ],
  "createHash of an unknown algorithm": () => {
    try {
      crypto.createHash("nonsense");
    } catch (error) {
      return error.name;
    }
  },
  "a hash can be finished only once": () => {
    const hash = crypto.createHash("sha1");
    hash.digest();
    try {
      hash.update("x");
    } catch (error) {
      return error.code;
    }
  },
  "createHmac and timingSafeEqual": () => {
    const sign = (text) => crypto.createHmac("sha256", "secret").update(text).digest();
    return [
      sign("x").toString("hex"),
      crypto.timingSafeEqual(sign("x"), sign("x")),
      crypto.timingSafeEqual(sign("x"), sign("y")),
    ];
  },
  "timingSafeEqual of two lengths": () => {
    try {
      crypto.timingSafeEqual(Buffer.alloc(1), Buffer.alloc(2));
    } catch (error) {
      return [error.name, error.code];
    }
  },
  "aes-256-gcm": () => {
    const [key, iv] = [Buffer.alloc(32, 1), Buffer.alloc(12, 2)];
    const cipher = crypto.createCipheriv("aes-256-gcm", key, iv);
    const sealed = Buffer.concat([cipher.update("plain"), cipher.final()]);
    const decipher = crypto.createDecipheriv("aes-256-gcm", key, iv).setAuthTag(cipher.getAuthTag());
    return [sealed, cipher.getAuthTag(), decipher.update(sealed, undefined, "utf8") + decipher.final("utf8")];
  },
  "pbkdf2, scrypt and hkdf": async () => [
    crypto.pbkdf2Sync("pw", "salt", 10, 16, "sha256"),
    crypto.scryptSync("pw", "salt", 16, { N: 16 }),
    Buffer.from(crypto.hkdfSync("sha256", "key", "salt", "info", 16)),
    await promisify(crypto.pbkdf2)("pw", "salt", 10, 8, "sha1"),
  ],
  ed25519: () => {
    const { publicKey, privateKey } = crypto.generateKeyPairSync("ed25519");
    const signature = crypto.sign(null, Buffer.from("x"), privateKey);
    const pem = publicKey.export({ type: "spki", format: "pem" });
    return [
      crypto.verify(null, Buffer.from("x"), crypto.createPublicKey(pem), signature),
      crypto.verify(null, Buffer.from("y"), publicKey, signature),
      publicKey.asymmetricKeyType,
      signature.length,
    ];
  },
  rsa: () => {
    const { publicKey, privateKey } = crypto.generateKeyPairSync("rsa", { modulusLength: 1024 });
    const signature = crypto.createSign("sha256").update("x").sign(privateKey);
    return [
      crypto.createVerify("sha256").update("x").verify(publicKey, signature),
      crypto.privateDecrypt(privateKey, crypto.publicEncrypt(publicKey, Buffer.from("secret"))).toString(),
    ];
  },
  randomness: () => [
    crypto.randomBytes(8).length,
    /^[0-9a-f-]{36}$/.test(crypto.randomUUID()),
    crypto.randomInt(5, 6),
    crypto.getRandomValues(new Uint8Array(4)).length,
  ],
  "subtle: digest and hmac": async () => {
    const text = new TextEncoder();
    const key = await globalThis.crypto.subtle.importKey(
      "raw",
      text.encode("k"),
      { name: "HMAC", hash: "SHA-256" },
      false,
      ["sign", "verify"],
    );
    const signature = await globalThis.crypto.subtle.sign("HMAC", key, text.encode("x"));
    return [
      await globalThis.crypto.subtle.digest("SHA-256", text.encode("x")),
      signature,
      await globalThis.crypto.subtle.verify("HMAC", key, signature, text.encode("x")),
    ];
  },
  "subtle: keys": async () => {
    const { subtle } = globalThis.crypto;
    const pair = await subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, true, ["sign", "verify"]);
    const jwk = await subtle.exportKey("jwk", pair.publicKey);
    const algorithm = { name: "ECDSA", hash: "SHA-256" };
    const signature = await subtle.sign(algorithm, pair.privateKey, new Uint8Array([1]));
    return [
      jwk.kty,
      jwk.crv,
      await subtle.verify(algorithm, pair.publicKey, signature, new Uint8Array([1])),
      signature.byteLength,
    ];
  },
  zlib: async () => {
    const data = Buffer.from("compress ".repeat(20));
    return [
      zlib.gunzipSync(zlib.gzipSync(data)).equals(data),
      zlib.inflateSync(zlib.deflateSync(data)).equals(data),
      zlib.brotliDecompressSync(zlib.brotliCompressSync(data)).equals(data),
      (await promisify(zlib.gunzip)(zlib.gzipSync(data))).equals(data),
      zlib.crc32("x"),
      typeof zlib.zstdCompressSync,
    ];
  },
  "zlib of bytes that are not compressed": () => {
    try {
      zlib.gunzipSync(Buffer.from("no"));
    } catch (error) {
      return [error.code, error.errno];
    }
  },
};
