import { createHmac } from "node:crypto";

/** The people of the demonstration: one for each role. Their ids are fixed, so that tokens outlive a reset. */
export const demoTenant = "demo";

export interface DemoPerson {
  name: string;
  userId: string;
  email: string;
}

export const demoPeople = {
  customer: { name: "Ada", userId: "0199c0de-0001-7000-8000-000000000001", email: "ada@demo.example" },
  teller: { name: "Tess", userId: "0199c0de-0002-7000-8000-000000000002", email: "tess@demo.example" },
  accountant: { name: "Amir", userId: "0199c0de-0003-7000-8000-000000000003", email: "amir@demo.example" },
  auditor: { name: "Olga", userId: "0199c0de-0004-7000-8000-000000000004", email: "olga@demo.example" },
  admin: { name: "Ivo", userId: "0199c0de-0005-7000-8000-000000000005", email: "ivo@demo.example" },
} as const satisfies Record<string, DemoPerson>;

/** Who runs the installation. An operator belongs to no tenant. */
export const demoOperator: DemoPerson = {
  name: "Opal",
  userId: "0199c0de-0010-7000-8000-000000000010",
  email: "opal@demo.example",
};

/** The customers who have a wallet; the first is the customer above, the others cannot sign in. */
export const demoWallets = [
  { name: "Ada", userId: demoPeople.customer.userId },
  { name: "Grace", userId: "0199c0de-0006-7000-8000-000000000006" },
  { name: "Alan", userId: "0199c0de-0007-7000-8000-000000000007" },
  { name: "Edsger", userId: "0199c0de-0008-7000-8000-000000000008" },
  { name: "Barbara", userId: "0199c0de-0009-7000-8000-000000000009" },
] as const;

/**
 * The password of a person of the demonstration: made from a secret of the data directory, so that it is the
 * same at each start and another one on each machine. There is no default to forget.
 */
export function demoPassword(secret: string, { userId }: Pick<DemoPerson, "userId">): string {
  const digest = createHmac("sha256", secret).update(`password of ${userId}`).digest("hex");
  return digest.slice(0, 16).replace(/(.{4})(?=.)/g, "$1-");
}
