// A row: a function whose step uses a package and gives a value, and the expected value. The first lines of a row name its
// packages and its needs.

import { Inngest } from "inngest";

/** The program that the test runs beside Baton, and its folder. */
export interface Services {
  /** A server that stands in for the APIs of the world: tests/black_box/compat/stand_in.rs. */
  standIn: string;
  /** A folder to write to. */
  scratch: string;
  /** `redis://…` */
  redis: string;
  /** `postgres://…` */
  postgres: string;
  /** The path of the browser. */
  chromium: string;
}

export const inngest = new Inngest({ id: "compat" });

export function row(expected: unknown, work: (services: Services) => unknown, client: Inngest.Any = inngest) {
  return client.createFunction(
    { id: "row", retries: 0, triggers: [{ event: "compat/row" }] },
    async ({ event, step }) => ({
      got: await step.run("use the package", () => work(event.data as Services)),
      expected,
    }),
  );
}
