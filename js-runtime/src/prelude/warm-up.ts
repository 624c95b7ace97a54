// Has the SDK answer calls of a function of its own, so that its code is compiled before the first call of
// the project's comes. Nothing of it is seen: it has no network, says nothing, and is not served.

type Handler = (request: Request) => Response | Promise<Response>;

/** The project's `inngest`, and its `inngest/edge`. */
export interface Sdk {
  Inngest: new (options: any) => any;
  serve: (options: any) => Handler;
}

const STEP = "warm-up";
/** What the SDK calls that step: the SHA-1 of its id. */
const HASHED = "922682ccff909bd6b33337ff0851609b0b3ce9b6";
const QUIET = { debug() {}, info() {}, warn() {}, error() {} };
const EVENT = { name: "baton/warm-up", data: {}, id: "warm-up", ts: 0 };
/** How long it may take, in milliseconds. */
const PATIENCE = 2_000;

/** `answer` has the handler answer a request with this query and body, as it answers all; two of them in each round. */
export async function warmUp(
  sdk: Sdk,
  rounds: number,
  answer: (handler: Handler, query: string, body: string) => Promise<unknown>,
) {
  const handler = sdk.serve(served(sdk));
  const ask = (steps: object, stack: string[]) => {
    const ctx = { run_id: "warm-up", attempt: 0, fn_id: "baton-warm-up", stack: { stack, current: stack.length } };
    const body = { version: 1, event: EVENT, events: [EVENT], steps, ctx, use_api: false };
    return answer(handler, "?fnId=baton-warm-up&stepId=step", JSON.stringify(body));
  };
  const asked = (async () => {
    for (let round = 0; round < rounds; round++) {
      await ask({}, []);
      await ask({ [HASHED]: { type: "data", data: { warm: true } } }, [HASHED]);
    }
  })();
  const late = Promise.withResolvers<void>();
  const timer = setTimeout(late.resolve, PATIENCE);
  try {
    await Promise.race([asked, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

function served({ Inngest }: Sdk) {
  const client = new Inngest({
    id: "baton",
    isDev: true,
    logger: QUIET,
    aiMetadata: false,
    fetch: () => Promise.reject(new Error("nothing is sent while the SDK warms up")),
  });
  const options = { id: "warm-up", retries: 0 };
  const trigger = { event: EVENT.name };
  const run = ({ step }: any) => step.run(STEP, () => ({ warm: true }));
  // Version 3 takes the trigger by itself.
  const fn =
    client.createFunction.length > 2
      ? client.createFunction(options, trigger, run)
      : client.createFunction({ ...options, triggers: [trigger], checkpointing: false }, run);
  return { client, functions: [fn] };
}
