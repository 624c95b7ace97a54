// packages: @inngest/middleware-encryption
// answers: {"__ENCRYPTED__": true, "data": "«any»"}
import { encryptionMiddleware } from "@inngest/middleware-encryption";
import { Inngest, NonRetriableError } from "inngest";

const inngest = new Inngest({ id: "compat", middleware: [encryptionMiddleware({ key: "a key for this test" })] });

export default inngest.createFunction(
  { id: "row", retries: 0, triggers: [{ event: "compat/row" }] },
  async ({ step }) => {
    const secret = await step.run("a secret", () => ({ name: "Ada" }));
    const again = await step.run("reads it", () => secret.name);
    if (secret.name !== "Ada" || again !== "Ada") throw new NonRetriableError(`decrypted to ${JSON.stringify(secret)}`);
    return "encrypted on its way out";
  },
);
