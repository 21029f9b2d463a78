import { createHash } from "node:crypto";
import { fixedKeys, type KeyProvider, parseKeyRing } from "../../src/crypto/keys.ts";

const key = (name: string): string => createHash("sha256").update(`field key ${name}`).digest("base64");

/** A value for TALLYSTICK_FIELD_KEYS: keys by these names, the first of them current; always the same for a name. */
export function fieldKeySetting(...ids: string[]): string {
  return [...ids, "index"].map((id) => `${id}:${key(id)}`).join(",");
}

/** A provider of the named keys. */
export function fieldKeys(...ids: string[]): KeyProvider {
  return fixedKeys(parseKeyRing(fieldKeySetting(...ids)));
}
