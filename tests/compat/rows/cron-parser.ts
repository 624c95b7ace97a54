// packages: cron-parser
import { CronExpressionParser } from "cron-parser";
import { row } from "../row";

export default row({ times: ["2026-03-29T07:30:00.000Z", "2026-03-30T06:30:00.000Z"], wrong: true }, () => {
  // Over the night in which Berlin's clocks change… the second one comes an hour earlier.
  const cron = CronExpressionParser.parse("30 8 * * *", { currentDate: "2026-03-28T12:00:00Z", tz: "Europe/Lisbon" });
  let wrong = false;
  try {
    CronExpressionParser.parse("61 * * * *");
  } catch {
    wrong = true;
  }
  return { times: cron.take(2).map((date) => date.toISOString()), wrong };
});
