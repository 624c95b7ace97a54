const workerpool = require("workerpool");

workerpool.worker({
  double: (n) => n * 2,
  fail() {
    throw new TypeError("refused");
  },
  tell: () => workerpool.workerEmit({ at: 1 }),
});
