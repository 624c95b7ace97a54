export const enum Level {
  Low = 1,
  High = Low << 3,
}
export interface Shape {
  width: number;
  height: number;
}
