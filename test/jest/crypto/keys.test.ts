import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "@jest/globals";
import { fileKeys, fixedKeys, newKey, newKeyRing, parseKeyRing } from "../../../src/crypto/keys.ts";

/* Where the keys of encrypted fields come from. */
const folder = mkdtempSync(join(tmpdir(), "tallystick-keys-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("keys in a setting", () => {
  const [a, b, index] = [newKey(), newKey(), newKey()];

  test("are a list, of which the first is current", () => {
    const ring = parseKeyRing(` 2026-11:${a}, 2026-01:${b},\nindex:${index}\n`);
    expect(ring.currentId).toBe("2026-11");
    expect([...ring.keys.keys()]).toEqual(["2026-11", "2026-01"]);
    expect(ring.keys.get("2026-01")?.toString("base64")).toBe(b);
    expect(ring.indexKey.toString("base64")).toBe(index);
  });

  test("or JSON, which names the current one", () => {
    const ring = parseKeyRing(JSON.stringify({ current: "k1", keys: { k2: b, k1: a }, index }));
    expect(ring.currentId).toBe("k1");
    expect(ring.keys.get("k2")?.toString("base64")).toBe(b);
  });

  test("are new ones each time", () => {
    expect(newKeyRing("k1")).not.toBe(newKeyRing("k1"));
    expect(parseKeyRing(newKeyRing("k1")).keys.get("k1")).toHaveLength(32);
  });

  test.each([
    ["", "one key or more"],
    [`index:${index}`, "one key or more"],
    [`k1:${a}`, "key of blind indexes"],
    [`k1:${a},k1:${b},index:${index}`, "names the key k1 twice"],
    [`k1:${a},k2:${a},index:${index}`, "same key under two ids"],
    [`k1:${a},index:${a}`, "same key under two ids"],
    [`k1:${a.slice(0, 20)},index:${index}`, "key k1 as 32 bytes"],
    [`k1:${Buffer.alloc(33).toString("base64")},index:${index}`, "key k1 as 32 bytes"],
    [`k 1:${a},index:${index}`, "key ids of"],
    [a, "a list of id:base64"],
    ["{", "no valid JSON"],
    [JSON.stringify({ keys: { k1: a }, index }), "which key is the current one"],
    [JSON.stringify({ current: "k2", keys: { k1: a }, index }), 'no key "k2"'],
    [JSON.stringify({ current: "index", keys: { index: a }, index }), "key ids of"],
  ])("are refused when they are wrong (%#)", (text, problem) => {
    expect(() => parseKeyRing(text)).toThrow(problem);
    for (const key of [a, b, index]) {
      expect(() => parseKeyRing(text)).not.toThrow(key);
    }
  });
});

describe("keys in a file", () => {
  test("are read again when the file changes", async () => {
    const path = join(folder, "keys");
    const first = newKeyRing("k1");
    writeFileSync(path, first);
    const keys = fileKeys(path);
    expect(await keys.currentKeyId()).toBe("k1");
    writeFileSync(path, `k2:${newKey()},${first}`);
    expect(await keys.currentKeyId()).toBe("k2");
    expect((await keys.getKey("k1")).toString("base64")).toBe(first.split(/[:,]/)[1]);
  });

  test("say which file is wrong", async () => {
    const path = join(folder, "damaged");
    writeFileSync(path, "k1:short,index:short");
    await expect(fileKeys(path).currentKeyId()).rejects.toThrow(/damaged, should give the key k1 as 32 bytes/);
  });
});

test("a key that is not there is asked for by its name", async () => {
  const keys = fixedKeys(parseKeyRing(newKeyRing("k1")));
  await expect(keys.getKey("k7")).rejects.toThrow('The field key "k7" is not known here. Known are: k1.');
});
