import { AsyncLocalStorage, createHook, executionAsyncId } from "node:async_hooks";

/** A context manager that is made of hooks, as tracers have them, beside AsyncLocalStorage. */
export async function work() {
  const contexts = new Map<number, string>();
  const hook = createHook({
    init: (id, _type, trigger) => void contexts.set(id, contexts.get(executionAsyncId()) ?? contexts.get(trigger) ?? ""),
  }).enable();
  const storage = new AsyncLocalStorage<string>();
  const seen = await storage.run("stored", async () => {
    contexts.set(executionAsyncId(), "hooked");
    return new Promise((resolve) => {
      setTimeout(() => resolve([contexts.get(executionAsyncId()), storage.getStore()]), 1);
    });
  });
  hook.disable();
  return seen;
}
