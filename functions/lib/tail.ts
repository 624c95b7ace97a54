/** Keeps the end of a text that may be endless: errors are at the end, and step outputs must stay small. */
export class Tail {
  readonly #limit: number;
  #kept = "";
  #dropped = 0;

  /** `limit` is in UTF-16 code units, as `String.length` counts. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  push(text: string): void {
    const all = this.#kept + text;
    const excess = Math.max(0, all.length - this.#limit);
    this.#kept = all.slice(excess);
    this.#dropped += excess;
  }

  toString(): string {
    const kept = this.#kept.trim();
    return this.#dropped > 0 ? `[… ${this.#dropped} earlier characters]\n${kept}` : kept;
  }
}

export function tailOf(text: string, limit: number): string {
  const tail = new Tail(limit);
  tail.push(text);
  return tail.toString();
}
