import { describe, expect, test } from "@jest/globals";
import {
  type Answer,
  makePostingQueue,
  NothingPostedError,
  type PostingQueueOptions,
  type PostingRequest,
  QueueFullError,
} from "../../../src/posting/queue.ts";

const request = (name: string, tenantId = 1): PostingRequest => ({
  tenantId,
  sessionId: "s",
  userId: "u",
  transaction: name,
});

/** A queue whose batches end when the test says so. */
function held(options: Partial<PostingQueueOptions<string>> = {}) {
  const batches: { names: string[]; end: (answers?: Answer<string>[]) => void; fail: (error: unknown) => void }[] = [];
  const queue = makePostingQueue<string>({
    maxBatch: 3,
    maxBatches: 4,
    maxWaiting: 10,
    post: (requests) =>
      new Promise((resolve, reject) => {
        const names = requests.map(({ transaction }) => transaction);
        batches.push({
          names,
          end: (answers = names.map((name) => ({ result: `posted ${name}` }))) => resolve(answers),
          fail: reject,
        });
      }),
    ...options,
  });
  const names = (): string[][] => batches.map((batch) => batch.names);
  const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  return { queue, batches, names, settled };
}

describe("the queue of postings", () => {
  test("sends one that finds nothing under way at once, and alone", async () => {
    const { queue, batches, names } = held();
    const answer = queue.post(request("a"));
    expect(names()).toEqual([["a"]]);
    batches[0]?.end();
    expect(await answer).toBe("posted a");
  });

  test("sends together what came meanwhile, in the order in which it came, up to the size of a batch", async () => {
    const { queue, batches, names, settled } = held();
    const answers = ["a", "b", "c", "d", "e"].map((name) => queue.post(request(name)));
    expect(names()).toEqual([["a"]]);
    batches[0]?.end();
    await settled();
    expect(names()).toEqual([["a"], ["b", "c", "d"]]);
    batches[1]?.end();
    await settled();
    expect(names().at(-1)).toEqual(["e"]);
    batches[2]?.end();
    expect(await Promise.all(answers)).toEqual(["a", "b", "c", "d", "e"].map((name) => `posted ${name}`));
  });

  test("gives tenants turns: one that floods does not keep another waiting", async () => {
    const { queue, batches, names, settled } = held();
    for (let n = 0; n < 7; n += 1) void queue.post(request(`flood ${n}`, 1)).catch(() => undefined);
    void queue.post(request("other", 2));
    // The flood has one batch under way and no more, whatever room there is.
    expect(names()).toEqual([["flood 0"], ["other"]]);
    batches[0]?.end();
    await settled();
    void queue.post(request("other again", 2));
    batches[2]?.end();
    batches[1]?.end();
    await settled();
    expect(names().slice(2)).toEqual([
      ["flood 1", "flood 2", "flood 3"],
      ["flood 4", "flood 5", "flood 6"],
      ["other again"],
    ]);
  });

  test("takes a batch that was rolled back apart, so that one is nobody else's trouble", async () => {
    const fault = new Error("bad");
    const seen: string[][] = [];
    const { queue } = held({
      maxBatches: 1,
      post: async (requests) => {
        seen.push(requests.map(({ transaction }) => transaction));
        await new Promise((resolve) => setImmediate(resolve));
        if (requests.some(({ transaction }) => transaction === "bad")) throw new NothingPostedError(fault);
        return requests.map(({ transaction }) => ({ result: transaction }));
      },
    });
    const outcomes = await Promise.allSettled(["a", "b", "bad", "c"].map((name) => queue.post(request(name))));
    expect(outcomes.map((one) => (one.status === "fulfilled" ? one.value : one.reason))).toEqual([
      "a",
      "b",
      fault,
      "c",
    ]);
    expect(seen).toEqual([["a"], ["b", "bad", "c"], ["b"], ["bad"], ["c"]]);
  });

  test("asks nothing again of which nobody knows whether it was posted", async () => {
    const { queue, batches, names, settled } = held();
    const outcomes = Promise.allSettled(["a", "b", "c"].map((name) => queue.post(request(name))));
    batches[0]?.end();
    await settled();
    const lost = new Error("the connection ended");
    batches[1]?.fail(lost);
    expect((await outcomes).map((one) => (one.status === "fulfilled" ? one.value : one.reason))).toEqual([
      "posted a",
      lost,
      lost,
    ]);
    expect(names()).toHaveLength(2);
  });

  test("asks again what a batch left without an answer", async () => {
    const { queue, batches, names, settled } = held();
    const answers = ["a", "b", "c"].map((name) => queue.post(request(name)));
    batches[0]?.end();
    await settled();
    batches[1]?.end([{ result: "posted b" }, undefined]);
    await settled();
    expect(names()).toEqual([["a"], ["b", "c"], ["c"]]);
    batches[2]?.end();
    expect(await Promise.all(answers)).toEqual(["posted a", "posted b", "posted c"]);
  });

  test("is bounded: what finds it full is told so at once", async () => {
    const { queue } = held({ maxWaiting: 2 });
    void queue.post(request("under way"));
    expect(queue.hasRoom()).toBe(true);
    void queue.post(request("waits"));
    void queue.post(request("waits too"));
    expect(queue.hasRoom()).toBe(false);
    await expect(queue.post(request("one too many"))).rejects.toBeInstanceOf(QueueFullError);
  });
});
