export const from = "built";
