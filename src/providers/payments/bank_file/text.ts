/** Letters that do not fall apart into a plain one and its marks. */
const letters: Record<string, string> = {
  ß: "ss",
  æ: "ae",
  Æ: "AE",
  ø: "o",
  Ø: "O",
  đ: "d",
  Đ: "D",
  ð: "d",
  Ð: "D",
  þ: "th",
  Þ: "Th",
  ł: "l",
  Ł: "L",
  œ: "oe",
  Œ: "OE",
  ı: "i",
  "&": "+",
  "’": "'",
  "–": "-",
  "—": "-",
};

/**
 * A text in the characters that banks agree to carry (the Latin set of SEPA): letters and digits without marks, and
 * some signs; no slash at the ends and none twice. What has no counterpart becomes a blank. Empty if nothing is left.
 */
export function toBankText(text: string, maxLength: number): string {
  const plain = [...text.normalize("NFC")].map((letter) => letters[letter] ?? letter).join("");
  return plain
    .normalize("NFKD")
    .replace(/\p{M}/gu, "")
    .replace(/[^A-Za-z0-9/\-?:().,'+ ]/gu, " ")
    .replace(/\/{2,}/g, "/")
    .replace(/ {2,}/g, " ")
    .replace(/^[/ ]+/, "")
    .slice(0, maxLength)
    .replace(/[/ ]+$/, "");
}
