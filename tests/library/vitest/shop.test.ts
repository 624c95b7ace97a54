import { describe, expect, test } from "vitest";
import { baton } from "baton-inngest/test";

describe("checkout", () => {
  const items = [{ price: 3 }, { price: 4 }];

  test("charges, waits and tells", async () => {
    const result = await baton.run("checkout", {
      data: { items },
      steps: { "charge-card": ({ input }) => ({ id: `payment-of-${input[0]}` }) },
    });
    expect(result.error).toBeUndefined();
    expect(result.output).toEqual({ payment: "payment-of-7", total: 7 });
    expect(result.steps.map((step) => step.name)).toEqual(["add-up", "charge-card", "let-it-settle", "tell"]);
    expect(result.step("charge-card")).toMatchObject({ mocked: true, attempts: 1 });
    expect(result.events).toMatchObject([{ name: "shop/paid", data: { total: 7 } }]);
    expect(result.logs).toContainEqual(expect.objectContaining({ message: "adding up 2 items", level: "info" }));
  });

  test("gives up when the card is refused", async () => {
    const result = await baton.run("checkout", { data: { items }, steps: { "charge-card": new Error("refused") } });
    expect(result.error).toMatchObject({ step: "charge-card", cause: { message: "refused" } });
    expect(result.events).toEqual([]);
  });

  test.runIf(process.env.SHOP_IS_WRONG)("charges a card that is there", async () => {
    await baton.output("checkout", { data: { items } });
  });
});

test.concurrent.for([1, 2, 3])("runs at the same time see their own events (%i)", async (price) => {
  const steps = { "charge-card": { id: `p${price}` } };
  const { events } = await baton.run("checkout", { data: { items: [{ price }] }, steps });
  expect(events).toMatchObject([{ data: { total: price, payment: `p${price}` } }]);
});
