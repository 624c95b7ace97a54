// `createHook` of `node:async_hooks` for promises: Deno's hooks hear of timers, ticks and resources alone, so that contexts
// which packages keep by hooks (cls-hooked, the AsyncHooksContextManager of OpenTelemetry) would be lost after an `await`.
// V8 is asked to tell of promises once a hook is enabled; until then nothing costs more.

import asyncHooks, { AsyncResource, createHook, executionAsyncId } from "node:async_hooks";

type Callback = (this: unknown, id: number, ...rest: unknown[]) => void;

const { core } = (Deno as any)[(Deno as any).internal];
const sample = createHook({ init() {}, before() {}, after() {}, destroy() {}, promiseResolve() {} });
const AsyncHook = Object.getPrototypeOf(sample);
const symbols = new Map(Object.getOwnPropertySymbols(sample).map((symbol) => [symbol.description, symbol]));
/** Far from the numbers that Deno gives. */
let lastId = 2 ** 40;

const enabled = new Set<object>();
const ids = new WeakMap<object, number>();
/** The promises whose continuations run, innermost last, and what ran around each. */
const running: { id: number; around: number }[] = [];
const collected = new FinalizationRegistry<number>((id) => call("destroy", id));
let isListening = false;
let isCalling = false;

const { enable, disable } = AsyncHook;
AsyncHook.enable = function () {
  enabled.add(this);
  if (!isListening) core.setPromiseHooks(begun, entered, left, resolved);
  isListening = true;
  return Reflect.apply(enable, this, []);
};
AsyncHook.disable = function () {
  enabled.delete(this);
  return Reflect.apply(disable, this, []);
};

/** Calls the hooks of a kind. Promises that they make themselves are not told. */
function call(kind: string, id: number, ...rest: unknown[]) {
  if (isCalling) return;
  isCalling = true;
  try {
    for (const hook of [...enabled]) {
      const callback: Callback | undefined = (hook as any)[symbols.get(kind)!];
      callback?.call(hook, id, ...rest);
    }
  } catch (error) {
    reportError(error);
  } finally {
    isCalling = false;
  }
}

function begun(promise: object, parent?: object) {
  if (enabled.size === 0 || isCalling) return;
  const id = ++lastId;
  ids.set(promise, id);
  collected.register(promise, id);
  call("init", id, "PROMISE", (parent && ids.get(parent)) ?? currentId(), promise);
}

function entered(promise: object) {
  const id = ids.get(promise);
  if (id === undefined) return;
  running.push({ id, around: executionAsyncId() });
  call("before", id);
}

function left(promise: object) {
  const id = ids.get(promise);
  if (id === undefined || running.at(-1)?.id !== id) return;
  call("after", id);
  running.pop();
}

function resolved(promise: object) {
  const id = ids.get(promise);
  if (id !== undefined) call("promiseResolve", id);
}

/** The number of what runs: of a promise, unless something of Deno's runs within its continuation. */
function currentId(): number {
  const [own, promise] = [executionAsyncId(), running.at(-1)];
  return promise?.around === own ? promise.id : own;
}

(asyncHooks as any).executionAsyncId = currentId;
// Deno knows no triggers: this is right where it is asked for when the resource is made.
(AsyncResource.prototype as any).triggerAsyncId ??= currentId;
