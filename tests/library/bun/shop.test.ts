import { expect, test } from "bun:test";
import { baton } from "baton-inngest/test";

const items = [{ price: 3 }, { price: 4 }];

test("checkout charges and tells", async () => {
  const steps = { "charge-card": ({ input }: { input: unknown[] }) => ({ id: `payment-of-${input[0]}` }) };
  const result = await baton.run("checkout", { data: { items }, steps });
  expect(result.error).toBeUndefined();
  expect(result.output).toEqual({ payment: "payment-of-7", total: 7 });
  expect(result.events).toMatchObject([{ name: "shop/paid", data: { total: 7 } }]);
});

test("time is advanced", async () => {
  const run = baton.begin("approval", { data: { id: "a" }, skipSleep: false });
  await run.waiting("decision");
  await run.advance("3d");
  expect((await run.result).output).toBe("reminded");
});

test.if(Boolean(process.env.SHOP_IS_WRONG))("charges a card that is there", async () => {
  await baton.output("checkout", { data: { items } });
});
