export const where = "default";
