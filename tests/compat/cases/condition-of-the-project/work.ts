import { where } from "#where";

/** The project's own imports, with a condition that only it knows. */
export async function work() {
  return where;
}
