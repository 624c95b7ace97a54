// `bun:sqlite` over node:sqlite.

import { Buffer } from "node:buffer";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync, type StatementSync } from "node:sqlite";

type Value = string | number | bigint | boolean | null | Uint8Array;
type Bindings = Value | Value[] | Record<string, Value>;

export interface Options {
  readonly?: boolean;
  readwrite?: boolean;
  create?: boolean;
  safeIntegers?: boolean;
  strict?: boolean;
}

export interface Changes {
  lastInsertRowid: number | bigint;
  changes: number;
}

export class SQLiteError extends Error {
  override readonly name = "SQLiteError";
  readonly errno: number;
  readonly code: string;
  readonly byteOffset = -1;

  constructor(cause: any) {
    super(String(cause.message));
    this.errno = numberOf(cause);
    this.code = CODES[this.errno] ?? CODES[this.errno & 0xff] ?? "SQLITE_ERROR";
  }
}

const CODES: Record<number, string> = {
  1: "SQLITE_ERROR",
  5: "SQLITE_BUSY",
  6: "SQLITE_LOCKED",
  8: "SQLITE_READONLY",
  13: "SQLITE_FULL",
  14: "SQLITE_CANTOPEN",
  19: "SQLITE_CONSTRAINT",
  20: "SQLITE_MISMATCH",
  21: "SQLITE_MISUSE",
  26: "SQLITE_NOTADB",
  275: "SQLITE_CONSTRAINT_CHECK",
  787: "SQLITE_CONSTRAINT_FOREIGNKEY",
  1299: "SQLITE_CONSTRAINT_NOTNULL",
  1555: "SQLITE_CONSTRAINT_PRIMARYKEY",
  2067: "SQLITE_CONSTRAINT_UNIQUE",
  2579: "SQLITE_CONSTRAINT_ROWID",
};

/** node:sqlite gives the number of the kind only; SQLite's text says which of them it is. */
function numberOf({ errcode = 1, message }: { errcode?: number; message: string }): number {
  const found = MESSAGES.find(([text]) => message.startsWith(text));
  return found ? found[1] : errcode;
}

const MESSAGES: [string, number][] = [
  ["UNIQUE constraint failed", 2067],
  ["NOT NULL constraint failed", 1299],
  ["CHECK constraint failed", 275],
  ["FOREIGN KEY constraint failed", 787],
  ["attempt to write a readonly database", 8],
  ["database is locked", 5],
];

export const constants = {
  SQLITE_OPEN_READONLY: 1,
  SQLITE_OPEN_READWRITE: 2,
  SQLITE_OPEN_CREATE: 4,
  SQLITE_OPEN_URI: 64,
  SQLITE_OPEN_MEMORY: 128,
};

/** Runs it; what SQLite refuses is an error of Bun's kind. */
function attempt<T>(run: () => T): T {
  try {
    return run();
  } catch (error: any) {
    if (error?.code !== "ERR_SQLITE_ERROR" && error?.errcode === undefined) throw error;
    throw new SQLiteError(error);
  }
}

export class Statement {
  #statement: StatementSync;
  #database: Database;
  #sql: string;
  #class: (new () => object) | undefined;
  #bound: Bindings[];

  constructor(database: Database, statement: StatementSync, sql: string, bound: Bindings[]) {
    this.#database = database;
    this.#statement = statement;
    this.#sql = sql;
    this.#bound = bound;
    if (database.strict) statement.setAllowBareNamedParameters(true);
    statement.setReadBigInts(database.safeIntegers);
  }

