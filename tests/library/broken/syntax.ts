// A module that no runtime can load.
export const one = 1;
export const two = = 2;
