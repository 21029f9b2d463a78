/** What a request asks to post, and who asks. */
export interface PostingRequest {
  tenantId: number;
  sessionId: string;
  userId: string;
  /** A value of app_public.transaction_input, as PostgreSQL writes it. */
  transaction: string;
}

/** Nothing of the batch was posted, for sure: the fault may be one request's, and is thrown as `cause`. */
export class NothingPostedError extends Error {
  constructor(cause: unknown) {
    super("The batch was rolled back.", { cause });
    this.name = "NothingPostedError";
  }
}

/** What came of a request; undefined: it has to be asked again. */
export type Answer<Result> = { result: Result } | { error: unknown } | undefined;

export interface PostingQueueOptions<Result> {
  /**
   * Posts requests of one tenant in one database transaction. It has committed when this resolves. Throws a
   * NothingPostedError if it was rolled back; any other error leaves open whether it was.
   */
  post: (requests: PostingRequest[]) => Promise<Answer<Result>[]>;
  /** How many requests go together at most. */
  maxBatch: number;
  /** How many batches are under way at a time, of all tenants. */
  maxBatches: number;
  /** How many requests may wait. */
  maxWaiting: number;
}

export interface PostingQueue<Result> {
  /** Resolves once what was asked for has committed. */
  post(request: PostingRequest): Promise<Result>;
  /** Whether there is room for one more to wait. */
  hasRoom(): boolean;
}

interface Waiting<Result> {
  request: PostingRequest;
  resolve: (result: Result) => void;
  reject: (error: unknown) => void;
}

/** The queue is full: what it would take is to be sent again in a moment. */
export class QueueFullError extends Error {
  constructor() {
    super("Too many requests wait to be posted.");
    this.name = "QueueFullError";
  }
}

/**
 * Lets requests that arrive together be posted together. One that finds nothing of its tenant under way goes at once
 * and alone; what comes while a batch is under way waits for the next. A tenant has one batch under way at a time:
 * two would be half the size, which costs more in all, and would wait for each other's accounts. Tenants take turns.
 */
export function makePostingQueue<Result>(options: PostingQueueOptions<Result>): PostingQueue<Result> {
  const { post, maxBatch, maxBatches, maxWaiting } = options;
  // A map keeps the order in which tenants came: the first has the next turn, and goes to the end after it.
  const waiting = new Map<number, Waiting<Result>[]>();
  const underWay = new Set<number>();
  let count = 0;

  const nextTenant = (): number | undefined => {
    for (const tenantId of waiting.keys()) if (!underWay.has(tenantId)) return tenantId;
    return undefined;
  };

  const start = (): void => {
    while (underWay.size < maxBatches) {
      const tenantId = nextTenant();
      if (tenantId === undefined) return;
      const queue = waiting.get(tenantId) ?? [];
      const batch = queue.splice(0, maxBatch);
      waiting.delete(tenantId);
      if (queue.length > 0) waiting.set(tenantId, queue);
      count -= batch.length;
      underWay.add(tenantId);
      void run(batch).finally(() => {
        underWay.delete(tenantId);
        start();
      });
    }
  };

  const run = async (batch: Waiting<Result>[]): Promise<void> => {
    const answers = await answersFor(batch.map(({ request }) => request));
    batch.forEach((one, n) => {
      const answer = answers[n];
      if (answer === undefined) putBack(one);
      else if ("result" in answer) one.resolve(answer.result);
      else one.reject(answer.error);
    });
  };

  /**
   * A batch that was rolled back is taken apart, so that one bad request is nobody else's trouble. One of which
   * nobody knows whether it was posted is not: each is told so, and may ask again with its idempotency key.
   */
  const answersFor = async (requests: PostingRequest[]): Promise<Answer<Result>[]> => {
    try {
      return await post(requests);
    } catch (error) {
      if (!(error instanceof NothingPostedError)) return requests.map(() => ({ error }));
      if (requests.length === 1) return [{ error: error.cause }];
      const answers: Answer<Result>[] = [];
      for (const request of requests) answers.push(...(await answersFor([request])));
      return answers;
    }
  };

  /** Asked again: it was here before those that came since. */
  const putBack = (one: Waiting<Result>): void => {
    const { tenantId } = one.request;
    waiting.set(tenantId, [one, ...(waiting.get(tenantId) ?? [])]);
    count += 1;
  };

  return {
    hasRoom: () => count < maxWaiting,
    post: (request) =>
      new Promise((resolve, reject) => {
        if (count >= maxWaiting) return reject(new QueueFullError());
        const queue = waiting.get(request.tenantId);
        if (queue) queue.push({ request, resolve, reject });
        else waiting.set(request.tenantId, [{ request, resolve, reject }]);
        count += 1;
        start();
      }),
  };
}
