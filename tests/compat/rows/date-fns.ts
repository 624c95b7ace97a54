// packages: date-fns
import { addBusinessDays, format, formatDistance, intervalToDuration, parseISO } from "date-fns";
import { de } from "date-fns/locale";
import { row } from "../row";

export default row({ monday: "2026-01-05", german: "Montag, 5. Januar", ago: "etwa 1 Stunde", duration: { hours: 1, minutes: 5 } }, () => {
  const start = parseISO("2026-01-05T08:00:00");
  const end = parseISO("2026-01-05T09:05:00");
  return {
    monday: format(addBusinessDays(parseISO("2026-01-02"), 1), "yyyy-MM-dd"),
    german: format(start, "EEEE, d. MMMM", { locale: de }),
    ago: formatDistance(start, end, { locale: de }),
    duration: intervalToDuration({ start, end }),
  };
});
