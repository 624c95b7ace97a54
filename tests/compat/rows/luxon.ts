// packages: luxon
import { DateTime, Duration, Interval } from "luxon";
import { row } from "../row";

export default row({ tokyo: "2026-01-05T21:00:00.000+09:00", french: "5 janvier 2026", hours: 23, human: "1 hour, 5 minutes", invalid: "unit out of range" }, () => {
  const noon = DateTime.fromISO("2026-01-05T12:00:00Z", { zone: "utc" });
  const day = DateTime.fromISO("2026-03-29", { zone: "Europe/Berlin" });
  return {
    tokyo: noon.setZone("Asia/Tokyo").toISO(),
    french: noon.setLocale("fr").toLocaleString(DateTime.DATE_FULL),
    hours: Interval.fromDateTimes(day, day.plus({ days: 1 })).length("hours"),
    human: Duration.fromObject({ hours: 1, minutes: 5 }).toHuman(),
    invalid: DateTime.fromObject({ month: 13 }).invalidReason,
  };
});
