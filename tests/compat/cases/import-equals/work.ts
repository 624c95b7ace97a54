import legacy = require("./legacy");
import { half } from "./legacy";

/** A module that is a function, with more on it. */
export async function work() {
  return { twice: legacy(4), half: half(4), kind: typeof legacy };
}
