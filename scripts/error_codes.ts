import { withClient } from "../src/postgres/client.ts";

interface Refusal {
  code: string;
  name: string;
  message: string;
  hint: string;
  is_retryable: boolean;
}

const groups: Record<string, string> = {
  "1": "Shape: the request is not well formed",
  "2": "Balance: the amounts do not fit",
  "3": "State: what it refers to is not there, or not in the right state",
  "4": "Access: who asks, how much, how often",
  "5": "Idempotency and retries",
  "6": "Payments: what moves money in, out and across",
  "7": "Reconciliation, webhooks and messages",
};

/** `docs/error_codes.md`: every refusal of the database, from the rows that it answers with. */
export async function printErrorCodes(url: string): Promise<string> {
  const refusals = await withClient(url, async (client) => {
    const { rows } = await client.query<Refusal>(
      "select code, name, message, hint, is_retryable from app_public.refusals order by code",
    );
    return rows;
  });
  const sections = Object.entries(groups).flatMap(([digit, title]) => {
    const rows = refusals.filter(({ code }) => code[2] === digit);
    return [
      `## ${title}`,
      "",
      "| code | name | sentence | what to do | retry |",
      "| --- | --- | --- | --- | --- |",
      ...rows.map(tableRow),
      "",
    ];
  });
  return `${[...preface, ...sections].join("\n").trimEnd()}\n`;
}

function tableRow({ code, name, message, hint, is_retryable }: Refusal): string {
  return `| ${[code, `\`${name}\``, message, hint, is_retryable ? "yes" : ""].join(" | ")} |`;
}

const preface = [
  "# Error codes",
  "",
  "Every refusal has a code of the SQLSTATE class LG, a name, a sentence, a detail with the facts as JSON, and a hint.",
  "Over SQL it is the SQLSTATE of the error; over GraphQL it stands in `extensions` (`code`, `name`, `detail`, `hint`,",
  "`isRetryable`), or in the `refusal` of a result of an independent batch. A code never changes its meaning. *Retry*",
  "says that the same request, sent again, may succeed.",
  "",
  "This page is generated from the table `app_public.refusals`; `npm run schema:snapshot` writes it.",
  "",
];
