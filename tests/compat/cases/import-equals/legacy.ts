function twice(value: number) {
  return value * 2;
}
namespace twice {
  export const half = (value: number) => value / 2;
}
export = twice;
