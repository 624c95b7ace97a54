import assert from "node:assert/strict";
import { test } from "node:test";
import { Tail, tailOf } from "./tail.ts";

test("a short text is kept whole", () => {
  assert.equal(tailOf("all of it\n", 100), "all of it");
});

test("a long text keeps its end and says how much is missing", () => {
  const tail = new Tail(5);
  for (const chunk of ["abc", "def", "ghi"]) tail.push(chunk);
  assert.equal(tail.toString(), "[… 4 earlier characters]\nefghi");
});
