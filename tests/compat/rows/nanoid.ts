// packages: nanoid
import { customAlphabet, nanoid } from "nanoid";
import { row } from "../row";

export default row({ lengths: [21, 8], custom: true, differ: true }, () => ({
  lengths: [nanoid().length, nanoid(8).length],
  custom: /^[01]{64}$/.test(customAlphabet("01", 64)()),
  differ: nanoid() !== nanoid(),
}));
