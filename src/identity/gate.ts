import { RefusedError } from "./refused.ts";

/** Runs work, a few at a time and the rest in their order; refuses with LG476 when the queue is full. */
export type Gate = <T>(work: () => Promise<T>) => Promise<T>;

/**
 * Bounds what costs a processor: `concurrency` at a time, `queue` waiting. Beyond that it is better to say so
 * at once than to let everybody wait for longer than they will.
 */
export function makeGate({ concurrency, queue }: { concurrency: number; queue: number }): Gate {
  const waiting: (() => void)[] = [];
  let running = 0;
  let lastMs = 100;

  const enter = async (): Promise<void> => {
    if (running < concurrency) {
      running += 1;
      return;
    }
    if (waiting.length >= queue) {
      throw new RefusedError("LG476", { retryAfterSeconds: Math.ceil((waiting.length * lastMs) / concurrency / 1000) });
    }
    await new Promise<void>((resolve) => waiting.push(resolve));
  };
  const leave = (): void => {
    const next = waiting.shift();
    // Who waits takes the place over: nobody who comes in between can.
    if (next) next();
    else running -= 1;
  };

  return async (work) => {
    await enter();
    const startedAt = performance.now();
    try {
      return await work();
    } finally {
      lastMs = performance.now() - startedAt;
      leave();
    }
  };
}
