import { createServer } from "node:http";
import { serve } from "inngest/node";
import { functions, inngest } from "./all.ts";

createServer(serve({ client: inngest, functions })).listen(Number(process.env.PORT), "127.0.0.1");
