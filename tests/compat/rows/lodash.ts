// packages: lodash
// note: imported as a whole, as in Node: what a CommonJS package makes at run time has no names to import
import _ from "lodash";
import fp from "lodash/fp";
import { row } from "../row";

export default row({ grouped: { odd: [1, 3], even: [2] }, merged: { a: { b: 1, c: 2 } }, chained: [4, 1], debounced: 1, fp: [2, 3], template: "hi Ada" }, async () => {
  let debounced = 0;
  const call = _.debounce(() => debounced++, 5);
  call();
  call();
  await new Promise((resolve) => setTimeout(resolve, 30));
  return {
    grouped: _.groupBy([1, 2, 3], (n) => (n % 2 ? "odd" : "even")),
    merged: _.merge({ a: { b: 1 } }, { a: { c: 2 } }),
    chained: _([1, 2]).map((n) => n * n).reverse().value(),
    debounced,
    fp: fp.map((n: number) => n + 1)([1, 2]),
    template: _.template("hi <%= name %>")({ name: "Ada" }),
  };
});
