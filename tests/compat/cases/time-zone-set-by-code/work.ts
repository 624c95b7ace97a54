/** The zone changes as code says, and the formats with it. */
export async function work() {
  const noon = Date.UTC(2026, 0, 15, 12);
  const seen = [];
  for (const zone of ["America/New_York", "Asia/Kolkata", "UTC"]) {
    process.env.TZ = zone;
    seen.push([new Date(noon).getHours(), new Intl.DateTimeFormat("en", { hour: "numeric" }).format(noon)]);
  }
  return seen;
}
