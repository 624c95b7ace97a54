/** The functions that the entry files of Bun, Deno and Node serve; Baton reads `functions/` itself. */
import { burn } from "./functions/burn.ts";
import { fifty } from "./functions/fifty.ts";
import { hello } from "./functions/hello.ts";

export { inngest } from "./lib/client.ts";
export const functions = [burn, fifty, hello];
