// packages: pg
// needs: postgres
import pg from "pg";
import { row } from "../row";

export default row(
  { json: { a: [1, 2] }, rows: [1, 2, 3], code: "22012", heard: "hello", bytes: "cafe" },
  async ({ postgres }) => {
    const client = new pg.Client({ connectionString: postgres });
    await client.connect();
    try {
      const heard = new Promise((resolve) => client.on("notification", ({ payload }) => resolve(payload)));
      await client.query("listen news");
      await client.query("select pg_notify('news', $1)", ["hello"]);
      const { rows } = await client.query("select generate_series(1, $1::int) as n", [3]);
      const json = await client.query("select $1::jsonb as value", [{ a: [1, 2] }]);
      const bytes = await client.query("select $1::bytea as value", [Buffer.from("cafe", "hex")]);
      const failed = await client.query("select 1 / 0").catch((error) => error.code);
      return {
        json: json.rows[0].value,
        rows: rows.map(({ n }) => n),
        code: failed,
        heard: await heard,
        bytes: bytes.rows[0].value.toString("hex"),
      };
    } finally {
      await client.end();
    }
  },
);
