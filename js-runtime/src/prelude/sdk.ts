// The way into the project's SDK: an adapter for its `InngestCommHandler`, which both majors offer to frameworks. It takes
// a request as the host has it and gives the SDK's answer back as it is, without a `Request` and a `Response` for each.

export interface SdkRequest {
  method: string;
  url: string;
  headers: [string, string][];
  body: string | Uint8Array;
}

export interface SdkAnswer {
  status: number;
  /** By name, in small letters. */
  headers: [string, string][];
  text: string;
}

export type SdkHandler = (request: SdkRequest) => Promise<SdkAnswer>;

const decoder = new TextDecoder();

/** Makes the handler of an app. `InngestCommHandler` is the class of the copy of the SDK that made its client. */
export function handlerOf(InngestCommHandler: any, options: object): SdkHandler {
  // Version 3 registers with the client's own `fetch` otherwise.
  const settings = { frameworkName: "baton", fetch: fetch.bind(globalThis), ...options, handler: actionsOn };
  return new InngestCommHandler(settings).createHandler();
}

/** The questions of the SDK about a request, and its answer. */
function actionsOn({ method, url, headers, body }: SdkRequest) {
  const parsed = new URL(url);
  let byName: Map<string, string> | undefined;
  return {
    method: () => method,
    url: () => parsed,
    headers: (name: string) => (byName ??= joined(headers)).get(name.toLowerCase()) ?? null,
    body: () => (typeof body === "string" ? body : decoder.decode(body)),
    transformResponse: ({ status, headers, body }: { status: number; headers: object; body?: string }): SdkAnswer => ({
      status,
      headers: sorted(headers),
      text: body ?? "",
    }),
  };
}

/** Headers by name; those that are there more than once as HTTP joins them. */
function joined(headers: [string, string][]): Map<string, string> {
  const byName = new Map<string, string>();
  for (const [name, value] of headers) {
    const before = byName.get(name);
    byName.set(name, before === undefined ? value : `${before}, ${value}`);
  }
  return byName;
}

function sorted(headers: object): [string, string][] {
  const pairs = Object.entries(headers).map(([name, value]): [string, string] => [name.toLowerCase(), String(value)]);
  return pairs.sort(([one], [other]) => (one < other ? -1 : 1));
}
