/** Two ways to hand work on: events that nobody waits for, and an invocation that answers. */
import { eventType } from "inngest";
import { z } from "zod";
import { inngest } from "./client.ts";

const item = z.object({
  sku: z.string().min(1),
  quantity: z.number().int().positive(),
  unitPrice: z.number().nonnegative(),
});

const items = z.object({ items: z.array(item).min(1) });

const orderPlaced = eventType("demo/fan-out", { schema: items });
const itemReady = eventType("demo/item.ready", { schema: item });
const priceAsked = eventType("demo/price.asked", { schema: items });

export const fanOut = inngest.createFunction(
  { id: "fan-out", retries: 2, triggers: [orderPlaced] },
  async ({ event, step }) => {
    const { items } = event.data;

    const { ids } = await step.sendEvent("pack-each-item", items.map((item) => itemReady.create(item)));
    const price = await step.invoke("price-the-order", { function: priceOrder, data: { items } });

    return { packing: ids.length, total: price.total };
  },
);

/** One run for each event of `pack-each-item`; a failure here does not touch the order. */
export const packItem = inngest.createFunction(
  { id: "pack-item", retries: 2, triggers: [itemReady] },
  async ({ event, step }) => {
    const { sku, quantity } = event.data;
    return await step.run("pack", () => `${quantity} × ${sku}`);
  },
);

/** `fan-out` invokes it and waits for its answer; the event is there because Inngest wants one trigger or more. */
export const priceOrder = inngest.createFunction(
  { id: "price-order", retries: 2, triggers: [priceAsked] },
  async ({ event, step }) => {
    const total = await step.run("add-up", () =>
      event.data.items.reduce((sum, { quantity, unitPrice }) => sum + quantity * unitPrice, 0),
    );
    return { total };
  },
);
