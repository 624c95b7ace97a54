// packages: drizzle-orm, better-sqlite3
// not yet: better-sqlite3 is an addon for Node's own V8; `node:sqlite` is there instead, also below Drizzle (next row)
// fails: node:sqlite
import Database from "better-sqlite3";
import { drizzle } from "drizzle-orm/better-sqlite3";
import { row } from "../row";

export default row([{ one: 1 }], () => drizzle(new Database(":memory:")).all("select 1 as one"));
