// `bun:sqlite`.

import { constants, Database, SQLiteError } from "bun:sqlite";

const people = () => {
  const database = new Database(":memory:");
  database.run("CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT UNIQUE NOT NULL, age INT, photo BLOB)");
  database.run("INSERT INTO people (name, age) VALUES (?, ?)", ["Ada", 36]);
  database.run("INSERT INTO people (name, age) VALUES (?, ?)", "Bob", 41);
  return database;
};

const refused = (act) => {
  try {
    return act();
  } catch (error) {
    return { name: error.name, code: error.code, message: error.message, kind: error instanceof SQLiteError };
  }
};

export default {
  "all, get, values": () => {
    const query = people().query("SELECT id, name, age FROM people WHERE age > ? ORDER BY id");
    return [query.all(0), query.get(40), query.values(0), query.get(100), query.all(100)];
  },
  "run says what changed": () => {
    const database = people();
    return [
      database.run("UPDATE people SET age = age + 1"),
      database.query("INSERT INTO people (name) VALUES ('Cyd')").run(),
      database.exec("DELETE FROM people WHERE name = 'nobody'").changes,
    ];
  },
  "named parameters": () => {
    const database = people();
    return [
      database.query("SELECT name FROM people WHERE name = $name").get({ $name: "Ada" }),
      database.query("SELECT name FROM people WHERE name = :name").get({ ":name": "Bob" }),
      database.query("SELECT name FROM people WHERE name = @name").get({ "@name": "Bob" }),
      database.query("SELECT ?1 AS a, ?2 AS b, ?1 AS c").get("x", "y"),
    ];
  },
  "names without prefixes, strictly": () => {
    const database = new Database(":memory:", { strict: true });
    return [
      database.query("SELECT $a AS a, :b AS b").get({ a: 1, b: "two" }),
      refused(() => database.query("SELECT $a AS a").get({ b: 1 })),
    ];
  },
  "values of each kind": () => {
    const database = new Database();
    return database
      .query("SELECT ? AS a, ? AS b, ? AS c, ? AS d, ? AS e")
      .get("text", 1.5, null, true, new Uint8Array([1, 2]));
  },
  "large numbers": () => {
    const safe = new Database(":memory:", { safeIntegers: true });
    return [safe.query("SELECT 9007199254740993 AS n").get(), new Database().query("SELECT 42 AS n").get()];
  },
  "rows of a class": () => {
    class Person {
      name!: string;
      get shout() {
        return this.name.toUpperCase();
      }
    }
    const rows = people().query("SELECT name FROM people ORDER BY id").as(Person).all();
    return rows.map((row: any) => [row instanceof Person, row.shout]);
  },
  "rows one by one": () => {
    const names = [];
    for (const row of people().query("SELECT name FROM people ORDER BY id").iterate()) names.push((row as any).name);
    for (const row of people().query("SELECT name FROM people ORDER BY id")) names.push((row as any).name);
    return names;
  },
  "a transaction is kept": () => {
    const database = people();
    const insert = database.prepare("INSERT INTO people (name) VALUES ($name)");
    const many = database.transaction((names: string[]) => {
      for (const $name of names) insert.run({ $name });
      return names.length;
    });
    return [many(["C", "D"]), database.inTransaction, database.query("SELECT count(*) AS n FROM people").get()];
  },
  "a transaction that throws is undone": () => {
    const database = people();
    const failing = database.transaction(() => {
      database.run("DELETE FROM people");
      throw new Error("no");
    });
    return [refused(() => failing()).message, database.query("SELECT count(*) AS n FROM people").get()];
  },
  "transactions in transactions": () => {
    const database = people();
    const inner = database.transaction((fail: boolean) => {
      database.run("INSERT INTO people (name) VALUES ('inner')");
      if (fail) throw new Error("inner");
    });
    const outer = database.transaction(() => {
      database.run("INSERT INTO people (name) VALUES ('outer')");
      try {
        inner(true);
      } catch {}
    });
    outer.immediate();
    return database.query("SELECT name FROM people ORDER BY id").values();
  },
  errors: () => {
    const database = people();
    return [
      refused(() => database.query("SELEC")).name,
      refused(() => database.run("INSERT INTO people (name) VALUES ('Ada')")),
      refused(() => database.run("INSERT INTO people (name) VALUES (NULL)")),
    ];
  },
  "a file": async (folder) => {
    const file = `${folder}/a.sqlite`;
    const missing = refused(() => new Database(file, { readwrite: true, create: false })).code;
    const database = new Database(file, { create: true });
    database.exec("PRAGMA journal_mode = WAL;");
    database.exec("CREATE TABLE t (a); INSERT INTO t VALUES (1); INSERT INTO t VALUES (2);");
    database.close();
    const reading = new Database(file, { readonly: true });
    return [
      missing,
      reading.query("SELECT a FROM t").values(),
      refused(() => reading.run("DELETE FROM t")).code,
      reading.filename,
    ];
  },
  "serialized and back": () => {
    const bytes = people().serialize();
    const database = Database.deserialize(bytes);
    return [
      Buffer.from(bytes).subarray(0, 15).toString(),
      database.query("SELECT name FROM people ORDER BY id").values(),
    ];
  },
  "columns and parameters": () => {
    const statement = people().prepare("SELECT id, name AS n FROM people WHERE id = ? OR name = ?");
    return [statement.columnNames, statement.paramsCount];
  },
  "queries are kept, statements are not": () => {
    const database = people();
    const sql = "SELECT 1";
    return [database.query(sql) === database.query(sql), database.prepare(sql) === database.prepare(sql)];
  },
  "a closed database": () => {
    const database = people();
    database.close();
    return refused(() => database.query("SELECT 1")).name;
  },
  "bytes in a column": () => {
    const database = people();
    database.run("UPDATE people SET photo = ? WHERE name = 'Ada'", [new Uint8Array([255, 0])]);
    const { photo } = database.query("SELECT photo FROM people WHERE name = 'Ada'").get() as any;
    return [photo instanceof Uint8Array, photo];
  },
  "the default export": async () => (await import("bun:sqlite")).default === Database,
  constants: () => [constants.SQLITE_OPEN_READONLY, constants.SQLITE_OPEN_CREATE],
};
