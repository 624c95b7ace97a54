// Splits a template of `$` into tokens. What is interpolated is never read as syntax: a text is one
// word (or a part of one) whatever is in it.

import { isBytes } from "../bytes.ts";
import type { Script } from "./parser.ts";

/** A piece of a word. What is quoted is neither a pattern nor a list. */
export type Part =
  | { kind: "text"; text: string; quoted: boolean }
  | { kind: "variable"; name: string; quoted: boolean }
  | { kind: "command"; script: Script; quoted: boolean }
  /** Bytes, a file, a response: something to read from or to write to. */
  | { kind: "object"; value: object };

export type Word = Part[];

export type Operator = "|" | "||" | "&&" | ";" | "(" | ")" | "[[" | "]]" | "\n";

/** The stream of a redirection: standard input, output, error, or both outputs. */
export type Stream = 0 | 1 | 2 | "both";

export type Token =
  | { kind: "word"; word: Word }
  | { kind: "operator"; operator: Operator }
  | { kind: "redirect"; stream: Stream; append: boolean }
  /** One output goes where the other goes: `2>&1`. */
  | { kind: "duplicate"; stream: 1 | 2; of: 1 | 2 }
  | { kind: "end" };

/** A character of the source, or something that was interpolated. */
type Unit = string | { value: unknown };

const NAME = /[A-Za-z_]/;
const NAME_OR_DIGIT = /[A-Za-z0-9_]/;

export class Lexer {
  #units: Unit[];
  #at = 0;
  #parse: (lexer: Lexer) => Script;

  /** `parse` is for what stands in `$(…)`: it leaves the lexer behind the closing parenthesis. */
  constructor(strings: readonly string[], values: unknown[], parse: (lexer: Lexer) => Script) {
    this.#units = strings.flatMap((text, index) => [...text, ...(index < values.length ? unitsOf(values[index]) : [])]);
    this.#parse = parse;
  }

  next(): Token {
    this.#skipBlanks();
    const unit = this.#peek();
    if (unit === undefined) return { kind: "end" };
    if (typeof unit === "string") {
      const token = this.#operator(unit) ?? this.#redirect();
      if (token) return token;
    }
    return { kind: "word", word: this.#word() };
  }

  #peek(ahead = 0): Unit | undefined {
    return this.#units[this.#at + ahead];
  }

  #sees(text: string): boolean {
    return [...text].every((character, index) => this.#peek(index) === character);
  }

  #take(text: string): boolean {
    if (!this.#sees(text)) return false;
    this.#at += text.length;
    return true;
  }

