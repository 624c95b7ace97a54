import assert from "node:assert/strict";
import { test } from "node:test";
import { type Evidence, judgeByRule, parseVerdict } from "./judgment.ts";

const evidence: Evidence = {
  preSha: "1111111111",
  headSha: "2222222222",
  diffStat: "STORIES.md | 1 +",
  uncommitted: "",
  checks: [{ command: "npm test", passed: true, ending: "exit code 0", output: "" }],
};

test("passed checks and a change pass", () => {
  assert.equal(judgeByRule(evidence).verdict, "pass");
});

test("a failed check fails with its output as the reason", () => {
  const checks = [{ command: "npm test", passed: false, ending: "exit code 1", output: "2 tests failed" }];
  assert.deepEqual(judgeByRule({ ...evidence, checks }), {
    verdict: "fail",
    reasons: ["`npm test` failed (exit code 1). 2 tests failed"],
  });
});

test("no change at all fails", () => {
  assert.deepEqual(judgeByRule({ ...evidence, headSha: evidence.preSha }), {
    verdict: "fail",
    reasons: ["Nothing has changed since 11111111."],
  });
});

test("the verdict is found in a talkative answer", () => {
  const answer = 'I looked at {everything}.\n```json\n{"verdict": "fail",\n "reasons": ["no {test}"]}\n```';
  assert.deepEqual(parseVerdict(answer), { verdict: "fail", reasons: ["no {test}"] });
});

test("the last verdict counts, and an answer without one has none", () => {
  assert.equal(parseVerdict('{"verdict":"fail","reasons":[]} no: {"verdict":"pass","reasons":[]}')?.verdict, "pass");
  assert.equal(parseVerdict("It looks good to me."), undefined);
});
