import { Inngest } from "inngest";
import { html } from "@/lib";

const inngest = new Inngest({ id: "shop" });

export const welcome = inngest.createFunction(
  { id: "welcome", retries: 0, triggers: [{ event: "shop/welcome" }] },
  async ({ event, step }) => step.run("render", () => html(event.data.name)),
);
