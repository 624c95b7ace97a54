// Has the isolate ask ICU for its time zone, which V8 then keeps for `Date`, and names it to `Intl`, which would ask
// again. Without a zone of the isolate's own, `Intl` is left to ask.
(() => {
  const { DateTimeFormat } = Intl;
  const { toLocaleString, toLocaleDateString, toLocaleTimeString } = Date.prototype;
  const { apply, construct } = Reflect;
  let zone;
  let formats;

  const named = (given) => {
    if (zone === undefined || given?.timeZone !== undefined) return given;
    if (given === undefined) return { timeZone: zone };
    return typeof given === "object" && given ? Object.create(given, { timeZone: { value: zone } }) : given;
  };
  const ofFunction = (original) =>
    new Proxy(original, { apply: (target, self, [locales, given]) => apply(target, self, [locales, named(given)]) });

  function tellIntl() {
    formats = new Proxy(DateTimeFormat, {
      apply: (target, self, [locales, given]) => apply(target, self, [locales, named(given)]),
      construct: (target, [locales, given], made) => construct(target, [locales, named(given)], made),
    });
    const define = (owner, name, value) =>
      Object.defineProperty(owner, name, { value, writable: true, enumerable: false, configurable: true });
    define(Intl, "DateTimeFormat", formats);
    define(DateTimeFormat.prototype, "constructor", formats);
    define(Date.prototype, "toLocaleString", ofFunction(toLocaleString));
    define(Date.prototype, "toLocaleDateString", ofFunction(toLocaleDateString));
    define(Date.prototype, "toLocaleTimeString", ofFunction(toLocaleTimeString));
  }

  /** The name by which `Intl` takes the zone; of one that has no name there its distance. */
  function nameOf(found) {
    try {
      new DateTimeFormat("en", { timeZone: found ?? "" });
      return found;
    } catch {
      const minutes = -new Date().getTimezoneOffset();
      const two = (count) => String(Math.floor(Math.abs(count))).padStart(2, "0");
      return `${minutes < 0 ? "-" : "+"}${two(minutes / 60)}:${two(minutes % 60)}`;
    }
  }

  return (tellsIntl) => {
    const found = new DateTimeFormat("en").resolvedOptions().timeZone;
    new Date(0).getTimezoneOffset();
    zone = tellsIntl ? nameOf(found) : undefined;
    if (tellsIntl && !formats) tellIntl();
  };
})();
