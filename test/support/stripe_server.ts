import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";

/** An object as Stripe's API answers with it. */
export type StripeFake = { id: string; object: string; [field: string]: unknown };

export interface StripeServer {
  url: string;
  apiKey: string;
  objects: Map<string, StripeFake>;
  /** Requests that came, such as `POST /v1/refunds`. */
  calls: string[];
  /** How the next requests end; what is missing is answered well. */
  faults: ("429" | "500 after" | "500 before" | "hang after" | "reset" | "409")[];
  /** The search has not seen anything yet. */
  isSearchBehind: boolean;
  stop(): Promise<void>;
}

type Fields = Record<string, string>;
interface Answer {
  status: number;
  body: object;
}

const error = (status: number, type: string, fields: object = {}): Answer => ({
  status,
  body: { error: { type, message: `It is a ${type}.`, ...fields } },
});

/** A server that speaks as much of Stripe's API as payments need, on the wire as Stripe does. */
export async function startStripeServer(): Promise<StripeServer> {
  const apiKey = "sk_test_of_the_tests";
  const byKey = new Map<string, { body: string; answer: Answer }>();
  let made = 0;

  const create = (resource: string, fields: Fields): Answer => {
    const metadata = Object.fromEntries(
      Object.entries(fields).flatMap(([name, value]) => {
        const key = /^metadata\[(\w+)\]$/.exec(name)?.[1];
        return key === undefined ? [] : [[key, value]];
      }),
    );
    made += 1;
    const amount = Number(fields["amount"]);
    const base = { amount, currency: fields["currency"] ?? "usd", metadata, created: Math.floor(Date.now() / 1000) };
    if (resource === "payouts") {
      return keep({ ...base, id: `po_${made}`, object: "payout", status: "pending", given: fields });
    }
    if (resource === "refunds") {
      const intent = server.objects.get(fields["payment_intent"] ?? "");
      if (!intent) return error(404, "invalid_request_error", { code: "resource_missing" });
      const currency = intent["currency"] as string;
      return keep({ ...base, id: `re_${made}`, object: "refund", status: "succeeded", currency, given: fields });
    }
    const intent = { ...base, id: `pi_${made}`, object: "payment_intent", amount_received: 0, given: fields };
    if (fields["confirm"] !== "true") return keep({ ...intent, status: "requires_payment_method" });
    if (fields["payment_method"] === "pm_card_chargeDeclined") {
      const problem = { code: "card_declined", decline_code: "insufficient_funds", message: "No funds." };
      const payment_intent = { ...intent, status: "requires_payment_method", last_payment_error: problem };
      keep(payment_intent);
      return error(402, "card_error", { ...problem, payment_intent });
    }
    const isSlow = fields["payment_method"] === "pm_slow";
    return keep({ ...intent, status: isSlow ? "processing" : "succeeded", amount_received: isSlow ? 0 : amount });
  };
  const keep = (object: StripeFake): Answer => {
    server.objects.set(object.id, object);
    return { status: 200, body: object };
  };
  const listed = (object: string, query: URLSearchParams): Answer => {
    const all = [...server.objects.values()].filter((one) => one.object === object).reverse();
    const since = Number(query.get("created[gte]") ?? 0);
    const from = all.findIndex(({ id }) => id === query.get("starting_after")) + 1;
    const limit = Number(query.get("limit") ?? 10);
    const recent = all.filter((one) => (one["created"] as number) >= since).slice(from, from + limit);
    return { status: 200, body: { object: "list", data: recent, has_more: from + limit < all.length } };
  };
  const answerTo = (method: string, url: URL, body: string): Answer => {
    const [, , resource = "", id, action] = url.pathname.split("/");
    const object = { payment_intents: "payment_intent", payouts: "payout", refunds: "refund" }[resource] ?? "";
    if (method === "POST" && id === undefined) return create(resource, Object.fromEntries(new URLSearchParams(body)));
    if (id === "search") {
      const wanted = /metadata\["tallystick_reference"\]:"([^"]*)"/.exec(url.searchParams.get("query") ?? "")?.[1];
      const found = [...server.objects.values()].filter(
        (one) => one.object === object && (one["metadata"] as Fields)["tallystick_reference"] === wanted,
      );
      return { status: 200, body: { object: "search_result", data: server.isSearchBehind ? [] : found } };
    }
    if (id === undefined) return listed(object, url.searchParams);
    const known = server.objects.get(id);
    if (!known) return error(404, "invalid_request_error", { code: "resource_missing" });
    if (method === "POST" && action === "cancel") {
      if (["succeeded", "paid", "canceled"].includes(known["status"] as string)) {
        return error(400, "invalid_request_error", { code: "payment_intent_unexpected_state" });
      }
      return keep({ ...known, status: "canceled" });
    }
    return { status: 200, body: known };
  };
  const handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const body = await text(request);
    const url = new URL(request.url ?? "/", "http://stripe");
    server.calls.push(`${request.method} ${url.pathname}`);
    const fault = server.faults.shift();
    const send = ({ status, body }: Answer): void => {
      response
        .writeHead(status, { "content-type": "application/json", "request-id": "req_1" })
        .end(JSON.stringify(body));
    };
    if (request.headers.authorization !== `Bearer ${apiKey}`) return send(error(401, "invalid_request_error"));
    if (fault === "reset") return void request.socket.destroy();
    if (fault === "429") return send(error(429, "invalid_request_error", { code: "rate_limit" }));
    if (fault === "409") return send(error(409, "invalid_request_error", { code: "lock_timeout" }));
    if (fault === "500 before") return send(error(500, "api_error"));
    const key = request.headers["idempotency-key"] as string | undefined;
    const known = key === undefined ? undefined : byKey.get(key);
    if (known && known.body !== body) return send(error(400, "idempotency_error"));
    const answer = known?.answer ?? answerTo(request.method ?? "", url, body);
    if (key !== undefined) byKey.set(key, { body, answer });
    if (fault === "hang after") return;
    send(fault === "500 after" ? error(500, "api_error") : answer);
  };
  const http = createServer((request, response) => void handle(request, response));
  http.listen(0, "127.0.0.1");
  await once(http, "listening");
  const server: StripeServer = {
    url: `http://127.0.0.1:${(http.address() as AddressInfo).port}`,
    apiKey,
    objects: new Map(),
    calls: [],
    faults: [],
    isSearchBehind: false,
    stop: async () => {
      http.close();
      http.closeAllConnections();
      await once(http, "close");
    },
  };
  return server;
}
