/** The people of the demonstration: one for each role. Their ids are fixed, so that tokens outlive a reset. */
export const demoTenant = "demo";

export interface DemoPerson {
  name: string;
  userId: string;
}

export const demoPeople = {
  customer: { name: "Ada", userId: "0199c0de-0001-7000-8000-000000000001" },
  teller: { name: "Tess", userId: "0199c0de-0002-7000-8000-000000000002" },
  accountant: { name: "Amir", userId: "0199c0de-0003-7000-8000-000000000003" },
  auditor: { name: "Olga", userId: "0199c0de-0004-7000-8000-000000000004" },
  admin: { name: "Ivo", userId: "0199c0de-0005-7000-8000-000000000005" },
} as const;

/** The customers who have a wallet; the first is the customer above. */
export const demoWallets = [
  { name: "Ada", userId: demoPeople.customer.userId },
  { name: "Grace", userId: "0199c0de-0006-7000-8000-000000000006" },
  { name: "Alan", userId: "0199c0de-0007-7000-8000-000000000007" },
  { name: "Edsger", userId: "0199c0de-0008-7000-8000-000000000008" },
  { name: "Barbara", userId: "0199c0de-0009-7000-8000-000000000009" },
] as const;
