// The work that pools give their threads and processes.

export default async function ({ n, fails, spins }) {
  if (fails) throw new TypeError("refused");
  while (spins);
  return n * 2;
}

export const triple = ({ n }) => n * 3;
