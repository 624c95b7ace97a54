// Workers of Inngest Connect, which are not served: whoever connects while the project is loaded is told so.

/** Rejects when user code connects to Inngest while it is loaded. */
export const connected = Promise.withResolvers<never>();
connected.promise.catch(() => {});

let isLoaded = false;
let refused: Error | undefined;

// The function that the loader puts around `connect` of inngest/connect. Its promise never settles: nothing that the
// project does about a failure helps, and its load is over.
Object.defineProperty(globalThis, Symbol.for("baton:connect"), {
  value: (real: (...values: unknown[]) => unknown) =>
    function connect(this: unknown, ...values: unknown[]) {
      if (isLoaded) return Reflect.apply(real, this, values);
      // The loader's words are told to users (`refusals.rs`).
      refused ??= new Error("a worker of Inngest Connect");
      Error.captureStackTrace(refused, connect);
      connected.reject(refused);
      return new Promise(() => {});
    },
});

/** Throws if user code has connected to Inngest; from now on it may. */
export function endLoad(): void {
  if (refused) throw refused;
  isLoaded = true;
}
