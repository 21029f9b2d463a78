import { describe, expect, test } from "@jest/globals";
import { hashToken } from "../../../src/identity/one_time.ts";
import { fieldKeySetting } from "../../support/field_keys.ts";
import { readProjectFile } from "../../support/project_files.ts";
import { bootApi, type Caller } from "../api/_api.ts";
import { runCli } from "../cli/run_cli.ts";

/**
 * Runs the examples of docs/how-to/run-tenants.md in order: commands as they stand, and GraphQL as the one whom
 * its first line names. `<name>` in variables is the id that the field `name` of an earlier example came back
 * with, or a member of that role.
 */
const api = await bootApi();
const page = readProjectFile("docs/how-to/run-tenants.md");
const ada = "00000000-0000-7000-8000-0000000ad0a0";
const ids = new Map<string, string>([["teller", "00000000-0000-7000-8000-0000000ad0b0"]]);
let harbour = 0;

const callers: Record<string, () => Caller> = {
  operator: () => ({ role: "operator", user: "00000000-0000-7000-8000-0000000ad0c0" }),
  admin: () => ({ role: "admin", tenant: harbour, user: ada }),
};

interface Block {
  line: number;
  language: string;
  text: string;
  variables: string;
}

const blocks = [...page.matchAll(/```(sh|graphql)\n([\s\S]*?)```(?:\n+```json\n([\s\S]*?)```)?/g)].map(
  (match): Block => ({
    line: page.slice(0, match.index).split("\n").length,
    language: match[1] ?? "",
    text: match[2] ?? "",
    variables: match[3] ?? "{}",
  }),
);

/** Runs each line of a block as a command, and answers with what they printed on standard output. */
async function runCommands(text: string): Promise<string[]> {
  const environment = {
    DATABASE_URL: api.db.urls.owner,
    TALLYSTICK_FIELD_KEYS: fieldKeySetting("test"),
    TALLYSTICK_ARGON2_MEMORY_KIB: "64",
    TALLYSTICK_ARGON2_PASSES: "1",
  };
  const printed: string[] = [];
  for (const line of text.trim().split("\n")) {
    const [npx, tallystick, ...args] = (line.match(/"[^"]*"|\S+/g) ?? []).map((word) => word.replaceAll('"', ""));
    expect([npx, tallystick]).toEqual(["npx", "tallystick"]);
    const { status, stdout, stderr } = await runCli(args, environment);
    expect({ status, stderr: status === 0 ? "" : stderr }).toEqual({ status: 0, stderr: "" });
    printed.push(stdout.trim());
  }
  return printed;
}

/** What registering with the token of an invitation does. */
async function join(token: string, userId: string): Promise<number> {
  return api.db.withClient("owner", async (client) => {
    await client.query("insert into app_public.users (id, name) values ($1, 'x')", [userId]);
    const { rows } = await client.query<{ tenant_id: number }>(
      "select tenant_id from app_private.accept_invitation($1, $2)",
      [hashToken(token), userId],
    );
    return Number(rows[0]?.tenant_id);
  });
}

async function runGraphql({ text, variables }: Block): Promise<void> {
  const caller = callers[/^# (\w+)/.exec(text)?.[1] ?? ""]?.();
  if (!caller) throw new Error(`Who sends this?\n${text}`);
  const filled = variables.replace(/<(\w+)>/g, (_match, name: string) => ids.get(name) ?? `no ${name}`);
  const { data, errors } = await api.ask(text, JSON.parse(filled) as Record<string, unknown>, caller);
  expect(errors).toEqual([]);
  if (data.inviteMember) {
    ids.set("inviteMember", data.inviteMember.invitation.id);
  }
}

test("there are examples", () => {
  expect(blocks.filter(({ language }) => language === "graphql").length).toBeGreaterThan(10);
});

describe("the example", () => {
  test.each(blocks.map((block) => [block.line, block] as const))("of line %i runs", async (_line, block) => {
    if (block.language === "graphql") return runGraphql(block);
    const printed = await runCommands(block.text);
    if (block.text.includes("operator add")) {
      const { login } = await api.get(
        `mutation { login(input: { email: "opal@example.com", password: "${printed[0]}" }) { signedIn { role } } }`,
        {},
        { role: "anonymous" },
      );
      expect(login.signedIn).toEqual({ role: "OPERATOR" });
    }
    if (block.text.includes("invite-admin")) {
      harbour = await join(String(printed[0]), ada);
      await api.db.withClient("owner", (client) =>
        client.query(
          `with person as (insert into app_public.users (id, name) values ($2, 'Tess') returning id)
           insert into app_public.memberships (tenant_id, user_id, role) select $1, id, 'teller' from person`,
          [harbour, ids.get("teller")],
        ),
      );
    }
    if (block.text.includes("tenant list")) expect(printed.at(-1)).toMatch(/^harbour .* active/m);
  });
});

test("the table names the charts that there are", async () => {
  const { chartTemplates } = await api.get("{ chartTemplates { nodes { template } } }");
  const named = [...page.matchAll(/^\| `([a-z-]+)` \|/gm)].map((match) => match[1]);
  expect(named.sort()).toEqual(chartTemplates.nodes.map((node: { template: string }) => node.template).sort());
});
