// Errors, stacks, inspection, formatting.

import util from "node:util";

class Own extends Error {
  constructor(message, options) {
    super(message, options);
    this.name = "Own";
    this.extra = 1;
  }
}

/** The events of the process that come while something acts, with their arguments; it can await one more of a kind. */
async function heard(names, act) {
  const events = [];
  let waiting = [];
  const listeners = names.map((name) => {
    const listener = (...values) => {
      events.push([name, ...values]);
      waiting = waiting.filter(({ awaited, resolve }) => awaited !== name || resolve());
    };
    process.on(name, listener);
    return [name, listener];
  });
  try {
    await act((awaited) => new Promise((resolve) => waiting.push({ awaited, resolve })));
  } finally {
    for (const [name, listener] of listeners) process.off(name, listener);
  }
  return events.map((event) => event.map((value) => (value instanceof Promise ? "a promise" : value)));
}

export default {
  "a stack's first line and frames": () => {
    const { stack } = new Own("why");
    const [first, second] = stack.split("\n");
    return [first, /^ {4}at .*errors\.mjs:\d+:\d+\)?$/.test(second)];
  },
  "a stack names functions": () => {
    function outer() {
      return new Error("x").stack;
    }
    return /^ {4}at outer \(.*errors\.mjs:\d+:\d+\)$/.test(outer().split("\n")[1]);
  },
  "a stack across await": async () => {
    const inner = async () => {
      await null;
      throw new Error("late");
    };
    const outer = async () => await inner();
    return outer().catch(({ stack }) => /at async outer/.test(stack));
  },
  "Error.captureStackTrace and stackTraceLimit": () => {
    const holder = {};
    Error.captureStackTrace(holder);
    const limit = Error.stackTraceLimit;
    Error.stackTraceLimit = 1;
    const { stack } = new Error("x");
    Error.stackTraceLimit = limit;
    return [typeof holder.stack, limit, stack.split("\n").length];
  },
  "Error.prepareStackTrace": () => {
    const before = Error.prepareStackTrace;
    Error.prepareStackTrace = (error, frames) => [
      error.message,
      typeof frames[0].getFileName(),
      frames[0].getLineNumber() > 0,
    ];
    const { stack } = new Error("prepared");
    Error.prepareStackTrace = before;
    return stack;
  },
  "causes and aggregates": () => {
    const error = new Own("outer", { cause: new Error("inner") });
    const all = new AggregateError([new Error("a"), new Error("b")], "both");
    return [
      error.cause.message,
      error instanceof Own,
      all.errors.length,
      all.message,
      Object.keys(error),
      JSON.stringify(error),
      String(error),
    ];
  },
  "messages of wrong calls": () =>
    [
      () => null.x,
      () => undefined.f(),
      () => (void 0)(),
      () => nothing,
      () =>
        new class {
          #p;
          static t(o) {
            return o.#p;
          }
        }.constructor.t({}),
      () => "x".repeat(-1),
      () => new Array(-1),
      () => BigInt(1.5),
    ].map((act) => {
      try {
        act();
      } catch (error) {
        return [error.name, error.message];
      }
    }),
  "classes and codes of Node's errors": async () => {
    const said = [];
    const { readFile } = await import("node:fs/promises");
    for (const act of [
      () => Buffer.from(5),
      () => new URL("x"),
      () => readFile(5.5),
      () => process.kill("x"),
      () => setTimeout("x"),
    ]) {
      try {
        await act();
      } catch (error) {
        said.push([error.name, error.code]);
      }
    }
    return said;
  },
  DOMException: () => {
    const error = new DOMException("m", "AbortError");
    return [error.name, error.code, error instanceof Error, String(error)];
  },
  "an overflow of the stack": () => {
    const deep = () => deep() + 1;
    try {
      deep();
    } catch (error) {
      return error.name;
    }
  },
  "util.inspect: values": () =>
    [
      { a: 1, b: "x", c: [1, , 3], d: { e: { f: { g: 1 } } } },
      new Map([["k", { v: 1 }]]),
      new Set([1]),
      [undefined, null],
      1n,
      Symbol("s"),
      () => {},
      class A {},
      new (class B {
        x = 1;
      })(),
      Object.create(null),
      new Date(0),
      /x/g,
      "it's",
      -0,
      new Uint8Array(2),
      Promise.resolve(1),
      new WeakMap(),
      [[]],
      new Proxy({}, {}),
    ].map((value) => util.inspect(value)),
  "util.inspect: options": () => [
    util.inspect({ a: { b: { c: {} } } }, { depth: 0 }),
    util.inspect("x".repeat(5), { colors: true }),
    util.inspect({ b: 1, a: 2 }, { sorted: true, compact: false }),
    util.inspect(Array.from({ length: 120 }, (_, n) => n)).split("\n").length,
    util.inspect({ [util.inspect.custom]: () => "custom" }),
    util.inspect(
      {
        get x() {
          return 1;
        },
      },
      { getters: true },
    ),
  ],
  "util.inspect: circles and errors": () => {
    const circle = { name: "c" };
    circle.self = circle;
    const error = new Own("inspected");
    error.stack = "Own: inspected\n    at <stack>";
    return [util.inspect(circle), util.inspect(error)];
  },
  "util.format": () => [
    util.format("%s %d %i %f %j %o %O %%", "a", 1.5, 1.5, "2.5", { a: 1 }, [1], { b: 1 }),
    util.format("a", "b", { c: 1 }),
    util.format("%s", { toString: () => "own" }),
    util.format("%s", null, undefined, 1n, Symbol("x")),
    util.format("%c styled", "color: red"),
  ],
  "util: types and equality": () => [
    util.types.isPromise(Promise.resolve()),
    util.types.isProxy(new Proxy({}, {})),
    util.isDeepStrictEqual({ a: [1] }, { a: [1] }),
    util.isDeepStrictEqual([1], ["1"]),
    util.types.isNativeError(new Own("x")),
  ],
  "util: promisify and callbackify": async () => {
    const promised = util.promisify((value, done) => done(null, value * 2));
    const back = util.callbackify(async (value) => value + 1);
    return [await promised(2), await new Promise((done) => back(1, (error, value) => done([error, value])))];
  },
  "util: texts": () => [
    util.stripVTControlCharacters("\x1b[1mb\x1b[0m"),
    util.toUSVString("a\ud800"),
    util.styleText("red", "r", { validateStream: false }),
    util.parseArgs({
      args: ["-v", "--name=x", "rest"],
      options: { v: { type: "boolean", short: "v" }, name: { type: "string" } },
      allowPositionals: true,
    }),
  ],
  "util: deprecation and inheritance": () => {
    function A() {}
    function B() {}
    util.inherits(B, A);
    return [new B() instanceof A, B.super_ === A, typeof util.deprecate(() => 1, "old"), typeof util.debuglog("x")];
  },
  "util.MIMEType and parseEnv": () => [
    String(new util.MIMEType("text/html; charset=utf-8")),
    { ...util.parseEnv("A=1\nB='two words'\n#c\nC=\"x\\ny\"") },
  ],
  "process: unhandledRejection and rejectionHandled": () =>
    heard(["unhandledRejection", "rejectionHandled", "uncaughtException", "uncaughtExceptionMonitor"], async (done) => {
      const late = Promise.reject(new Error("late"));
      await done("unhandledRejection");
      late.catch(() => {});
      await done("rejectionHandled");
    }),
  "process: a rejection becomes an uncaughtException": () =>
    heard(["uncaughtExceptionMonitor", "uncaughtException"], async (done) => {
      Promise.reject(new Error("nobody awaits"));
      await done("uncaughtException");
      Promise.reject("a text");
      await done("uncaughtException");
    }),
  "process: uncaughtException and its monitor": () =>
    heard(["uncaughtException", "uncaughtExceptionMonitor", "unhandledRejection"], async (done) => {
      setTimeout(() => {
        throw new TypeError("of a timer");
      }, 1);
      await done("uncaughtException");
      process.nextTick(() => {
        throw new RangeError("of a tick");
      });
      await done("uncaughtException");
    }),
  "process: setUncaughtExceptionCaptureCallback": async () => {
    const caught = await new Promise((resolve) => {
      process.setUncaughtExceptionCaptureCallback(resolve);
      setTimeout(() => {
        throw new Error("captured");
      }, 1);
    });
    process.setUncaughtExceptionCaptureCallback(null);
    return caught;
  },
  "process: warning": () =>
    heard(["warning"], async (done) => {
      process.emitWarning("old", { type: "DeprecationWarning", code: "OURS", detail: "of ours" });
      await done("warning");
      process.emitWarning(new RangeError("an error as it is"));
      await done("warning");
    }),
  "process: once and removed listeners": () =>
    heard(["unhandledRejection"], async (done) => {
      const never = () => {
        throw new Error("a listener that is gone");
      };
      process.on("unhandledRejection", never).off("unhandledRejection", never);
      Promise.reject(new Error("first"));
      await done("unhandledRejection");
      Promise.reject(undefined);
      await done("unhandledRejection");
    }),
  "a rejection that is handled late": async () => {
    const late = Promise.reject(new Error("late"));
    late.catch(() => {});
    await null;
    return late.catch((error) => error.message);
  },
};
