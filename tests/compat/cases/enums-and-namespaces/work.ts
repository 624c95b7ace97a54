import { Level, type Shape } from "./level.ts";

namespace Area {
  const round = Math.round;
  export const of = (shape: Shape) => round(shape.width * shape.height);
}

class Point {
  constructor(
    readonly x: number,
    private y = x * 2,
  ) {}
  get sum() {
    return this.x + this.y;
  }
}

/** The parts of TypeScript that JavaScript does not have. */
export async function work() {
  return { level: Level.High, name: Level[Level.High], area: Area.of({ width: 2, height: 1.6 }), sum: new Point(1).sum };
}
