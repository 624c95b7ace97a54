import { serve } from "inngest/edge";
import { functions, inngest } from "./all.ts";

// As a default export, which `--hot` puts in the place of the one before.
export default { hostname: "127.0.0.1", port: Number(process.env.PORT), fetch: serve({ client: inngest, functions }) };
