// packages: stripe
import Stripe from "stripe";
import { row } from "../row";

export default row({ email: "ada@example.com", event: "customer.created", forged: true }, async ({ standIn }) => {
  const { hostname, port } = new URL(standIn);
  const stripe = new Stripe("sk_test_1", { host: hostname, port, protocol: "http", maxNetworkRetries: 0, telemetry: false });
  const customer = await stripe.customers.create({ email: "ada@example.com", metadata: { plan: "one" } });
  const payload = JSON.stringify({ id: "evt_1", object: "event", type: "customer.created" });
  const header = stripe.webhooks.generateTestHeaderString({ payload, secret: "whsec_test" });
  const event = stripe.webhooks.constructEvent(payload, header, "whsec_test");
  let forged = false;
  try {
    stripe.webhooks.constructEvent(`${payload} `, header, "whsec_test");
  } catch (error) {
    forged = error instanceof Stripe.errors.StripeSignatureVerificationError;
  }
  return { email: customer.email, event: event.type, forged };
});
