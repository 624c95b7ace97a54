// packages: effect
import { Cause, Effect, Exit, Schedule, Schema } from "effect";
import { row } from "../row";

class Refused extends Error {
  readonly _tag = "Refused";
}

const Person = Schema.Struct({ name: Schema.String, age: Schema.Number });

export default row({ tries: 3, answer: "done", sum: 6, failure: true, ada: { name: "Ada", age: 36 } }, async () => {
  let tries = 0;
  const flaky = Effect.suspend(() => (++tries < 3 ? Effect.fail(new Refused()) : Effect.succeed("done")));
  const answer = await Effect.runPromise(Effect.retry(flaky, Schedule.recurs(5)));
  const sum = await Effect.runPromise(
    Effect.gen(function* () {
      const parts = yield* Effect.all([1, 2, 3].map((n) => Effect.delay(Effect.succeed(n), "1 millis")), {
        concurrency: "unbounded",
      });
      return parts.reduce((a, b) => a + b);
    }),
  );
  const exit = await Effect.runPromiseExit(Effect.fail(new Refused()));
  const failure = Exit.isFailure(exit) && Cause.squash(exit.cause) instanceof Refused;
  return { tries, answer, sum, failure, ada: Schema.decodeUnknownSync(Person)({ name: "Ada", age: 36 }) };
});
