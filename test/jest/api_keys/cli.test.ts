import { expect, test } from "@jest/globals";
import { fieldKeySetting } from "../../support/field_keys.ts";
import { bootApi } from "../api/_api.ts";
import { type CliResult, makeCli, runCli } from "../cli/run_cli.ts";
import { sendSigned } from "./_partner.ts";

/** Keys that are made at the terminal sign requests to a server. */
const api = await bootApi();
const environment = { DATABASE_URL: api.db.urls.owner, TALLYSTICK_FIELD_KEYS: fieldKeySetting("test") };
const run = (...args: string[]): Promise<CliResult> => runCli(["api-key", ...args], environment);
const bare = makeCli(api.db);

test("a key is created, used, listed and revoked", async () => {
  const empty = await run("list", "-t", "acme");
  expect([empty.status, empty.stdout]).toEqual([0, ""]);
  const created = await run(
    "create",
    "Shop",
    "-t",
    "acme",
    "-s",
    "ledger.read",
    "--expires-in",
    "30d",
    "-a",
    "127.0.0.1",
  );
  expect({ status: created.status, stdout: created.stdout }).toEqual({
    status: 0,
    stdout: expect.stringMatching(/^[0-9a-f-]{36}\ntsk_[\w-]{43}\n$/),
  });
  const [id = "", secret = ""] = created.stdout.split("\n");
  const key = { id, secret, userId: "" };
  expect((await sendSigned(api.url, key)).data).toEqual({ currentTenant: { slug: "acme" } });

  const listed = await run("list", "-t", "acme");
  expect(listed.stdout).toMatch(new RegExp(`${id} +Shop +active +ledger\\.read +\\d{4}-\\d\\d-\\d\\d +\\d{4}-`));
  expect(listed.stdout).not.toContain(secret);

  const revoked = await run("revoke", id, "-t", "acme");
  expect([revoked.status, revoked.stdout]).toEqual([0, "Revoked the API key Shop.\n"]);
  expect((await sendSigned(api.url, key)).code).toBe("LG425");
}, 60_000);

test("a key is bound to an account set by its code", async () => {
  const unknown = await run("create", "Shop", "-t", "acme", "--account-set", "shops");
  expect([unknown.status, unknown.stderr]).toEqual([1, "The tenant acme has no account set shops.\n"]);
  const { createAccountSet } = await api.get(
    'mutation { createAccountSet(input: { code: "shops", name: "Shops" }) { accountSet { id } } }',
  );
  const created = await run("create", "Shop", "-t", "acme", "--account-set", "shops");
  const { apiKey } = await api.get("query ($id: UUID!) { apiKey(id: $id) { accountSetId scopes } }", {
    id: created.stdout.split("\n")[0],
  });
  expect(apiKey).toEqual({
    accountSetId: createAccountSet.accountSet.id,
    scopes: ["ledger.read", "transactions.post"],
  });
}, 60_000);

test("what is wrong is said, and the exit status tells", async () => {
  const scope = await bare.run("api-key", "create", "Shop", "-t", "acme", "-s", "nonsense");
  expect([scope.status, scope.stderr]).toEqual([1, expect.stringContaining("LG427")]);
  const other = await bare.run("api-key", "revoke", "0199b4c8-7a10-7c3e-9d52-3f0a6b1c2d3e", "-t", "acme");
  expect([other.status, other.stderr]).toEqual([1, expect.stringContaining("LG426")]);
  expect((await bare.run("api-key", "revoke", "1", "-t", "acme")).status).toBe(2);
}, 60_000);
