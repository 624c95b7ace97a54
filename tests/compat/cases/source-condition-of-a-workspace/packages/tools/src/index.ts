export const from: string = "source";
