import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { expect, test } from "@jest/globals";
import { httpProvider } from "../../../src/providers/kyc/http_provider.ts";
import { fieldKeySetting } from "../../support/field_keys.ts";
import { runCli, startCli } from "./run_cli.ts";

/* The simulated provider of verifications, as a process of its own. */
const secret = "the secret that is shared with the provider of verifications";
const environment = { TALLYSTICK_KYC_PROVIDER_SECRET: secret, TALLYSTICK_FIELD_KEYS: fieldKeySetting("k1") };
const check = { reference: "1.x", level: 1, evidence: [{ kind: "selfie", reference: "simulate:fail" }] };

test("answers over HTTP, goes wrong when it is told to, and ends when it is asked to", async () => {
  const { child, result } = startCli(["simulate-kyc", "--port", "0"], environment);
  const [said] = (await once(child.stderr as NodeJS.EventEmitter, "data")) as [string];
  const url = /http:\/\/\S+:\d+/.exec(said)?.[0] ?? "";
  try {
    const provider = httpProvider({ url, secret });
    const first = await provider.submitCheck(check);
    expect(first).toEqual({ id: expect.stringMatching(/^sim_/), status: "submitted" });
    expect(await provider.submitCheck(check)).toMatchObject({ id: first.id });
    await expect(provider.getCheck("sim_none")).rejects.toThrow("answered with status 404");
    await expect(httpProvider({ url, secret: "another" }).getCheck(first.id)).rejects.toThrow("status 401");

    const faults = (body: object): Promise<Response> =>
      fetch(`${url}/faults`, {
        method: "POST",
        body: JSON.stringify(body),
        headers: { authorization: `Bearer ${secret}` },
      });
    expect((await faults({ failures: 1 })).status).toBe(200);
    await expect(provider.getCheck(first.id)).rejects.toThrow("answered with status 500");
    await faults({ delayMs: 500 });
    await expect(httpProvider({ url, secret, timeoutMs: 50 }).getCheck(first.id)).rejects.toThrow("does not answer");
    await faults({ delayMs: 1100 });
    expect(await provider.getCheck(first.id)).toEqual({
      id: first.id,
      status: "failed",
      finding: "The document is not genuine.",
    });
  } finally {
    child.kill("SIGTERM");
  }
  expect((await result).status).toBe(0);
}, 30_000);

test("needs a secret, and is not for production", async () => {
  const without = await runCli(["simulate-kyc"], { ...environment, TALLYSTICK_KYC_PROVIDER_SECRET: "" });
  expect(without).toMatchObject({ status: 1, stderr: expect.stringContaining("Set TALLYSTICK_KYC_PROVIDER_SECRET.") });
  const production = await runCli(["simulate-kyc"], {
    ...environment,
    NODE_ENV: "production",
    DATABASE_URL: "postgres://x/y",
    TALLYSTICK_JWT_SECRET: randomBytes(48).toString("base64"),
  });
  expect(production).toMatchObject({ status: 1, stderr: expect.stringContaining("Production needs a real provider.") });
});
