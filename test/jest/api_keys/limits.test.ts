import { once } from "node:events";
import { request as httpRequest } from "node:http";
import { expect, test } from "@jest/globals";
import { bootApi } from "../api/_api.ts";
import { makeKey, type SignedAnswer, sendSigned, signatureHeader } from "./_partner.ts";

/** How often signatures may be wrong, and that the limits do not tell a key that exists from one that does not. */
const perMinute = 10;
const api = await bootApi({
  TALLYSTICK_TRUST_PROXY: "1",
  TALLYSTICK_RATE_LIMIT_ADDRESS_PER_MINUTE: String(perMinute),
  TALLYSTICK_RATE_LIMIT_KEY_PER_MINUTE: "15",
});
const key = await makeKey(api);
const unknown = "0199b4c8-7a10-7c3e-9d52-3f0a6b1c2d3e";
const from = (address: string, options: object = {}): Promise<SignedAnswer> =>
  sendSigned(api.url, key, { headers: { "X-Forwarded-For": address }, ...options });
const shape = ({ status, code, headers }: SignedAnswer): unknown => [status, code, headers["ratelimit"]];

test("wrong signatures count for their address, alike for a key that exists and for one that is none", async () => {
  expect((await from("192.0.2.1")).status).toBe(200);
  const seen: unknown[][] = [];
  for (const [address, keyId] of [
    ["192.0.2.2", key.id],
    ["192.0.2.3", unknown],
  ] as const) {
    const answers: unknown[] = [];
    for (let n = 0; n < perMinute + 3; n += 1) answers.push(shape(await from(address, { keyId, secret: "guessed" })));
    seen.push(answers);
  }
  const withoutTime = JSON.stringify(seen[0]).replace(/t=\d+/g, "t");
  expect(withoutTime).toBe(JSON.stringify(seen[1]).replace(/t=\d+/g, "t"));
  expect(seen[0]?.filter((answer) => (answer as unknown[])[0] === 401)).toHaveLength(perMinute);
  expect(seen[0]?.filter((answer) => (answer as unknown[])[0] === 429)).toHaveLength(3);
});

test("an address that is over its limit is refused before its body has come, whichever key it names", async () => {
  // Headers alone: who waits for the body does not answer.
  const held = async (keyId: string): Promise<number | undefined> => {
    const headers = {
      authorization: signatureHeader({ ...key, id: keyId }),
      "content-type": "application/json",
      "content-length": "100",
      "x-forwarded-for": "192.0.2.2",
    };
    const request = httpRequest(api.url, { method: "POST", headers, agent: false });
    request.on("error", () => undefined);
    request.flushHeaders();
    const answered = once(request, "response", { signal: AbortSignal.timeout(5_000) });
    const [answer] = (await answered.catch(() => [])) as [{ statusCode?: number }?];
    request.destroy();
    return answer?.statusCode;
  };
  expect([await held(key.id), await held(unknown)]).toEqual([429, 429]);
});

test("right signatures count for their key, from wherever they come", async () => {
  const busy = await makeKey(api);
  const answers: SignedAnswer[] = [];
  for (let n = 0; n < 17; n += 1) {
    answers.push(await sendSigned(api.url, busy, { headers: { "X-Forwarded-For": `198.51.100.${n}` } }));
  }
  expect(answers.filter(({ status }) => status === 200)).toHaveLength(15);
  expect(answers.at(-1)?.errors[0]?.extensions).toMatchObject({ code: "LG462", detail: { limit: "key" } });
});
