// The wishes that the SDK's own test package leaves open, with each major version of the SDK.
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { project } from "baton-inngest/test";

for (const version of ["v3", "v4"]) {
  const baton = project({ cwd: join(import.meta.dirname, "../../fixtures", version), path: "functions" });

  test(`${version}: step.waitForEvent can have a mock`, async () => {
    const by = (decision) => baton.output("approval", { data: { id: 1 }, steps: { "wait-for-approval": decision } });
    assert.deepEqual(await by({ data: { by: "Ada" } }), { by: "Ada" });
    assert.deepEqual(await by(null), { by: null });
  });

  test(`${version}: step.sendEvent needs no key and no server`, async () => {
    const { output, events } = await baton.run("notify");
    assert.deepEqual(output, { sent: 2 });
    assert.deepEqual(events.map((event) => [event.name, event.data.n]), [["fixture/told", 1], ["fixture/told", 2]]);
    const mocked = await baton.run("notify", { steps: { tell: { ids: ["a"] } } });
    assert.deepEqual([mocked.output, mocked.events], [{ sent: 1 }, []]);
  });

  test(`${version}: a mock is called once for its step`, async () => {
    let calls = 0;
    const steps = { left: () => ++calls };
    assert.deepEqual(await baton.output("parallel", { steps }), { both: "1r" });
    assert.equal(calls, 1);
  });

  test(`${version}: an invoked function runs to its end, or has a mock`, async () => {
    const { output, runs } = await baton.run("caller");
    assert.deepEqual(output, { answer: { greeting: "Hello Ada" } });
    assert.equal(runs.length, 2);
    const steps = { "call-one-step": { greeting: "Hi" } };
    assert.deepEqual(await baton.output("caller", { steps }), { answer: { greeting: "Hi" } });
  });

  test(`${version}: a step that fails is seen by the function`, async () => {
    const steps = { explode: new Error("refused") };
    assert.deepEqual(await baton.output("caught-step", { steps }), { caught: "refused" });
  });
}
