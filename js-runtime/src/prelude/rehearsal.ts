// Calls of a function of Baton's own, which the project's SDK answers before the project's first call comes: V8 has compiled
// the SDK's code by then. Nothing of it is seen: it has no network, says nothing, and is not served.

import { handlerOf, type SdkRequest } from "baton:sdk";

const STEP = "rehearsal";
/** The SDK's name for that step: the SHA-1 of its id. */
const HASHED = "d6cb3ba323567c80d12967d06c1e2e1795600344";
const ID = "baton-rehearsal";
const event = { name: "baton/rehearsal", data: {}, id: ID, ts: 0 };
const silent = { info() {}, warn() {}, error() {}, debug() {} };

/** Has a run begin, and end with what its step gave. */
export async function rehearse(sdk: any): Promise<void> {
  const refuse = () => Promise.reject(new Error("nothing is sent in a rehearsal"));
  const client = new sdk.Inngest({ id: "baton", isDev: true, logger: silent, aiMetadata: false, fetch: refuse });
  const run = ({ step }: any) => step.run(STEP, () => ({ done: true }));
  const options = { id: "rehearsal", retries: 0 };
  const trigger = { event: event.name };
  // Version 3 takes the trigger by itself.
  const fn =
    client.createFunction.length > 2
      ? client.createFunction(options, trigger, run)
      : client.createFunction({ ...options, triggers: [trigger], checkpointing: false }, run);
  const handler = handlerOf(sdk.InngestCommHandler, { client, functions: [fn] });
  await handler(asked({}, []));
  await handler(asked({ [HASHED]: { type: "data", data: { done: true } } }, [HASHED]));
}

function asked(steps: object, stack: string[]): SdkRequest {
  const ctx = { run_id: ID, attempt: 0, fn_id: ID, stack: { stack, current: stack.length } };
  return {
    method: "POST",
    url: `http://localhost/api/inngest?fnId=${ID}&stepId=step`,
    headers: [
      ["host", "localhost"],
      ["content-type", "application/json"],
    ],
    body: JSON.stringify({ version: 1, event, events: [event], steps, ctx, use_api: false }),
  };
}
