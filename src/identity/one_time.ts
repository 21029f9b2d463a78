import { createHash, createHmac, randomBytes } from "node:crypto";

/** 256 random bits, and their hash, which is all that the database keeps. */
export interface OneTimeToken {
  token: string;
  hash: Buffer;
}

const tokenForm = /^[\w-]{43}$/;

/** Makes a token for a link, a session or an invitation. */
export function newToken(): OneTimeToken {
  const token = randomBytes(32).toString("base64url");
  return { token, hash: sha256(token) };
}

/** The hash of a token that came back; undefined if it has not the form of one. */
export function hashToken(token: string): Buffer | undefined {
  return tokenForm.test(token) ? sha256(token) : undefined;
}

/**
 * Seals the successor of a refresh token so that only the token itself opens it: whoever has the database
 * has neither. The pad is used once, because each token has one successor.
 */
export function sealSuccessor(token: string, successor: string): Buffer {
  return applyPad(token, tokenBytes(successor));
}

/** The successor of a refresh token. */
export function openSuccessor(token: string, sealed: Buffer): string {
  return applyPad(token, sealed).toString("base64url");
}

function applyPad(token: string, bytes: Buffer | undefined): Buffer {
  const key = tokenBytes(token);
  if (!key || bytes?.length !== 32) throw new Error("A refresh token has 32 bytes.");
  const pad = createHmac("sha256", key).update("tallystick successor").digest();
  return Buffer.from(pad.map((byte, index) => byte ^ (bytes[index] ?? 0)));
}

function tokenBytes(token: string): Buffer | undefined {
  return tokenForm.test(token) ? Buffer.from(token, "base64url") : undefined;
}

const recoveryCodes = 10;

/** Ten recovery codes of 80 random bits, and their hashes. */
export function newRecoveryCodes(): { codes: string[]; hashes: Buffer[] } {
  const codes = Array.from({ length: recoveryCodes }, () => {
    const text = randomBytes(10).toString("hex");
    return (text.match(/.{5}/g) ?? []).join("-");
  });
  return { codes, hashes: codes.map(hashRecoveryCode) };
}

/** The hash of a recovery code as somebody typed it. */
export function hashRecoveryCode(code: string): Buffer {
  return sha256(code.toLowerCase().replace(/[^0-9a-f]/g, ""));
}

function sha256(text: string): Buffer {
  return createHash("sha256").update(text, "utf8").digest();
}
