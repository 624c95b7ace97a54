// packages: drizzle-orm, pg
// needs: postgres
import { count, eq } from "drizzle-orm";
import { drizzle } from "drizzle-orm/node-postgres";
import { pgTable, serial, text, timestamp } from "drizzle-orm/pg-core";
import pg from "pg";
import { row } from "../row";

const people = pgTable("drizzle_people", {
  id: serial().primaryKey(),
  name: text().notNull(),
  born: timestamp({ mode: "date" }),
});

export default row({ names: ["Ada"], born: "1815-12-10T00:00:00.000Z", after: 1 }, async ({ postgres }) => {
  const pool = new pg.Pool({ connectionString: postgres });
  try {
    const db = drizzle(pool);
    await db.execute("drop table if exists drizzle_people");
    await db.execute("create table drizzle_people (id serial primary key, name text not null, born timestamp)");
    await db.insert(people).values([{ name: "Ada", born: new Date("1815-12-10T00:00:00Z") }, { name: "Grace" }]);
    const found = await db.select().from(people).where(eq(people.name, "Ada"));
    await db
      .transaction(async (transaction) => {
        await transaction.delete(people);
        transaction.rollback();
      })
      .catch(() => undefined);
    await db.delete(people).where(eq(people.name, "Grace"));
    const [after] = await db.select({ n: count() }).from(people);
    return { names: found.map(({ name }) => name), born: found[0]?.born, after: after?.n };
  } finally {
    await pool.end();
  }
});
