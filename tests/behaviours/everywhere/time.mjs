// The order of callbacks, timers, asynchronous contexts.

import { AsyncLocalStorage, AsyncResource } from "node:async_hooks";
import { EventEmitter, on, once } from "node:events";
import { performance, PerformanceObserver } from "node:perf_hooks";
import timers from "node:timers/promises";
import { promisify } from "node:util";

const turn = () => new Promise((done) => setTimeout(done, 5));

/** Tells a moment in each of the zones, to which the variable TZ is set one after the other. */
function inZones(zones, tell) {
  const before = process.env.TZ;
  try {
    return zones.map((zone) => {
      process.env.TZ = zone;
      return tell(new Date(Date.UTC(2026, 6, 15, 12, 30)));
    });
  } finally {
    if (before === undefined) delete process.env.TZ;
    else process.env.TZ = before;
  }
}

export default {
  "process.env.TZ: Date": () =>
    inZones(["Asia/Tokyo", "America/New_York", "Asia/Kolkata", "UTC", "Europe/Berlin"], (date) => [
      date.getHours(),
      date.getDate(),
      date.getTimezoneOffset(),
      new Date(2026, 0, 1).toISOString(),
      new Date("2026-03-29T02:30:00").toISOString(),
      date.toString(),
    ]),
  "process.env.TZ: Intl and toLocaleString": () =>
    inZones(["Asia/Tokyo", "America/New_York", "Asia/Kolkata", "UTC"], (date) => [
      Intl.DateTimeFormat().resolvedOptions().timeZone,
      new Intl.DateTimeFormat("en-GB", { dateStyle: "short", timeStyle: "long" }).format(date),
      new Intl.DateTimeFormat("en-GB", { timeStyle: "short", timeZone: "Asia/Kathmandu" }).format(date),
      date.toLocaleString("de-DE"),
      date.toLocaleDateString("en-US"),
      date.toLocaleTimeString("en-GB", { timeZoneName: "short" }),
    ]),
  "process.env.TZ: Intl.DateTimeFormat stays a class": () =>
    inZones(["Asia/Tokyo"], () => {
      class Own extends Intl.DateTimeFormat {}
      return [
        new Own("en") instanceof Intl.DateTimeFormat,
        Intl.DateTimeFormat() instanceof Intl.DateTimeFormat,
        new Intl.DateTimeFormat().constructor === Intl.DateTimeFormat,
        [Intl.DateTimeFormat.name, Intl.DateTimeFormat.length, Date.prototype.toLocaleString.name],
        Intl.DateTimeFormat.supportedLocalesOf(["de"]),
        Object.keys(Intl),
      ];
    }),
  "process.env.TZ: other spellings of zones": () =>
    inZones([":Asia/Tokyo", "EST5EDT", "JST-9", "GMT+3", "", "No/Zone"], (date) => [
      date.getHours(),
      date.getTimezoneOffset(),
    ]),
  "process.env.TZ: deleted and set again": () => {
    const before = new Date(0).getTimezoneOffset();
    const [first] = inZones(["Asia/Tokyo"], (date) => date.getTimezoneOffset());
    const [second] = inZones(["Asia/Tokyo"], () => new Date(0).toLocaleTimeString("en-GB"));
    return [first, second, new Date(0).getTimezoneOffset() === before];
  },
  "microtasks before nextTick after an await": async () => {
    const said = [];
    await null;
    process.nextTick(() => said.push("tick"));
    queueMicrotask(() => said.push("microtask"));
    Promise.resolve().then(() => said.push("promise"));
    await turn();
    return said;
  },
  "nextTick, microtask and immediate in a timer": async () => {
    const said = [];
    await new Promise((done) =>
      setTimeout(() => {
        setImmediate(() => said.push("immediate"));
        queueMicrotask(() => said.push("microtask"));
        process.nextTick(() => said.push("tick"));
        setTimeout(done, 20);
      }, 1),
    );
    return said;
  },
  "timers in the order of their time": async () => {
    const said = [];
    setTimeout(() => said.push(30), 30);
    setTimeout(() => said.push(10), 10);
    setTimeout(() => said.push(1), 1);
    await new Promise((done) => setTimeout(done, 60));
    return said;
  },
  "timers of 0": async () => {
    const storage = new AsyncLocalStorage();
    const said = [];
    clearTimeout(setTimeout(() => said.push("cleared"), 0));
    storage.run("context", () => setTimeout((a, b) => said.push([a, b, storage.getStore()]), 0, 1, 2));
    setTimeout(() => said.push("second")).unref();
    const timer = setTimeout(() => {
      said.push([typeof timer, timer.hasRef()]);
      if (said.length < 5) timer.refresh();
    }, 0);
    timers.setTimeout(0, "a promise").then((value) => said.push(value));
    const stop = new AbortController();
    timers.setTimeout(0, null, { signal: stop.signal }).catch((error) => said.push(error.name));
    stop.abort();
    await promisify(setTimeout)(40, null);
    return [said.map(String).sort(), setTimeout.name, setTimeout === globalThis.setTimeout];
  },
  "a program's own mock of timers, and the time after it": async () => {
    const { mock } = await import("node:test");
    const said = [];
    mock.timers.enable({ apis: ["setTimeout"] });
    setTimeout(() => said.push("mocked 0"), 0);
    setTimeout(() => said.push("mocked 1000"), 1000);
    await new Promise((done) => setImmediate(done));
    said.push("nothing yet");
    mock.timers.tick(1000);
    mock.timers.reset();
    await new Promise((done) => setTimeout(done, 0));
    return said;
  },
  "ten timers of 0 ms, one after the other, end before thirty immediates": async () => {
    const after = async (count, turn) => {
      for (let n = 0; n < count; n += 1) await new Promise(turn);
      return count === 10;
    };
    return Promise.race([after(10, (done) => setTimeout(done)), after(30, (done) => setImmediate(done))]);
  },
  "a timer's object": () => {
    const timer = setTimeout(() => {}, 1000);
    const said = [
      typeof timer,
      typeof timer.ref,
      timer.hasRef(),
      timer.unref().hasRef(),
      typeof timer[Symbol.toPrimitive](),
    ];
    clearTimeout(timer);
    return said;
  },
  "an interval that ends itself": async () =>
    new Promise((done) => {
      let count = 0;
      const interval = setInterval(() => {
        count += 1;
        if (count === 3) done((clearInterval(interval), count));
      }, 1);
    }),
  "arguments of timers": async () => new Promise((done) => setTimeout((a, b) => done([a, b]), 1, "a", 2)),
  "timers as promises": async () => [await timers.setTimeout(1, "value"), await timers.setImmediate("now")],
  "a timer that is aborted": async () => {
    const abort = new AbortController();
    const waiting = timers.setTimeout(10_000, null, { signal: abort.signal });
    abort.abort();
    return waiting.catch((error) => [error.name, error.code]);
  },
  "AbortSignal.timeout": async () => {
    const signal = AbortSignal.timeout(5);
    await new Promise((done) => signal.addEventListener("abort", done));
    return [signal.aborted, signal.reason.name];
  },
  "AbortSignal.any": () => {
    const abort = new AbortController();
    const any = AbortSignal.any([abort.signal, new AbortController().signal]);
    abort.abort("why");
    return [any.aborted, any.reason];
  },
  "AsyncLocalStorage across timers and promises": async () => {
    const storage = new AsyncLocalStorage();
    const said = [];
    await storage.run("inside", async () => {
      await null;
      said.push(storage.getStore());
      await turn();
      said.push(storage.getStore());
      await new Promise((done) => process.nextTick(done));
      said.push(storage.getStore());
      queueMicrotask(() => said.push(storage.getStore()));
      await turn();
    });
    return [...said, storage.getStore() ?? "none"];
  },
  "AsyncLocalStorage bound and exited": () => {
    const storage = new AsyncLocalStorage();
    const bound = storage.run(1, () => AsyncResource.bind(() => storage.getStore()));
    return [
      bound(),
      storage.run(2, () => storage.exit(() => storage.getStore() ?? "none")),
      storage.run(3, () => AsyncLocalStorage.snapshot())(() => storage.getStore()),
    ];
  },
  "AsyncLocalStorage of several, one in another": async () => {
    const [outer, inner] = [new AsyncLocalStorage(), new AsyncLocalStorage()];
    const both = () => [outer.getStore() ?? "none", inner.getStore() ?? "none"];
    const said = await outer.run(1, async () => {
      const within = inner.run(2, async () => {
        await null;
        const before = both();
        outer.enterWith(3);
        await turn();
        return [before, both(), outer.run(4, both), inner.exit(both), both()];
      });
      return [...(await within), both()];
    });
    return [...said, both()];
  },
  "AsyncLocalStorage disabled, and of undefined": () => {
    const storage = new AsyncLocalStorage();
    const of = (value) => storage.run(value, () => storage.getStore() === value);
    const said = [of(undefined), of(null), of(0)];
    storage.enterWith("entered");
    said.push(storage.getStore());
    storage.disable();
    return [...said, storage.getStore() ?? "none"];
  },
  "AsyncLocalStorage in an event": async () => {
    const storage = new AsyncLocalStorage();
    const emitter = new EventEmitter();
    let heard;
    storage.run("at listening", () => emitter.on("x", () => (heard = storage.getStore())));
    storage.run("at emitting", () => emitter.emit("x"));
    return heard;
  },
  "Promise.withResolvers, try and allSettled": async () => {
    const { promise, resolve } = Promise.withResolvers();
    resolve("resolved");
    return [
      await promise,
      await Promise.allSettled([Promise.reject(1), 2]),
      await Promise.any([Promise.reject(1), 2]),
      typeof Promise.try,
    ];
  },
  "events: once, on and errors": async () => {
    const emitter = new EventEmitter();
    setTimeout(() => emitter.emit("a", 1, 2), 1);
    const first = await once(emitter, "a");
    setTimeout(() => emitter.emit("b", 3), 1);
    let second;
    for await (const value of on(emitter, "b")) {
      second = value;
      break;
    }
    let thrown;
    try {
      emitter.emit("error", new Error("nobody listens"));
    } catch (error) {
      thrown = error.message;
    }
    return [first, second, thrown, emitter.listenerCount("a")];
  },
  "events: order, prepend and removal": () => {
    const emitter = new EventEmitter();
    const said = [];
    const gone = () => said.push("gone");
    emitter.on("x", () => said.push("first"));
    emitter.prependListener("x", () => said.push("prepended"));
    emitter.once("x", () => said.push("once"));
    emitter.on("x", gone).off("x", gone);
    return [
      emitter.emit("x"),
      emitter.emit("x"),
      emitter.emit("y"),
      said,
      emitter.eventNames(),
      emitter.getMaxListeners(),
    ];
  },
  "EventTarget and CustomEvent": () => {
    const target = new EventTarget();
    const said = [];
    target.addEventListener("x", (event) => said.push(event.detail), { once: true });
    target.addEventListener("x", { handleEvent: (event) => said.push(event.type) });
    target.dispatchEvent(new CustomEvent("x", { detail: 1, cancelable: true }));
    target.dispatchEvent(new CustomEvent("x", { detail: 2 }));
    return said;
  },
  performance: async () => {
    performance.mark("a");
    await turn();
    performance.mark("b");
    const measure = performance.measure("ab", "a", "b");
    return [
      measure.duration > 0,
      measure.entryType,
      performance.getEntriesByName("a").length,
      typeof performance.timeOrigin,
      typeof PerformanceObserver,
    ];
  },
  "queueMicrotask refuses what is not a function": () => {
    try {
      queueMicrotask("x");
    } catch (error) {
      return [error.name, error.code];
    }
  },
};
