// packages: rxjs
import { bufferCount, catchError, firstValueFrom, from, interval, lastValueFrom, map, mergeMap, of, take, throwError, toArray } from "rxjs";
import { row } from "../row";

export default row({ ticks: [0, 10, 20], buffered: [[1, 2], [3]], merged: 6, caught: "caught" }, async () => ({
  ticks: await lastValueFrom(interval(1).pipe(take(3), map((n) => n * 10), toArray())),
  buffered: await lastValueFrom(from([1, 2, 3]).pipe(bufferCount(2), toArray())),
  merged: (await lastValueFrom(from([1, 2, 3]).pipe(mergeMap(async (n) => n), toArray()))).reduce((a, b) => a + b),
  caught: await firstValueFrom(throwError(() => new Error()).pipe(catchError(() => of("caught")))),
}));