  all(...bindings: Bindings[]): any[] {
    return attempt(() => this.#statement.all(...this.#given(bindings)).map((row) => this.#row(row)));
  }

  get(...bindings: Bindings[]): any {
    const row = attempt(() => this.#statement.get(...this.#given(bindings)));
    return row === undefined ? null : this.#row(row);
  }

  *iterate(...bindings: Bindings[]): Generator<any> {
    for (const row of this.#statement.iterate(...this.#given(bindings))) yield this.#row(row);
  }

  [Symbol.iterator](): Generator<any> {
    return this.iterate();
  }

  values(...bindings: Bindings[]): any[][] {
    return attempt(() => {
      this.#statement.setReturnArrays(true);
      try {
        return (this.#statement.all(...this.#given(bindings)) as unknown as any[][]).map((row) => row.map(asBytes));
      } finally {
        this.#statement.setReturnArrays(false);
      }
    });
  }

  run(...bindings: Bindings[]): Changes {
    return attempt(() => {
      const { changes, lastInsertRowid } = this.#statement.run(...this.#given(bindings));
      return { changes: Number(changes), lastInsertRowid };
    });
  }

  /** Rows are objects of this class, whose constructor is not called. */
  as(made: new () => object): this {
    this.#class = made;
    return this;
  }

  get columnNames(): string[] {
    return this.#statement.columns().map(({ name }) => name);
  }

  get paramsCount(): number {
    const names = this.#sql.replace(/'(?:[^']|'')*'|"[^"]*"|--.*$/gm, "").match(/\?\d*|[:@$]\w+/g) ?? [];
    return names.filter((name, index) => name === "?" || names.indexOf(name) === index).length;
  }

  toString(): string {
    return this.#statement.expandedSQL || this.#sql;
  }

  finalize(): void {}

  [Symbol.dispose](): void {}

  #given(bindings: Bindings[]): any[] {
    const given = bindings.length > 0 ? bindings : this.#bound;
    const flat = given.length === 1 && Array.isArray(given[0]) ? given[0] : given;
    const { strict } = this.#database;
    const [first] = flat;
    if (flat.length === 1 && typeof first === "object" && first !== null && !ArrayBuffer.isView(first)) {
      const named = Object.entries(first as Record<string, Value>).map(
        ([name, value]) => [name, bindable(value)] as const,
      );
      if (strict) {
        const known = new Set((this.#sql.match(/[:@$]\w+/g) ?? []).map((name) => name.slice(1)));
        const missing = [...known].find((name) => !named.some(([given]) => given.replace(/^[:@$]/, "") === name));
        if (missing) throw new Error(`Missing parameter "${missing}"`);
        return [Object.fromEntries(named.filter(([name]) => known.has(name.replace(/^[:@$]/, ""))))];
      }
      // Without `strict`, a name without its prefix is ignored, and a missing parameter is null.
      const used = new Set(this.#sql.match(/[:@$]\w+/g) ?? []);
      return [Object.fromEntries(named.filter(([name]) => used.has(name)))];
    }
    return (flat as Value[]).map(bindable);
  }

  #row(row: any): any {
    const made = this.#class ? Object.create(this.#class.prototype) : {};
    for (const [name, value] of Object.entries(row)) made[name] = asBytes(value);
    return made;
  }
}

function bindable(value: Value): any {
  if (typeof value === "boolean") return Number(value);
  return value === undefined ? null : value;
}

function asBytes(value: any): any {
  return ArrayBuffer.isView(value) ? new Uint8Array(value.buffer, value.byteOffset, value.byteLength) : value;
}

export class Database {
  #database: DatabaseSync;
  #cache = new Map<string, Statement>();
  #isOpen = true;
  readonly filename: string;
  readonly strict: boolean;
  readonly safeIntegers: boolean;

  constructor(filename: string | Uint8Array = ":memory:", options: number | Options = {}) {
    const settings: Options =
      typeof options === "number"
        ? {
            readonly: (options & constants.SQLITE_OPEN_READONLY) !== 0,
            create: (options & constants.SQLITE_OPEN_CREATE) !== 0,
          }
        : options;
    this.strict = settings.strict ?? false;
    this.safeIntegers = settings.safeIntegers ?? false;
    const restored = typeof filename === "string" ? undefined : filename;
    this.filename = typeof filename !== "string" || filename === "" ? ":memory:" : filename;
    const onDisk = this.filename !== ":memory:" && !this.filename.startsWith("file:");
    const mayCreate =
      settings.create ?? Object.keys(settings).every((name) => name === "strict" || name === "safeIntegers");
    if (onDisk && !settings.readonly && !mayCreate && !fs.existsSync(this.filename)) {
      throw new SQLiteError({ message: "unable to open database file", errcode: 14 });
    }
    this.#database = attempt(
      () =>
        new DatabaseSync(this.filename, {
          readOnly: settings.readonly ?? false,
          enableForeignKeyConstraints: false,
          enableDoubleQuotedStringLiterals: true,
        }),
    );
    if (restored) this.#restore(restored);
  }

  static open(filename: string, options?: number | Options): Database {
    return new Database(filename, options);
  }

  static deserialize(bytes: Uint8Array, options?: Options): Database {
    return new Database(bytes, options);
  }

  /** A statement that is kept for the next time. */
  query(sql: string): Statement {
    const known = this.#cache.get(sql);
    if (known) return known;
    const statement = this.prepare(sql);
    this.#cache.set(sql, statement);
    return statement;
  }

  prepare(sql: string, ...bound: Bindings[]): Statement {
    if (!this.#isOpen) throw new RangeError("Cannot use a closed database");
    return new Statement(
      this,
      attempt(() => this.#database.prepare(sql)),
      sql,
      bound,
    );
  }

  run(sql: string, ...bindings: Bindings[]): Changes {
    if (!this.#isOpen) throw new RangeError("Cannot use a closed database");
    if (bindings.length > 0) return this.prepare(sql).run(...bindings);
    const before = this.#total();
    attempt(() => this.#database.exec(sql));
    const { id } = this.#database.prepare("SELECT last_insert_rowid() AS id").get() as { id: number };
    return { changes: this.#total() - before, lastInsertRowid: id };
  }

  exec(sql: string, ...bindings: Bindings[]): Changes {
    return this.run(sql, ...bindings);
  }

  get inTransaction(): boolean {
    return this.#database.isTransaction;
  }

  /** A function that runs in a transaction; inside of another one, in a savepoint. */
  transaction<F extends (...values: any[]) => any>(run: F) {
    const inside = (begin: string) => {
      const database = this;
      return function (this: unknown, ...values: Parameters<F>): ReturnType<F> {
        const nested = database.inTransaction;
        const [open, close, back] = nested
          ? ["SAVEPOINT baton", "RELEASE baton", "ROLLBACK TO baton; RELEASE baton"]
          : [begin, "COMMIT", "ROLLBACK"];
        database.run(open);
        try {
          const result = run.apply(this, values);
          database.run(close);
          return result;
        } catch (error) {
          if (database.inTransaction) database.run(back);
          throw error;
        }
      };
    };
    return Object.assign(inside("BEGIN"), {
      deferred: inside("BEGIN DEFERRED"),
      immediate: inside("BEGIN IMMEDIATE"),
      exclusive: inside("BEGIN EXCLUSIVE"),
      database: this,
    });
  }

  /** The bytes of the file that this database would be. */
  serialize(): Buffer {
    const folder = fs.mkdtempSync(join(tmpdir(), "sqlite-"));
    try {
      const file = join(folder, "database");
      this.#database.prepare("VACUUM INTO ?").run(file);
      return fs.readFileSync(file);
    } finally {
      fs.rmSync(folder, { recursive: true });
    }
  }

  loadExtension(file: string, entryPoint?: string): void {
    if (entryPoint !== undefined) throw new Error("loadExtension: Baton takes no entry point");
    this.#database.enableLoadExtension(true);
    attempt(() => this.#database.loadExtension(file));
  }

  fileControl(): never {
    throw new Error("Baton has no Database.fileControl: use a PRAGMA");
  }

  close(throwOnError = false): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    try {
      this.#database.close();
    } catch (error) {
      if (throwOnError) throw error;
    }
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #total(): number {
    return Number((this.#database.prepare("SELECT total_changes() AS n").get() as { n: number }).n);
  }

  #restore(bytes: Uint8Array): void {
    const folder = fs.mkdtempSync(join(tmpdir(), "sqlite-"));
    const file = join(folder, "database");
    try {
      fs.writeFileSync(file, bytes);
      const kept = new DatabaseSync(file);
      this.#database.close();
      this.#database = kept;
    } finally {
      // The open file lives on without its name.
      fs.rmSync(folder, { recursive: true });
    }
  }
}

export default Database;
