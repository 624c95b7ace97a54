import { Inngest } from "inngest";

/** The app that these functions belong to: Inngest shows it by this name. */
export const inngest = new Inngest({ id: "my-app" });