  #skipBlanks(): void {
    for (;;) {
      const unit = this.#peek();
      if (unit === " " || unit === "\t" || unit === "\r") this.#at += 1;
      else if (this.#sees("\\\n")) this.#at += 2;
      else if (unit === "#") while (this.#peek() !== undefined && this.#peek() !== "\n") this.#at += 1;
      else return;
    }
  }

  #operator(unit: string): Token | undefined {
    const operator = (operator: Operator): Token => ({ kind: "operator", operator });
    if (unit === "&" && !this.#sees("&&") && !this.#sees("&>")) {
      throw new Error('Background commands "&" are not supported yet.');
    }
    if (this.#sees("|&")) throw new Error("Piping stdout and stderr (`|&`) is not supported yet.");
    for (const text of ["&&", "||", "|", ";", "(", ")", "\n"] as const) {
      if (this.#take(text)) return operator(text);
    }
    for (const text of ["[[", "]]"] as const) {
      const after = this.#peek(2);
      const ends = after === undefined || (typeof after === "string" && /[\s;]/.test(after));
      if (this.#sees(text) && ends) {
        this.#at += 2;
        return operator(text);
      }
    }
  }

  #redirect(): Token | undefined {
    const start = this.#at;
    let stream: Stream | undefined;
    if (this.#take("&>")) {
      return { kind: "redirect", stream: "both", append: this.#take(">") };
    }
    const digit = this.#peek();
    if ((digit === "0" || digit === "1" || digit === "2") && (this.#peek(1) === ">" || this.#peek(1) === "<")) {
      stream = Number(digit) as Stream;
      this.#at += 1;
    }
    if (this.#take("<")) return { kind: "redirect", stream: 0, append: false };
    if (this.#take(">")) {
      const output = stream ?? 1;
      if (this.#sees("&1") || this.#sees("&2")) {
        const of = this.#peek(1) === "1" ? 1 : 2;
        this.#at += 2;
        return { kind: "duplicate", stream: output as 1 | 2, of };
      }
      return { kind: "redirect", stream: output, append: this.#take(">") };
    }
    this.#at = start;
  }

  #word(): Word {
    const word: Word = [];
    for (;;) {
      const unit = this.#peek();
      if (unit === undefined) return word;
      if (typeof unit !== "string") {
        this.#at += 1;
        interpolate(word, unit.value);
      } else if (/[\s;|&<>()]/.test(unit)) {
        return word;
      } else if (unit === "'") {
        this.#at += 1;
        this.#single(word);
      } else if (unit === '"') {
        this.#at += 1;
        this.#double(word);
      } else if (unit === "\\") {
        this.#at += 1;
        const escaped = this.#peek();
        this.#at += 1;
        if (escaped === undefined) add(word, "\\", true);
        else if (typeof escaped !== "string") interpolate(word, escaped.value);
        else if (escaped !== "\n") add(word, escaped, true);
      } else if (unit === "$") {
        this.#dollar(word, false);
      } else {
        this.#at += 1;
        add(word, unit, false);
      }
    }
  }

  #single(word: Word): void {
    add(word, "", true);
    for (;;) {
      const unit = this.#peek();
      this.#at += 1;
      if (unit === undefined || unit === "'") return;
      if (typeof unit === "string") add(word, unit, true);
      else interpolate(word, unit.value);
    }
  }

  /** A variable in quotes that is empty is no argument, in Bun: only `""` is. */
  #double(word: Word): void {
    if (this.#peek() === '"') add(word, "", true);
    for (;;) {
      const unit = this.#peek();
      if (unit === "$") {
        this.#dollar(word, true);
        continue;
      }
      this.#at += 1;
      if (unit === undefined || unit === '"') return;
      if (typeof unit !== "string") {
        interpolate(word, unit.value);
      } else if (unit === "\\" && ['"', "$", "`", "\\", "\n"].includes(this.#peek() as string)) {
        const escaped = this.#peek() as string;
        this.#at += 1;
        if (escaped !== "\n") add(word, escaped, true);
      } else {
        add(word, unit, true);
      }
    }
  }

  #dollar(word: Word, quoted: boolean): void {
    this.#at += 1;
    if (this.#take("(")) {
      word.push({ kind: "command", script: this.#parse(this), quoted });
      return;
    }
    const first = this.#peek();
    if (typeof first !== "string" || !NAME_OR_DIGIT.test(first)) {
      add(word, "$", quoted);
      return;
    }
    let name = "";
    // A number is one digit.
    const more = NAME.test(first) ? NAME_OR_DIGIT : /^$/;
    do {
      name += this.#peek();
      this.#at += 1;
    } while (typeof this.#peek() === "string" && more.test(this.#peek() as string));
    word.push({ kind: "variable", name, quoted });
  }
}

function add(word: Word, text: string, quoted: boolean): void {
  const last = word[word.length - 1];
  if (last?.kind === "text" && last.quoted === quoted) last.text += text;
  else word.push({ kind: "text", text, quoted });
}

function interpolate(word: Word, value: unknown): void {
  if (typeof value === "object" && value !== null) word.push({ kind: "object", value });
  else add(word, String(value), true);
}

/** A list is several words; `{ raw }` is source; everything else is itself. */
function unitsOf(value: unknown): Unit[] {
  if (Array.isArray(value)) {
    return value.flatMap((item, index) => [...(index > 0 ? [" "] : []), ...unitsOf(item)]);
  }
  if (typeof value === "object" && value !== null) {
    const { raw } = value as { raw?: unknown };
    if (typeof raw === "string") return [...raw];
    if (isStreamable(value)) return [{ value }];
    const text = String(value);
    if (text.startsWith("[object ")) {
      throw new Error(`Invalid JS object used in shell: ${text}, you might need to call \`.toString()\` on it`);
    }
    return [{ value: text }];
  }
  if (typeof value === "function" || typeof value === "symbol") {
    throw new Error(`Invalid JS value used in shell: ${String(value)}`);
  }
  return [{ value: String(value) }];
}

/** True for an object that a redirection can lead from or to. */
export function isStreamable(value: object): boolean {
  return isBytes(value) || value instanceof Blob || value instanceof Response || value instanceof ReadableStream;
}
