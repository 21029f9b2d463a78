import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Attachment } from "postal-mime";
import type { RunningPart } from "../api.ts";
import type { CaughtMail } from "./catcher.ts";

/**
 * The page that shows the mails: a list, and each with its text, its HTML and its attachments. What is in a mail
 * comes from anywhere, so its HTML is in a frame that runs nothing and loads nothing, from an origin of its own,
 * and an attachment is always a download.
 */
export async function servePage(mails: readonly CaughtMail[], port: number): Promise<RunningPart & { url: string }> {
  const server = createServer((request, response) => answer(mails, request, response));
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const stop = async (): Promise<void> => {
    const closed = once(server, "close");
    server.close();
    server.closeAllConnections();
    await closed;
  };
  return { url, stop };
}

const pagePolicy =
  "default-src 'none'; style-src 'unsafe-inline'; frame-src 'self'; base-uri 'none'; form-action 'none'";
// Links open nothing here: they can be read.
const mailPolicy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox";

interface Reply {
  status: number;
  type: string;
  body: string | Buffer;
  headers?: Record<string, string>;
}

function answer(mails: readonly CaughtMail[], request: IncomingMessage, response: ServerResponse): void {
  const { status, type, body, headers } = replyTo(mails, request);
  response.writeHead(status, {
    "Content-Type": type,
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    ...headers,
  });
  response.end(body);
}

const route = /^\/mails\/([\w-]+)(?:\/(html|raw|attachments)(?:\/(\d+))?)?$/;

function replyTo(mails: readonly CaughtMail[], request: IncomingMessage): Reply {
  // A name that somebody points at this machine is not ours: their page would read the mails.
  if (!/^(127\.0\.0\.1|localhost)(:\d+)?$/.test(request.headers.host ?? "")) return plain(403, "");
  if (request.method !== "GET") return plain(405, "");
  const path = pathOf(request);
  if (path === "/") return page("Mails", listOf(mails));
  const [, id, part, index] = route.exec(path) ?? [];
  const mail = mails.find((one) => one.id === id);
  if (!mail) return plain(404, "There is nothing here.");
  if (part === "raw") return plain(200, mail.raw);
  if (part === "attachments") return attachmentOf(mail, Number(index));
  if (part === undefined) return page(mail.email.subject ?? "", bodyOf(mail));
  const headers = { "Content-Security-Policy": mailPolicy };
  return { status: 200, type: "text/html; charset=utf-8", body: mail.email.html ?? "", headers };
}

function attachmentOf({ email }: CaughtMail, index: number): Reply {
  const attachment = email.attachments[index];
  if (!attachment) return plain(404, "There is no such attachment.");
  const name = encodeURIComponent(attachment.filename ?? "attachment").replace(/['()*]/g, "_");
  const headers = { "Content-Disposition": `attachment; filename*=UTF-8''${name}` };
  return { status: 200, type: "application/octet-stream", body: bytesOf(attachment), headers };
}

function plain(status: number, body: string | Buffer): Reply {
  return { status, type: "text/plain; charset=utf-8", body };
}

function pathOf(request: IncomingMessage): string {
  return (request.url ?? "/").split("?")[0] ?? "/";
}

const style = `
  body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 56rem; padding: 0 1rem; color: #222; }
  table { border-collapse: collapse; width: 100%; }
  td, th { padding: .35rem .6rem; text-align: left; vertical-align: top; }
  tr { border-bottom: 1px solid #ddd; }
  th { color: #666; font-weight: normal; white-space: nowrap; }
  iframe { width: 100%; height: 28rem; border: 1px solid #ddd; background: #fff; }
  pre { background: #f5f5f5; padding: 1rem; white-space: pre-wrap; overflow-wrap: anywhere; }
  a { color: #0550ae; }`;

function page(title: string, content: string): Reply {
  const body = `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>${escapeHtml(title)}</title>
<style>${style}</style></head><body>${content}</body></html>`;
  const headers = { "Content-Security-Policy": pagePolicy };
  return { status: 200, type: "text/html; charset=utf-8", body, headers };
}

function listOf(mails: readonly CaughtMail[]): string {
  if (mails.length === 0) return "<h1>Mails</h1><p>None has been sent yet.</p>";
  const rows = mails.map(({ id, receivedAt, recipients, email }) => {
    const subject = `<a href="/mails/${id}">${escapeHtml(email.subject || "(no subject)")}</a>`;
    const cells = [timeOf(receivedAt), escapeHtml(recipients.join(", ")), subject, email.attachments.length || ""];
    return `<tr>${cells.map((cell) => `<td>${cell}</td>`).join("")}</tr>`;
  });
  const head = "<tr><th>Time</th><th>To</th><th>Subject</th><th>Attachments</th></tr>";
  return `<h1>Mails</h1><table>${head}${rows.join("\n")}</table>`;
}

function bodyOf({ id, receivedAt, recipients, email }: CaughtMail): string {
  const header = (name: string, value: string): string => `<tr><th>${name}</th><td>${escapeHtml(value)}</td></tr>`;
  const attachments = email.attachments.map(
    (one, index) => `<li><a href="/mails/${id}/attachments/${index}">${escapeHtml(one.filename ?? "attachment")}</a>
(${escapeHtml(one.mimeType)}, ${bytesOf(one).length} bytes)</li>`,
  );
  return `<p><a href="/">All mails</a></p><h1>${escapeHtml(email.subject ?? "")}</h1><table>
${header("From", email.from?.address ?? "")}${header("To", recipients.join(", "))}
${header("Received", timeOf(receivedAt))}${header("Message-ID", email.messageId ?? "")}</table>
${attachments.length > 0 ? `<h2>Attachments</h2><ul>${attachments.join("")}</ul>` : ""}
${email.html ? `<h2>HTML</h2><iframe sandbox src="/mails/${id}/html" title="The mail"></iframe>` : ""}
<h2>Text</h2><pre>${escapeHtml(email.text ?? "")}</pre><p><a href="/mails/${id}/raw">As it was sent</a></p>`;
}

function bytesOf({ content }: Attachment): Buffer {
  return typeof content === "string" ? Buffer.from(content) : Buffer.from(content as ArrayBuffer);
}

function timeOf(at: Date): string {
  return at.toISOString().slice(0, 19).replace("T", " ");
}

function escapeHtml(text: string): string {
  const entities: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };
  return text.replace(/[&<>"']/g, (letter) => entities[letter] ?? letter);
}
