import { dictionary } from "@zxcvbn-ts/language-common";
import { normaliseEmail } from "../crypto/fields.ts";
import { RefusedError } from "./refused.ts";

const minimum = 12;
const maximum = 256;
/** What many people have chosen before: some 49,000, the commonest of published collections. */
const common = new Set<string>((dictionary["passwords-common"] as string[]).map((word) => word.toLowerCase()));

/**
 * Refuses a new password with LG477. Length is what counts; which kinds of characters are in it does not.
 * What guessers try first is refused: common passwords, also with digits or signs put around them, a few
 * characters over and over, and the e-mail address.
 */
export function checkNewPassword(password: string, email: string): void {
  const length = [...password].length;
  if (length < minimum) throw refused("too_short", { minimum });
  if (length > maximum) throw refused("too_long", { maximum });
  const lower = password.toLowerCase();
  if (isLikeEmail(lower, email)) throw refused("like_the_email");
  if (isRepeated(lower)) throw refused("repeats_itself");
  if (common.has(lower) || common.has(withoutDecoration(lower))) throw refused("too_common");
}

function refused(rule: string, more: object = {}): RefusedError {
  return new RefusedError("LG477", { rule, ...more });
}

function isLikeEmail(lower: string, email: string): boolean {
  const address = normaliseEmail(email);
  const name = withoutDecoration(address.split("@")[0] ?? "");
  return (address !== "" && lower.includes(address)) || (name !== "" && withoutDecoration(lower) === name);
}

/** "password2026!" is "password" to whoever guesses. */
function withoutDecoration(text: string): string {
  return text.replace(/^[^\p{L}]+|[^\p{L}]+$/gu, "");
}

/** Whether it is made of four characters or fewer, over and over. */
function isRepeated(text: string): boolean {
  return [1, 2, 3, 4].some(
    (size) =>
      text ===
      text
        .slice(0, size)
        .repeat(Math.ceil(text.length / size))
        .slice(0, text.length),
  );
}
