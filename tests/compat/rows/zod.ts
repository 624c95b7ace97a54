// packages: zod
import { z } from "zod";
import { row } from "../row";

const Order = z.object({
  id: z.string().regex(/^o-\d+$/),
  at: z.iso.datetime().transform((text) => new Date(text).getTime()),
  lines: z.array(z.discriminatedUnion("kind", [
    z.object({ kind: z.literal("item"), price: z.coerce.number() }),
    z.object({ kind: z.literal("note"), text: z.string().default("–") }),
  ])),
});

export default row(
  {
    order: { id: "o-1", at: 0, lines: [{ kind: "item", price: 7 }, { kind: "note", text: "–" }] },
    issues: ["id", "lines.0.kind"],
    required: ["id", "at", "lines"],
  },
  () => {
    const order = Order.parse({
      id: "o-1",
      at: "1970-01-01T00:00:00Z",
      lines: [{ kind: "item", price: "7" }, { kind: "note" }],
    });
    const wrong = Order.safeParse({ id: "x", at: "1970-01-01T00:00:00Z", lines: [{ kind: "gift" }] });
    return {
      order,
      issues: wrong.error?.issues.map((issue) => issue.path.join(".")),
      required: z.toJSONSchema(Order, { io: "input" }).required,
    };
  },
);
