import { connect } from "inngest/connect";
import { functions, inngest } from "./all.ts";

await connect({ apps: [{ client: inngest, functions }] });
