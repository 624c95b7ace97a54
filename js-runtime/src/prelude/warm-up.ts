// Has the SDK answer calls of functions of its own, so that its code is compiled before the first call of
// the project's comes. Nothing of it is seen: it has no network, says nothing, and is not served.

type Handler = (request: Request) => Response | Promise<Response>;

/** The project's `inngest`, and its `inngest/edge`. */
export interface Sdk {
  Inngest: new (options: any) => any;
  serve: (options: any) => Handler;
}

type Answer = (handler: Handler, query: string, body: string) => Promise<unknown>;

const STEP = "warm-up";
/** What the SDK calls that step: the SHA-1 of its id. */
const HASHED = "922682ccff909bd6b33337ff0851609b0b3ce9b6";

class Silence {
  info() {}
  warn() {}
  error() {}
  debug() {}
}

/**
 * Two calls of a function, as often as it is called: `answer` has the handler answer a request with this query and
 * body, as it answers all. Of two unlike clients and functions in turn, or V8 would compile the SDK's code for what the
 * one has, and once more for the project's.
 */
export function warmUp(sdk: Sdk, answer: Answer): () => Promise<void> {
  const apps = [() => plain(sdk), () => detailed(sdk)].map((make) => {
    let made: App | undefined;
    return () => (made ??= make());
  });
  let round = 0;
  return async () => {
    const { handler, event } = apps[round++ % apps.length]();
    const ask = (steps: object, stack: string[]) => {
      const ctx = { run_id: "warm-up", attempt: 0, fn_id: "baton-warm-up", stack: { stack, current: stack.length } };
      const body = { version: 1, event, events: [event], steps, ctx, use_api: false };
      return answer(handler, "?fnId=baton-warm-up&stepId=step", JSON.stringify(body));
    };
    await ask({}, []);
    await ask({ [HASHED]: { type: "data", data: { warm: true } } }, [HASHED]);
  };
}

interface App {
  handler: Handler;
  event: { name: string };
}

function plain(sdk: Sdk): App {
  const event = { name: "baton/warm-up", data: {}, id: "warm-up", ts: 0 };
  const client = { id: "baton", isDev: true, logger: new Silence(), aiMetadata: false, fetch: refuse };
  return app(sdk, client, { id: "warm-up", retries: 0 }, event, ({ step }) => step.run(STEP, () => ({ warm: true })));
}

function detailed(sdk: Sdk): App {
  const event = { id: "warm-up", name: "baton/warm", data: { name: "Baton", count: 1 }, user: {}, ts: 0, v: "1" };
  const { info, warn, error, debug } = new Silence();
  const logger = { debug, error, warn, info };
  const client = { fetch: refuse, eventKey: "none", logger, aiMetadata: false, isDev: true, id: "baton" };
  const options = { name: "Warm-up", concurrency: { limit: 1 }, id: "warm-up" };
  return app(sdk, client, options, event, async ({ event, step, attempt }) => {
    const warm = await step.run(STEP, async () => event.data.name);
    return { warm, attempt, count: event.data.count };
  });
}

const refuse = () => Promise.reject(new Error("nothing is sent while the SDK warms up"));

function app(
  { Inngest, serve }: Sdk,
  settings: object,
  options: object,
  event: { name: string },
  run: (context: any) => unknown,
): App {
  const client = new Inngest(settings);
  const trigger = { event: event.name };
  // Version 3 takes the trigger by itself.
  const fn =
    client.createFunction.length > 2
      ? client.createFunction(options, trigger, run)
      : client.createFunction({ ...options, triggers: [trigger], checkpointing: false }, run);
  return { handler: serve({ client, functions: [fn] }), event };
}
