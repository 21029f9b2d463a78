import { fixedKeys, type KeyProvider, parseKeyRing } from "../../src/crypto/keys.ts";

const key = (byte: number): string => Buffer.alloc(32, byte).toString("base64");

/** A value for TALLYSTICK_FIELD_KEYS: keys by these names, the first of them current; always the same for a name. */
export function fieldKeySetting(...ids: string[]): string {
  const named = ids.map((id) => `${id}:${key(Buffer.from(id).reduce((sum, byte) => (sum * 31 + byte) % 255, 7))}`);
  return [...named, `index:${key(255)}`].join(",");
}

/** A provider of the named keys. */
export function fieldKeys(...ids: string[]): KeyProvider {
  return fixedKeys(parseKeyRing(fieldKeySetting(...ids)));
}
