module.exports = {
  double: (n) => n * 2,
  fail: async () => {
    throw new TypeError("refused");
  },
};
