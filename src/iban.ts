const form = /^[A-Z]{2}\d{2}[A-Z0-9]{11,30}$/;

/** Whether a text looks like an IBAN, whatever its check digits are. */
export function hasIbanForm(text: string): boolean {
  return form.test(text);
}

/** Whether a text is an IBAN, by ISO 13616: the digits of the rearranged number leave 1 when divided by 97. */
export function isIban(text: string): boolean {
  if (!form.test(text)) return false;
  const rearranged = text.slice(4) + text.slice(0, 4);
  const digits = rearranged.replace(/[A-Z]/g, (letter) => String(letter.charCodeAt(0) - 55));
  return BigInt(digits) % 97n === 1n;
}
