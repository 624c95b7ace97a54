// packages: drizzle-orm
// title: drizzle-orm over node:sqlite
import { DatabaseSync } from "node:sqlite";
import { gt } from "drizzle-orm";
import { integer, sqliteTable, text } from "drizzle-orm/sqlite-core";
import { drizzle } from "drizzle-orm/sqlite-proxy";
import { row } from "../row";

const people = sqliteTable("people", { id: integer().primaryKey(), name: text().notNull(), age: integer() });

export default row([{ id: 2, name: "Grace", age: 85 }], async ({ scratch }) => {
  const file = new DatabaseSync(`${scratch}/people.db`);
  const db = drizzle(async (query, parameters, method) => {
    const statement = file.prepare(query);
    if (method === "run") return { rows: [statement.run(...parameters)] };
    statement.setReturnArrays(true);
    return { rows: method === "get" ? (statement.get(...parameters) as unknown as unknown[]) : statement.all(...parameters) };
  });
  try {
    file.exec("create table people (id integer primary key, name text not null, age integer)");
    await db.insert(people).values([{ name: "Ada", age: 36 }, { name: "Grace", age: 85 }]);
    return await db.select().from(people).where(gt(people.age, 40));
  } finally {
    file.close();
  }
});
