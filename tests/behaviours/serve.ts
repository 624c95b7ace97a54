// Under Baton: `/?file=…&folder=…` runs a file of cases.

import { run } from "./run.mjs";

export default {
  async fetch(request: Request): Promise<Response> {
    const { searchParams } = new URL(request.url);
    return Response.json(await run(searchParams.get("file"), searchParams.get("folder")));
  },
};
