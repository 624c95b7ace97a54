// Evaluated before user code: the global `Bun`, and what `require` gives for the modules' names.

import Module from "node:module";

// The modules `bun` and `bun:*` are evaluated by whoever asks for them first, at once: `import`,
// `require` and the global are the same.
const requireModule = (Module as any)._extensions[".mjs"];

function bunModule(file: string): any {
  const module = { exports: {} };
  requireModule(module, `/.baton/bun/${file}`);
  return module.exports;
}

// The module is made when a property of it is asked for, not by `typeof Bun`.
Object.defineProperty(globalThis, "Bun", {
  configurable: true,
  writable: true,
  value: new Proxy(Object.create(null), {
    get: (_, key) => bunModule("bun.ts").default[key],
    set: (_, key, value) => Reflect.set(bunModule("bun.ts").default, key, value),
    has: (_, key) => key in bunModule("bun.ts").default,
    ownKeys: () => Reflect.ownKeys(bunModule("bun.ts").default),
    getOwnPropertyDescriptor: (_, key) => {
      const found = Object.getOwnPropertyDescriptor(bunModule("bun.ts").default, key);
      return found && { ...found, configurable: true };
    },
  }),
});

const loadRequired = Module._load;
Module._load = function (this: unknown, request: string, ...rest: unknown[]) {
  if (request === "bun") return bunModule("exports.mjs").default;
  if (request === "bun:sqlite") return bunModule("sqlite.ts");
  return Reflect.apply(loadRequired, this, [request, ...rest]);
};
