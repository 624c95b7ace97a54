// Runs functions of a project in tests, with the real engine and the real SDK. See index.d.ts for what is promised.
import { Session } from "./session.js";

/** Makes a project for tests. */
export function project(options = {}) {
  let session;
  const started = () => {
    if (session?.hasEnded) session = undefined;
    return (session ??= new Session(options));
  };
  const begin = (name, options = {}) => started().begin({ function: name }, options);
  const run = async (name, options) => begin(name, options).result;
  return {
    begin,
    run,
    async output(name, options) {
      const { error, output } = await run(name, options);
      if (error) throw error;
      return output;
    },
    send: async (event, options = {}) =>
      started().begin({ event: event.name }, { deliver: true, ...options, data: event.data }).result,
    functions: async () => started().functions(),
    async close() {
      const ending = session?.close();
      session = undefined;
      await ending;
    },
  };
}

/** The project around the working folder. */
export const baton = project();
