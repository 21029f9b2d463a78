/** 64 characters before the sign, 255 after it, 254 in all (RFC 5321); blanks and control characters nowhere. */
const form = /^[^\s\p{C}@]{1,64}@[^\s\p{C}@]{1,255}$/u;

/** Whether a text can be an e-mail address. Whether it is one, only a letter to it tells. */
export function isEmailAddress(text: string): boolean {
  const trimmed = text.trim();
  return trimmed.length <= 254 && form.test(trimmed);
}
