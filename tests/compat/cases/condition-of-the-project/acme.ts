export const where = "acme";
