/** A check, as the provider is told about it. */
export interface CheckKey {
  tenantId: number;
  id: string;
}

/** What we call a check towards the provider. */
export function referenceOf({ tenantId, id }: CheckKey): string {
  return `${tenantId}.${id}`;
}

/** The check that a reference names; undefined for what is none of ours. */
export function parseReference(reference: string): CheckKey | undefined {
  const match = /^([1-9]\d{0,8})\.([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$/.exec(reference);
  return match?.[1] && match[2] ? { tenantId: Number(match[1]), id: match[2] } : undefined;
}
