// A shop, of which each function has something that tests have to deal with.
import { Inngest } from "inngest";

export const inngest = new Inngest({ id: "shop" });

async function charge(amount: number): Promise<{ id: string }> {
  if (process.env.SHOP_IS_WRONG) throw new Error(`no card for ${amount}`);
  throw new Error("a test must not charge a card");
}

export const checkout = inngest.createFunction(
  { id: "checkout", retries: 2, triggers: [{ event: "shop/checkout" }] },
  async ({ event, step, logger }) => {
    const { total } = await step.run("add-up", () => {
      console.log("adding up", event.data.items.length, "items");
      return { total: event.data.items.reduce((sum: number, item: { price: number }) => sum + item.price, 0) };
    });
    const payment = await step.run("charge-card", charge, total);
    await step.sleep("let-it-settle", "2d");
    await step.sendEvent("tell", { name: "shop/paid", data: { payment: payment.id, total } });
    logger.info("paid");
    return { payment: payment.id, total };
  },
);

export const receipt = inngest.createFunction(
  { id: "receipt", triggers: [{ event: "shop/paid" }] },
  async ({ event, step }) => step.run("print", () => `paid ${event.data.total}`),
);

export const approval = inngest.createFunction(
  { id: "approval", retries: 0, triggers: [{ event: "shop/approval.wanted" }] },
  async ({ event, step }) => {
    const decision = await step.waitForEvent("decision", {
      event: "shop/approval.decided",
      timeout: "3d",
      if: "async.data.id == event.data.id",
    });
    if (!decision) {
      await step.run("remind", () => event.data.id);
      return "reminded";
    }
    return decision.data.approved ? "approved" : "refused";
  },
);

export const twice = inngest.createFunction(
  { id: "twice", retries: 3, triggers: [{ event: "shop/twice" }] },
  async ({ step }) => {
    const results: unknown[] = [];
    for (const name of ["left", "right"]) results.push(await step.run(name, () => `code of ${name}`));
    results.push(...(await Promise.all([step.run("one", () => 1), step.run("two", () => 2)])));
    return results;
  },
);
