// packages: ulid
import { decodeTime, monotonicFactory, ulid } from "ulid";
import { row } from "../row";

export default row({ time: 1_760_000_000_000, rising: true }, () => {
  const next = monotonicFactory();
  const ids = [next(1), next(1), next(1)];
  return { time: decodeTime(ulid(1_760_000_000_000)), rising: ids.join() === ids.toSorted().join() && new Set(ids).size === 3 };
});
