import { generateSecret, generateURI, verify } from "otplib";

/** A new secret for an authenticator, in base32, and the address that its QR code holds. */
export function newTotpSecret(label: string): { secret: string; uri: string } {
  const secret = generateSecret();
  return { secret, uri: generateURI({ issuer: "Tallystick", label, secret }) };
}

/**
 * The time step of a six-digit code, if it is that of this moment or of one step (30 seconds) before or after,
 * and later than the last that was used; otherwise undefined.
 */
export async function totpStep(secret: string, code: string, lastStep: number | null): Promise<number | undefined> {
  if (!isTotpCode(code)) return undefined;
  const result = await verify({
    secret,
    token: code,
    epochTolerance: 30,
    ...(lastStep === null ? {} : { afterTimeStep: lastStep }),
  });
  return result.valid && "timeStep" in result ? result.timeStep : undefined;
}

export function isTotpCode(code: string): boolean {
  return /^\d{6}$/.test(code);
}
