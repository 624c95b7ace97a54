// `Bun.YAML`: parsing by Rust's `saphyr`, writing here.

import { native } from "./bytes.ts";

export const YAML = { parse: (text: unknown): unknown => native.yaml(textOf(text)), stringify };

export function textOf(input: unknown): string {
  if (typeof input === "string") return input;
  if (ArrayBuffer.isView(input) || input instanceof ArrayBuffer) return new TextDecoder().decode(input as ArrayBuffer);
  return String(input);
}

function stringify(value: unknown, replacer?: null, space?: string | number): string | undefined {
  if (replacer !== undefined && replacer !== null) {
    throw new TypeError("YAML.stringify does not support the replacer argument");
  }
  const indent = typeof space === "number" ? " ".repeat(Math.min(10, Math.max(0, space))) : (space ?? "").slice(0, 10);
  return new Writer(indent).whole(value);
}

class Writer {
  #indent: string;
  /** Writes a value that occurs more than once as an anchor and aliases. */
  #counts = new Map<object, number>();
  #anchors = new Map<object, string>();

  constructor(indent: string) {
    this.#indent = indent;
  }

  whole(value: unknown): string | undefined {
    if (!isWritten(value)) return undefined;
    this.#count(value);
    return this.#indent === "" ? this.#flow(value) : this.#block(value, "");
  }

  #count(value: unknown): void {
    if (typeof value !== "object" || value === null) return;
    const count = (this.#counts.get(value) ?? 0) + 1;
    this.#counts.set(value, count);
    if (count === 1) for (const item of Object.values(value)) this.#count(item);
  }

  /** An alias, or the anchor before a value. */
  #anchor(value: object, name: string): { alias?: string; prefix: string } {
    const known = this.#anchors.get(value);
    if (known) return { alias: `*${known}`, prefix: "" };
    if ((this.#counts.get(value) ?? 0) < 2) return { prefix: "" };
    const taken = new Set(this.#anchors.values());
    let anchor = /^[A-Za-z0-9_-]+$/.test(name) ? name : "value";
    for (let number = 1; taken.has(anchor); number += 1) anchor = `${name}${number}`;
    this.#anchors.set(value, anchor);
    return { prefix: `&${anchor} ` };
  }

  #flow(value: unknown, name = "root"): string {
    if (typeof value !== "object" || value === null || value instanceof Date) return scalar(value);
    const { alias, prefix } = this.#anchor(value, name);
    if (alias) return alias;
    if (Array.isArray(value))
      return `${prefix}[${value.map((item, index) => this.#flow(item, `item${index}`)).join(",")}]`;
    const entries = Object.entries(value).filter(([, item]) => isWritten(item));
    return `${prefix}{${entries.map(([key, item]) => `${text(key)}: ${this.#flow(item, key)}`).join(",")}}`;
  }

  #block(value: unknown, indent: string, name = "root"): string {
    if (typeof value !== "object" || value === null || value instanceof Date) return scalar(value);
    const { alias, prefix } = this.#anchor(value, name);
    if (alias) return alias;
    if (Array.isArray(value)) {
      if (value.length === 0) return `${prefix}[]`;
      const lines = value.map((item, index) => `- ${this.#block(item, `${indent}  `, `item${index}`)}`);
      return (prefix && `${prefix.trimEnd()}\n${indent}`) + lines.join(`\n${indent}`);
    }
    const entries = Object.entries(value).filter(([, item]) => isWritten(item));
    if (entries.length === 0) return `${prefix}{}`;
    const lines = entries.map(([key, item]) => {
      const inner = indent + this.#indent;
      const written = this.#block(item, inner, key);
      const nests = typeof item === "object" && item !== null && written.includes("\n");
      const isCollection = typeof item === "object" && item !== null && !(item instanceof Date);
      const breaks = nests || (isCollection && Object.values(item).some(isWritten) && !written.startsWith("*"));
      if (!breaks) return `${text(key)}: ${written}`;
      return written.startsWith("&") ? `${text(key)}: ${written}` : `${text(key)}:\n${inner}${written}`;
    });
    return (prefix && `${prefix.trimEnd()}\n${indent}`) + lines.join(`\n${indent}`);
  }
}

function isWritten(value: unknown): boolean {
  return value !== undefined && typeof value !== "function" && typeof value !== "symbol";
}

function scalar(value: unknown): string {
  if (typeof value === "string") return text(value);
  if (value instanceof Date) return value.toISOString();
  if (typeof value === "bigint") throw new TypeError("YAML.stringify cannot serialize BigInt");
  if (typeof value === "number") {
    if (Number.isNaN(value)) return ".nan";
    if (!Number.isFinite(value)) return value > 0 ? ".inf" : "-.inf";
    return Object.is(value, -0) ? "-0" : String(value);
  }
  return isWritten(value) ? String(value) : "null";
}

const WORDS = /^(?:null|~|true|false|yes|no|on|off|y|n|\.nan|[-+]?\.inf)$/i;
const NUMBER = /^[-+]?(?:\d|\.\d)/;

/** A text as it is where that means the same, quoted otherwise. */
function text(value: string): string {
  const plain =
    value !== "" &&
    !WORDS.test(value) &&
    !NUMBER.test(value) &&
    !/^[\s\-?:,[\]{}#&*!|>'"%@`=]|\s$|: |:$|#|[\x00-\x1f\x7f\u0085\u2028\u2029]|[,[\]{}]/.test(value) &&
    !value.startsWith("---") &&
    !value.startsWith("...");
  if (plain) return value;
  const short: Record<string, string> = {
    '"': '\\"',
    "\\": "\\\\",
    "\n": "\\n",
    "\t": "\\t",
    "\r": "\\r",
    "\b": "\\b",
    "\f": "\\f",
    "\0": "\\0",
    "\v": "\\v",
    "\x07": "\\a",
    "\x1b": "\\e",
  };
  const escaped = value.replace(/["\\\x00-\x1f\x7f\u0085\u2028\u2029]/g, (character) => {
    const code = character.charCodeAt(0);
    return short[character] ?? (code < 256 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u${code.toString(16)}`);
  });
  return `"${escaped}"`;
}
