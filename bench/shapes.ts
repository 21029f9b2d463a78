import { seededRandom } from "../src/random.ts";

/** Draws the place of an account in the list of all. */
export type Draw = (random: () => number) => number;

/** Who pays whom: two places in the list of accounts, of which the first is debited. */
export type Pick = (random: () => number) => [debit: number, credit: number];

/** Each of so many accounts is as likely as any other. */
export function uniform(count: number): Draw {
  return (random) => Math.floor(random() * count);
}

/**
 * The k-th of so many accounts is drawn with a probability in proportion to 1/k: exactly, from the cumulative sums.
 * Which account is the k-th is shuffled, so that those drawn often do not lie side by side in an index.
 */
export function zipf(count: number, seed: number): Draw {
  const sums = new Float64Array(count);
  let sum = 0;
  for (let rank = 0; rank < count; rank += 1) {
    sum += 1 / (rank + 1);
    sums[rank] = sum;
  }
  const order = shuffled(count, seed);
  return (random) => {
    const drawn = random() * sum;
    let low = 0;
    let high = count - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((sums[middle] as number) > drawn) high = middle;
      else low = middle + 1;
    }
    return order[low] as number;
  };
}

function shuffled(count: number, seed: number): Uint32Array {
  const order = Uint32Array.from({ length: count }, (_, n) => n);
  const random = seededRandom(seed);
  for (let n = count - 1; n > 0; n -= 1) {
    const other = Math.floor(random() * (n + 1));
    [order[n], order[other]] = [order[other] as number, order[n] as number];
  }
  return order;
}

/** Two different ones. */
export function pairs(draw: Draw): Pick {
  return (random) => {
    const debit = draw(random);
    for (;;) {
      const credit = draw(random);
      if (credit !== debit) return [debit, credit];
    }
  };
}

/** All the others pay the account at this place. */
export function creditedByAll(hot: number, draw: Draw): Pick {
  return (random) => [draw(random), hot];
}

/** The account at this place pays all the others. */
export function debitedByAll(hot: number, draw: Draw): Pick {
  return (random) => [hot, draw(random)];
}
