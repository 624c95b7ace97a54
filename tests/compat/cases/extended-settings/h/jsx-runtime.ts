export const jsx = (type: string, props: object) => [type, props];
export const jsxs = jsx;
