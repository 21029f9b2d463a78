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

function answer(mails: readonly CaughtMail[], request: IncomingMessage, response: ServerResponse): void {
  response.setHeader("Cache-Control", "no-store");
  response.setHeader("X-Content-Type-Options", "nosniff");
  response.setHeader("Referrer-Policy", "no-referrer");
  response.setHeader("Cross-Origin-Resource-Policy", "same-origin");
  // A name that somebody points at this machine is not ours: their page would read the mails.
  if (!/^(127\.0\.0\.1|localhost)(:\d+)?$/.test(request.headers.host ?? ""))
    return send(response, 403, "text/plain", "");
  if (request.method !== "GET") return send(response, 405, "text/plain", "");
  const [, id, part, index] =
    /^\/(?:mails\/([\w-]+)(?:\/(html|raw|attachments)(?:\/(\d+))?)?)?$/.exec(pathOf(request)) ?? [];
  if (id === undefined) {
    if (pathOf(request) !== "/") return send(response, 404, "text/plain", "");
    return sendPage(response, "Mails", listOf(mails));
  }
  const mail = mails.find((one) => one.id === id);
  if (!mail) return send(response, 404, "text/plain", "There is no such mail.");
  if (part === undefined) return sendPage(response, mail.email.subject ?? "", bodyOf(mail));
  if (part === "raw") return send(response, 200, "text/plain; charset=utf-8", mail.raw);
  if (part === "html") {
    response.setHeader("Content-Security-Policy", mailPolicy);
    return send(response, 200, "text/html; charset=utf-8", mail.email.html ?? "");
  }
  const attachment = mail.email.attachments[Number(index)];
  if (!attachment) return send(response, 404, "text/plain", "");
  const name = encodeURIComponent(attachment.filename ?? "attachment");
  response.setHeader("Content-Disposition", `attachment; filename*=UTF-8''${name.replace(/['()*]/g, "_")}`);
  send(response, 200, "application/octet-stream", bytesOf(attachment));
}

function pathOf(request: IncomingMessage): string {
  return (request.url ?? "/").split("?")[0] ?? "/";
}

function send(response: ServerResponse, status: number, type: string, body: string | Buffer): void {
  response.writeHead(status, { "Content-Type": type }).end(body);
}

const style = `
  body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 56rem; padding: 0 1rem; color: #222; }
  table { border-collapse: collapse; width: 100%; } td, th { padding: .35rem .6rem; text-align: left; vertical-align: top; }
  tr { border-bottom: 1px solid #ddd; } th { color: #666; font-weight: normal; white-space: nowrap; }
  iframe { width: 100%; height: 28rem; border: 1px solid #ddd; background: #fff; }
  pre { background: #f5f5f5; padding: 1rem; white-space: pre-wrap; overflow-wrap: anywhere; } a { color: #0550ae; }`;

function sendPage(response: ServerResponse, title: string, body: string): void {
  response.setHeader("Content-Security-Policy", pagePolicy);
  const page = `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>${escape(title)}</title>
<style>${style}</style></head><body>${body}</body></html>`;
  send(response, 200, "text/html; charset=utf-8", page);
}

function listOf(mails: readonly CaughtMail[]): string {
  const rows = mails.map(
    ({
      id,
      receivedAt,
      recipients,
      email,
    }) => `<tr><td>${timeOf(receivedAt)}</td><td>${escape(recipients.join(", "))}</td>
<td><a href="/mails/${id}">${escape(email.subject || "(no subject)")}</a></td><td>${email.attachments.length || ""}</td></tr>`,
  );
  if (rows.length === 0) return "<h1>Mails</h1><p>None has been sent yet.</p>";
  return `<h1>Mails</h1><table><tr><th>Time</th><th>To</th><th>Subject</th><th>Attachments</th></tr>${rows.join("\n")}</table>`;
}

function bodyOf({ id, receivedAt, recipients, email }: CaughtMail): string {
  const header = (name: string, value: string): string => `<tr><th>${name}</th><td>${escape(value)}</td></tr>`;
  const attachments = email.attachments.map(
    (one, index) => `<li><a href="/mails/${id}/attachments/${index}">${escape(one.filename ?? "attachment")}</a>
(${escape(one.mimeType)}, ${bytesOf(one).length} bytes)</li>`,
  );
  return `<p><a href="/">All mails</a></p><h1>${escape(email.subject ?? "")}</h1><table>
${header("From", email.from?.address ?? "")}${header("To", recipients.join(", "))}
${header("Received", timeOf(receivedAt))}${header("Message-ID", email.messageId ?? "")}</table>
${attachments.length > 0 ? `<h2>Attachments</h2><ul>${attachments.join("")}</ul>` : ""}
${email.html ? `<h2>HTML</h2><iframe sandbox src="/mails/${id}/html" title="The mail"></iframe>` : ""}
<h2>Text</h2><pre>${escape(email.text ?? "")}</pre><p><a href="/mails/${id}/raw">As it was sent</a></p>`;
}

function bytesOf({ content }: Attachment): Buffer {
  return typeof content === "string" ? Buffer.from(content) : Buffer.from(content as ArrayBuffer);
}

function timeOf(at: Date): string {
  return at.toISOString().slice(0, 19).replace("T", " ");
}

function escape(text: string): string {
  const entities: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };
  return text.replace(/[&<>"']/g, (letter) => entities[letter] ?? letter);
}
