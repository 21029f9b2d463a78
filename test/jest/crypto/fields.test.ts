import { describe, expect, test } from "@jest/globals";
import * as fc from "fast-check";
import {
  blindIndex,
  DecryptionError,
  decryptField,
  encryptField,
  type FieldPlace,
  keyIdOf,
  normaliseEmail,
  normalisePhone,
} from "../../../src/crypto/fields.ts";
import { UnknownKeyError } from "../../../src/crypto/keys.ts";
import { fieldKeys } from "../../support/field_keys.ts";

/* Encryption of fields: what holds for any value in any place. */
const keys = fieldKeys("k1");
const word = fc.string({ unit: "binary", maxLength: 60 });
const name = fc.string({ maxLength: 20 });
const places: fc.Arbitrary<FieldPlace> = fc.record({
  tenantId: fc.nat(),
  table: name,
  column: name,
  row: fc.oneof(fc.uuid(), name),
});

async function failure(work: Promise<unknown>): Promise<unknown> {
  return work.then(
    () => undefined,
    (error: unknown) => error,
  );
}

describe("a field", () => {
  test("decrypts to what it was, in its place", async () => {
    await fc.assert(
      fc.asyncProperty(places, word, async (place, text) => {
        const ciphertext = await encryptField(keys, place, text);
        expect(await decryptField(keys, place, ciphertext)).toBe(text);
      }),
    );
  });

  test("decrypts in no other place: another tenant, table, column or row", async () => {
    await fc.assert(
      fc.asyncProperty(places, places, word, async (place, other, text) => {
        const ciphertext = await encryptField(keys, place, text);
        // One part of the place changed at a time, which is the harder case, and all at once.
        const moved = (["tenantId", "table", "column", "row"] as const).map((part) => ({
          ...place,
          [part]: other[part],
        }));
        for (const elsewhere of [...moved, other]) {
          if (JSON.stringify(elsewhere) === JSON.stringify(place)) continue;
          expect(await failure(decryptField(keys, elsewhere, ciphertext))).toBeInstanceOf(DecryptionError);
        }
      }),
    );
  });

  test("does not take a part of one name for a part of the next", async () => {
    const place = { tenantId: 1, table: "a", column: "b", row: "c" };
    const ciphertext = await encryptField(keys, place, "secret");
    const shifted = { tenantId: 1, table: 'a","b', column: "c", row: "" };
    expect(await failure(decryptField(keys, shifted, ciphertext))).toBeInstanceOf(DecryptionError);
  });

  test("does not decrypt when any bit of it has changed, or when it is cut short", async () => {
    await fc.assert(
      fc.asyncProperty(places, word, fc.nat(), fc.nat(), async (place, text, at, bit) => {
        const ciphertext = await encryptField(keys, place, text);
        const damaged = Buffer.from(ciphertext);
        damaged.writeUInt8(damaged.readUInt8(at % damaged.length) ^ (1 << (bit % 8)), at % damaged.length);
        expect(await failure(decryptField(keys, place, damaged))).toBeInstanceOf(Error);
        const short = ciphertext.subarray(0, at % ciphertext.length);
        expect(await failure(decryptField(keys, place, short))).toBeInstanceOf(Error);
      }),
    );
  });

  test("never looks the same twice, and shows nothing of its value", async () => {
    const place = { tenantId: 7, table: "t", column: "c", row: "r" };
    const text = "a value that is long enough to be found";
    const ciphertexts = await Promise.all(Array.from({ length: 200 }, () => encryptField(keys, place, text)));
    const nonces = ciphertexts.map((one) => one.subarray(4, 16).toString("hex"));
    expect(new Set(nonces).size).toBe(200);
    for (const one of ciphertexts) expect(one.includes(Buffer.from(text).subarray(0, 8))).toBe(false);
  });

  test("is encrypted with the current key, and decrypted with any known one", async () => {
    const place = { tenantId: 7, table: "t", column: "c", row: "r" };
    const old = await encryptField(keys, place, "secret");
    const rotated = fieldKeys("k2", "k1");
    const fresh = await encryptField(rotated, place, "secret");
    expect([old, fresh].map((one) => keyIdOf(place, one))).toEqual(["k1", "k2"]);
    expect(await decryptField(rotated, place, old)).toBe("secret");
    expect(await decryptField(rotated, place, fresh)).toBe("secret");
  });

  test("names the key that is missing, and the column, but never the value", async () => {
    const place = { tenantId: 7, table: "app_private.things", column: "thing_ciphertext", row: "r" };
    const old = await encryptField(keys, place, "secret");
    const unknown = (await failure(decryptField(fieldKeys("k2"), place, old))) as Error;
    expect(unknown).toBeInstanceOf(UnknownKeyError);
    expect(unknown.message).toBe('The field key "k1" is not known here. Known are: k2.');
    const moved = (await failure(decryptField(keys, { ...place, row: "s" }, old))) as Error;
    expect(moved.message).toContain("app_private.things.thing_ciphertext does not decrypt");
    // The key id is authenticated: whoever relabels a ciphertext does not choose its key.
    const relabelled = Buffer.from(old);
    relabelled.write("k2", 2);
    expect(await failure(decryptField(fieldKeys("k2", "k1"), place, relabelled))).toBeInstanceOf(DecryptionError);
  });
});

describe("a blind index", () => {
  const place = { tenantId: 7, table: "t", column: "c" };

  test("is the same for the same value, and another in another tenant, table or column", async () => {
    await fc.assert(
      fc.asyncProperty(places, places, word, async (one, other, text) => {
        const index = await blindIndex(keys, one, text);
        expect(index).toHaveLength(32);
        expect((await blindIndex(fieldKeys("k9", "k1"), one, text)).equals(index)).toBe(true);
        for (const part of ["tenantId", "table", "column"] as const) {
          if (one[part] === other[part]) continue;
          const elsewhere = await blindIndex(keys, { ...one, [part]: other[part] }, text);
          expect(elsewhere.equals(index)).toBe(false);
        }
      }),
    );
  });

  test("differs for different values", async () => {
    const values = Array.from({ length: 100 }, (_, n) => `ann${n}@example.com`);
    const indexes = await Promise.all(values.map((value) => blindIndex(keys, place, value)));
    expect(new Set(indexes.map((one) => one.toString("hex"))).size).toBe(100);
  });

  test("finds an e-mail address however it was written", () => {
    expect(normaliseEmail(" Ann.Smith@Example.COM\n")).toBe("ann.smith@example.com");
    // Full-width letters and a ligature are other ways to write the same.
    expect(normaliseEmail("ａｎｎ@example.com")).toBe("ann@example.com");
    expect(normaliseEmail("ﬁona@example.com")).toBe("fiona@example.com");
    expect(normaliseEmail("ann@example.com")).not.toBe(normaliseEmail("bob@example.com"));
    fc.assert(
      fc.property(
        fc.string({ unit: "binary" }),
        (text) => normaliseEmail(normaliseEmail(text)) === normaliseEmail(text),
      ),
    );
  });

  test("finds a telephone number however it was written", () => {
    expect(normalisePhone(" +49 (30) 1234-56")).toBe("+4930123456");
    expect(normalisePhone("030/123456")).toBe("030123456");
  });
});
