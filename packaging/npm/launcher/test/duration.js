const UNITS = { ms: 1, s: 1e3, m: 6e4, h: 36e5, d: 864e5, w: 6048e5 };

/** Returns milliseconds of a number of them, or of a text such as `1d12h`. */
export function milliseconds(length) {
  if (typeof length === "number" && length >= 0 && Number.isFinite(length)) return Math.round(length);
  const text = String(length);
  if (!/^(\d+(\.\d+)?(ms|s|m|h|d|w))+$/.test(text)) {
    throw new TypeError(`expected a length of time such as "2h30m" or milliseconds, got ${JSON.stringify(length)}`);
  }
  let total = 0;
  for (const [, count, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d|w)/g)) total += Number(count) * UNITS[unit];
  return Math.round(total);
}
