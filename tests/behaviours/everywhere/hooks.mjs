// Async contexts: `AsyncLocalStorage`, `AsyncResource`, `createHook`, and libraries on top of them.

import hooks, {
  AsyncLocalStorage,
  AsyncResource,
  createHook,
  executionAsyncId,
  executionAsyncResource,
} from "node:async_hooks";
import { EventEmitter } from "node:events";
import { setTimeout as delay } from "node:timers/promises";

/** A manager of contexts as old ones are (cls-hooked, the AsyncHooksContextManager of OpenTelemetry). */
function manager() {
  const contexts = new Map();
  const stack = [];
  const current = () => stack.at(-1) ?? contexts.get(hooks.executionAsyncId());
  const hook = createHook({
    init(id, type) {
      if (type === "TIMERWRAP") return;
      const context = current();
      if (context !== undefined) contexts.set(id, context);
    },
    destroy: (id) => void contexts.delete(id),
  }).enable();
  const run = (context, act) => {
    stack.push(context);
    try {
      return act();
    } finally {
      stack.pop();
    }
  };
  return { run, current, end: () => hook.disable() };
}

export default {
  "AsyncLocalStorage: after awaits, in timers and ticks": async () => {
    const storage = new AsyncLocalStorage();
    return storage.run("a", async () => {
      const seen = [storage.getStore()];
      await null;
      seen.push(storage.getStore());
      await delay(1);
      seen.push(storage.getStore());
      await new Promise((resolve) => setTimeout(() => resolve(seen.push(storage.getStore())), 1));
      await new Promise((resolve) => setImmediate(() => resolve(seen.push(storage.getStore()))));
      await new Promise((resolve) => process.nextTick(() => resolve(seen.push(storage.getStore()))));
      await new Promise((resolve) => queueMicrotask(() => resolve(seen.push(storage.getStore()))));
      return seen;
    });
  },
  "AsyncLocalStorage: two at a time": async () => {
    const storage = new AsyncLocalStorage();
    const both = await Promise.all(["a", "b"].map((name) => storage.run(name, async () => (await delay(1), storage.getStore()))));
    return [both, storage.getStore()];
  },
  "AsyncLocalStorage: exit, enterWith, disable": async () => {
    const storage = new AsyncLocalStorage();
    return storage.run("a", async () => {
      const seen = [storage.exit(() => storage.getStore())];
      storage.enterWith("b");
      await null;
      seen.push(storage.getStore());
      storage.disable();
      seen.push(storage.getStore());
      return seen;
    });
  },
  "AsyncLocalStorage: bind and snapshot": () => {
    const storage = new AsyncLocalStorage();
    const [bound, snapshot] = storage.run("a", () => [
      AsyncLocalStorage.bind(() => storage.getStore()),
      AsyncLocalStorage.snapshot(),
    ]);
    return [bound(), snapshot(() => storage.getStore()), storage.run("b", () => bound())];
  },
  "AsyncLocalStorage: defaultValue and name": () => {
    const storage = new AsyncLocalStorage({ defaultValue: 1, name: "it" });
    return [storage.getStore(), storage.name, storage.run(2, () => storage.getStore())];
  },
  "AsyncLocalStorage: listeners of an emitter": () => {
    const storage = new AsyncLocalStorage();
    const emitter = new EventEmitter();
    const seen = [];
    storage.run("a", () => emitter.on("it", () => seen.push(storage.getStore())));
    storage.run("b", () => emitter.emit("it"));
    return seen;
  },
  "AsyncLocalStorage: a thenable, a thrown error, a generator": async () => {
    const storage = new AsyncLocalStorage();
    return storage.run("a", async () => {
      const seen = [];
      await { then: (resolve) => resolve(seen.push(storage.getStore())) };
      await Promise.reject(new Error("x")).catch(() => seen.push(storage.getStore()));
      async function* parts() {
        yield storage.getStore();
        await delay(1);
        yield storage.getStore();
      }
      for await (const part of parts()) seen.push(part);
      return seen;
    });
  },
  "AsyncResource: runInAsyncScope, bind": () => {
    const storage = new AsyncLocalStorage();
    const resource = storage.run("a", () => new AsyncResource("It"));
    const bound = storage.run("b", () => AsyncResource.bind(function (...values) {
      return [this?.it, ...values, storage.getStore()];
    }));
    const inScope = resource.runInAsyncScope(function (value) {
      return [this.it, value, storage.getStore()];
    }, { it: 1 }, 2);
    return [inScope, bound.call({ it: 3 }, 4)];
  },
  "AsyncResource: ids": () => {
    const resource = new AsyncResource("It", { requireManualDestroy: true });
    const inside = resource.runInAsyncScope(() => executionAsyncId() === resource.asyncId());
    return [typeof resource.asyncId(), resource.triggerAsyncId() === executionAsyncId(), inside, resource.emitDestroy() === resource];
  },
  "executionAsyncResource: one for a callback": async () => {
    const own = Symbol("own");
    return new Promise((resolve) => {
      setTimeout(() => {
        const resource = executionAsyncResource();
        resource[own] = 1;
        resolve([typeof resource, executionAsyncResource()[own]]);
      }, 1);
    });
  },
  "createHook: init of promises, timers, ticks, resources": async () => {
    const types = new Set();
    const hook = createHook({ init: (_, type) => types.add(type) }).enable();
    Promise.resolve().then(() => {});
    clearTimeout(setTimeout(() => {}, 1));
    clearImmediate(setImmediate(() => {}));
    process.nextTick(() => {});
    new AsyncResource("OWN");
    hook.disable();
    return ["PROMISE", "Timeout", "Immediate", "TickObject", "OWN"].filter((type) => types.has(type));
  },
  "createHook: before and after": async () => {
    const seen = [];
    let own;
    const hook = createHook({
      init: (id, type) => type === "Timeout" && (own ??= id),
      before: (id) => id === own && seen.push("before"),
      after: (id) => id === own && seen.push("after"),
      destroy: (id) => id === own && seen.push("destroy"),
    }).enable();
    await new Promise((resolve) => setTimeout(() => resolve(seen.push("callback")), 1));
    await delay(5);
    hook.disable();
    return seen;
  },
  "createHook: callbacks of promises": async () => {
    const seen = [];
    const promises = new Set();
    const hook = createHook({
      init: (id, type) => type === "PROMISE" && promises.add(id),
      before: (id) => promises.has(id) && seen.push("before"),
      promiseResolve: (id) => promises.has(id) && seen.push("resolve"),
    }).enable();
    await Promise.resolve(1).then(() => {});
    hook.disable();
    return [seen.includes("before"), seen.includes("resolve")];
  },
  "executionAsyncId imported by name, in the callback of a promise": async () => {
    const hook = createHook({ init() {} }).enable();
    await null;
    const same = executionAsyncId() === hooks.executionAsyncId() && executionAsyncId() !== 0;
    hook.disable();
    return same;
  },
  "a manager of contexts: timers": async () => {
    const contexts = manager();
    try {
      return await new Promise((resolve) => contexts.run("a", () => setTimeout(() => resolve(contexts.current() ?? null), 1)));
    } finally {
      contexts.end();
    }
  },
  "a manager of contexts: awaits": async () => {
    const contexts = manager();
    try {
      return await contexts.run("a", async () => {
        await null;
        const seen = [contexts.current() ?? null];
        await new Promise((resolve) => setTimeout(resolve, 1));
        return [...seen, contexts.current() ?? null];
      });
    } finally {
      contexts.end();
    }
  },
};
