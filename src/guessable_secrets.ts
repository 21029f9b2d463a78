import { parseKeyRing, readKeyFile } from "./crypto/keys.ts";
import { readSecrets } from "./postgres/secrets.ts";

/** What stands in examples and in the settings that others copy. */
const words = /change.?me|secret|password|passwd|example|default|placeholder|your-\d+-bit|12345678|abcdefgh|qwerty/i;
const databasePasswords = new Set([
  "postgres",
  "password",
  "secret",
  "admin",
  "root",
  "test",
  "tallystick",
  "changeme",
]);

type Given = Record<string, string | undefined>;

/**
 * Secrets that production does not start with, as sentences that name the setting and never the value: what
 * stands in examples, what is hardly random, and what was made up for development in this data directory.
 */
export function guessableSecrets(given: Given, dataDir: string): string[] {
  const development = readSecrets(dataDir);
  return [
    ...jwtSecretProblems(given["TALLYSTICK_JWT_SECRET"], development.jwtSecret),
    ...fieldKeyProblems(given, development.fieldKeys),
    ...["DATABASE_URL", "TALLYSTICK_API_DATABASE_URL", "TALLYSTICK_WORKER_DATABASE_URL"].flatMap((name) =>
      databaseProblems(name, given[name]),
    ),
  ];
}

function jwtSecretProblems(secret: string | undefined, development: string | undefined): string[] {
  if (secret === undefined) return [];
  if (secret === development) return ["TALLYSTICK_JWT_SECRET is the one that was made up for development."];
  if (!words.test(secret) && new Set(secret).size >= 10) return [];
  return ["TALLYSTICK_JWT_SECRET can be guessed: make one with `openssl rand -base64 48`."];
}

function fieldKeyProblems(given: Given, development: string | undefined): string[] {
  const [list, file] = [given["TALLYSTICK_FIELD_KEYS"], given["TALLYSTICK_FIELD_KEY_FILE"]];
  const name = list === undefined ? "TALLYSTICK_FIELD_KEY_FILE" : "TALLYSTICK_FIELD_KEYS";
  try {
    const ring = list !== undefined ? parseKeyRing(list) : file !== undefined ? readKeyFile(file) : undefined;
    if (!ring) return [];
    const made = development === undefined ? [] : [...parseKeyRing(development).keys.values()];
    const keys = [...ring.keys.values()];
    if (keys.some((key) => made.some((other) => other.equals(key)))) {
      return [`${name} holds a key that was made up for development.`];
    }
    const isGuessable = [...keys, ring.indexKey].some((key) => new Set(key).size < 16);
    return isGuessable ? [`${name} holds a key that can be guessed: make one with \`openssl rand -base64 32\`.`] : [];
  } catch {
    // That it cannot be read at all is told elsewhere.
    return [];
  }
}

function databaseProblems(name: string, url: string | undefined): string[] {
  if (url === undefined || !URL.canParse(url)) return [];
  const { username, password } = new URL(url);
  const text = decodeURIComponent(password).toLowerCase();
  // Without a password the server knows who connects by other means, such as a certificate.
  const isGuessable =
    text !== "" && (databasePasswords.has(text) || text === decodeURIComponent(username).toLowerCase());
  return isGuessable ? [`${name} has a password that can be guessed: make one with \`openssl rand -hex 32\`.`] : [];
}
