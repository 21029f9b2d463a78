import { seedDemo } from "../../src/demo/seed.ts";
import { makeGate } from "../../src/identity/gate.ts";
import { makePasswords } from "../../src/identity/passwords.ts";
import { fieldKeys } from "./field_keys.ts";
import type { TestDatabase } from "./test_database.ts";

/** What the passwords of the demonstration in a test database are made from. */
export const demoSecret = "the secret of the demonstration of the tests";

/** Makes the demonstration in a test database, with the keys of the tests and passwords that cost little. */
export async function seedTestDemo(db: TestDatabase): Promise<void> {
  const gate = makeGate({ concurrency: 2, queue: 10 });
  const passwords = makePasswords({ cost: { memoryKib: 64, passes: 1 }, gate });
  await seedDemo({
    ownerUrl: db.urls.owner,
    keys: fieldKeys("test"),
    passwords,
    secret: demoSecret,
    say: () => undefined,
  });
}
