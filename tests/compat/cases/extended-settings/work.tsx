import { title } from "@lib/title";

/** The factory of JSX and the paths are those of the file that the settings extend. */
export async function work() {
  return (<b title={title}>bold</b>) as unknown;
}
