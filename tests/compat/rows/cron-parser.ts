// packages: cron-parser
import { CronExpressionParser } from "cron-parser";
import { row } from "../row";

export default row({ times: ["2026-03-28T08:30:00.000Z", "2026-03-29T07:30:00.000Z"], wrong: true }, () => {
  // Over the night in which clocks change: half past eight comes an hour earlier.
  const cron = CronExpressionParser.parse("30 8 * * *", { currentDate: "2026-03-28T08:00:00Z", tz: "Europe/Lisbon" });
  let wrong = false;
  try {
    CronExpressionParser.parse("61 * * * *");
  } catch {
    wrong = true;
  }
  return { times: cron.take(2).map((date) => date.toISOString()), wrong };
});
