import { expect, test } from "@jest/globals";
import { bootApi } from "../api/_api.ts";
import { makeKey, sendSigned } from "./_partner.ts";

/** Where a signed request may come from: with a proxy in front, and for a client that pretends to be one. */
const proxied = await bootApi({ TALLYSTICK_TRUST_PROXY: "1" });
const direct = await bootApi();
const list = ["192.0.2.7", "198.51.100.0/24", "2001:db8:1::/48", "::ffff:203.0.113.0/120"];
const key = await makeKey(proxied, { allowedAddresses: list });
const from = (forwarded: string) => sendSigned(proxied.url, key, { headers: { "X-Forwarded-For": forwarded } });

test.each([
  "192.0.2.7",
  "198.51.100.200",
  "2001:db8:1:2::3",
  "2001:DB8:0001:0:0:0:0:1",
  "::ffff:192.0.2.7",
  "::ffff:198.51.100.1",
  "203.0.113.77",
  "192.0.2.7:51234",
  "[2001:db8:1::1]:51234",
  // The last one is what the proxy has seen; what a client puts before it does not count.
  "10.0.0.1, 192.0.2.7",
])("through the proxy from %s: let in", async (address) => {
  expect((await from(address)).status).toBe(200);
});

test.each([
  "192.0.2.8",
  "198.51.101.1",
  "2001:db8:2::1",
  "::ffff:192.0.2.8",
  "::192.0.2.7",
  "nonsense",
  "192.0.2.7, 10.0.0.1",
  "192.0.2.7.example.com",
])("through the proxy from %s: refused with LG424", async (address) => {
  const answer = await from(address);
  expect([answer.status, answer.code, answer.errors[0]?.extensions.detail]).toEqual([401, "LG424", {}]);
});

test("without a proxy the header of the client does not count", async () => {
  const here = await makeKey(direct, { allowedAddresses: ["127.0.0.1"] });
  const elsewhere = await makeKey(direct, { allowedAddresses: ["192.0.2.7"] });
  const headers = { "X-Forwarded-For": "192.0.2.7", "X-Real-IP": "192.0.2.7", Forwarded: "for=192.0.2.7" };
  expect((await sendSigned(direct.url, here, { headers })).status).toBe(200);
  expect((await sendSigned(direct.url, elsewhere, { headers })).code).toBe("LG424");
});

test("an address that is refused uses up no nonce, and is told who has the secret alone", async () => {
  const nonce = "a-nonce-that-is-sent-twice";
  const there = { headers: { "X-Forwarded-For": "10.0.0.1" }, nonce };
  expect((await sendSigned(proxied.url, key, there)).code).toBe("LG424");
  expect((await sendSigned(proxied.url, key, { ...there, secret: "guessed" })).code).toBe("LG421");
  expect((await sendSigned(proxied.url, key, { headers: { "X-Forwarded-For": "192.0.2.7" }, nonce })).status).toBe(200);
});

test("what is refused is a security event with its address", async () => {
  await from("10.9.8.7");
  const { rows } = await proxied.db.pool("owner").query(
    `select tenant_id, user_id, severity, detail ->> 'code' as code, host(address) as address,
       request_id is not null as has_request
     from app_private.security_events where address = '10.9.8.7'`,
  );
  expect(rows).toEqual([
    {
      tenant_id: proxied.books.tenant,
      user_id: key.userId,
      severity: "warning",
      code: "LG424",
      address: "10.9.8.7",
      has_request: true,
    },
  ]);
});
