import assert from "node:assert/strict";
import { test } from "node:test";
import { baton, project } from "baton-inngest/test";

const items = [{ price: 3 }, { price: 4 }];
const steps = { "charge-card": { id: "p1" } };

test("a mocked step is not executed", async () => {
  const { error, output } = await baton.run("checkout", { data: { items }, steps });
  assert.equal(error, undefined);
  assert.deepEqual(output, { payment: "p1", total: 7 });
});

test("time is advanced, and what is due happens on the way", async () => {
  const run = baton.begin("approval", { data: { id: "a" }, skipSleep: false });
  await run.waiting("decision");
  await run.advance("2d");
  await assert.rejects(Promise.race([run.result, Promise.reject(new Error("it still waits"))]), /still waits/);
  await run.advance("1d");
  const { output, steps } = await run.result;
  assert.equal(output, "reminded");
  assert.deepEqual(steps.map((step) => step.name), ["decision", "remind"]);
});

test("an event that the test sends ends the wait for it", async () => {
  const run = baton.begin("approval", { data: { id: "a" }, skipSleep: false });
  await run.waiting();
  run.send({ name: "shop/approval.decided", data: { id: "b", approved: true } });
  run.send({ name: "shop/approval.decided", data: { id: "a", approved: false } });
  const { output, events } = await run.result;
  assert.equal(output, "refused");
  assert.deepEqual(events, [], "the functions sent none");
  const event = { name: "shop/approval.decided", data: { id: "a", approved: true } };
  assert.equal(await baton.output("approval", { data: { id: "a" }, events: [event] }), "approved");
});

test("a wait is answered by a mock, and by a timeout", async () => {
  const decided = (decision) => baton.output("approval", { data: { id: "a" }, steps: { decision } });
  assert.equal(await decided({ data: { approved: true } }), "approved");
  assert.equal(await decided(() => ({ data: { approved: false } })), "refused");
  assert.equal(await decided(null), "reminded");
});

test("an event runs what it triggers, to the last function", async () => {
  const { runs, step } = await baton.send({ name: "shop/checkout", data: { items } }, { steps });
  assert.deepEqual(runs.map((run) => [run.function, run.origin, run.status]), [
    ["shop-checkout", "asked", "completed"],
    ["shop-receipt", "delivered", "completed"],
  ]);
  assert.equal(step("print").output, "paid 7");
});

test("each mock is called once a step, and once more for each retry", async () => {
  const calls = [];
  const called = (step) => calls.push(`${step.step} ${step.attempt}`);
  const { output, step } = await baton.run("twice", {
    steps: {
      left: (step) => called(step),
      one: (step) => {
        called(step);
        if (step.attempt < 2) throw new Error("not yet");
        return "at last";
      },
    },
  });
  assert.deepEqual(output, [1, "code of right", "at last", 2]);
  assert.deepEqual(calls, ["left 0", "one 0", "one 1", "one 2"]);
  assert.equal(step("one").attempts, 3);
});

test("a NonRetriableError of a mock is not tried again", async () => {
  class NonRetriableError extends Error {
    name = "NonRetriableError";
  }
  const steps = { left: () => { throw new NonRetriableError("never"); } };
  const { error, step } = await baton.run("twice", { steps });
  assert.match(error.message, /step "left" of shop-twice failed: NonRetriableError: never/);
  assert.equal(step("left").attempts, 1);
});

test("a mock that no step used is told", async () => {
  const { notes } = await baton.run("twice", { steps: { lefd: 1 } });
  assert.match(notes.join(), /no step used the mock of "lefd"; steps that ran without a mock: "left"/);
});

test("what does not exist is refused with what there is", async () => {
  await assert.rejects(baton.run("check-out"), /there is no function "check-out", did you mean checkout\?\nhelp: The project has: approval/);
  const elsewhere = project({ cwd: import.meta.dirname, path: "nowhere" });
  await assert.rejects(elsewhere.run("checkout"), /baton has ended with code 2[^]*nowhere/);
  await assert.rejects(baton.run("twice", { retryDelay: "soon" }), /expected a length of time/);
});

test("a failure names the step", { skip: !process.env.SHOP_IS_WRONG }, async () => {
  await baton.output("checkout", { data: { items } });
});

test("an engine that ends fails its runs, and the next run starts another", async () => {
  const shop = project();
  const run = shop.begin("approval", { data: { id: "a" }, skipSleep: false });
  await run.waiting();
  await shop.close();
  // Either the engine had the time to say that the run is cancelled, or it has ended before.
  const said = await run.result.then(({ status }) => status, (error) => error.message);
  assert.match(said, /^cancelled$|baton has ended with code 0/);
  const steps = { decision: null };
  assert.equal(await shop.output("approval", { data: { id: "a" }, steps }), "reminded");
});

test("a run can be cancelled", async () => {
  const run = baton.begin("approval", { data: { id: "a" }, skipSleep: false });
  await run.waiting();
  run.cancel();
  const { status, error } = await run.result;
  assert.equal(status, "cancelled");
  assert.match(error.message, /interrupted/);
});

test("code that does not load fails the first run with its place", async () => {
  const broken = project({ path: "broken/syntax.ts" });
  await assert.rejects(broken.run("x"), /cannot be loaded[^]*syntax\.ts:3/);
});

test("a hundred runs take three seconds at most", async () => {
  // Nothing is measured here: the runner's own limit is generous, and a hundred waits of a second would exceed it.
  for (let count = 0; count < 100; count++) await baton.output("checkout", { data: { items }, steps });
});
