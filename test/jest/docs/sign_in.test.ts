import { execFileSync } from "node:child_process";
import { beforeAll, describe, expect, test } from "@jest/globals";
import { generate } from "otplib";
import { parseTokenKeys } from "../../../src/http/token_keys.ts";
import type { Mail } from "../../../src/mailer.ts";
import { readProjectFile } from "../../support/project_files.ts";
import { bootApi } from "../api/_api.ts";
import { askWith, makePerson } from "../identity/_people.ts";

/**
 * Runs the examples of docs/how-to/sign-in.md in order: each curl command and each GraphQL block, with the
 * variables of the JSON block after it. `<name>` stands for what came before it.
 */
const api = await bootApi();
const page = readProjectFile("docs/how-to/sign-in.md");
const known = new Map<string, string>();
let accessToken = "";
let secret = "";

interface Block {
  language: string;
  text: string;
  line: number;
}

const blocks: Block[] = [...page.matchAll(/```(\w+)\n([\s\S]*?)```/g)].map((match) => ({
  language: match[1] ?? "",
  text: match[2] ?? "",
  line: page.slice(0, match.index).split("\n").length,
}));
const curls = blocks.filter(({ text }) => text.startsWith("curl"));
const documents = blocks.filter(({ language }) => language === "graphql");

beforeAll(async () => {
  await makePerson(api.db, { roles: { [api.books.tenant]: "teller" }, email: "ann@example.com" });
  await api.db.withClient("owner", (client) =>
    client.query("update app_public.tenants set is_registration_open = true where slug = 'acme'"),
  );
});

function fill(text: string): string {
  return text.replace(/<(\w+)>/g, (_match, name: string) => {
    const value = known.get(name);
    if (value === undefined) throw new Error(`Nothing before has made <${name}>.`);
    return value;
  });
}

async function runCurl(route: string): Promise<{ status: number; body: Record<string, unknown> | undefined }> {
  const block = curls.find(({ text }) => text.includes(`/api/v1/auth/${route} `));
  const match = /^curl -s http:\/\/localhost:5678(\S+) -H '([^:]+): ([^']+)' \\\n +-d '([^']+)'\n$/.exec(
    block?.text ?? "",
  );
  if (!match) throw new Error(`The page has no command for ${route} that can be read.`);
  const [, path, name = "", value = "", data = ""] = match;
  const response = await fetch(`${new URL(api.url).origin}${path}`, {
    method: "POST",
    headers: { [name]: value },
    body: fill(data),
  });
  const text = await response.text();
  return { status: response.status, body: text === "" ? undefined : JSON.parse(text) };
}

async function runDocument(name: string): Promise<Record<string, Record<string, unknown>>> {
  const block = documents.find(({ text }) => text.includes(name));
  if (!block) throw new Error(`The page has no document with ${name}.`);
  const next = blocks[blocks.indexOf(block) + 1];
  const variables = next?.language === "json" ? (JSON.parse(fill(next.text)) as Record<string, unknown>) : {};
  const answer = await askWith(api, accessToken, block.text, variables);
  if (answer.errors.length > 0) throw new Error(`line ${block.line}: ${answer.text}`);
  return answer.data as Record<string, Record<string, unknown>>;
}

async function mailed(kind: Mail["kind"]): Promise<string> {
  for (let attempt = 0; attempt < 100; attempt += 1) {
    const mail = api.mails.findLast((one) => one.kind === kind);
    if (mail) return mail.token;
    await new Promise((done) => setTimeout(done, 20));
  }
  throw new Error(`No message ${kind} was sent.`);
}

async function codeAt(steps: number): Promise<string> {
  return generate({ secret, epoch: Math.floor(Date.now() / 1000) + 30 * steps });
}

test("every command and every document of the page is run below", () => {
  expect(curls).toHaveLength(5);
  expect(documents).toHaveLength(8);
});

describe("the examples of the page, in order", () => {
  test("log in, with the answer that is shown", async () => {
    const { status, body } = await runCurl("login");
    expect(status).toBe(200);
    const shown = JSON.parse(blocks.find(({ language }) => language === "json")?.text ?? "{}");
    expect(Object.keys(body ?? {}).sort()).toEqual(Object.keys(shown).sort());
    expect(body).toMatchObject({ tokenType: "Bearer", expiresIn: shown.expiresIn, tenant: "acme", role: "teller" });
    known.set("refreshToken", String(body?.["refreshToken"]));
  });

  test("stay signed in", async () => {
    const { status, body } = await runCurl("refresh");
    expect(status).toBe(200);
    known.set("refreshToken", String(body?.["refreshToken"]));
    accessToken = String(body?.["accessToken"]);
  });

  test("see and end sessions", async () => {
    expect((await runDocument("ownSessions"))["ownSessions"]).toHaveLength(1);
    expect(await runDocument("revokeOtherSessions")).toEqual({ revokeOtherSessions: { revoked: 0 } });
  });

  test("log out", async () => {
    expect((await runCurl("logout")).status).toBe(204);
  });

  test("join", async () => {
    expect((await runCurl("register")).status).toBe(202);
    known.set("registrationToken", await mailed("confirm_registration"));
    const { status, body } = await runCurl("confirm");
    expect([status, body?.["role"]]).toEqual([201, "customer"]);
  });

  test("change and reset a password", async () => {
    accessToken = String((await runCurl("login")).body?.["accessToken"]);
    expect(await runDocument("changePassword")).toEqual({ changePassword: { isDone: true } });
    await runDocument("requestPasswordReset");
    known.set("resetToken", await mailed("reset_password"));
    expect(await runDocument("resetPassword")).toEqual({ resetPassword: { isDone: true } });
  });

  test("set up a second factor, and show it", async () => {
    const login = await fetch(`${new URL(api.url).origin}/api/v1/auth/login`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ email: "ann@example.com", password: "one that I shall remember" }),
    });
    accessToken = ((await login.json()) as { accessToken: string }).accessToken;
    secret = String((await runDocument("enrolSecondFactor"))["enrolSecondFactor"]?.["secret"]);
    known.set("code", await codeAt(-1));
    expect((await runDocument("activateSecondFactor"))["activateSecondFactor"]?.["recoveryCodes"]).toHaveLength(10);
    known.set("nextCode", await codeAt(0));
    expect((await runDocument("confirmSecondFactor"))["confirmSecondFactor"]?.["secondFactorAt"]).toBeDefined();
  });

  test("make a key set", () => {
    const program = /node -e '([\s\S]+)' > jwt-keys\.json/.exec(page)?.[1] ?? "";
    const made = execFileSync(process.execPath, ["-e", program], { encoding: "utf8" });
    expect(parseTokenKeys(made).publicKeys).toMatchObject([{ kid: "2026-11", alg: "EdDSA" }]);
  });
});
