// `Bun.Glob`: patterns by Rust's `globset`.

import * as fs from "node:fs";
import { join, resolve } from "node:path";
import { native } from "./bytes.ts";

export interface ScanOptions {
  cwd?: string;
  dot?: boolean;
  absolute?: boolean;
  followSymlinks?: boolean;
  throwErrorOnBrokenSymlink?: boolean;
  onlyFiles?: boolean;
}

export class Glob {
  readonly pattern: string;

  constructor(pattern: string) {
    if (typeof pattern !== "string") throw new TypeError("Glob.constructor: first argument is not a string");
    this.pattern = pattern;
  }

  match(path: string): boolean {
    return native.globMatch(this.pattern, path);
  }

  async *scan(options?: string | ScanOptions): AsyncGenerator<string> {
    yield* this.scanSync(options);
  }

  *scanSync(given: string | ScanOptions = {}): Generator<string> {
    const options = typeof given === "string" ? { cwd: given } : given;
    const root = resolve(options.cwd ?? ".");
    const rooted = this.pattern.startsWith("/");
    // Nothing is looked at below what the pattern cannot reach.
    const fixed = fixedFolders(this.pattern);
    const begin = rooted ? `/${fixed}` : join(root, fixed);
    for (const path of this.#walk(begin, fixed, options)) {
      if (!this.match(rooted ? `/${path}` : path)) continue;
      yield rooted ? `/${path}` : options.absolute ? join(root, path) : path;
    }
  }

  *#walk(folder: string, prefix: string, options: ScanOptions): Generator<string> {
    let entries: fs.Dirent[];
    try {
      entries = fs.readdirSync(folder, { withFileTypes: true });
    } catch (error: any) {
      if (error.code === "ENOENT" || error.code === "ENOTDIR" || error.code === "EACCES") return;
      throw error;
    }
    for (const entry of entries) {
      if (entry.name.startsWith(".") && !options.dot && !this.#names(entry.name)) continue;
      const path = prefix === "" ? entry.name : `${prefix}/${entry.name}`;
      const full = join(folder, entry.name);
      const isLink = entry.isSymbolicLink();
      const target = isLink ? fs.statSync(full, { throwIfNoEntry: false }) : entry;
      if (isLink && !target && options.throwErrorOnBrokenSymlink) fs.statSync(full);
      const isFolder = target?.isDirectory() ?? false;
      if (options.onlyFiles === false || !isFolder) yield path;
      if (isFolder && (!isLink || options.followSymlinks)) yield* this.#walk(full, path, options);
    }
  }

  /** A pattern that begins with a dot somewhere means such names. */
  #names(name: string): boolean {
    return this.pattern.split("/").some((part) => part.startsWith(".") && native.globMatch(part, name));
  }
}

/** The folders before the first part that is a pattern. */
function fixedFolders(pattern: string): string {
  const parts = pattern.replace(/^\//, "").split("/");
  const at = parts.findIndex((part) => /[*?[\]{}!\\]/.test(part));
  return parts.slice(0, at < 0 ? -1 : at).join("/");
}
