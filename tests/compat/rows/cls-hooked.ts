// packages: cls-hooked
import { createNamespace } from "cls-hooked";
import { row } from "../row";

const rest = () => new Promise<void>((resolve) => setTimeout(resolve, 1));

export default row(["kept", "kept", "kept"], () => {
  const context = createNamespace("compat");
  return context.runAndReturn(async () => {
    context.set("value", "kept");
    await null;
    const seen = [context.get("value")];
    await rest();
    seen.push(context.get("value"));
    await new Promise<void>((resolve) => setTimeout(() => resolve(void seen.push(context.get("value"))), 1));
    return seen;
  });
});
