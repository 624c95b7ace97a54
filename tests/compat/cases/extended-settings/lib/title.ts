export const title: string = "from lib";
