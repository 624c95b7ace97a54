// packages: drizzle-orm, better-sqlite3
// note: from version 13 on, whose addon is made with Node-API; earlier ones are for Node's own V8 and say so
import Database from "better-sqlite3";
import { drizzle } from "drizzle-orm/better-sqlite3";
import { integer, sqliteTable, text } from "drizzle-orm/sqlite-core";
import { row } from "../row";

const people = sqliteTable("people", { id: integer().primaryKey(), name: text().notNull(), age: integer() });

export default row({ all: [{ id: 1, name: "Ada", age: 36 }, { id: 2, name: "Grace", age: 85 }], function: 42, rolledBack: 2 }, ({ scratch }) => {
  const file = new Database(`${scratch}/people.db`);
  try {
    file.pragma("journal_mode = WAL");
    file.exec("create table people (id integer primary key, name text not null, age integer)");
    file.function("doubled", (n) => Number(n) * 2);
    const db = drizzle(file);
    db.insert(people).values([{ name: "Ada", age: 36 }, { name: "Grace", age: 85 }]).run();
    try {
      db.transaction((transaction) => {
        transaction.delete(people).run();
        transaction.rollback();
      });
    } catch {
      // As it should.
    }
    return {
      all: db.select().from(people).all(),
      function: file.prepare("select doubled(21)").pluck().get(),
      rolledBack: file.prepare("select count(*) from people").pluck().get(),
    };
  } finally {
    file.close();
  }
});
