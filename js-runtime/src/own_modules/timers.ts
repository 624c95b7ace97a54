// A timer of 0 fires at the next turn of the event loop. To Node it is one of 1 ms, and Deno's take another: the SDK,
// which waits for one at every tenth step, would do little else. Deno asks the one that mocks timers for every timer,
// wherever the function was imported from. A program's own mock takes the place of this one.

import timers from "node:timers";

type Function = (this: unknown, ...values: unknown[]) => unknown;

const { core } = (Deno as any)[(Deno as any).internal];
const MOCK = Symbol.for("Deno.internal.node.mockTimers");
const mock = (timers as any)[MOCK];

const timeout = setTimeout(() => {});
const Timeout = Object.getPrototypeOf(timeout).constructor;
clearTimeout(timeout);

const prompt = {
  _apiEnabled: (name: string) => name === "setTimeout",
  _setTimeout(run: Function, delay: unknown, values: unknown[]) {
    const timer = new Timeout(run, delay, values, false, true);
    if (delay === undefined || delay === 0) timers.setImmediate(fire, timer, timer._timer);
    return timer;
  },
  _clearTimer: timers.clearInterval,
};
mock(prompt);
(timers as any)[MOCK] = (other: object | null) => mock(other ?? prompt);

/** Has a timer fire if it has not, and was neither cleared nor begun anew; it ends unless its callback begins it anew. */
function fire(timer: any, begun: any) {
  if (begun._destroyed || timer._timer !== begun) return;
  begun._idleStart = null;
  try {
    begun._onTimeout();
  } finally {
    if (begun._idleStart === null) core.cancelTimer(begun);
  }
}
