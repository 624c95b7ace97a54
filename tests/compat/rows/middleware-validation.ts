// packages: @inngest/middleware-validation
// note: it is made for inngest 3
// answers: {"name": "Ada"}
import { validationMiddleware } from "@inngest/middleware-validation";
import { EventSchemas, Inngest } from "inngest-3";
import { serve } from "inngest-3/edge";
import { z } from "zod";

const inngest = new Inngest({
  id: "compat",
  middleware: [validationMiddleware()],
  schemas: new EventSchemas().fromSchema({ "compat/row": z.object({ standIn: z.string().transform(() => "Ada") }) }),
});

const fn = inngest.createFunction({ id: "row", retries: 0 }, { event: "compat/row" }, async ({ event, step }) =>
  step.run("what the schema made", () => ({ name: event.data.standIn })),
);

export const fetch = serve({ client: inngest, functions: [fn] });
