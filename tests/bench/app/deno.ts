import { serve } from "inngest/edge";
import { functions, inngest } from "./all.ts";

Deno.serve({ hostname: "127.0.0.1", port: Number(Deno.env.get("PORT")) }, serve({ client: inngest, functions }));
