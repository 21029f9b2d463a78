import { expect, test } from "@jest/globals";
import { fixedKeys, parseKeyRing } from "../../../src/crypto/keys.ts";
import { addContacts, readContacts } from "../../support/contacts.ts";
import { readProjectFile } from "../../support/project_files.ts";
import { createTestDatabase } from "../../support/test_database.ts";
import { makeCli } from "../cli/run_cli.ts";

/** Does what docs/how-to/rotate-keys.md says, with the commands that stand there. */
const db = await createTestDatabase();
const owner = db.pool("owner");
const cli = makeCli(db);
const page = readProjectFile("docs/how-to/rotate-keys.md");
const commands = [...page.matchAll(/```sh\n\s*npx tallystick (.*)\n/g)].map((match) => match[1]?.split(" ") ?? []);

async function run(command: string[] | undefined): Promise<string> {
  const { status, stdout, stderr } = await cli.run(...(command ?? []));
  expect({ status, stderr: status === 0 ? "" : stderr }).toEqual({ status: 0, stderr: "" });
  return stdout.trim();
}

test("the page replaces a key", async () => {
  const [makeAll, makeOne, rotate, status] = commands;
  expect(commands).toHaveLength(4);
  const first = await run(makeAll);
  const file = cli.file("field_keys", first);
  cli.set({ TALLYSTICK_FIELD_KEY_FILE: file });
  const contacts = await addContacts(owner, fixedKeys(parseKeyRing(first)), 3);
  const ids = contacts.map(({ userId }) => userId);

  const second = await run(makeOne);
  expect(second).toMatch(/^k2:[A-Za-z0-9+/]{43}=$/);
  const [k1 = "", index = ""] = first.split(",");
  // Step 2: behind the others. It reads, and nothing is to be done yet.
  cli.file("field_keys", [k1, second, index].join(","));
  expect(await run(rotate)).toBe("Encrypted 0 values anew.");
  // Step 3: in front.
  cli.file("field_keys", [second, k1, index].join(","));
  expect(await run(status)).toMatch(/user_contacts +email_ciphertext +k1 +3 +to be rotated/);
  expect(await run(rotate)).toBe("Encrypted 6 values anew.");
  expect(await run(status)).toMatch(/user_contacts +email_ciphertext +k2 +3 +current/);
  // Step 6: without the old one.
  cli.file("field_keys", [second, index].join(","));
  expect(await run(status)).not.toContain("k1");
  expect(await readContacts(owner, fixedKeys(parseKeyRing([second, index].join(","))), ids)).toEqual(contacts);
});

test("a key that is missing is told", async () => {
  cli.file("field_keys", await run(["keys", "new", "--id", "k3"]));
  expect(await run(["keys", "status"])).toMatch(/k2 +3 +NOT KNOWN/);
  const { status, stderr } = await cli.run("keys", "rotate");
  expect(status).toBe(1);
  expect(stderr).toContain("Left as they were, since they do not decrypt: 6.");
  expect(stderr).toContain('The field key "k2" is not known here. Known are: k3.');
});

test.each([["index"], ["a b"], [""]])("%j is no name of a key", async (id) => {
  const { status, stdout } = await cli.run("keys", "new", "--id", id);
  expect({ status, stdout }).toEqual({ status: 2, stdout: "" });
});
